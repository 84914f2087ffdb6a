//! Health and metrics: who sees what, and where.

use tollgate_testkit::get;

use crate::support::Cluster;

#[tokio::test]
async fn live_and_ready_are_open_and_full_needs_its_scope() {
    let cluster = Cluster::start(1).await;
    let anybody = cluster.node(0);
    assert_eq!(anybody.get("/health/live").send().await.expect(200).json()["live"], true);
    let ready = anybody.get("/health/ready").send().await.expect(200).json();
    assert_eq!(ready["ready"], true);
    for component in ready["components"].as_array().unwrap() {
        assert_eq!(component["state"], "ok", "{ready}");
    }
    assert_eq!(anybody.get("/health/full").send().await.status, 401);
    let full = cluster.admin().get("/health/full").send().await.expect(200).json();
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
