//! What keys were used for, counted by several nodes and told by any.

use std::time::Duration;

use serde_json::{Value, json};
use tollgate_testkit::{Fleet, FleetBuilder, eventually};

use crate::support::{Api, Cluster, Load, NewKey, Shot, metric};

const SOON: Duration = Duration::from_mins(1);
const DAY: u64 = 86_400;
const DROPPED: &str = "tollgate_usage_dropped_total";

fn fleet(nodes: usize) -> FleetBuilder {
    Fleet::builder(nodes).env("TOLLGATE_USAGE__FLUSH_INTERVAL", "100ms")
}

/// What a call answers once it answers so.
async fn until(api: &Api, target: &str, is_it: impl Fn(&Value) -> bool) -> Value {
    let told = eventually(target, SOON, async || {
        let answer = api.get(target).send().await;
        anyhow::ensure!(answer.status == 200, "{}", answer.text());
        let told = answer.json();
        anyhow::ensure!(is_it(&told), "{told}");
        Ok(told)
    });
    told.await.unwrap()
}

fn usage_of(key: &NewKey) -> String {
    format!("/v1/keys/{}/usage", key.key_id)
}

/// Allowed, limited, denied, cost of the last day.
fn day(usage: &Value) -> [u64; 4] {
    ["allowed", "limited", "denied", "cost"].map(|name| usage["windows"]["day"][name].as_u64().expect("a count"))
}

fn answered(shots: &[Shot], status: u16) -> u64 {
    shots.iter().filter(|shot| shot.answer.status == status).count() as u64
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_decisions_on_three_nodes_are_told_exactly_by_each() {
    let cluster = Cluster::of(fleet(3)).await;
    let key = cluster.limited_key(600, DAY).await;
    let shots = Load::on(cluster.each(&key.api_key)).costs(&[1, 2]).fire(1000).await;
    for api in cluster.each(&key.api_key) {
        api.authorize("scope=none").await.expect(403);
        api.peek().await;
    }
    let cost: u64 = shots.iter().filter(|shot| shot.is_admitted()).map(|shot| shot.cost).sum();
    let expected = [answered(&shots, 200), answered(&shots, 429), 3, cost];
    assert_eq!(expected[0] + expected[1], 1000, "none was without an answer");
    for node in 0..3 {
        let usage = until(&cluster.admin_of(node), &usage_of(&key), |usage| day(usage) == expected).await;
        let series: u64 = usage["series"].as_array().unwrap().iter().map(|point| point["limited"].as_u64().unwrap()).sum();
        assert_eq!(series, expected[1], "the minutes are all there");
    }
    // Told by all of them by now; nothing comes twice.
    for node in &cluster.fleet.nodes {
        let told = eventually("nothing waits", SOON, async || {
            anyhow::ensure!(metric(node, "tollgate_usage_waiting").await == 0, "something waits");
            Ok(())
        });
        told.await.unwrap();
    }
    let usage = until(&cluster.admin(), &usage_of(&key), |_| true).await;
    assert_eq!((day(&usage), cluster.counted(DROPPED).await), (expected, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_flooded_key_comes_first_and_tenants_see_their_own() {
    let cluster = Cluster::of(fleet(3)).await;
    let rate_limit = json!({"burst": 5, "per_seconds": DAY});
    let flooded = cluster.key(json!({"owner": "a", "rate_limit": rate_limit})).await;
    let mut limited = answered(&Load::on(cluster.each(&flooded.api_key)).connections(12).fire(300).await, 429);
    let flood = limited;
    for number in 0..10 {
        let key = cluster.key(json!({"owner": "b", "rate_limit": rate_limit})).await;
        let shots = Load::on(vec![cluster.node(number).with(&key.api_key)]).connections(1).fire(6 + number).await;
        limited += answered(&shots, 429);
    }
    for node in 0..3 {
        let top = until(&cluster.admin_of(node), "/v1/usage/top?count=3", |top| top["limited"] == limited).await;
        let keys = top["keys"].as_array().unwrap();
        assert_eq!((keys.len(), &keys[0]["key_id"], &keys[0]["owner"]), (3, &json!(flooded.key_id), &json!("a")), "{top}");
        assert_eq!((&keys[0]["limited_at_least"], &keys[0]["limited_at_most"]), (&json!(flood), &json!(flood)));
        assert_eq!(top["complete"], true);
    }
    let tenant = cluster.key(json!({"owner": "b", "scopes": ["usage:read"]})).await;
    let api = cluster.node(1).with(&tenant.api_key);
    let top = until(&api, "/v1/usage/top?window=day&count=100", |top| top["limited"] == limited - flood).await;
    assert_eq!(top["keys"].as_array().map(Vec::len), Some(10));
    assert!(top["keys"].as_array().unwrap().iter().all(|key| key["owner"] == "b"), "{top}");
    assert_eq!(api.get(&usage_of(&flooded)).send().await.refusal(), (404, "not-found".into()));
    assert_eq!(api.get("/v1/usage/top?owner=a").send().await.expect(200).json()["keys"], json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_stops_tells_what_it_has_counted() {
    let fleet = Fleet::builder(2).env("TOLLGATE_USAGE__FLUSH_INTERVAL", "1m").env("TOLLGATE_SHUTDOWN__DRAIN_DELAY", "0s");
    let cluster = Cluster::of(fleet).await;
    let key = cluster.limited_key(7, DAY).await;
    let shots = Load::on(vec![cluster.node(0).with(&key.api_key)]).connections(1).fire(10).await;
    let status = cluster.fleet.nodes[0].stop().await.unwrap();
    assert_eq!(status.code(), Some(0));
    let usage = until(&cluster.admin_of(1), &usage_of(&key), |_| true).await;
    assert_eq!(day(&usage), [7, 3, 0, 7]);
    assert_eq!(answered(&shots, 429), 3);
}
