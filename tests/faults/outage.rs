//! Redis unreachable to a whole fleet: what all nodes admit together.

use std::time::Duration;

use tokio::time::Instant;
use tollgate_testkit::{Fault, Fleet, Proxy, TestRedis};

use super::{BACK_WITHIN, PERIOD, SOON, until};
use crate::support::{Cluster, Load, NewKey, metric};

const NODES: usize = 3;

/// A key that every node has in memory.
async fn known(cluster: &Cluster, burst: u64) -> NewKey {
    let key = cluster.limited_key(burst, PERIOD).await;
    for api in cluster.each(&key.api_key) {
        api.peek().await;
    }
    key
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_without_redis_admits_one_burst_and_waits_for_nobody() {
    let redis = TestRedis::start().await.unwrap();
    let proxy = Proxy::start(redis.address()).await.unwrap();
    let fleet = Fleet::builder(NODES).redis(redis.url_through(proxy.addr())).without("TOLLGATE_OUTAGE__MODE");
    // Ten times the default: a busy machine does not make an outage of its own.
    let cluster = Cluster::of(fleet.env("TOLLGATE_REDIS__DECISION_TIMEOUT", "500ms")).await;
    for node in &cluster.fleet.nodes {
        until("all nodes are seen", SOON, async || Ok(metric(node, "tollgate_nodes").await == NODES as u64)).await;
    }
    let keys =
        [(1, known(&cluster, 1).await), (10, known(&cluster, 10).await), (11, known(&cluster, 11).await), (12, known(&cluster, 12).await)];
    proxy.set(Fault::BlackHole);
    let gone = Instant::now();
    let mut asked_at = None;
    for (burst, key) in &keys {
        let mut admitted = 0;
        for api in cluster.each(&key.api_key) {
            let shots = Load::on(vec![api]).connections(1).fire(20).await;
            asked_at.get_or_insert(shots[0].sent);
            assert!(shots.iter().all(|shot| matches!(shot.answer.status, 200 | 429 | 503)));
            admitted += shots.iter().filter(|shot| shot.is_admitted()).count() as u64;
        }
        assert_eq!(admitted, *burst, "over all nodes");
    }
    let mut waited = Vec::new();
    for node in &cluster.fleet.nodes {
        waited.push(metric(node, "tollgate_redis_errors_total{kind=\"timed_out\"").await);
    }
    // The calls of a few decisions, and the probes of those that join; not one for each of 80 requests.
    // A node that is asked late knows already that its connection is gone, and waits for none.
    let is_late = asked_at.unwrap() - gone > Duration::from_millis(500);
    assert!(waited.iter().all(|waited| *waited < 10), "calls that were waited for: {waited:?}");
    assert!(is_late || waited.iter().sum::<u64>() > 0, "calls that were waited for: {waited:?}");
    proxy.mend();
    // In Redis nothing was charged, and it is Redis that says so again.
    for api in cluster.each(&keys[3].1.api_key) {
        until("exact again", BACK_WITHIN, async || Ok(api.peek().await.remaining == Some(12))).await;
    }
}
