//! Three nodes on a Redis Cluster while a slot moves.

use std::time::Instant;

use anyhow::Result;
use serde_json::json;
use tollgate_testkit::{Fleet, TestRedisCluster};

use super::{
    BACK_WITHIN, PERIOD, remaining,
    tally::{Running, back_since},
    until_counted,
};
use crate::support::{Cluster, Load, NewKey, TAGS, owner_of};

const BURST: u64 = 20_000;
const DECIDED: &str = "tollgate_decisions_total{";

/// One key for each tag.
async fn keys(cluster: &Cluster) -> Vec<NewKey> {
    let mut keys = Vec::new();
    for tag in 0..TAGS {
        keys.push(cluster.key(json!({"owner": owner_of(tag), "rate_limit": {"burst": BURST, "per_seconds": PERIOD}})).await);
    }
    keys
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_moving_slot_stops_its_own_tag_at_most() {
    let redis = TestRedisCluster::start(3).await.unwrap();
    let cluster = Cluster::of(Fleet::builder(3).redis(redis.url())).await;
    let keys = keys(&cluster).await;
    let moving = 7;
    let name = format!("{}{{s{moving:02}}}id", cluster.fleet.prefix);
    let slot = redis.slot_of(&name).await.unwrap();
    let from = redis.owner_of(slot).await.unwrap();
    let apart = async |tag: usize| redis.slot_of(&format!("{{s{tag:02}}}")).await.unwrap() != slot;

    let load = |key: &NewKey| Running::start(Load::on(cluster.each(&key.api_key)).connections(4));
    let begun = Instant::now();
    let loads: Vec<Running> = keys.iter().map(load).collect();
    until_counted(&cluster, DECIDED, 500).await;
    let half_way = async |_: &TestRedisCluster| -> Result<()> {
        until_counted(&cluster, DECIDED, 500).await;
        Ok(())
    };
    // There and back; the second time nodes know both masters.
    redis.move_slot(slot, (from + 1) % 3, half_way).await.unwrap();
    resumed(&cluster, &keys[moving]).await;
    let (back, keys_moved) = (redis.begin_move(slot, from).await.unwrap(), redis.move_keys(slot, (from + 1) % 3, from, 1).await.unwrap());
    assert_eq!(keys_moved, 1, "some of its keys are here, some are there");
    until_counted(&cluster, DECIDED, 500).await;
    while redis.move_keys(slot, back, from, 100).await.unwrap() > 0 {}
    until_counted(&cluster, DECIDED, 500).await;
    redis.finish_move(slot, back, from).await.unwrap();
    resumed(&cluster, &keys[moving]).await;
    until_counted(&cluster, DECIDED, 500).await;

    for (tag, (running, key)) in loads.into_iter().zip(&keys).enumerate() {
        let tally = running.stop().await;
        let charged = BURST - remaining(&cluster.node(0).with(&key.api_key), BACK_WITHIN).await;
        tally.accounts_for(charged, back_since(begun, BURST));
        assert!(tally.admitted > 0 && tally.limited == 0, "tag {tag}: {tally:?}");
        if tag != moving && apart(tag).await {
            assert_eq!(tally.unavailable, 0, "tag {tag} is not the one that moved: {tally:?}");
        }
    }
    for node in &cluster.fleet.nodes {
        let log = node.process().stdout() + &node.process().stderr();
        assert!(node.process().is_running() && !log.contains("is made anew"), "a client has died: {log}");
        assert_eq!(node.health("/health/ready").await.unwrap().0, 200);
    }
}

/// The tag that moved is decided again, by every node.
async fn resumed(cluster: &Cluster, key: &NewKey) {
    for api in cluster.each(&key.api_key) {
        remaining(&api, BACK_WITHIN).await;
    }
}
