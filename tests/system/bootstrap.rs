//! No node ever opens itself: whatever state its database is in, no call without an admin's key
//! changes or shows anything.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tollgate_testkit::{Node, NodeBuilder, Port, Scratch, TestDatabase, TestPostgres, TestRedis, eventually, unique};

use crate::support::Api;

async fn cluster_on(database_url: &str) -> NodeBuilder {
    let redis = TestRedis::shared().await.unwrap();
    Node::cluster(&redis.url(), database_url).env("TOLLGATE_REDIS__PREFIX", unique("t") + ":")
}

/// The admin key of quite another cluster: well formed, with a good checksum and a tag.
async fn foreign_key() -> (TestDatabase, String) {
    let database = TestDatabase::migrated().await.unwrap();
    let key = cluster_on(database.url()).await.run(&["bootstrap"]).await.unwrap();
    (database, key)
}

/// Asks for everything that needs a right, with every credential that gives none.
async fn expect_closed(node: &Node) {
    let (_other, foreign) = foreign_key().await;
    let api = Api::of(node);
    let body = json!({"name": "mine", "scopes": ["admin"]});
    let id = foreign.split(':').next().unwrap();
    for api in [api.clone(), api.with("x"), api.with("admin:admin"), api.with(&foreign), api.with(&format!("{id}:secret"))] {
        for (path, body) in [
            ("/v1/keys".to_owned(), &body),
            (format!("/v1/keys/{id}/revoke"), &json!({})),
            ("/v1/limit".to_owned(), &json!({"namespace": "a", "id": "b", "rate_limit": {"burst": 1, "per_seconds": 1}})),
        ] {
            refused(api.post(&path, body).send().await.status);
        }
        refused(api.patch(&format!("/v1/keys/{id}"), &json!({"scopes": []})).send().await.status);
        refused(api.put("/v1/owners/acme", &json!({"rate_limit": null})).send().await.status);
        for path in ["/v1/keys", &format!("/v1/keys/{id}"), "/v1/owners/acme", "/health/full", "/v1/authorize"] {
            refused(api.get(path).send().await.status);
        }
    }
    assert!(node.process().is_running());
}

#[track_caller]
fn refused(status: u16) {
    assert!([401, 503].contains(&status), "{status}");
}

async fn why_not_ready(node: &Node) -> String {
    let (status, body) = node.health("/health/ready").await.unwrap();
    assert_eq!(status, 503, "{body}");
    let answer: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(answer["ready"], false);
    answer["reason"].as_str().expect("a reason").to_owned()
}

#[tokio::test]
async fn a_fresh_database_lets_nobody_in_until_bootstrap_has_run() {
    let database = TestDatabase::migrated().await.unwrap();
    let builder = cluster_on(database.url()).await;
    let node = builder.clone().start_live().await.unwrap();
    expect_closed(&node).await;
    let key = builder.run(&["bootstrap"]).await.unwrap();
    node.wait_until_ready().await.unwrap();
    Api::of(&node).with(&key).get("/v1/keys").send().await.expect(200);
}

#[tokio::test]
async fn an_empty_and_a_half_migrated_database_let_nobody_in() {
    let (empty, half) = (TestDatabase::empty().await.unwrap(), TestDatabase::migrated().await.unwrap());
    let builder = cluster_on(half.url()).await;
    let key = builder.run(&["bootstrap"]).await.unwrap();
    builder.run(&["migrate", "--down-to", "5"]).await.unwrap();
    for database in [&empty, &half] {
        let builder = cluster_on(database.url()).await;
        let node = builder.clone().start_live().await.unwrap();
        expect_closed(&node).await;
        refused(Api::of(&node).with(&key).get("/v1/keys").send().await.status);
        why_not_ready(&node).await;
        let made = tokio::process::Command::from(builder.command(&["bootstrap"]).unwrap()).output().await.unwrap();
        assert!(made.status.code() == Some(8) && made.stdout.is_empty(), "{made:?}");
    }
}

#[tokio::test]
async fn a_dead_database_lets_nobody_in() {
    let nobody = Port::take().unwrap();
    let builder = cluster_on(&format!("postgres://postgres@{}/tollgate", nobody.address())).await;
    // Each of many calls waits so long for a connection.
    let builder = builder.env("TOLLGATE_POSTGRES__ACQUIRE_TIMEOUT", "50ms");
    let node = builder.clone().start_live().await.unwrap();
    expect_closed(&node).await;
    assert!(why_not_ready(&node).await.contains("cannot be reached"), "{}", why_not_ready(&node).await);
    let made = tokio::process::Command::from(builder.command(&["bootstrap"]).unwrap()).output().await.unwrap();
    assert!(made.status.code() == Some(8) && made.stdout.is_empty(), "{made:?}");
}

#[tokio::test]
async fn bootstrap_makes_one_key_however_often_it_runs() {
    let database = TestDatabase::migrated().await.unwrap();
    let builder = cluster_on(database.url()).await;
    let mut runs = JoinSet::new();
    for _ in 0..6 {
        let builder = builder.clone();
        runs.spawn(async move { builder.run(&["bootstrap"]).await.unwrap() });
    }
    let printed: Vec<String> = runs.join_all().await.into_iter().filter(|text| !text.is_empty()).collect();
    assert_eq!(printed.len(), 1, "of six at once one prints a key");
    assert_eq!(builder.run(&["bootstrap"]).await.unwrap(), "");
    let mut connection = database.connection().await.unwrap();
    let keys: i64 = sqlx::query_scalar("select count(*) from keys").fetch_one(&mut connection).await.unwrap();
    assert_eq!(keys, 1);
    let node = builder.clone().start().await.unwrap();
    let api = Api::of(&node);
    api.with(&printed[0]).get("/v1/keys").send().await.expect(200);
    let forced = builder.run(&["bootstrap", "--force"]).await.unwrap();
    assert_eq!(api.with(&forced).get("/v1/keys").send().await.expect(200).json()["keys"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_node_with_another_master_key_lets_nobody_in_and_says_why() {
    let (database, folder) = (TestDatabase::migrated().await.unwrap(), Scratch::new("master").unwrap());
    let builder = cluster_on(database.url()).await;
    let with = |name: &str, byte: u8| {
        let path = folder.path().join(name);
        std::fs::write(&path, [byte; 32]).unwrap();
        builder.clone().env("TOLLGATE_KEYS__MASTER_KEY_FILE", path.to_string_lossy())
    };
    let (right, wrong) = (with("right", 1), with("wrong", 2));
    let key = right.run(&["bootstrap"]).await.unwrap();
    let good = right.start().await.unwrap();
    Api::of(&good).with(&key).get("/v1/keys").send().await.expect(200);
    let node = wrong.start_live().await.unwrap();
    eventually("it has taken up the stores", Duration::from_secs(20), async || {
        let why = why_not_ready(&node).await;
        anyhow::ensure!(why.contains("keys.master_key_file"), "{why}");
        Ok(())
    })
    .await
    .unwrap();
    expect_closed(&node).await;
    refused(Api::of(&node).with(&key).get("/v1/keys").send().await.status);
}

/// The schema's owner migrates and gives rights; the node that then serves has no others.
#[tokio::test]
async fn a_node_lives_on_the_rights_that_migrate_gives_it() {
    let postgres = TestPostgres::start().await.unwrap();
    let database = TestDatabase::migrated_in(&postgres).await.unwrap();
    let owner = cluster_on(database.url()).await;
    for _ in 0..2 {
        owner.run(&["migrate", "--node-rights"]).await.unwrap();
    }
    let mut connection = database.connection().await.unwrap();
    sqlx::query("alter role tollgate_node password 'leaf'").execute(&mut connection).await.unwrap();
    let (_, server) = database.url().rsplit_once('@').expect("postgres://user@server/database");
    let least = owner.env("TOLLGATE_POSTGRES__URL", format!("postgres://tollgate_node:leaf@{server}"));
    assert!(least.run(&["migrate", "--node-rights"]).await.is_err(), "a node's role gives no rights");
    let key = least.run(&["bootstrap"]).await.unwrap();
    let node = least.start().await.unwrap();
    Api::of(&node).with(&key).authorize("").await.expect(200);
}
