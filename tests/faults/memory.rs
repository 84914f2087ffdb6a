//! T32: a Redis that has no memory left. It must not drop what it holds, and where it takes nothing more nobody is let
//! through for that.

use tollgate_testkit::{Fleet, RedisOptions, TestRedis};

use super::{LOST, PERIOD, SOON, remaining, tally::Running, until, until_counted};
use crate::support::{Cluster, Load, metric};

const BURST: u64 = 2000;
const RAIL: &str = "tollgate_health_state{component=\"redis_eviction\"} 1";

async fn memory(redis: &TestRedis, bytes: &str) {
    redis.command(&["config", "set", "maxmemory", bytes]).await.unwrap();
}

/// Nobody is admitted who is not charged, in the mode that lets nobody through and in the one that counts by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_redis_is_an_outage_and_admits_nobody() {
    let redis = TestRedis::start().await.unwrap();
    let cluster = Cluster::of(Fleet::builder(3).redis(redis.url())).await;
    let (key, spent) = (cluster.limited_key(BURST, PERIOD).await, cluster.limited_key(5, PERIOD).await);
    assert_eq!(Load::on(cluster.each(&spent.api_key)).fire(20).await.iter().filter(|shot| shot.is_admitted()).count(), 5);
    let running = Running::start(Load::on(cluster.each(&key.api_key)).connections(8));
    until_counted(&cluster, "tollgate_decisions_total{verdict=\"allowed\",source=\"redis\"}", 100).await;
    memory(&redis, "1").await;
    for api in cluster.each(&key.api_key) {
        until("a node cannot decide", SOON, async || Ok(api.authorize("").await.status == 503)).await;
    }
    // The load goes on into a full Redis.
    let full = Load::on(cluster.each(&key.api_key)).connections(8).fire(300).await;
    assert_eq!(full.iter().filter(|shot| shot.is_admitted()).count(), 0, "nothing can be charged");
    let limited = Load::on(cluster.each(&spent.api_key)).connections(4).fire(30).await;
    assert_eq!(limited.iter().filter(|shot| shot.is_admitted()).count(), 0, "what is spent stays spent");
    memory(&redis, "0").await;
    for api in cluster.each(&key.api_key) {
        remaining(&api, SOON).await;
    }
    let tally = running.stop().await;
    let charged = BURST - remaining(&cluster.each(&key.api_key)[0], SOON).await;
    assert!(tally.unavailable > 0, "{tally:?}");
    assert!(tally.admitted <= charged && charged <= tally.attempts + full.len() as u64, "{charged} charged: {tally:?}");
    assert_eq!(cluster.counted(LOST).await, 0, "nothing was lost");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_mode_local_a_full_redis_leaves_each_node_its_share() {
    let redis = TestRedis::start().await.unwrap();
    let fleet = Fleet::builder(2).redis(redis.url()).env("TOLLGATE_OUTAGE__MODE", "local");
    let cluster = Cluster::of(fleet).await;
    for node in &cluster.fleet.nodes {
        until("both nodes are seen", SOON, async || Ok(metric(node, "tollgate_nodes").await == 2)).await;
    }
    let key = cluster.limited_key(10, PERIOD).await;
    for api in cluster.each(&key.api_key) {
        api.peek().await;
    }
    memory(&redis, "1").await;
    let shots = Load::on(cluster.each(&key.api_key)).connections(8).fire(200).await;
    assert!(shots.iter().all(|shot| matches!(shot.answer.status, 200 | 429 | 503)));
    let admitted = shots.iter().filter(|shot| shot.is_admitted()).count();
    assert_eq!(admitted, 10, "the shares of both nodes are the burst");
    memory(&redis, "0").await;
    for api in cluster.each(&key.api_key) {
        until("exact again", SOON, async || Ok(api.peek().await.remaining == Some(10))).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_are_dropped_under_pressure_are_told_by_every_node() {
    let options = RedisOptions::default().line("maxmemory-policy allkeys-lru").line("maxmemory 4mb");
    let redis = TestRedis::with(options).await.unwrap();
    let cluster = Cluster::of(Fleet::builder(2).redis(redis.url()).env("TOLLGATE_REDIS__LOOK_INTERVAL", "200ms")).await;
    for number in 0..600 {
        redis.command(&["set", &format!("filling{number}"), &"x".repeat(10_000)]).await.unwrap();
    }
    let dropped: u64 = redis.info("stats", "evicted_keys").await.unwrap().parse().unwrap();
    assert!(dropped > 0, "no pressure");
    for node in &cluster.fleet.nodes {
        until("the guard rail is on", SOON, async || Ok(node.metrics().await?.contains(RAIL))).await;
    }
    let full = cluster.admin().get("/health/full").send().await.expect(200).json();
    let rail = full["guard_rails"].as_array().unwrap().iter().find(|rail| rail["component"] == "redis_eviction").unwrap();
    assert!(rail["reason"].as_str().unwrap().contains("allkeys-lru"), "{rail}");
}
