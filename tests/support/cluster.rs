//! A fleet, and what tests do with its keys.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tollgate_testkit::{Fleet, FleetBuilder, Node};

use super::{Api, Call};

/// How long a node tries to fence a change: a second, less what it pauses between attempts.
const FENCED_WITHIN: Duration = Duration::from_millis(900);

/// Running nodes, one [`Api`] each.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) fleet: Fleet,
    apis: Vec<Api>,
}

/// A key that was just made.
#[derive(Debug, Clone)]
pub(crate) struct NewKey {
    pub(crate) key_id: String,
    pub(crate) api_key: String,
    /// The whole answer.
    pub(crate) record: Value,
}

impl Cluster {
    pub(crate) async fn start(nodes: usize) -> Self {
        Self::of(Fleet::builder(nodes)).await
    }

    /// The bootstrap key gets a limit that no test comes near.
    pub(crate) async fn of(builder: FleetBuilder) -> Self {
        let builder = builder.env("TOLLGATE_KEYS__DEFAULT_RATE_LIMIT__BURST", "1000000");
        let fleet = builder.start().await.expect("a fleet");
        let apis = fleet.nodes.iter().map(Api::of).collect();
        Self { fleet, apis }
    }

    /// The admin's view of the first node.
    pub(crate) fn admin(&self) -> Api {
        self.admin_of(0)
    }

    /// The admin's view of a node; numbers wrap around.
    pub(crate) fn admin_of(&self, node: usize) -> Api {
        self.node(node).with(&self.fleet.admin_key)
    }

    /// A node without a credential; numbers wrap around.
    pub(crate) fn node(&self, node: usize) -> Api {
        self.apis[node % self.apis.len()].clone()
    }

    /// A key as every node sees it.
    pub(crate) fn each(&self, api_key: &str) -> Vec<Api> {
        self.apis.iter().map(|api| api.with(api_key)).collect()
    }

    /// Makes a key at the first node.
    pub(crate) async fn key(&self, body: Value) -> NewKey {
        NewKey::make(&self.admin(), body).await
    }

    /// Makes a key with one limit.
    pub(crate) async fn limited_key(&self, burst: u64, per_seconds: u64) -> NewKey {
        self.key(json!({"rate_limit": {"burst": burst, "per_seconds": per_seconds}})).await
    }

    /// Sets an owner's limit.
    pub(crate) async fn limit_owner(&self, owner: &str, rate_limit: Value) {
        let admin = self.admin();
        fenced(|| admin.put(&format!("/v1/owners/{owner}"), &json!({ "rate_limit": rate_limit }))).await;
    }

    /// A counter, summed over all nodes.
    pub(crate) async fn counted(&self, name: &str) -> u64 {
        let mut sum = 0;
        for node in &self.fleet.nodes {
            sum += metric(node, name).await;
        }
        sum
    }
}

/// The sum of a node's samples whose name and labels begin with `name`.
pub(crate) async fn metric(node: &Node, name: &str) -> u64 {
    let page = node.metrics().await.expect("a metrics page");
    let samples = page.lines().filter(|line| !line.starts_with('#') && line.starts_with(name));
    samples.map(|line| line.rsplit(' ').next().and_then(|value| value.parse::<u64>().ok()).expect("a whole number")).sum()
}

/// Makes a change, which must be fenced by the time it is answered. A node that has tried for long enough says that it could
/// not: then, and not sooner, the same call is made once more, which makes it good.
async fn fenced(call: impl Fn() -> Call) -> Value {
    let asked = Instant::now();
    let record = call().send().await.expect(200).json();
    if record["propagated"] == true {
        return record;
    }
    assert!(asked.elapsed() >= FENCED_WITHIN, "not fenced after {:?}: {record}", asked.elapsed());
    let record = call().send().await.expect(200).json();
    assert_eq!(record["propagated"], true, "{record}");
    record
}

impl NewKey {
    /// Makes a key; a name is added to `body` where it has none.
    pub(crate) async fn make(admin: &Api, mut body: Value) -> Self {
        if body.get("name").is_none() {
            body["name"] = json!("a test's key");
        }
        let record = admin.post("/v1/keys", &body).send().await.expect(201).json();
        let text = |name: &str| record[name].as_str().expect("a text").to_owned();
        Self { key_id: text("key_id"), api_key: text("api_key"), record }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> String {
        format!("/v1/keys/{}", self.key_id)
    }

    /// Changes it; the change must be fenced by the time it is answered.
    pub(crate) async fn patch(&self, admin: &Api, body: Value) -> Value {
        fenced(|| admin.patch(&self.path(), &body)).await
    }

    /// Revokes it, likewise.
    pub(crate) async fn revoke(&self, admin: &Api) {
        fenced(|| admin.post(&format!("{}/revoke", self.path()), &json!({"reason": "a test"}))).await;
    }
}
