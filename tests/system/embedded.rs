//! One node on a bare machine.

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use tollgate_testkit::{Node, eventually};

use crate::support::{Api, NewKey};

/// A node as `tollgate serve` starts it in an empty folder, and its admin key.
async fn first_start() -> (Node, String) {
    let node = Node::embedded(Path::new("")).without("TOLLGATE_DATA_DIR").start().await.unwrap();
    let line = curl_line(&node).await;
    let key = line.split("Bearer ").nth(1).and_then(|rest| rest.split('\'').next()).expect("a key in the curl line").to_owned();
    (node, key)
}

/// The line that a newcomer would copy.
async fn curl_line(node: &Node) -> String {
    let printed = eventually("a curl line", Duration::from_secs(10), async || {
        let stdout = node.process().stdout();
        let line = stdout.lines().map(str::trim).find(|line| line.starts_with("curl "));
        line.map(str::to_owned).ok_or_else(|| anyhow::anyhow!("only {stdout:?}"))
    });
    printed.await.unwrap()
}

async fn pasted(line: &str) -> String {
    let output = tokio::process::Command::new("sh").args(["-c", line]).output().await.expect("sh runs");
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn the_first_start_prints_an_admin_key_and_a_curl_line_that_works_when_pasted() {
    let (node, key) = first_start().await;
    let answer = pasted(&curl_line(&node).await).await.to_lowercase();
    assert!(answer.starts_with("http/1.1 200") && answer.contains("\r\nx-tollgate-scopes: admin\r\n"), "{answer}");
    assert_eq!(node.process().stdout().lines().filter(|line| line.trim() == key).count(), 1, "the key on a line of its own");
    assert!(!node.process().stderr().contains("tks_"), "the log holds no secret");
}

#[tokio::test]
async fn keys_survive_sigterm_and_kill_and_no_other_key_is_printed() {
    let (mut node, admin_key) = first_start().await;
    let admin = Api::of(&node).with(&admin_key);
    let key = NewKey::make(&admin, json!({"scopes": ["a"], "rate_limit": {"burst": 50, "per_seconds": 60}})).await;
    let revoked = NewKey::make(&admin, json!({})).await;
    revoked.revoke(&admin).await;
    let printed = node.process().stdout();
    for ending in ["TERM", "KILL"] {
        node.process().signal(ending).unwrap();
        let status = node.process().ended().await.unwrap();
        assert_eq!(status.code() == Some(0), ending == "TERM", "{status}");
        node.start_again().await.unwrap();
        // The log files go on where the first start ended.
        assert_eq!(node.process().stdout(), printed, "nothing more on standard output");
        let each = Api::of(&node);
        assert_eq!(each.with(&key.api_key).authorize("scope=a").await.expect(200).header("x-tollgate-key-id"), key.key_id);
        each.with(&revoked.api_key).authorize("").await.expect(401);
        let shown = each.with(&admin_key).get(&key.path()).send().await.expect(200).json();
        assert_eq!(shown["rate_limit"], json!({"burst": 50, "per_seconds": 60}));
        // And it can be changed as before.
        NewKey::make(&each.with(&admin_key), json!({})).await;
    }
}

#[tokio::test]
async fn a_limit_is_kept_without_any_service() {
    let (node, admin_key) = first_start().await;
    let admin = Api::of(&node).with(&admin_key);
    let key = NewKey::make(&admin, json!({"rate_limit": {"burst": 20, "per_seconds": 86_400}})).await;
    let shots = crate::support::Load::on(vec![Api::of(&node).with(&key.api_key)]).fire(100).await;
    assert_eq!(crate::support::admitted(&shots), 20);
    assert_eq!(crate::support::metric(&node, "api_rate_limit_throttled_total").await, 80);
}
