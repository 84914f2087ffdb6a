//! The way to Postgres over TLS: who is spoken to, and who is not.

use std::time::Duration;

use anyhow::ensure;
use tollgate_gate::ports::{KeyStore as _, KeyStoreError};
use tollgate_postgres::{Options, PostgresKeys, migrate};
use tollgate_testkit::{TestAuthority, TestPostgres, eventually};

const PATIENCE: Duration = Duration::from_secs(30);

/// The URL of a server by one of its names, with `verify-full` and one authority.
fn url(postgres: &TestPostgres, host: &str, authority: &TestAuthority) -> String {
    let port = postgres.address().rsplit_once(':').expect("a port").1.to_owned();
    format!("postgres://postgres@{host}:{port}/postgres?sslmode=verify-full&sslrootcert={}", authority.file().display())
}

fn store(url: &str) -> PostgresKeys {
    let options = Options { acquire_timeout: Duration::from_secs(10), ..Options::new(url) };
    PostgresKeys::connect(&options).expect("a store")
}

/// Waits until a store says these words of a server, by connections of its own each time.
async fn is_refused(url: &str, words: &str) {
    let told = eventually(words, PATIENCE, async || match store(url).head().await {
        Err(KeyStoreError::Unreachable(why)) if why.contains(words) => Ok(why),
        other => anyhow::bail!("{other:?}"),
    });
    let why = told.await.expect("a reason");
    assert!(why.starts_with("no TLS connection: "), "{why}");
}

async fn is_up(url: &str) {
    let up = eventually("an answer", PATIENCE, async || Ok(store(url).head().await?));
    up.await.expect("an answer over TLS");
}

#[tokio::test]
async fn a_postgres_is_used_only_where_its_certificate_is_its_own_signed_and_in_date() {
    let postgres = TestPostgres::start().await.expect("a server");
    migrate(&postgres.url()).await.expect("migrated");
    let (authority, stranger) = (TestAuthority::new().expect("an authority"), TestAuthority::new().expect("an authority"));
    is_refused(&url(&postgres, "localhost", &authority), "does not support TLS").await;
    let certificate = authority.issue(&["localhost"]).expect("a certificate");
    postgres.show(&certificate).await.expect("shown");
    is_up(&url(&postgres, "localhost", &authority)).await;
    is_refused(&url(&postgres, "127.0.0.1", &authority), "is for another name").await;
    is_refused(&url(&postgres, "localhost", &stranger), "not signed by an authority").await;
    postgres.show(&authority.issue_expired(&["localhost"], &certificate).expect("a certificate")).await.expect("shown");
    is_refused(&url(&postgres, "localhost", &authority), "has expired").await;
    let refused = migrate(&url(&postgres, "localhost", &authority)).await.expect_err("refused").to_string();
    assert!(refused.contains("has expired"), "the commands are told as well: {refused}");
}

#[tokio::test]
async fn new_authorities_hold_from_the_next_connection_on() {
    let postgres = TestPostgres::start().await.expect("a server");
    migrate(&postgres.url()).await.expect("migrated");
    let (authority, next) = (TestAuthority::new().expect("an authority"), TestAuthority::new().expect("an authority"));
    let certificate = authority.issue(&["localhost"]).expect("a certificate");
    postgres.show(&certificate).await.expect("shown");
    let url = url(&postgres, "localhost", &authority);
    is_up(&url).await;
    let store = store(&url);
    store.head().await.expect("an answer");
    postgres.show(&next.issue_for(&["localhost"], &certificate).expect("a certificate")).await.expect("shown");
    is_refused(&url, "not signed by an authority").await;
    store.head().await.expect("an open connection goes on");
    std::fs::copy(next.file(), authority.file()).expect("written");
    is_up(&url).await;
    // Every connection of the pool ends; the next one is made by what the file says now.
    postgres.kill().expect("killed");
    postgres.start_again().await.expect("a server");
    let back = eventually("an answer", PATIENCE, async || {
        let head = store.head().await;
        ensure!(head.is_ok(), "{head:?}");
        Ok(())
    });
    back.await.expect("the running store is back");
}
