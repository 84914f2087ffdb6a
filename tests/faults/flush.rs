//! Scripts and state flushed under load.

use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tollgate_testkit::{Fleet, TestRedis, eventually};

use super::{BACK_WITHIN, PERIOD, SOON, each_counts_the_loss_once, remaining, tally::Running, until, until_counted};
use crate::support::{Api, Cluster, Load, Stream, admitted};

const FLUSHES_EVERY: Duration = Duration::from_millis(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scripts_flushed_all_the_time_cost_neither_an_answer_nor_a_token() {
    let redis = TestRedis::start().await.unwrap();
    let cluster = Cluster::of(Fleet::builder(3).redis(redis.url())).await;
    let key = cluster.limited_key(1000, PERIOD).await;
    let each = cluster.each(&key.api_key);
    let load = Load::on(each.clone());
    let mut connection = redis.connection().await.unwrap();
    let flushing = tokio::spawn(async move {
        let mut ticks = interval(FLUSHES_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            redis::cmd("SCRIPT").arg("FLUSH").query_async::<()>(&mut connection).await.unwrap();
        }
    });
    assert_eq!(admitted(&load.fire(600).await), 600);
    assert_eq!(each[0].peek().await.remaining, Some(400), "charged once each");
    assert_eq!(admitted(&load.fire(1600).await), 400);
    assert_eq!(each[1].peek().await.remaining, Some(0));
    assert!(!flushing.is_finished(), "flushed to the end");
    flushing.abort();
    let missing = redis.info("errorstats", "errorstat_NOSCRIPT").await.unwrap();
    assert!(missing.trim_start_matches("count=").parse::<u64>().unwrap() >= 5, "the flushes hit calls: {missing}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_state_gives_one_more_burst_and_takes_no_revocation_back() {
    let redis = TestRedis::start().await.unwrap();
    // No node learns of the revocation from the log unless it reads it because of the loss.
    let cluster = Cluster::of(Fleet::builder(3).redis(redis.url()).env("TOLLGATE_CHANGE_LOG__POLL_INTERVAL", "1m")).await;
    let key = cluster.limited_key(300, PERIOD).await;
    // Keys over several tags, revoked in fences that are gone a moment later.
    let mut revoked = Vec::new();
    for _ in 0..8 {
        let key = cluster.key(json!({"rate_limit": null})).await;
        for api in cluster.each(&key.api_key) {
            api.authorize("").await.expect(200);
        }
        revoked.push(key);
    }
    let running = Running::start(Load::on(cluster.each(&key.api_key)));
    until_counted(&cluster, "tollgate_decisions_total{verdict=\"limited\"", 100).await;
    for key in &revoked {
        key.revoke(&cluster.admin()).await;
    }
    redis.command(&["flushall"]).await.unwrap();
    let mut asking = JoinSet::new();
    for key in &revoked {
        for (node, api) in cluster.each(&key.api_key).into_iter().enumerate() {
            asking.spawn(refuses(node, api));
        }
    }
    asking.join_all().await;
    until("the bucket is exhausted again", SOON, async || Ok(remaining(&cluster.each(&key.api_key)[0], BACK_WITHIN).await == 0)).await;
    let tally = running.stop().await;
    assert_eq!(tally.admitted, 600, "a burst for each state: {tally:?}");
    each_counts_the_loss_once(&cluster).await;
}

/// T31: the target is one second from the loss to the event.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_state_is_told_on_the_stream_of_every_node_at_once() {
    let redis = TestRedis::start().await.unwrap();
    let cluster = Cluster::of(Fleet::builder(3).redis(redis.url())).await;
    let key = cluster.limited_key(100, PERIOD).await;
    let mut streams = Vec::new();
    for node in 0..3 {
        streams.push(Stream::open(&cluster.admin_of(node), None).await);
    }
    let running = Running::start(Load::on(cluster.each(&key.api_key)).connections(6));
    until_counted(&cluster, "tollgate_decisions_total{verdict=\"limited\"", 50).await;
    redis.command(&["flushall"]).await.unwrap();
    let lost = Instant::now();
    for (node, stream) in streams.iter_mut().enumerate() {
        let events = stream.until("health_changed", "redis_state_lost").await;
        let told = events.last().unwrap();
        assert_eq!((&told["from"], &told["to"]), (&json!("ok"), &json!("degraded")), "{told}");
        let after = lost.elapsed();
        assert!(after < BACK_WITHIN, "node {node} tells after {after:?}");
    }
    until("the bucket is exhausted again", SOON, async || Ok(remaining(&cluster.each(&key.api_key)[0], SOON).await == 0)).await;
    assert_eq!(running.stop().await.admitted, 200, "a burst for each state");
}

/// The node refuses within the bound, and until then admits nobody.
async fn refuses(node: usize, api: Api) {
    let refused = eventually("a refusal", BACK_WITHIN, || {
        let api = api.clone();
        async move {
            let status = api.authorize("").await.status;
            assert!(matches!(status, 401 | 503), "node {node} admits by stale rules: {status}");
            anyhow::ensure!(status == 401, "node {node} answers {status}");
            Ok(())
        }
    });
    refused.await.unwrap();
}
