//! Health and metrics: who sees what, and where.

use std::time::Duration;

use serde_json::{Value, json};
use tollgate_testkit::{Fleet, TestRedis, eventually, get};

use crate::support::{Api, Cluster};

/// The longest that anything here may take.
const PATIENCE: Duration = Duration::from_mins(3);

#[tokio::test]
async fn live_and_ready_are_open_and_full_needs_its_scope() {
    let cluster = Cluster::start(1).await;
    let anybody = cluster.node(0);
    assert_eq!(anybody.get("/health/live").send().await.expect(200).json()["live"], true);
    // Ready is who can decide; that messages arrive may be known a moment later.
    let all_ok = eventually("all is well", PATIENCE, async || {
        let ready = anybody.get("/health/ready").send().await.expect(200).json();
        assert_eq!(ready["ready"], true);
        let components = ready["components"].as_array().unwrap();
        anyhow::ensure!(!components.is_empty() && components.iter().all(|component| component["state"] == "ok"), "{ready}");
        Ok(())
    });
    all_ok.await.unwrap();
    assert_eq!(anybody.get("/health/full").send().await.status, 401);
    let spender = cluster.limited_key(1, 86_400).await;
    let each = &cluster.each(&spender.api_key)[0];
    each.authorize("").await.expect(200);
    each.authorize("").await.expect(429);
    let full = cluster.admin().get("/health/full").send().await.expect(200).json();
    assert_eq!(full["figures"]["decisions"]["limited"], 1, "{full}");
    assert!(full["figures"]["decisions"]["allowed"].as_u64().unwrap() >= 2, "his and the administrator's: {full}");
    assert!(full["node"].is_string() && full["version"].is_string() && full["ready"] == true, "{full}");
}

#[tokio::test]
async fn metrics_are_on_their_own_listener_and_nothing_else_is() {
    let cluster = Cluster::start(1).await;
    let node = cluster.fleet.node(0).unwrap();
    assert_eq!(cluster.admin().get("/metrics").send().await.status, 404);
    let address = node.metrics_url().trim_start_matches("http://").trim_end_matches("/metrics").parse().unwrap();
    for path in ["/v1/keys", "/v1/authorize", "/health/ready", "/"] {
        assert_eq!(get(address, path).await.unwrap().0, 404, "{path}");
    }
    let page = node.metrics().await.unwrap();
    for name in ["api_rate_limit_throttled_total 0", "tollgate_build_info", "api_auth_total", "tollgate_decisions_total"] {
        assert!(page.contains(name), "{name} is there from the start: {page}");
    }
}

#[tokio::test]
async fn no_key_id_owner_or_address_becomes_a_label() {
    let cluster = Cluster::start(1).await;
    let series = async || {
        let page = cluster.fleet.node(0).unwrap().metrics().await.unwrap();
        page.lines().filter(|line| !line.starts_with('#')).count()
    };
    let spend = async |number: usize| {
        let key = cluster.key(serde_json::json!({"owner": format!("label-{number}")})).await;
        cluster.node(0).with(&key.api_key).authorize("").await.expect(200);
        key
    };
    let key = spend(0).await;
    let before = series().await;
    for number in 1..20 {
        spend(number).await;
    }
    assert_eq!(series().await, before, "twenty keys make as many series as one");
    let page = cluster.fleet.node(0).unwrap().metrics().await.unwrap();
    assert!(!page.contains(&key.key_id) && !page.contains("label-"), "{page}");
}

/// A guard rail as `/health/full` tells it.
async fn rail(admin: &Api, name: &str) -> Value {
    let full = admin.get("/health/full").send().await.expect(200).json();
    let rails = full["guard_rails"].as_array().unwrap();
    rails.iter().find(|rail| rail["component"] == name).unwrap_or_else(|| panic!("no {name} in {full}")).clone()
}

/// Until every node tells that state of the rail, in `/health/full` and the metrics.
async fn until(cluster: &Cluster, name: &str, state: &str) {
    let told = async || {
        for node in 0..cluster.fleet.nodes.len() {
            let seen = rail(&cluster.admin_of(node), name).await;
            anyhow::ensure!(seen["state"] == state, "{seen}");
            let page = cluster.fleet.node(node)?.metrics().await?;
            let value = u8::from(state == "degraded");
            anyhow::ensure!(page.contains(&format!("tollgate_health_state{{component=\"{name}\"}} {value}")), "{name} {state}");
        }
        Ok(())
    };
    eventually(name, PATIENCE, told).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_node_tells_that_redis_drops_keys_until_it_does_not() {
    let redis = TestRedis::start().await.unwrap();
    let cluster = Cluster::of(Fleet::builder(2).redis(redis.url()).env("TOLLGATE_REDIS__LOOK_INTERVAL", "200ms")).await;
    until(&cluster, "redis_eviction", "ok").await;
    redis.command(&["config", "set", "maxmemory-policy", "allkeys-lru"]).await.unwrap();
    until(&cluster, "redis_eviction", "degraded").await;
    let told = rail(&cluster.admin(), "redis_eviction").await;
    assert!(told["reason"].as_str().unwrap().contains("noeviction") && told["since"].is_string(), "{told}");
    let ready = cluster.node(0).get("/health/ready").send().await.expect(200).json();
    let open = ready["components"].as_array().unwrap().iter().find(|one| one["component"] == "redis_eviction").unwrap().clone();
    assert_eq!(open, json!({"component": "redis_eviction", "state": "degraded"}), "why is not for everybody");
    redis.command(&["config", "set", "maxmemory-policy", "noeviction"]).await.unwrap();
    until(&cluster, "redis_eviction", "ok").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_without_a_limit_are_told_by_every_node_until_the_last_is_gone() {
    let cluster = Cluster::start(2).await;
    let admin = cluster.admin();
    let first = cluster.key(json!({"rate_limit": null})).await;
    until(&cluster, "unlimited_keys", "degraded").await;
    let second = cluster.key(json!({"rate_limit": null})).await;
    first.revoke(&admin).await;
    let named = async || {
        let figures = admin.get("/health/full").send().await.expect(200).json()["figures"].clone();
        anyhow::ensure!(figures["unlimited_keys"] == json!([second.key_id]), "{figures}");
        anyhow::ensure!(figures["nodes"] == 2 && figures["in_outage"] == false && figures["change_log_position"].is_u64(), "{figures}");
        Ok(())
    };
    eventually("the other one alone", PATIENCE, named).await.unwrap();
    assert_eq!(rail(&admin, "unlimited_keys").await["state"], "degraded");
    let tenant = cluster.key(json!({"owner": "acme", "scopes": ["health:read"]})).await;
    let told = cluster.node(0).with(&tenant.api_key).get("/health/full").send().await.expect(200).json();
    assert_eq!(told["figures"]["unlimited_keys"], json!([]), "a tenant hears of nobody else's keys");
    second.patch(&admin, json!({"rate_limit": {"burst": 10, "per_seconds": 60}})).await;
    until(&cluster, "unlimited_keys", "ok").await;
}
