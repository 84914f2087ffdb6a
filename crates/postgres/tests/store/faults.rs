//! A Postgres that is absent, frozen, busy or somebody else's.

use std::{
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use sqlx::Connection;
use tollgate_gate::{
    ports::{ChangeKind, CreateGuard, KeyStore, KeyStoreError},
    record::KeyRecord,
};
use tollgate_postgres::{Options, PostgresKeys, migrate};
use tollgate_testkit::{Port, TestPostgres, eventually};

use crate::support::{change, context, create, draft, fixture, patient, position, rename};

const FAR: Duration = Duration::from_mins(1);

/// Short time-outs, so that they pass within a test. On a slow machine calls that ought to succeed may not, at first.
fn hasty(url: &str) -> Options {
    Options {
        acquire_timeout: Duration::from_millis(500),
        statement_timeout: Duration::from_secs(2),
        lock_timeout: Duration::from_millis(200),
        ..Options::new(url)
    }
}

fn store_of(options: &Options) -> PostgresKeys {
    PostgresKeys::connect(options).expect("a store")
}

/// Makes a key over a hasty store, as soon as one call succeeds.
async fn made(store: &PostgresKeys) -> KeyRecord {
    let made = eventually("a key is made", FAR, async || Ok(store.create(draft(None), CreateGuard::None, context()).await?)).await;
    made.expect("in time").expect("no guard")
}

fn assert_unreachable<T>(result: Result<T, KeyStoreError>) -> String {
    match result.map(|_| ()) {
        Err(KeyStoreError::Unreachable(reason)) => reason.to_string(),
        other => panic!("not unreachable: {other:?}"),
    }
}

#[tokio::test]
async fn an_absent_server_fails_calls_in_time_and_not_the_start() {
    let port = Port::take().expect("a port");
    let url = format!("postgres://postgres:open-sesame@{}/tollgate", port.address());
    let store = store_of(&hasty(&url));
    let start = Instant::now();
    let reason = assert_unreachable(store.head().await);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert!(!reason.contains("sesame"), "{reason}");
}

#[tokio::test]
async fn a_server_that_comes_back_is_used_again() {
    let postgres = TestPostgres::start().await.expect("a server");
    migrate(&postgres.url()).await.expect("migrated");
    let store = store_of(&Options { acquire_timeout: Duration::from_secs(5), ..patient(postgres.url()) });
    create(&store, draft(None)).await;
    postgres.kill().expect("killed");
    assert_unreachable(store.head().await);
    postgres.start_again().await.expect("a server");
    assert_eq!(create(&store, draft(None)).await.generation, 2);
}

#[tokio::test]
async fn a_frozen_server_holds_no_call_beyond_its_bound() {
    let postgres = TestPostgres::start().await.expect("a server");
    migrate(&postgres.url()).await.expect("migrated");
    let store = store_of(&hasty(&postgres.url()));
    made(&store).await;
    postgres.stop().expect("frozen");
    let start = Instant::now();
    assert_unreachable(store.create(draft(None), CreateGuard::None, context()).await);
    assert!(start.elapsed() < 5 * Duration::from_millis(500 + 2 * 200 + 2000), "{:?}", start.elapsed());
    postgres.cont().expect("goes on");
    let made = made(&store).await;
    let witness = store_of(&patient(postgres.url()));
    assert_eq!(position(&witness).await, made.generation);
    assert_eq!(witness.changes(0, 1000).await.expect("changes").len() as u64, made.generation, "no hole");
}

#[tokio::test]
async fn a_held_head_is_waited_for_no_longer_than_the_lock_timeout() {
    let fixture = fixture().await;
    let store = store_of(&Options { lock_timeout: Duration::from_millis(200), ..patient(fixture.database.url()) });
    let key = create(&store, draft(None)).await;
    let mut holder = fixture.database.connection().await.expect("a connection");
    let mut held = holder.begin().await.expect("begun");
    sqlx::query("select from change_head for update").execute(&mut *held).await.expect("locked");
    let start = Instant::now();
    let reason = assert_unreachable(store.create(draft(None), CreateGuard::None, context()).await);
    assert_unreachable(change(&store, &key.key_id, ChangeKind::Updated, rename("x")).await);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert!(reason.contains("lock timeout"), "{reason}");
    assert_eq!(position(&store).await, 1, "readers do not wait");
    held.rollback().await.expect("let go");
    assert_eq!(create(&store, draft(None)).await.generation, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_writer_that_stops_in_the_middle_is_ended_and_leaves_nothing() {
    let fixture = fixture().await;
    let options = Options { idle_in_transaction_timeout: Duration::from_secs(1), ..patient(fixture.database.url()) };
    let store = Arc::new(store_of(&options));
    let key = create(&fixture.store, draft(None)).await;
    let (started, has_started) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let stuck = tokio::spawn({
        let (store, id) = (Arc::clone(&store), key.key_id.clone());
        let edit = Box::new(move |key: &KeyRecord| {
            started.send(()).expect("heard");
            tokio::task::block_in_place(|| may_go_on.recv()).expect("told");
            Ok(Some(KeyRecord { name: "too late".to_owned(), ..key.clone() }))
        });
        async move { change(&store, &id, ChangeKind::Updated, edit).await }
    });
    tokio::task::spawn_blocking(move || has_started.recv()).await.expect("joined").expect("the edit runs");
    // Others may change the key as soon as the server has ended the silent session.
    let changed =
        eventually(
            "the key can be changed",
            FAR,
            async || Ok(change(&fixture.store, &key.key_id, ChangeKind::Updated, rename("b")).await?),
        );
    assert_eq!(changed.await.expect("in time").record.generation, 2);
    go_on.send(()).expect("heard");
    assert_unreachable(stuck.await.expect("joined"));
    let found = store.find(key.key_id).await.expect("an answer").expect("there").key;
    assert_eq!((found.name.as_str(), position(&store).await), ("b", 2));
}

#[tokio::test]
async fn a_database_that_is_not_there_is_nothing_to_wait_for() {
    let fixture = fixture().await;
    let url = fixture.database.url().replace(fixture.database.name(), "no_such_database");
    let store = store_of(&patient(url));
    let error = store.head().await.expect_err("no database");
    assert!(matches!(error, KeyStoreError::Unusable(_)) && error.to_string().contains("no_such_database"), "{error}");
}

#[tokio::test]
async fn connections_open_when_first_used_and_close_for_good() {
    let fixture = fixture().await;
    let store = store_of(&patient(fixture.database.url()));
    assert_eq!(store.pool_status().used + store.pool_status().idle, 0, "nothing is opened ahead");
    create(&store, draft(None)).await;
    let status = store.pool_status();
    assert!(status.used + status.idle >= 1 && status.max == 16, "{status:?}");
    store.close().await;
    assert_unreachable(store.head().await);
}
