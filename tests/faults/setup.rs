//! Nodes that do not belong to the cluster whose Redis they are given.

use tollgate_testkit::{Fleet, Node, NodeBuilder, TestDatabase};

use super::{SOON, until};
use crate::support::{Api, Cluster};

/// Starts a node that must not become ready, and waits until it says so in these words.
async fn refused(builder: NodeBuilder, words: &[&str]) -> Node {
    let node = builder.start_live().await.unwrap();
    until(&format!("not ready: {words:?}"), SOON, async || {
        let (status, body) = node.health("/health/ready").await?;
        assert_eq!(status, 503, "ready all the same: {body}");
        Ok(words.iter().all(|word| body.contains(word)))
    })
    .await;
    node
}

#[tokio::test]
async fn a_node_with_other_tags_or_another_postgres_never_becomes_ready() {
    let cluster = Cluster::of(Fleet::builder(1)).await;
    let key = cluster.limited_key(100, 60).await;
    let builder = cluster.fleet.builder.clone();

    let tags = builder.clone().env("TOLLGATE_REDIS__TAGS", "8");
    let retagged = refused(tags, &["redis.tags = 16", "set it to 16", "redis.prefix"]).await;
    Api::of(&retagged).with(&key.api_key).authorize("").await.expect(503);

    // Migrated on its own: copies of one database have the change log in common.
    let other = TestDatabase::empty().await.unwrap();
    let moved = builder.env("TOLLGATE_POSTGRES__URL", other.url());
    moved.run(&["migrate"]).await.unwrap();
    let stranger_key = moved.run(&["bootstrap"]).await.unwrap();
    let moved = refused(moved, &["another postgres", "another redis.prefix"]).await;
    Api::of(&moved).with(&stranger_key).authorize("").await.expect(503);

    // Neither has done anything to the cluster whose Redis it is.
    cluster.node(0).with(&key.api_key).authorize("").await.expect(200);
    assert_eq!(moved.health("/health/ready").await.unwrap().0, 503);
    assert_eq!(retagged.health("/health/ready").await.unwrap().0, 503);
}
