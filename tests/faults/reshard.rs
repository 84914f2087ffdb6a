//! T36: all slots of a Redis Cluster change hands while three nodes decide, and no call ever crosses slots.

use std::time::Instant;

use serde_json::json;
use tollgate_testkit::{Fleet, TestRedisCluster};

use super::{
    LOST, PERIOD, SOON, remaining,
    tally::{Running, back_since},
    until_counted,
};
use crate::support::{Cluster, Load, NewKey};

const TAGS: usize = 16;
/// Some are exhausted long before the end, some never.
const BURSTS: [u64; 2] = [60, 20_000];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_slot_moves_under_load_and_no_bound_is_broken() {
    let redis = TestRedisCluster::start(3).await.unwrap();
    let cluster = Cluster::of(Fleet::builder(3).redis(redis.url())).await;
    let mut keys: Vec<(u64, NewKey)> = Vec::new();
    for number in 0..12 {
        let (burst, owner) = (BURSTS[number % 2], format!("owner-{number}"));
        // Key and owner together: two buckets of one decision.
        cluster.limit_owner(&owner, json!({"burst": burst * 2, "per_seconds": PERIOD})).await;
        keys.push((burst, cluster.key(json!({"owner": owner, "rate_limit": {"burst": burst, "per_seconds": PERIOD}})).await));
    }
    let load = |key: &NewKey| Running::start(Load::on(cluster.each(&key.api_key)).connections(3));
    let begun = Instant::now();
    let loads: Vec<Running> = keys.iter().map(|(_, key)| load(key)).collect();
    until_counted(&cluster, "tollgate_decisions_total{", 500).await;
    for tag in 0..TAGS {
        let slot = redis.slot_of(&format!("{{s{tag:02}}}")).await.unwrap();
        let from = redis.owner_of(slot).await.unwrap();
        redis.move_slot(slot, (from + 1) % 3, async |_| Ok(())).await.unwrap();
    }
    for (_, key) in &keys {
        for api in cluster.each(&key.api_key) {
            remaining(&api, SOON).await;
        }
    }
    until_counted(&cluster, "tollgate_decisions_total{", 500).await;
    for (running, (burst, key)) in loads.into_iter().zip(&keys) {
        let tally = running.stop().await;
        let charged = burst - remaining(&cluster.node(0).with(&key.api_key), SOON).await;
        tally.accounts_for(charged, back_since(begun, *burst));
        assert!(tally.admitted > 0 && tally.admitted <= *burst, "{burst}: {tally:?}");
        assert!(*burst == BURSTS[1] || tally.limited > 0, "it was exhausted: {tally:?}");
    }
    let mut redirected = 0;
    for node in redis.nodes() {
        let stats = node.command(&["info", "errorstats"]).await.unwrap();
        let stats: String = redis::from_redis_value(stats).unwrap();
        assert!(!stats.contains("errorstat_CROSSSLOT"), "{stats}");
        redirected += stats.lines().filter(|line| line.starts_with("errorstat_MOVED") || line.starts_with("errorstat_ASK")).count();
    }
    assert!(redirected > 0, "no call met a slot on its way");
    assert_eq!(cluster.counted(LOST).await, 0, "nothing was lost");
}
