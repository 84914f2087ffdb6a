//! The API is what its document says, also to one who sends all that he can think of: a public tool
//! reads `/openapi.json` of a running node and makes calls of it, good and bad ones. It fails on any
//! 5xx, on a status, header, type or body that the document does not tell, and on anything taken that
//! the document forbids. What it is told is in `tests/data/fuzz`; its seed is fixed.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use serde_json::{Value, json};
use tollgate_testkit::{Node, Scratch, eventually, repository};

use crate::support::{Api, NewKey};

/// Far longer than it takes on a busy machine.
const WITHIN: Duration = Duration::from_mins(4);

/// Where `tests/run` has put the program.
fn program() -> PathBuf {
    let told = std::env::var_os("TOLLGATE_SCHEMATHESIS").map(PathBuf::from);
    let path = told.unwrap_or_else(|| repository().join("target/schemathesis/bin/schemathesis"));
    assert!(
        path.is_file(),
        "schemathesis is not at {}: tests/run installs it, or do it yourself: python3 -m venv target/schemathesis && \
         target/schemathesis/bin/pip install -r tests/data/fuzz/requirements.txt; TOLLGATE_SCHEMATHESIS names another place",
        path.display()
    );
    path
}

/// A node with an operator's key that no number of calls exhausts.
async fn node() -> (Node, NewKey, Scratch) {
    let folder = Scratch::new("fuzz").expect("a folder");
    let node = Node::embedded(folder.path()).start().await.expect("a node");
    let printed = eventually("a key", Duration::from_secs(30), async || {
        let stdout = node.process().stdout();
        let key = stdout.lines().map(str::trim).find(|line| line.starts_with("tk_"));
        key.map(str::to_owned).ok_or_else(|| anyhow::anyhow!("only {stdout:?}"))
    });
    let admin = Api::of(&node).with(&printed.await.expect("an admin key"));
    let rules = json!({"scopes": ["admin"], "rate_limit": {"burst": 1_000_000_000, "per_seconds": 1}});
    let key = NewKey::make(&admin, rules).await;
    (node, key, folder)
}

/// Runs the tool over a document, which is a URL or a file.
async fn fuzz(node: &Node, key: &NewKey, document: &str, folder: &Path) -> Output {
    let (key_id, secret) = key.api_key.split_once(':').expect("both");
    let data = repository().join("tests/data/fuzz");
    for file in ["schemathesis.toml", "hooks.py"] {
        std::fs::copy(data.join(file), folder.join(file)).expect("copied");
    }
    let mut command = tokio::process::Command::new(program());
    command.args(["--config-file", "schemathesis.toml", "run", document, "--url", &node.url()]).current_dir(folder).kill_on_drop(true);
    command.env("FUZZ_KEY", &key.api_key).env("FUZZ_KEY_ID", key_id).env("FUZZ_SECRET", secret);
    // It stands between nobody and the node.
    command.env("NO_PROXY", "*").env("no_proxy", "*").env("PYTHONPATH", folder).env("PYTHONDONTWRITEBYTECODE", "1");
    tokio::time::timeout(WITHIN, command.output()).await.expect("it ends").expect("it runs")
}

/// What it said, from the first failure on.
fn said(output: &Output) -> String {
    let text = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat();
    let start = text.find("= FAILURES =").or_else(|| text.find("= ERRORS =")).unwrap_or(0);
    text[start..].chars().take(20_000).collect()
}

#[tokio::test]
async fn the_document_is_one_of_openapi() {
    let (node, _, folder) = node().await;
    let mut document = Api::of(&node).get("/openapi.json").send().await.expect(200).json();
    let validated = async |document: &Value| {
        let file = folder.path().join("openapi.json");
        std::fs::write(&file, document.to_string()).expect("written");
        let mut validator = tokio::process::Command::new(program().with_file_name("openapi-spec-validator"));
        validator.arg(&file).output().await.expect("it runs")
    };
    let output = validated(&document).await;
    assert!(output.status.success(), "{}", said(&output));
    document["paths"]["/v1/keys"]["get"]["responses"]["200"] = json!({"content": []});
    assert_eq!(validated(&document).await.status.code(), Some(1), "a response without a description is none");
}

#[tokio::test]
async fn a_node_answers_whatever_comes_as_its_document_says() {
    let (node, key, folder) = node().await;
    let output = fuzz(&node, &key, &format!("{}/openapi.json", node.url()), folder.path()).await;
    assert!(output.status.success(), "{}\n{}", output.status, said(&output));
    // Nothing is left out but what the configuration names: a stream, and four methods of two paths.
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let counts = text.lines().find_map(|line| line.trim().strip_prefix("Selected: ")).expect("how many calls");
    let (selected, all) = counts.split_once('/').expect("of how many");
    let count = |text: &str| text.trim().parse::<usize>().expect("a number");
    assert_eq!(count(all) - count(selected), 9, "{counts}");
    // It came as far as the store, and kept its own key.
    let api = Api::of(&node).with(&key.api_key);
    let made = api.get("/v1/keys?page_size=1000").send().await.expect(200).json();
    assert!(made["keys"].as_array().expect("keys").len() > 2, "{}", said(&output));
}

#[tokio::test]
async fn a_document_that_keeps_a_status_to_itself_is_found_out() {
    let (node, key, folder) = node().await;
    let mut document = Api::of(&node).get("/openapi.json").send().await.expect(200).json();
    let only = document["paths"]["/health/live"].take();
    document["paths"] = json!({"/health/live": only});
    let told = document["paths"]["/health/live"]["get"]["responses"].as_object_mut().expect("responses");
    told.remove("200").expect("what it always answers");
    let file = folder.path().join("lying.json");
    std::fs::write(&file, document.to_string()).expect("written");
    let output = fuzz(&node, &key, &file.to_string_lossy(), folder.path()).await;
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("Undocumented status code"), "{}", said(&output));
}
