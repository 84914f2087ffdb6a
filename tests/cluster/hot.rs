//! Keys in much use: Redis hardly notices them, and what their limits say is what is admitted.

use std::time::Duration;

use tokio::time::Instant;
use tollgate_testkit::Fleet;

use super::intervals::expect_bounded;
use crate::support::{Cluster, Load, Shot, admitted};

const CALLS: &str = "tollgate_redis_batch_size_count";
const BY_LEASE: &str = "tollgate_decisions_total{verdict=\"allowed\",source=\"lease\"}";
const BY_MEMORY: &str = "tollgate_decisions_total{verdict=\"limited\",source=\"deny_memory\"}";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hot_key_on_two_nodes_costs_redis_few_calls_and_none_is_refused() {
    let cluster = Cluster::of(Fleet::builder(2)).await;
    let key = cluster.limited_key(1_000_000, 1).await;
    let load = Load::on(cluster.each(&key.api_key)).connections(8);
    load.fire(500).await;
    let (calls, by_lease) = (cluster.counted(CALLS).await, cluster.counted(BY_LEASE).await);
    let shots = load.fire(8000).await;
    assert_eq!(admitted(&shots), 8000);
    let (calls, by_lease) = (cluster.counted(CALLS).await - calls, cluster.counted(BY_LEASE).await - by_lease);
    // A node that gets no processor for a second is out of touch, and asks for each decision until it is back.
    assert!(calls < 5000 && by_lease > 3000, "{calls} calls, {by_lease} by slices");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_with_slices_keep_a_refilling_limit_in_every_interval() {
    let cluster = Cluster::of(Fleet::builder(3)).await;
    // Beside other tests a node may be asked too seldom to take anything ahead while there is plenty.
    for _ in 0..10 {
        let key = cluster.limited_key(400, 2).await;
        let load = Load::on(cluster.each(&key.api_key)).connections(12).costs(&[1, 1, 3]);
        let shots = load.fire_until(Instant::now() + Duration::from_secs(3)).await;
        expect_bounded(&shots, 400.0, 200.0);
        let admitted = admitted(&shots);
        if cluster.counted(BY_LEASE).await > 0 {
            assert!(admitted > 200, "{admitted} of {}", shots.len());
            return;
        }
    }
    panic!("nothing was paid from a slice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_on_an_exhausted_key_asks_redis_as_often_as_tokens_come_and_admits_each() {
    let cluster = Cluster::of(Fleet::builder(1)).await;
    let key = cluster.limited_key(20, 10).await;
    let load = Load::on(cluster.each(&key.api_key)).connections(8);
    load.fire(60).await;
    let mut told = Vec::new();
    // A node that gets no processor for a second is out of touch, and asks for each decision until it is back.
    for _ in 0..3 {
        let (calls, started) = (cluster.counted(CALLS).await, Instant::now());
        let shots = load.fire_until(Instant::now() + Duration::from_secs(4)).await;
        let (calls, seconds) = (cluster.counted(CALLS).await - calls, started.elapsed().as_secs_f64());
        let passed = admitted(&shots);
        expect_bounded(&shots, 20.0, 2.0);
        // Two tokens a second, and one look: three times as much beside other tests.
        let most = 3.0 * 3.0 * (seconds + 1.0);
        told.push(format!("{calls} calls in {seconds} s of {} requests, {passed} admitted", shots.len()));
        if f64::from(u32::try_from(calls).unwrap()) <= most && passed >= 6 {
            assert!(cluster.counted(BY_MEMORY).await > 0);
            return;
        }
    }
    panic!("more calls than tokens, or too few spent: {told:?}");
}

/// How many one bucket would have let pass that decides each request as it is sent.
fn due(shots: &[Shot], burst: f64, per_second: f64) -> f64 {
    let mut sent: Vec<Instant> = shots.iter().map(|shot| shot.sent).collect();
    sent.sort_unstable();
    let (mut tokens, mut passed, mut before) = (burst, 0.0, sent[0]);
    for at in sent {
        tokens = f64::min(burst, tokens + per_second * (at - before).as_secs_f64());
        before = at;
        if tokens >= 1.0 {
            tokens -= 1.0;
            passed += 1.0;
        }
    }
    passed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_that_are_asked_unevenly_admit_nearly_what_one_bucket_would() {
    let cluster = Cluster::of(Fleet::builder(2)).await;
    let key = cluster.limited_key(100, 1).await;
    // Of twenty connections nineteen are to one node.
    let [much, little] = [0, 1].map(|node| cluster.node(node).with(&key.api_key));
    let mut targets = vec![much; 19];
    targets.push(little);
    let (calls, started) = (cluster.counted(CALLS).await, Instant::now());
    let shots = Load::on(targets).connections(20).fire_until(started + Duration::from_secs(8)).await;
    let (calls, seconds) = (cluster.counted(CALLS).await - calls, started.elapsed().as_secs_f64());
    let passed = f64::from(u32::try_from(admitted(&shots)).unwrap());
    expect_bounded(&shots, 100.0, 100.0);
    let due = due(&shots, 100.0, 100.0);
    assert!(passed >= 0.9 * due, "{passed} passed, one bucket would have admitted {due}");
    // Each node looks for every token: three times as much beside other tests.
    let most = 2.0 * 3.0 * 100.0 * (seconds + 1.0);
    assert!(f64::from(u32::try_from(calls).unwrap()) <= most, "{calls} calls in {seconds} s of {} requests", shots.len());
}
