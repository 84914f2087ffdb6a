//! Counts of usage while Redis cannot be reached, or its answers are lost.

use serde_json::Value;
use tollgate_testkit::{Fault, Fleet, Proxy, TestRedis, Way};

use super::{PERIOD, SOON, until};
use crate::support::{Api, Cluster, Load, metric};

const FAILURES: &str = "tollgate_usage_flush_failures_total";

/// Allowed, limited, denied of the last day.
async fn day(api: &Api, key_id: &str) -> anyhow::Result<[u64; 3]> {
    let answer = api.get(&format!("/v1/keys/{key_id}/usage")).send().await;
    anyhow::ensure!(answer.status == 200, "{}", answer.text());
    let usage: Value = answer.json();
    Ok(["allowed", "limited", "denied"].map(|name| usage["windows"]["day"][name].as_u64().expect("a count")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counts_outlive_an_outage_and_lost_answers_and_none_is_added_twice() {
    let redis = TestRedis::start().await.unwrap();
    let proxy = Proxy::start(redis.address()).await.unwrap();
    let fleet = Fleet::builder(1).redis(redis.url_through(proxy.addr())).without("TOLLGATE_OUTAGE__MODE");
    // Ten times the default: a busy machine does not make an outage of its own.
    let fleet = fleet.env("TOLLGATE_REDIS__DECISION_TIMEOUT", "500ms");
    let cluster = Cluster::of(fleet.env("TOLLGATE_USAGE__FLUSH_INTERVAL", "100ms")).await;
    let key = cluster.limited_key(15, PERIOD).await;
    let (node, api, admin) = (&cluster.fleet.nodes[0], cluster.node(0).with(&key.api_key), cluster.admin());
    let mut answers = [0; 3];
    for fault in [None, Some((Way::Down, Fault::BlackHole)), Some((Way::Up, Fault::BlackHole))] {
        let failed = metric(node, FAILURES).await;
        if let Some((way, fault)) = fault {
            proxy.set_way(way, fault);
        }
        let shots = Load::on(vec![api.clone()]).connections(2).fire(10).await;
        for (place, status) in [(0, 200), (1, 429)] {
            answers[place] += shots.iter().filter(|shot| shot.answer.status == status).count() as u64;
        }
        if fault.is_some() {
            until("a call fails", SOON, async || Ok(metric(node, FAILURES).await > failed)).await;
            proxy.mend();
        }
        until("all is told", SOON, async || Ok(day(&admin, &key.key_id).await? == answers)).await;
    }
    assert_eq!(metric(node, "tollgate_usage_dropped_total").await, 0);
    until("nothing waits", SOON, async || Ok(metric(node, "tollgate_usage_waiting").await == 0)).await;
    assert_eq!(day(&admin, &key.key_id).await.unwrap(), answers);
}
