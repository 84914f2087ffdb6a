//! What the pods are told is what the binary understands: it is asked itself, with the environment of the manifests
//! and files where they say.

use std::path::Path;
use std::process::Output;

use serde_json::Value;
use tollgate_testkit::{Scratch, TestAuthority, tollgate};

use super::program::{LEAST, TLS, manifests, the};
use super::rendered::ALL;

const SECRETS: [(&str, &str); 4] = [
    ("run/tollgate/stores/redis-url", "rediss://tollgate:secret@redis:6379/0\n"),
    ("run/tollgate/stores/postgres-url", "postgres://tollgate_node:secret@postgres:5432/tollgate?sslmode=verify-full\n"),
    ("run/tollgate/stores/master-key", "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n"),
    ("run/tollgate/owner/postgres-url", "postgres://tollgate:secret@postgres:5432/tollgate?sslmode=verify-full\n"),
];

/// The machine that a pod sees, below a folder.
fn files(folder: &Path, settings: Option<&str>) {
    let shown = settings.map(|text| ("etc/tollgate/tollgate.toml", text));
    let certificate = TestAuthority::new().unwrap().issue(&["shop-tollgate.gate.svc"]).unwrap();
    let key = certificate.key();
    let certified = [
        ("run/tollgate/tls/tls.crt", certificate.chain()),
        ("run/tollgate/tls/tls.key", key.as_str()),
        ("run/tollgate/ca/ca.crt", certificate.authority()),
    ];
    for (path, text) in SECRETS.into_iter().chain(certified).chain(shown) {
        let file = folder.join(path);
        std::fs::create_dir_all(file.parent().expect("a folder")).unwrap();
        std::fs::write(file, text).unwrap();
    }
}

/// Runs the binary as the container of `pod` would, only with its files below `folder`.
async fn run(container: &Value, arguments: &[&str], folder: &Path) -> Output {
    let mut command = tollgate(arguments).expect("the binary");
    // What the image says itself.
    command.env("TOLLGATE_LISTEN", "0.0.0.0:8080").env("TOLLGATE_METRICS_LISTEN", "0.0.0.0:9464");
    for one in container["env"].as_array().expect("an environment") {
        let value = one["value"].as_str().expect("a text");
        let value = if value.starts_with('/') { format!("{}{value}", folder.display()) } else { value.to_owned() };
        command.env(one["name"].as_str().expect("a name"), value);
    }
    tokio::process::Command::from(command).output().await.expect("it runs")
}

fn container<'a>(manifests: &'a [Value], kind: &str, name: &str) -> &'a Value {
    &the(manifests, kind, name)["spec"]["template"]["spec"]["containers"][0]
}

fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat()
}

/// One setting as `config show` has it.
fn shown(settings: &Value, name: &str) -> String {
    let rows = settings.as_array().unwrap_or_else(|| panic!("{settings}"));
    let row = rows.iter().find(|row| row["name"] == name).unwrap_or_else(|| panic!("no {name} in {settings}"));
    row["value"].as_str().map_or_else(|| row["value"].to_string(), str::to_owned)
}

#[tokio::test]
async fn a_node_and_the_jobs_take_what_they_are_told() {
    for values in [LEAST, TLS, ALL, &format!("{TLS}bootstrap: {{enabled: true}}\n")] {
        let made = manifests(values).await;
        let folder = Scratch::new("pod").unwrap();
        let settings = made.iter().find(|one| one["kind"] == "ConfigMap").map(|one| one["data"]["tollgate.toml"].as_str().expect("a text"));
        files(folder.path(), settings);
        for one in made.iter().filter(|one| one["spec"]["template"].is_object()) {
            let output = run(&one["spec"]["template"]["spec"]["containers"][0], &["config", "check"], folder.path()).await;
            assert!(output.status.success(), "{}: {}", one["metadata"]["name"], said(&output));
        }
    }
}

#[tokio::test]
async fn what_the_chart_says_is_what_holds() {
    let made = manifests(ALL).await;
    let folder = Scratch::new("pod").unwrap();
    files(folder.path(), the(&made, "ConfigMap", "shop-tollgate")["data"]["tollgate.toml"].as_str());
    let node = container(&made, "Deployment", "shop-tollgate");
    let output = run(node, &["config", "show", "--output", "json"], folder.path()).await;
    assert!(output.status.success(), "{}", said(&output));
    let settings: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    for (name, value) in [
        ("mode", "cluster"),
        ("listen", "0.0.0.0:8080"),
        ("metrics_listen", "0.0.0.0:9464"),
        ("outage.nodes_min", "2"),
        ("outage.mode", "closed"),
        ("ratelimit_headers", "both"),
        ("log.format", "json"),
    ] {
        assert_eq!(shown(&settings, name), value, "{name}");
    }
    assert!(shown(&settings, "trusted_proxies").contains("10.0.0.0/8"), "{settings}");
    assert!(shown(&settings, "redis.ca_file").ends_with("/run/tollgate/ca/ca.crt"), "{settings}");
    // A node that is told to stop is given the time that it takes.
    let seconds = |name: &str| shown(&settings, name).trim_end_matches('s').parse::<u64>().expect("seconds");
    let grace = &the(&made, "Deployment", "shop-tollgate")["spec"]["template"]["spec"]["terminationGracePeriodSeconds"];
    assert!(grace.as_u64().expect("seconds") > seconds("shutdown.drain_delay") + seconds("shutdown.grace"), "{grace}");
}

#[tokio::test]
async fn a_setting_that_is_none_starts_no_node() {
    let made = manifests(&ALL.replace("ratelimit_headers", "ratelimit_haeders")).await;
    let folder = Scratch::new("pod").unwrap();
    files(folder.path(), the(&made, "ConfigMap", "shop-tollgate")["data"]["tollgate.toml"].as_str());
    let output = run(container(&made, "Deployment", "shop-tollgate"), &["config", "check"], folder.path()).await;
    assert!(output.status.code() == Some(64) && said(&output).contains("ratelimit_haeders"), "{}", said(&output));
    let whole = format!("{LEAST}settings: \"[redis]\\nurl_file = '/elsewhere'\\n\"\n");
    let made = manifests(&whole).await;
    let own = container(&made, "Deployment", "shop-tollgate")["env"].to_string();
    assert!(own.contains("TOLLGATE_REDIS__URL_FILE"), "what the chart says itself comes before the file: {own}");
}
