//! A node, an app, and every gateway between them.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tollgate_testkit::{Gateway, Node, NodeBuilder, Scratch, TestRecipe, eventually, repository};

use super::app::App;
use crate::support::{Api, NewKey};

/// Of which a token comes back in three quarters of an hour: what was charged is told exactly.
pub(super) const BURST: u64 = 1000;
pub(super) const PER_SECONDS: u64 = 2_678_400;

pub(super) struct Site {
    pub(super) node: Node,
    pub(super) app: App,
    pub(super) recipes: Vec<TestRecipe>,
    admin: Api,
    _folder: Scratch,
}

impl Site {
    /// All gateways as they are shipped, but patient.
    pub(super) async fn start() -> Self {
        Self::with(|node| node).await
    }

    /// The same with a node that is set up otherwise.
    pub(super) async fn with(set_up: impl FnOnce(NodeBuilder) -> NodeBuilder) -> Self {
        Self::changed(set_up, patient).await
    }

    /// The same with gateways whose files are changed as their users may.
    pub(super) async fn changed(set_up: impl FnOnce(NodeBuilder) -> NodeBuilder, change: fn(Gateway, &str) -> String) -> Self {
        let folder = Scratch::new("gateways").unwrap();
        let shipped = repository().join("deploy/gateways/tollgate.toml");
        let node = Node::embedded(folder.path()).env("TOLLGATE_CONFIG", shipped.to_string_lossy());
        let node = set_up(node).start().await.unwrap();
        let admin = Api::of(&node).with(&first_key(&node).await);
        let app = App::start().await;
        let recipes = gateways(node.address(), &app, change).await;
        Self { node, app, recipes, admin, _folder: folder }
    }

    /// A key of an owner, with scopes and a limit that no test exhausts.
    pub(super) async fn key(&self) -> NewKey {
        self.key_of(json!({"owner": "acme", "scopes": ["orders:read", "orders:write"]})).await
    }

    /// A key with nothing but a limit.
    pub(super) async fn bare_key(&self) -> NewKey {
        self.key_of(json!({})).await
    }

    /// A key with these rules, and [`BURST`] where they have no limit.
    pub(super) async fn key_of(&self, mut rules: Value) -> NewKey {
        if rules.get("rate_limit").is_none() {
            rules["rate_limit"] = json!({"burst": BURST, "per_seconds": PER_SECONDS});
        }
        NewKey::make(&self.admin, rules).await
    }

    /// How many tokens a key has spent.
    pub(super) async fn spent(&self, key: &NewKey) -> u64 {
        BURST - Api::of(&self.node).with(&key.api_key).peek().await.remaining.expect("a limit")
    }

    /// The admin's view of the node.
    pub(super) fn admin(&self) -> &Api {
        &self.admin
    }
}

/// A busy machine must not turn the time-outs of the recipes into refusals; a test of them starts
/// gateways as they are.
pub(super) fn patient(_: Gateway, text: &str) -> String {
    let bounds = [
        ("_timeout 1s", "_timeout 30s"),
        ("_timeout 2s", "_timeout 30s"),
        ("_timeout: 1s", "_timeout: 30s"),
        ("timeout: 2s }", "timeout: 30s }"),
        ("timeout connect 1s", "timeout connect 30s"),
        ("timeout server 2s", "timeout server 30s"),
        ("timeout queue 1s", "timeout queue 30s"),
        ("TIMEOUT_MS = 3000", "TIMEOUT_MS = 30000"),
        ("check inter 1s", "check inter 1s fall 30 rise 1"),
    ];
    bounds.into_iter().fold(text.to_owned(), |text, (shipped, patient)| text.replace(shipped, patient))
}

/// Every gateway before an app, with whatever listens at `gate` as its gate.
pub(super) async fn gateways(gate: SocketAddr, app: &App, change: fn(Gateway, &str) -> String) -> Vec<TestRecipe> {
    let mut starting = tokio::task::JoinSet::new();
    for gateway in Gateway::ALL {
        let app = app.address();
        starting.spawn(async move { TestRecipe::start_changed(gateway, gate, app, |text| change(gateway, text)).await.unwrap() });
    }
    starting.join_all().await
}

/// A client of a gateway, without a credential.
pub(super) fn client(recipe: &TestRecipe) -> Api {
    Api::new(format!("http://{}", recipe.http1()))
}

async fn first_key(node: &Node) -> String {
    let printed = eventually("a key", Duration::from_secs(30), async || {
        let stdout = node.process().stdout();
        let key = stdout.lines().map(str::trim).find(|line| line.starts_with("tk_"));
        key.map(str::to_owned).ok_or_else(|| anyhow::anyhow!("only {stdout:?}"))
    });
    printed.await.unwrap()
}
