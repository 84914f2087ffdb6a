//! One node on a bare machine: keys outlive it, and limits are kept without any service. What it
//! prints is tested with the binary, in `crates/tollgate/tests`.

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use tollgate_testkit::{Node, eventually};

use crate::support::{Api, NewKey};

/// A node as `tollgate serve` starts it in an empty folder, and the admin key that it prints.
async fn first_start() -> (Node, String) {
    let node = Node::embedded(Path::new("")).without("TOLLGATE_DATA_DIR").start().await.unwrap();
    let printed = eventually("a key", Duration::from_secs(10), async || {
        let stdout = node.process().stdout();
        let key = stdout.lines().map(str::trim).find(|line| line.starts_with("tk_"));
        key.map(str::to_owned).ok_or_else(|| anyhow::anyhow!("only {stdout:?}"))
    });
    let key = printed.await.unwrap();
    (node, key)
}

#[tokio::test]
async fn keys_and_their_rules_survive_sigterm_and_kill() {
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
