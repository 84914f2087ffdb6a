//! Many keys of a few owners, a gate that knows all of them, and what it takes to hold each.

use std::{sync::Arc, time::Duration};

use serde_json::{Map, json};
use tokio::time::Instant;
use tollgate_gate::{
    config::KeyRules,
    ports::{BoxFuture, BucketError, BucketStore, BucketsHealth, Decision, Fence, LogId, Outcome, PendingOutcome},
    request::Credential,
    verdict::Verdict,
};
use tollgate_keys::{ApiKey, OwnerName, Scopes};

use crate::behaviour::support::{Ask, FakeKeys, Node, TestClock, limits, mint, options, rules};

/// Owners of them all.
const OWNERS: usize = 50;

/// A node, and the texts of keys that it can look up.
#[derive(Debug)]
pub(crate) struct Crowd {
    node: Node,
    keys: Vec<String>,
}

/// Buckets that allow everything and keep nothing.
#[derive(Debug)]
struct NoBuckets;

impl BucketStore for NoBuckets {
    fn decide(&self, _decision: Decision, _deadline: Instant) -> PendingOutcome {
        Ok(Outcome::Allowed(Vec::new())).into()
    }

    fn raise_fence(&self, _fence: Fence, _deadline: Instant) -> BoxFuture<'_, Result<Duration, BucketError>> {
        Box::pin(async { Ok(Duration::ZERO) })
    }

    fn join(&self, _log: LogId) -> BoxFuture<'_, Result<(), BucketError>> {
        Box::pin(async { Ok(()) })
    }

    fn health(&self) -> BoxFuture<'_, BucketsHealth> {
        Box::pin(async { BucketsHealth::Ok })
    }
}

/// Rules as people give them: a name and a word about it, an owner, two scopes, a limit.
fn rules_of(nth: usize) -> KeyRules {
    KeyRules {
        name: format!("service {nth} in production"),
        owner: Some(OwnerName::parse(&format!("owner-{}", nth % OWNERS)).expect("an owner")),
        scopes: Scopes::parse(["orders:read", "orders:write"]).expect("scopes"),
        limits: limits(1000, 60),
        metadata: Map::from_iter([("team".to_owned(), json!("checkout")), ("contact".to_owned(), json!("checkout@example.com"))]),
        ..rules()
    }
}

impl Crowd {
    /// So many keys, none of which the node has been shown.
    pub(crate) async fn new(count: usize) -> Self {
        let (store, clock) = (Arc::new(FakeKeys::new()), TestClock::new());
        let mut options = options();
        options.cache.count_max = count;
        (options.usage.pending_max, options.tally.keys_max) = (count, count);
        // Whatever a loop does in the meantime is not what is measured.
        options.tally.flush_interval = Duration::from_mins(1);
        let node = Node::new(store.clone(), Arc::new(NoBuckets), &clock, options);
        let mut keys = Vec::with_capacity(count);
        for nth in 0..count {
            keys.push(mint(&*store, rules_of(nth)).await.expose().to_string());
        }
        node.turn().await;
        Self { node, keys }
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Uses some keys once, each from a text of its own, as requests do.
    pub(crate) async fn use_each(&self, which: std::ops::Range<usize>) {
        self.ask_each(which, Ask::default).await;
    }

    /// Asks how some keys stand. That is a use of them, and is counted nowhere.
    #[allow(dead_code, reason = "the bench uses its part")]
    pub(crate) async fn peek_at_each(&self, which: std::ops::Range<usize>) {
        self.ask_each(which, Ask::peek).await;
    }

    async fn ask_each(&self, which: std::ops::Range<usize>, ask: fn() -> Ask) {
        for text in &self.keys[which] {
            let credential = Credential::Read(ApiKey::parse(text).expect("an api key"));
            let verdict = self.node.request(ask().with(credential)).await;
            assert!(matches!(verdict, Ok(Verdict::Allowed(_))), "{verdict:?}");
        }
    }

    /// Tells by how much for each of `count` what `bytes` tells has grown by `what` is done.
    pub(crate) async fn bytes_each(&self, count: usize, what: impl Future<Output = ()>, bytes: impl Fn() -> usize) -> usize {
        let bytes = || {
            // Figures wait in lists until somebody asks for them.
            self.hashes();
            bytes()
        };
        let before = bytes();
        what.await;
        bytes().saturating_sub(before) / count
    }

    /// Secrets that were hashed.
    pub(crate) fn hashes(&self) -> u64 {
        self.node.hashes()
    }
}
