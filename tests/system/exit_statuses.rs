//! Every kind of failure has an exit status and a line that says what to do.

use std::process::Output;

use serde_json::json;
use tollgate_testkit::{Port, tollgate};

use crate::support::Cluster;

async fn run(url: &str, api_key: &str, arguments: &[&str]) -> Output {
    let mut command = tollgate(arguments).unwrap();
    command.env("TOLLGATE_URL", url).env("TOLLGATE_API_KEY", api_key).stdin(std::process::Stdio::null());
    tokio::process::Command::from(command).output().await.unwrap()
}

#[tokio::test]
async fn each_failure_has_its_status_and_a_remedy() {
    let cluster = Cluster::start(1).await;
    let url = cluster.fleet.nodes[0].url();
    let nobody = format!("http://{}", Port::take().unwrap().address());
    let admin = cluster.fleet.admin_key.as_str();
    let (plain, spent, gone) = (cluster.key(json!({})).await, cluster.limited_key(1, 86_400).await, cluster.key(json!({})).await);
    gone.revoke(&cluster.admin()).await;
    cluster.node(0).with(&spent.api_key).authorize("").await.expect(200);
    let absent = format!("tk_{}", "0".repeat(26));
    let list: &[&str] = &["keys", "list"];
    for (status, url, key, arguments) in [
        (0, &url, admin, list),
        (0, &url, admin, &["check"]),
        (2, &url, admin, &["keys", "crate"]),
        (2, &url, admin, &["keys", "show", "no/id"]),
        (2, &url, "no-credential", list),
        (2, &url, "", list),
        (3, &url, gone.api_key.as_str(), list),
        (4, &url, plain.api_key.as_str(), list),
        (5, &url, admin, &["keys", "show", &absent]),
        (6, &url, admin, &["keys", "create", "--name", "n", "--burst", "0", "--per-seconds", "1"]),
        (6, &url, admin, &["keys", "update", &plain.key_id, "--name", "m", "--if-generation", "1"]),
        (6, &url, admin, &["keys", "update", &gone.key_id, "--name", "m"]),
        (7, &url, spent.api_key.as_str(), &["check"]),
        (8, &nobody, admin, list),
        (64, &url, admin, &["config", "check", "--config", "/nowhere/tollgate.toml"]),
    ] {
        let output = run(url, key, arguments).await;
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {errors}");
        assert!(!errors.contains("tks_"), "{errors}");
        // Being limited is an answer of `check`, not a failed call.
        let was_asked = (3..=8).contains(&status) && status != 7;
        assert_eq!(was_asked && errors.contains("request id "), was_asked, "{arguments:?}: {errors}");
        assert!(status == 0 || output.stdout.is_empty() || status == 7, "{arguments:?}: {output:?}");
    }
}
