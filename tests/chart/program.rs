//! helm, and what reads manifests.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tollgate_testkit::{Scratch, repository};

/// What has no default.
pub(crate) const LEAST: &str = "stores: {secret: stores}\nmigrate: {ownerSecret: owner}\nallowPlaintext: true\n";

/// The same with a certificate.
pub(crate) const TLS: &str =
    "stores: {secret: stores}\nmigrate: {ownerSecret: owner}\ntls: {secret: tls}\nserviceMonitor: {enabled: true}\n";

/// The oldest version that the chart is for, and the newest whose rules are known here.
pub(crate) const VERSIONS: [&str; 2] = ["1.25.0", "1.37.0"];

/// Where `tests/run` has put the programs.
fn program(name: &str) -> PathBuf {
    let folder = std::env::var_os("TOLLGATE_HELM").map_or_else(|| repository().join("target/helm/bin"), PathBuf::from);
    let path = folder.join(name);
    assert!(
        path.is_file(),
        "{} is not there: tests/run installs it, or do it yourself: python3 -m venv target/helm && \
         target/helm/bin/pip install -r tests/data/helm/requirements.txt; TOLLGATE_HELM names another folder",
        path.display()
    );
    path
}

pub(crate) fn chart() -> PathBuf {
    repository().join("deploy/helm/tollgate")
}

/// Runs helm, without anything of whoever runs the tests.
pub(crate) async fn helm(arguments: &[&str], home: &Path) -> Output {
    let mut command = Command::new(program("helm"));
    command.args(arguments).env_clear().env("HOME", home).env("KUBECONFIG", "/dev/null").stdin(Stdio::null());
    command.output().await.expect("helm runs")
}

/// What helm makes of the chart with these values, as text; or what it says against them.
pub(crate) async fn template(values: &str) -> Result<String, String> {
    template_as("shop", "gate", values).await
}

/// The same of another release, elsewhere.
pub(crate) async fn template_as(release: &str, namespace: &str, values: &str) -> Result<String, String> {
    let folder = Scratch::new("chart").unwrap();
    let file = folder.path().join("values.yaml");
    std::fs::write(&file, values).unwrap();
    let (chart, file) = (chart(), file.to_string_lossy().into_owned());
    let arguments =
        ["template", release, &*chart.to_string_lossy(), "--namespace", namespace, "--kube-version", VERSIONS[0], "--values", &file];
    let output = helm(&arguments, folder.path()).await;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// The manifests of a text. Each must be good for these versions of Kubernetes; else what is wrong.
pub(crate) async fn read(text: &str, versions: &[&str]) -> Result<Vec<Value>, String> {
    let mut command = Command::new(program("python"));
    command.arg(repository().join("tests/data/helm/manifests.py")).args(versions);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut reader = command.spawn().expect("python runs");
    let mut input = reader.stdin.take().expect("a pipe");
    let text = text.to_owned();
    let writing = tokio::spawn(async move { input.write_all(text.as_bytes()).await });
    let output = reader.wait_with_output().await.expect("python runs");
    writing.await.expect("no panic").ok();
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    Ok(serde_json::from_slice(&output.stdout).expect("JSON"))
}

/// The good manifests of the chart with these values.
pub(crate) async fn manifests(values: &str) -> Vec<Value> {
    let text = template(values).await.unwrap_or_else(|why| panic!("{values}: {why}"));
    read(&text, &[]).await.unwrap_or_else(|why| panic!("{values}: {why}"))
}

/// The only one of a kind whose name ends so.
pub(crate) fn the<'a>(manifests: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let mut found = manifests.iter().filter(|one| one["kind"] == kind && one["metadata"]["name"] == name);
    let one = found.next().unwrap_or_else(|| panic!("no {kind} {name}"));
    assert!(found.next().is_none(), "two of {kind} {name}");
    one
}

/// The pods that a manifest makes: its name, and the template.
pub(crate) fn pods(manifests: &[Value]) -> Vec<(String, &Value)> {
    let with_pods = manifests.iter().filter(|one| one["spec"]["template"].is_object());
    with_pods.map(|one| (format!("{} {}", one["kind"], one["metadata"]["name"]).replace('"', ""), &one["spec"]["template"])).collect()
}
