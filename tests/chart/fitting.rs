//! That its parts know each other: labels, ports, names, who comes before whom.

use serde_json::{Value, json};
use tollgate_testkit::repository;

use super::program::{LEAST, TLS, manifests, pods, the};
use super::rendered::ALL;

const NAME: &str = "shop-tollgate";

/// Which pods a selector picks, by what makes them.
fn picked(manifests: &[Value], labels: &Value) -> Vec<String> {
    let wanted = labels.as_object().expect("labels");
    assert!(!wanted.is_empty(), "a selector that picks everything");
    let fits = |pod: &Value| wanted.iter().all(|(name, value)| pod["metadata"]["labels"].get(name) == Some(value));
    pods(manifests).into_iter().filter(|(_, pod)| fits(pod)).map(|(name, _)| name).collect()
}

#[tokio::test]
async fn selectors_pick_the_nodes_and_the_policies_everybody() {
    let made = manifests(ALL).await;
    let nodes = [format!("Deployment {NAME}")];
    let deployment = the(&made, "Deployment", NAME);
    assert_eq!(picked(&made, &deployment["spec"]["selector"]["matchLabels"]), nodes);
    for service in [NAME, "shop-tollgate-metrics"] {
        assert_eq!(picked(&made, &the(&made, "Service", service)["spec"]["selector"]), nodes);
    }
    assert_eq!(picked(&made, &the(&made, "PodDisruptionBudget", NAME)["spec"]["selector"]["matchLabels"]), nodes);
    assert_eq!(picked(&made, &the(&made, "NetworkPolicy", NAME)["spec"]["podSelector"]["matchLabels"]), nodes);
    let spread = deployment["spec"]["template"]["spec"]["topologySpreadConstraints"].as_array().expect("spread");
    assert_eq!(spread.len(), 2, "over machines and zones");
    for one in spread {
        assert_eq!(picked(&made, &one["labelSelector"]["matchLabels"]), nodes);
    }
    assert_eq!(the(&made, "HorizontalPodAutoscaler", NAME)["spec"]["scaleTargetRef"]["name"], NAME);
    assert!(deployment["spec"].get("replicas").is_none(), "the autoscaler's word would be overruled");
}

/// Hooks come before all else: what holds for them has to come before them.
#[tokio::test]
async fn jobs_have_a_policy_of_their_own_before_they_run() {
    let made = manifests(ALL).await;
    let policy = the(&made, "NetworkPolicy", "shop-tollgate-jobs");
    let (selector, spec) = (&policy["spec"]["podSelector"], &policy["spec"]);
    assert!(picked(&made, &selector["matchLabels"]).len() == pods(&made).len() && spec["ingress"] == json!([]), "{policy}");
    let expressions = json!([{"key": "app.kubernetes.io/component", "operator": "In", "values": ["migrate", "bootstrap"]}]);
    assert_eq!(selector["matchExpressions"], expressions);
    let component = |pod: &Value| pod["metadata"]["labels"]["app.kubernetes.io/component"].clone();
    let mut components: Vec<Value> = pods(&made).iter().map(|(_, pod)| component(pod)).collect();
    components.sort_by_key(ToString::to_string);
    assert_eq!(components, ["bootstrap", "migrate", "node"], "one of the two policies holds for each");
    assert_eq!(spec["egress"], the(&made, "NetworkPolicy", NAME)["spec"]["egress"]);
    let weight =
        |one: &Value| one["metadata"]["annotations"]["helm.sh/hook-weight"].as_str().expect("a weight").parse::<i32>().expect("a number");
    assert!(weight(policy) < weight(the(&made, "Job", "shop-tollgate-migrate")));
    assert_eq!(policy["metadata"]["annotations"]["helm.sh/hook"], "pre-install,pre-upgrade");
}

#[tokio::test]
async fn jobs_run_where_nodes_may() {
    let made = manifests(ALL).await;
    let node = &the(&made, "Deployment", NAME)["spec"]["template"];
    for job in ["shop-tollgate-migrate", "shop-tollgate-bootstrap"] {
        let pod = &the(&made, "Job", job)["spec"]["template"];
        for what in ["imagePullSecrets", "nodeSelector", "tolerations", "affinity", "priorityClassName"] {
            assert!(!pod["spec"][what].is_null() && pod["spec"][what] == node["spec"][what], "{job}: {what}");
        }
        assert_eq!((&pod["metadata"]["annotations"]["a"], &pod["metadata"]["labels"]["team"]), (&json!("b"), &json!("gate")), "{job}");
    }
}

#[tokio::test]
async fn ports_are_those_that_a_node_listens_on_and_metrics_are_not_public() {
    let made = manifests(ALL).await;
    let node = &the(&made, "Deployment", NAME)["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(
        node["ports"],
        json!([
            {"name": "http", "containerPort": 8080, "protocol": "TCP"},
            {"name": "metrics", "containerPort": 9464, "protocol": "TCP"},
        ])
    );
    assert_eq!(
        the(&made, "Service", NAME)["spec"]["ports"],
        json!([{"name": "http", "port": 443, "targetPort": "http", "protocol": "TCP"}])
    );
    let metrics = the(&made, "Service", "shop-tollgate-metrics");
    assert_eq!(metrics["spec"]["ports"], json!([{"name": "metrics", "port": 9464, "targetPort": "metrics", "protocol": "TCP"}]));
    let monitor = &the(&made, "ServiceMonitor", NAME)["spec"];
    let wanted = monitor["selector"]["matchLabels"].as_object().expect("labels");
    let services: Vec<&Value> = made.iter().filter(|one| one["kind"] == "Service").collect();
    let seen: Vec<_> =
        services.iter().filter(|one| wanted.iter().all(|(name, value)| one["metadata"]["labels"].get(name) == Some(value))).collect();
    assert_eq!(seen, [&metrics], "Prometheus is led to the one with the metrics");
    assert_eq!((&monitor["endpoints"][0]["port"], &monitor["endpoints"][0]["path"]), (&json!("metrics"), &json!("/metrics")));
    assert_eq!(monitor["endpoints"][0]["relabelings"][0]["replacement"], "tollgate", "the job that the alerts name");
    let policy = &the(&made, "NetworkPolicy", NAME)["spec"];
    assert_eq!(policy["policyTypes"], json!(["Ingress", "Egress"]));
    let ports: Vec<&Value> = policy["ingress"].as_array().expect("rules").iter().map(|rule| &rule["ports"][0]["port"]).collect();
    assert_eq!(ports, [8080, 9464]);
    let egress: Vec<Value> =
        policy["egress"].as_array().expect("rules").iter().map(|rule| json!([rule["ports"][0]["port"], rule["to"]])).collect();
    assert_eq!(
        egress,
        [
            json!([53, null]),
            json!([6379, [{"ipBlock": {"cidr": "10.1.0.0/24"}}]]),
            json!([5433, [{"ipBlock": {"cidr": "10.2.0.0/24"}}]]),
            json!([4318, null]),
        ]
    );
}

#[tokio::test]
async fn the_alerts_are_those_of_the_repository() {
    let made = manifests(ALL).await;
    let rules = the(&made, "PrometheusRule", NAME)["spec"].to_string();
    let shipped = std::fs::read_to_string(repository().join("deploy/prometheus/tollgate.rules.yml")).expect("the alerts");
    let names: Vec<&str> = shipped.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(names.len() > 5 && names.iter().all(|name| rules.contains(&format!("\"alert\":\"{name}\""))), "{rules}");
    assert!(rules.contains("{{ $labels.instance }}"), "what is Prometheus' to fill in is left to it: {rules}");
}

#[tokio::test]
async fn probes_ask_what_needs_no_key_and_an_outage_ends_nobody() {
    for (values, scheme) in [(LEAST, "HTTP"), (TLS, "HTTPS")] {
        let made = manifests(values).await;
        let node = &the(&made, "Deployment", NAME)["spec"]["template"]["spec"]["containers"][0];
        for (probe, path) in [("startupProbe", "/health/live"), ("livenessProbe", "/health/live"), ("readinessProbe", "/health/ready")] {
            assert_eq!(node[probe]["httpGet"], json!({"path": path, "port": "http", "scheme": scheme}), "{probe}");
        }
    }
}

#[tokio::test]
async fn one_more_comes_before_one_goes() {
    let made = manifests(LEAST).await;
    let deployment = &the(&made, "Deployment", NAME)["spec"];
    assert_eq!(deployment["replicas"], 3);
    assert_eq!(deployment["strategy"]["rollingUpdate"], json!({"maxSurge": 1, "maxUnavailable": 0}));
    assert_eq!(the(&made, "PodDisruptionBudget", NAME)["spec"]["maxUnavailable"], 1);
}

#[tokio::test]
async fn the_schema_comes_before_the_nodes_as_its_owner_and_the_first_key_after_them() {
    let made = manifests(ALL.replace(", nodeRights: false", "").as_str()).await;
    let (migrate, bootstrap) = (the(&made, "Job", "shop-tollgate-migrate"), the(&made, "Job", "shop-tollgate-bootstrap"));
    let hook = |job: &Value| job["metadata"]["annotations"]["helm.sh/hook"].clone();
    assert_eq!((hook(migrate), hook(bootstrap)), (json!("pre-install,pre-upgrade"), json!("post-install")));
    let pod = |job: &Value| job["spec"]["template"]["spec"].clone();
    assert_eq!(pod(migrate)["containers"][0]["args"], json!(["migrate", "--node-rights"]));
    assert_eq!(pod(bootstrap)["containers"][0]["args"], json!(["bootstrap"]));
    let owners = |job: &Value| pod(job)["volumes"].to_string().contains("\"owner\"");
    assert!(owners(migrate) && !owners(bootstrap) && !owners(the(&made, "Deployment", NAME)), "the owner's URL is for migrate alone");
    // What comes before all else can rest on nothing that comes with the rest.
    let made_later: Vec<&str> = made.iter().filter(|one| hook(one).is_null()).filter_map(|one| one["metadata"]["name"].as_str()).collect();
    let named = pod(migrate).to_string();
    assert!(pod(migrate).get("serviceAccountName").is_none() && !named.contains("configMap"), "{named}, {made_later:?}");
}
