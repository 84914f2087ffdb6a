//! What `docker-compose.yml` says, without starting it: nobody in it has more rights than needed.

use serde_json::Value;
use tollgate_testkit::repository;

use super::docker::{docker, done};
use crate::tidy::tree::none;

/// Runs as root, to give files to those who read them, and ends.
const ROOT: &str = "secrets";
const ITS_CAPABILITIES: [&str; 2] = ["CHOWN", "DAC_OVERRIDE"];
/// Who is published, on loopback.
const PUBLISHED: [&str; 2] = ["balancer", "grafana"];
/// Who must not reach the stores.
const OUTSIDE: [&str; 4] = ["balancer", "prometheus", "grafana", "tollgate"];
/// Variables that name images.
const IMAGES: [&str; 6] = ["TOLLGATE_IMAGE", "NGINX_IMAGE", "REDIS_IMAGE", "POSTGRES_IMAGE", "PROMETHEUS_IMAGE", "GRAFANA_IMAGE"];

/// What is laid over it.
const OVERLAYS: [&str; 2] = ["deploy/compose/sentinel.yml", "deploy/compose/cluster.yml"];

async fn file(overlays: &[&str], environment: &[(&str, &str)]) -> Value {
    let files = ["docker-compose.yml"].iter().chain(overlays).flat_map(|name| ["--file", name]);
    let arguments: Vec<&str> = ["compose"].into_iter().chain(files).chain(["--profile", "*", "config", "--format", "json"]).collect();
    let mut command = docker(&arguments);
    for name in IMAGES {
        command.env_remove(name);
    }
    command.current_dir(repository()).envs(environment.iter().copied());
    serde_json::from_str(&done(command).await).expect("JSON")
}

fn violations(file: &Value) -> Vec<String> {
    let services = file["services"].as_object().expect("services");
    let mut found: Vec<String> = services.iter().flat_map(|(name, service)| violations_of(name, service)).collect();
    for network in ["front", "store", "metrics"] {
        if file["networks"][network]["internal"] != true {
            found.push(format!("the network {network} leads outside"));
        }
    }
    found
}

fn violations_of(name: &str, service: &Value) -> Vec<String> {
    let ends = service["restart"] == "no";
    let user = service["user"].as_str().unwrap_or_default();
    let is_number = user.split(':').next().is_some_and(|uid| uid.parse::<u32>().is_ok_and(|uid| uid != 0));
    let limits = &service["deploy"]["resources"]["limits"];
    let ports = service["ports"].as_array().map_or(&[][..], Vec::as_slice);
    let wrong = [
        (service["read_only"] != true, "has a writable root"),
        (service["cap_drop"] != serde_json::json!(["ALL"]), "keeps capabilities"),
        (
            !(service["cap_add"].is_null() || name == ROOT && service["cap_add"] == serde_json::json!(ITS_CAPABILITIES)),
            "takes capabilities",
        ),
        (service["security_opt"] != serde_json::json!(["no-new-privileges:true"]), "may gain privileges"),
        (service["privileged"] == true, "is privileged"),
        (!(is_number || name == ROOT && ends), "has no numeric user"),
        (["cpus", "memory", "pids"].iter().any(|limit| limits[limit].is_null()), "has no limits"),
        (!ends && service["restart"] != "unless-stopped", "is not started again"),
        (!ends && service["healthcheck"].is_null(), "has no health check"),
        (!ports.is_empty() && !PUBLISHED.contains(&name), "is published"),
        (ports.iter().any(|port| port["host_ip"] != "127.0.0.1"), "is published beyond loopback"),
        (OUTSIDE.contains(&name) && service["networks"].get("store").is_some(), "reaches the stores"),
        (service["network_mode"] == "host", "is on the host's network"),
    ];
    wrong.into_iter().filter(|(is_wrong, _)| *is_wrong).map(|(_, what)| format!("{name} {what}")).collect()
}

#[tokio::test]
async fn nobody_has_more_rights_than_he_needs() {
    none(&violations(&file(&[], &[]).await));
    for overlay in OVERLAYS {
        none(&violations(&file(&[overlay], &[]).await));
    }
}

#[tokio::test]
async fn seeded_faults_are_found() {
    let good = file(&[], &[]).await;
    for (service, field, value, finding) in [
        ("node-1", "read_only", Value::Null, "node-1 has a writable root"),
        ("redis", "cap_drop", Value::Null, "redis keeps capabilities"),
        ("balancer", "cap_add", serde_json::json!(["NET_ADMIN"]), "balancer takes capabilities"),
        ("postgres", "security_opt", Value::Null, "postgres may gain privileges"),
        ("migrate", "user", "0:0".into(), "migrate has no numeric user"),
        ("node-2", "user", "nonroot".into(), "node-2 has no numeric user"),
        ("prometheus", "deploy", Value::Null, "prometheus has no limits"),
        ("node-3", "restart", "always".into(), "node-3 is not started again"),
        ("redis", "ports", serde_json::json!([{"host_ip": "127.0.0.1", "target": 6379}]), "redis is published"),
        ("balancer", "ports", serde_json::json!([{"target": 8080}]), "balancer is published beyond loopback"),
        ("balancer", "networks", serde_json::json!({"store": null}), "balancer reaches the stores"),
    ] {
        let mut bad = good.clone();
        bad["services"][service][field] = value;
        assert_eq!(violations(&bad), [finding]);
    }
    let mut bad = good;
    bad["networks"]["store"]["internal"] = false.into();
    assert_eq!(violations(&bad), ["the network store leads outside"]);
}

#[tokio::test]
async fn every_image_can_be_replaced() {
    let replaced: Vec<(&str, &str)> = IMAGES.iter().map(|name| (*name, "other")).collect();
    for overlays in [&[][..], &OVERLAYS[..1], &OVERLAYS[1..]] {
        let file = file(overlays, &replaced).await;
        for (name, service) in file["services"].as_object().expect("services") {
            assert_eq!(service["image"], "other", "{name}");
        }
    }
}
