//! What the book tells operators to do, done as it is told: the commands are read from its pages.

use std::time::Duration;

use serde_json::{Value, json};
use tollgate_testkit::{Node, Scratch, eventually, repository, tollgate};

use crate::support::{Api, NewKey};

const WITHIN: Duration = Duration::from_mins(3);

/// A node and its operator.
struct Site {
    node: Node,
    admin_key: String,
    _folder: Scratch,
}

impl Site {
    async fn start() -> Self {
        let folder = Scratch::new("runbooks").unwrap();
        let builder = Node::embedded(folder.path());
        let admin_key = builder.run(&["bootstrap"]).await.unwrap();
        Self { node: builder.start().await.unwrap(), admin_key, _folder: folder }
    }

    fn admin(&self) -> Api {
        Api::of(&self.node).with(&self.admin_key)
    }

    /// Runs a command as the page has it; what it told as JSON.
    async fn run(&self, command: &str) -> Value {
        let words: Vec<&str> = command.split_whitespace().skip(1).collect();
        let mut command = tokio::process::Command::from(tollgate(&words).unwrap());
        command.env("TOLLGATE_OUTPUT", "json");
        let output = command.env("TOLLGATE_URL", self.node.url()).env("TOLLGATE_API_KEY", &self.admin_key).output().await.unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    /// The state of a guard rail, as soon as it is this.
    async fn rail_becomes(&self, name: &str, state: &str) {
        let found = eventually(name, WITHIN, async || {
            let health = self.admin().get("/health/full").send().await.json();
            let rails = health["guard_rails"].as_array().unwrap_or_else(|| panic!("{health}"));
            let is_so = rails.iter().any(|rail| rail["component"] == name && rail["state"] == state);
            anyhow::ensure!(is_so, "{health}");
            Ok(())
        });
        found.await.unwrap();
    }
}

/// The commands that the steps under a heading of a page tell to give, in their order.
fn told(page: &str, heading: &str) -> Vec<String> {
    let text = std::fs::read_to_string(repository().join("docs/src").join(page)).unwrap();
    let part = text.split(&format!("## {heading}\n")).nth(1).unwrap_or_else(|| panic!("{page} has no {heading}"));
    let part = part.split("\n## ").next().unwrap();
    let quoted = part.split('`').skip(1).step_by(2).map(|quoted| quoted.split_whitespace().collect::<Vec<_>>().join(" "));
    quoted.filter(|quoted| quoted.starts_with("tollgate ")).collect()
}

#[tokio::test]
async fn the_runbook_of_unlimited_keys_ends_what_it_is_about() {
    let site = Site::start().await;
    let steps = told("runbooks/unlimited_keys.md", "What to do");
    let [list, limit, revoke, owners] = &steps[..] else { panic!("{steps:?}") };
    let unlimited = async || NewKey::make(&site.admin(), json!({"rate_limit": null})).await.key_id;
    let (needed, useless) = (unlimited().await, unlimited().await);
    site.rail_becomes("unlimited_keys", "degraded").await;
    let listed = site.run(list).await["figures"]["unlimited_keys"].clone();
    let ids: Vec<&str> = listed.as_array().unwrap_or_else(|| panic!("{listed}")).iter().filter_map(Value::as_str).collect();
    assert!(ids.contains(&needed.as_str()) && ids.contains(&useless.as_str()), "{listed}");
    site.run(&limit.replace("<key_id>", &needed).replace("--burst B", "--burst 5").replace("--per-seconds P", "--per-seconds 60")).await;
    site.run(&revoke.replace("<key_id>", &useless)).await;
    site.rail_becomes("unlimited_keys", "ok").await;
    assert_eq!(owners, "tollgate owners set");
}

#[tokio::test]
async fn a_rotation_goes_step_by_step_as_the_book_has_it() {
    let site = Site::start().await;
    let steps = told("keys.md", "Rotation, step by step");
    let [rotate, show] = &steps[..] else { panic!("{steps:?}") };
    let key = NewKey::make(&site.admin(), json!({})).await;
    let (old, of) = (Api::of(&site.node).with(&key.api_key), |api_key: &Value| Api::of(&site.node).with(api_key.as_str().unwrap()));
    // 1. The new api key is shown this once, and both are good.
    let rotate = rotate.replace("tk_…", &key.key_id);
    let rotated = site.run(&rotate).await;
    for api in [&old, &of(&rotated["api_key"])] {
        api.authorize("").await.expect(200);
    }
    // 2. Until when, `keys show` tells.
    let shown = site.run(&format!("{show} {}", key.key_id)).await;
    assert!(shown["previous_secret_until"].is_string() && shown.get("api_key").is_none_or(Value::is_null), "{shown}");
    // What has leaked ends at once.
    assert!(rotate.ends_with("--grace 1d"), "{rotate}");
    let again = site.run(&rotate.replace("--grace 1d", "--grace 0s")).await;
    for (api, status) in [(&old, 401), (&of(&rotated["api_key"]), 401), (&of(&again["api_key"]), 200)] {
        api.authorize("").await.expect(status);
    }
}
