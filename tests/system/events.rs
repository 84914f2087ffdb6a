//! Streams of events and the list of nodes, of a whole fleet.

use std::time::Duration;

use serde_json::{Value, json};
use tollgate_testkit::{Fleet, eventually};

use crate::support::{Cluster, Stream};

/// The longest that anything here may take.
const PATIENCE: Duration = Duration::from_mins(1);

fn of_type<'a>(events: &'a [Value], kind: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["type"] == kind).collect()
}

/// What was told of the guard rail that the test turns on and off: a busy machine may make others come and go.
fn of_rail(events: &[Value]) -> Vec<&Value> {
    of_type(events, "health_changed").into_iter().filter(|event| event["component"] == "unlimited_keys").collect()
}

/// The changes of keys and owners.
fn changes(events: &[Value]) -> Vec<&Value> {
    events.iter().filter(|event| event["position"].is_u64()).collect()
}

#[tokio::test]
async fn a_fleet_tells_each_change_once_at_every_node_and_goes_on_at_another() {
    let cluster = Cluster::of(Fleet::builder(3).env("TOLLGATE_SHUTDOWN__DRAIN_DELAY", "0s")).await;
    let mut streams = Vec::new();
    for node in 0..3 {
        streams.push(Stream::open(&cluster.admin_of(node), None).await);
    }
    let key = cluster.key(json!({"owner": "acme"})).await;
    let suspend = cluster.admin_of(1).post(&format!("{}/suspend", key.path()), &json!({})).request_id("why-it-stopped").send().await;
    suspend.expect(200);
    let mut places = Vec::new();
    for stream in &mut streams {
        let events = stream.until("suspended", &key.key_id).await;
        assert_eq!(of_type(&events, "created").len(), 1, "{events:?}");
        assert_eq!(events.last().unwrap()["request_id"], "why-it-stopped");
        places.push(stream.last_id.clone());
    }
    assert!(places.iter().all(|place| *place == places[0]), "one log: {places:?}");
    // The second node goes; its stream says so, and goes on at the third after what was told.
    cluster.fleet.node(1).unwrap().process().signal("TERM").unwrap();
    assert_eq!(streams[1].end().await, "node_stops");
    key.revoke(&cluster.admin_of(0)).await;
    let mut again = Stream::open(&cluster.admin_of(2), Some(&places[1])).await;
    let events = again.until("revoked", &key.key_id).await;
    let told: Vec<_> = changes(&events).into_iter().map(|change| &change["type"]).collect();
    assert_eq!(told, ["revoked"], "what was told is not told again");
    let nodes = async || {
        let list = cluster.admin_of(2).get("/v1/nodes").send().await.expect(200).json();
        let names: Vec<_> = list["nodes"].as_array().unwrap().iter().map(|node| node["node"].clone()).collect();
        anyhow::ensure!(names.len() == 2 && list["complete"] == true, "{list}");
        Ok(())
    };
    eventually("the node that has gone leaves the list", PATIENCE, nodes).await.unwrap();
}

#[tokio::test]
async fn a_guard_rail_on_and_off_is_two_events_on_every_stream_and_tenants_are_told_their_own() {
    let cluster = Cluster::start(3).await;
    let tenant = cluster.key(json!({"owner": "acme", "scopes": ["events:read"]})).await;
    let mut streams = Vec::new();
    for node in 0..3 {
        streams.push(Stream::open(&cluster.admin_of(node), None).await);
    }
    let mut tenants = Stream::open(&cluster.node(0).with(&tenant.api_key), None).await;
    let unlimited = cluster.key(json!({"owner": "other", "rate_limit": null})).await;
    for stream in &mut streams {
        let events = stream.until("health_changed", "unlimited_keys").await;
        let on = of_rail(&events);
        assert!(on.len() == 1 && on[0]["to"] == "degraded" && on[0].get("node").is_none(), "{on:?}");
    }
    unlimited.patch(&cluster.admin(), json!({"rate_limit": {"burst": 5, "per_seconds": 60}})).await;
    for stream in &mut streams {
        let events = stream.until("health_changed", "unlimited_keys").await;
        let off = of_rail(&events);
        assert!(off.len() == 1 && off[0]["to"] == "ok", "{off:?}");
    }
    let own = cluster.key(json!({"owner": "acme"})).await;
    for stream in &mut streams {
        let events = stream.until("created", &own.key_id).await;
        assert_eq!(of_rail(&events), Vec::<&Value>::new(), "on and off, and no more");
    }
    let events = tenants.until("created", &own.key_id).await;
    assert!(changes(&events).iter().all(|change| change["owner"] == "acme"), "no key of others: {events:?}");
    assert_eq!(of_rail(&events), Vec::<&Value>::new(), "nor what is told of them");
    // His right ends at another node than his stream's.
    tenant.revoke(&cluster.admin_of(2)).await;
    assert_eq!(tenants.end().await, "not_allowed");
    assert_eq!(cluster.node(1).with(&tenant.api_key).get("/v1/events").send().await.status, 401);
}

#[tokio::test]
async fn operators_see_all_nodes_and_tenants_none() {
    let cluster = Cluster::of(Fleet::builder(3)).await;
    let whole = async || {
        let list = cluster.admin_of(1).get("/v1/nodes").send().await.expect(200).json();
        anyhow::ensure!(list["nodes"].as_array().unwrap().len() == 3 && list["complete"] == true, "{list}");
        let well = |node: &Value| node["ready"] == true && node["change_log_lag"] == 0 && node["troubles"] == json!([]);
        anyhow::ensure!(list["nodes"].as_array().unwrap().iter().all(well), "{list}");
        Ok(list)
    };
    let list = eventually("all nodes are listed and well", PATIENCE, whole).await.unwrap();
    for node in list["nodes"].as_array().unwrap() {
        assert!(node["version"].is_string() && node["bloom_filter"]["built_at"].is_string() && node["mode"] == "cluster", "{node}");
    }
    let tenant = cluster.key(json!({"owner": "acme", "scopes": ["admin"]})).await;
    assert_eq!(cluster.node(0).with(&tenant.api_key).get("/v1/nodes").send().await.refusal(), (403, "forbidden".into()));
}
