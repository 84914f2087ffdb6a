//! Tokens that nodes have taken ahead, while nodes die, stop, and change their minds.

use std::{collections::HashMap, time::Duration};

use serde_json::json;
use tokio::{task::JoinSet, time::Instant};
use tollgate_testkit::{Fleet, FleetBuilder, Node, TestRedis};

use super::{PERIOD, SOON, tally::Running, until};
use crate::support::{Api, Cluster, Load, metric};

const BY_LEASE: &str = "tollgate_decisions_total{verdict=\"allowed\",source=\"lease\"}";
/// Five times a slice's life.
const OVER: Duration = Duration::from_secs(2);

/// Tokens are taken ahead also of buckets that refill too slowly for it otherwise, so that they can be counted. Nodes of
/// the release build: who is asked too seldom takes nothing ahead.
fn leasing(nodes: usize) -> FleetBuilder {
    Fleet::builder(nodes).released().env("TOLLGATE_LEASES__REFILL_MAX", "31d")
}

/// How many decisions a node has paid from slices.
async fn leased(node: &Node) -> u64 {
    metric(node, BY_LEASE).await
}

/// Waits until every node pays from slices, under a load that goes on.
async fn until_leasing(cluster: &Cluster) {
    until("slices are spent on every node", SOON, async || {
        for node in &cluster.fleet.nodes {
            if leased(node).await < 20 {
                return Ok(false);
            }
        }
        Ok(true)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_node_takes_no_more_than_its_slice_along_and_nothing_is_admitted_twice() {
    const BURST: u64 = 20_000;
    let mut cluster = Cluster::of(leasing(2)).await;
    let key = cluster.limited_key(BURST, PERIOD).await;
    let running = Running::start(Load::on(cluster.each(&key.api_key)).connections(16));
    until_leasing(&cluster).await;
    let before = running.stop().await;
    cluster.fleet.nodes.pop().unwrap().kill().unwrap();
    let left = cluster.node(0).with(&key.api_key).peek().await.remaining.unwrap();
    let taken = BURST - left - before.admitted;
    assert!(taken <= BURST / 20, "{taken} in slices of both: {before:?}");
    until("what the other holds is back", OVER, async || {
        let left = cluster.node(0).with(&key.api_key).peek().await.remaining.unwrap();
        Ok((0..=BURST / 20).contains(&(BURST - left - before.admitted)))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_stopped_leaves_no_token_behind() {
    const BURST: u64 = 100_000;
    let mut missing = Vec::new();
    // A node that gets no processor while it stops cannot hand back what ends meanwhile, and cannot say so any more.
    for _ in 0..2 {
        let mut cluster = Cluster::of(leasing(2).env("TOLLGATE_SHUTDOWN__DRAIN_DELAY", "0s")).await;
        let key = cluster.limited_key(BURST, PERIOD).await;
        let last = Api::of(&cluster.fleet.nodes[1]).with(&key.api_key);
        let admin = cluster.admin();
        let running = Running::start(Load::on(vec![last]).connections(8));
        until("slices are spent", SOON, async || Ok(leased(&cluster.fleet.nodes[1]).await >= 20)).await;
        let spent = running.stop().await;
        let stopped = cluster.fleet.nodes.pop().unwrap();
        // What it held while it got no processor is lost already, and told.
        let expired = metric(&stopped, "tollgate_lease_tokens_expired_total").await;
        assert_eq!(stopped.stop().await.unwrap().code(), Some(0));
        let remaining = admin.with(&key.api_key).peek().await.remaining.unwrap();
        let accounted = remaining + spent.admitted + expired;
        assert!(accounted <= BURST, "{remaining} left, {expired} expired: {spent:?}");
        if accounted == BURST {
            return;
        }
        missing.push(BURST - accounted);
    }
    panic!("each time tokens were left behind: {missing:?}");
}

/// When the key was last sent after `change` was answered, and admitted.
async fn admitted_after(cluster: &Cluster, key: &crate::support::NewKey, change: impl Future<Output = ()>) -> Duration {
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let each = cluster.each(&key.api_key);
    let load = Load::on(each.clone()).connections(6);
    let changing = async {
        until_leasing(cluster).await;
        change.await;
        let changed = Instant::now();
        until("every node refuses", SOON, async || {
            for api in &each {
                if api.authorize("").await.status == 200 {
                    return Ok(false);
                }
            }
            Ok(true)
        })
        .await;
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        changed
    };
    let (shots, changed) = tokio::join!(load.fire_until_told(&stop), changing);
    let admitted = shots.iter().filter(|shot| shot.is_admitted());
    admitted.map(|shot| shot.sent.saturating_duration_since(changed)).max().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_that_nobody_is_told_of_answers_once_slices_are_over() {
    let redis = TestRedis::start().await.unwrap();
    let cluster = Cluster::of(leasing(3).redis(redis.url()).env("TOLLGATE_CHANGE_LOG__POLL_INTERVAL", "1m")).await;
    let key = cluster.limited_key(1_000_000, 1).await;
    let mut killer = JoinSet::new();
    let mut witness = redis.connection().await.unwrap();
    let revoke = async {
        killer.spawn(async move {
            loop {
                redis::cmd("CLIENT").arg(&["KILL", "TYPE", "pubsub"]).exec_async(&mut witness).await.unwrap();
                tokio::task::yield_now().await;
            }
        });
        key.revoke(&cluster.admin()).await;
    };
    let late = admitted_after(&cluster, &key, revoke).await;
    assert_eq!(late, Duration::ZERO, "sent after the answer and admitted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_limit_holds_once_slices_are_over() {
    let cluster = Cluster::of(leasing(2)).await;
    let key = cluster.limited_key(1_000_000, 1).await;
    let running = Running::start(Load::on(cluster.each(&key.api_key)).connections(8));
    until_leasing(&cluster).await;
    key.patch(&cluster.admin(), json!({"rate_limit": {"burst": 7, "per_seconds": PERIOD}})).await;
    let changed = Instant::now();
    until("both nodes go by the new limit", OVER, async || {
        let mut policies = HashMap::new();
        for (place, api) in cluster.each(&key.api_key).iter().enumerate() {
            policies.insert(place, api.authorize("").await.header("ratelimit-policy").contains("q=7;"));
        }
        Ok(policies.values().all(|is_new| *is_new))
    })
    .await;
    assert!(changed.elapsed() <= OVER);
    let tally = running.stop().await;
    assert!(tally.limited > 0, "{tally:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flush_with_slices_out_gives_one_more_burst_and_no_more() {
    const BURST: u64 = 4000;
    let redis = TestRedis::start().await.unwrap();
    let cluster = Cluster::of(leasing(3).redis(redis.url())).await;
    let key = cluster.limited_key(BURST, PERIOD).await;
    let running = Running::start(Load::on(cluster.each(&key.api_key)).connections(12));
    until_leasing(&cluster).await;
    let mut connection = redis.connection().await.unwrap();
    redis::cmd("FLUSHALL").exec_async(&mut connection).await.unwrap();
    until("the key is exhausted again", SOON, async || {
        let limited = cluster.counted("tollgate_decisions_total{verdict=\"limited\"").await;
        Ok(limited > 500)
    })
    .await;
    let tally = running.stop().await;
    // What nodes had taken ahead and have not spent, because they stood still or were stopped in time, nobody has.
    let unspent = BURST / 20;
    assert!((BURST - unspent..=2 * BURST).contains(&tally.admitted), "{tally:?}");
}
