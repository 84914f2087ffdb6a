//! Redis or Postgres absent when a node starts: it starts, is not ready, says why, and becomes
//! ready by itself.

use serde_json::Value;
use tollgate_testkit::{Node, TestDatabase, TestPostgres, TestRedis, unique};

use crate::support::Api;

/// Expects that the node lives and names `component` as the reason that it is not ready.
async fn expect_waiting(node: &Node, component: &str) {
    assert_eq!(node.health("/health/live").await.unwrap().0, 200);
    let (status, body) = node.health("/health/ready").await.unwrap();
    let answer: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &answer["ready"]), (503, &Value::Bool(false)), "{body}");
    assert!(!answer["reason"].as_str().expect("a reason").is_empty(), "{body}");
    let state = |name: &str| answer["components"].as_array().unwrap().iter().find(|one| one["component"] == name).unwrap().clone();
    assert_eq!(state(component)["state"], "down", "{body}");
    assert!(state(component)["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{body}");
}

#[tokio::test]
async fn a_node_waits_for_redis() {
    let (redis, database) = (TestRedis::start().await.unwrap(), TestDatabase::migrated().await.unwrap());
    let builder = Node::cluster(&redis.url(), database.url());
    let admin_key = builder.run(&["bootstrap"]).await.unwrap();
    redis.kill().unwrap();
    let node = builder.start_live().await.unwrap();
    let admin = Api::of(&node).with(&admin_key);
    tollgate_testkit::eventually("Redis is reported", std::time::Duration::from_mins(1), async || {
        let (_, body) = node.health("/health/ready").await?;
        anyhow::ensure!(body.contains("\"redis\",\"state\":\"down\""), "{body}");
        Ok(())
    })
    .await
    .unwrap();
    expect_waiting(&node, "redis").await;
    // Mode closed: nothing can be decided.
    admin.authorize("").await.expect(503);
    redis.start_again().await.unwrap();
    node.wait_until_ready().await.unwrap();
    admin.authorize("").await.expect(200);
}

#[tokio::test]
async fn a_node_waits_for_postgres() {
    let (redis, postgres) = (TestRedis::shared().await.unwrap(), TestPostgres::start().await.unwrap());
    let database = TestDatabase::migrated_in(&postgres).await.unwrap();
    let builder = Node::cluster(&redis.url(), database.url()).env("TOLLGATE_REDIS__PREFIX", unique("t") + ":");
    let admin_key = builder.run(&["bootstrap"]).await.unwrap();
    postgres.kill().unwrap();
    let node = builder.start_live().await.unwrap();
    let admin = Api::of(&node).with(&admin_key);
    expect_waiting(&node, "postgres").await;
    // A key that nobody can look up is 503, never 401.
    admin.authorize("").await.expect(503);
    postgres.start_again().await.unwrap();
    node.wait_until_ready().await.unwrap();
    admin.authorize("").await.expect(200);
}
