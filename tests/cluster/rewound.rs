//! A Postgres that has lost changes which were answered for.

use std::time::Duration;

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Executor};
use tollgate_testkit::eventually;

use crate::support::{Api, Cluster};

const SOON: Duration = Duration::from_secs(30);

async fn is_told(api: &Api) -> bool {
    let components = api.get("/health/ready").send().await.expect(200).json()["components"].clone();
    components.as_array().unwrap().iter().any(|component: &Value| component["component"] == "change_log_rewound")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_tail_is_503_and_told_until_the_log_is_reset() {
    let cluster = Cluster::start(2).await;
    let (key, other) = (cluster.key(json!({"scopes": ["old"]})).await, cluster.key(json!({})).await);
    let before = key.record["generation"].as_u64().unwrap();
    let after = key.patch(&cluster.admin(), json!({"scopes": ["new"]})).await["generation"].as_u64().unwrap();
    let each = cluster.each(&key.api_key);
    for api in &each {
        api.authorize("scope=new").await.expect(200);
    }
    let lose = format!(
        "begin; update keys set generation = {before}, scopes = '{{old}}' where key_id = '{id}'; \
         delete from change_log where position = {after}; delete from audit where position = {after}; \
         update change_head set position = {after} - 1; commit",
        id = key.key_id
    );
    let mut database = cluster.fleet.database.as_ref().unwrap().connection().await.unwrap();
    database.execute(AssertSqlSafe(lose)).await.unwrap();
    for (node, api) in each.iter().enumerate() {
        let told = async || {
            anyhow::ensure!(is_told(&cluster.node(node)).await, "not told");
            Ok(())
        };
        eventually("the guard rail is on", SOON, told).await.unwrap();
        let answer = api.authorize("scope=old").await.expect(503);
        assert!(!answer.header("retry-after").is_empty());
        cluster.node(node).with(&other.api_key).authorize("").await.expect(200);
    }
    let said = cluster.fleet.builder.run(&["log", "reset"]).await.unwrap();
    assert!(said.contains("the change log goes on"), "{said}");
    for (node, api) in each.iter().enumerate() {
        let over = async || {
            anyhow::ensure!(!is_told(&cluster.node(node)).await, "still told");
            Ok(())
        };
        eventually("the guard rail is off", SOON, over).await.unwrap();
        api.authorize("scope=old").await.expect(200);
    }
    // And it goes on.
    key.patch(&cluster.admin(), json!({"scopes": []})).await;
    for api in &each {
        api.authorize("scope=old").await.expect(403);
    }
}
