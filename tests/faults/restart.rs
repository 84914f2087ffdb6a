//! Redis restarted under load, with its state and without.

use tollgate_testkit::{Fleet, RedisOptions, TestRedis};

use super::{BACK_WITHIN, LOST, PERIOD, each_counts_the_loss_once, remaining, tally::Running, tally::Tally, until_counted};
use crate::support::{Cluster, Load, NewKey};

const BURST: u64 = 1000;
const ALLOWED: &str = "tollgate_decisions_total{verdict=\"allowed\",source=\"redis\"}";
const LIMITED: &str = "tollgate_decisions_total{verdict=\"limited\"";

async fn nodes_on(redis: &TestRedis) -> (Cluster, NewKey) {
    let cluster = Cluster::of(Fleet::builder(3).redis(redis.url())).await;
    let key = cluster.limited_key(BURST, PERIOD).await;
    (cluster, key)
}

/// Every node reads buckets again within the bound; then the load goes on until all is spent.
async fn back_and_spent(cluster: &Cluster, key: &NewKey, running: Running) -> Tally {
    for api in cluster.each(&key.api_key) {
        remaining(&api, BACK_WITHIN).await;
    }
    until_counted(cluster, LIMITED, 100).await;
    running.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_that_keeps_its_state_admits_one_burst() {
    let redis = TestRedis::with(RedisOptions::default().append_only().line("appendfsync always")).await.unwrap();
    let (cluster, key) = nodes_on(&redis).await;
    let running = Running::start(Load::on(cluster.each(&key.api_key)));
    until_counted(&cluster, ALLOWED, 100).await;
    redis.restart().await.unwrap();
    let tally = back_and_spent(&cluster, &key, running).await;
    assert_eq!(remaining(&cluster.each(&key.api_key)[0], BACK_WITHIN).await, 0);
    tally.accounts_for(BURST, 0);
    assert!(tally.admitted > 100 && tally.limited >= 100, "{tally:?}");
    assert_eq!(cluster.counted(LOST).await, 0, "nothing was lost");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_that_loses_its_state_admits_two_bursts() {
    let redis = TestRedis::start().await.unwrap();
    let (cluster, key) = nodes_on(&redis).await;
    let running = Running::start(Load::on(cluster.each(&key.api_key)));
    until_counted(&cluster, LIMITED, 100).await;
    redis.restart().await.unwrap();
    until_counted(&cluster, ALLOWED, BURST / 2).await;
    let tally = back_and_spent(&cluster, &key, running).await;
    assert_eq!(tally.admitted, 2 * BURST, "one for each state: {tally:?}");
    each_counts_the_loss_once(&cluster).await;
}
