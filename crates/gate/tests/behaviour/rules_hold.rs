//! Two nodes over one key file and one server of buckets: once a change has answered, no request
//! on either node is decided by older rules, whatever else goes on at the same time.

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use proptest::{collection::vec, prelude::*, test_runner::TestRunner};
use serde_json::{Value, json};
use tokio::{sync::Mutex, task::JoinSet};
use tollgate_embedded::{KeyFile, KeyFileRetention};
use tollgate_gate::{
    config::KeyRules,
    ports::SubjectKind,
    request::SharedKey,
    verdict::{Unauthenticated, Verdict},
};
use tollgate_keys::OwnerName;

use crate::support::{FakeBuckets, Node, Outcomes, TestClock, limits, mint, operator, options, rules};

#[derive(Debug, Clone, Copy)]
enum Act {
    /// Changes the key's limit by this node.
    ChangeKey(usize),
    /// Changes the owner's limit by this node.
    ChangeOwner(usize),
    /// Three requests on this node.
    Ask(usize),
    /// This node reads the change log.
    Follow(usize),
    /// All that goes on comes to its end.
    Settle,
    /// The server of the buckets is flushed.
    Flush,
    /// This node is connected to the server anew.
    Reconnect(usize),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let node = || 0..2_usize;
    let act = prop_oneof![
        3 => node().prop_map(Act::ChangeKey),
        2 => node().prop_map(Act::ChangeOwner),
        8 => node().prop_map(Act::Ask),
        2 => node().prop_map(Act::Follow),
        2 => Just(Act::Settle),
        1 => Just(Act::Flush),
        1 => node().prop_map(Act::Reconnect),
    ];
    vec(act, 1..40)
}

/// Versions of one subject's rules: a burst of `BURST + n` is version `n`.
#[derive(Debug, Default)]
struct Versions {
    /// The last one written; changes go one after the other, so that versions rise as positions do.
    written: Mutex<u64>,
    /// The last one whose change has answered.
    answered: AtomicU64,
}

const BURST: u64 = 1_000_000;

fn body(burst: u64) -> Value {
    json!({ "rate_limit": { "burst": burst, "per_seconds": 60 } })
}

/// One history.
struct History {
    nodes: [Node; 2],
    buckets: [Arc<FakeBuckets>; 2],
    key: SharedKey,
    owner: String,
    of_key: Versions,
    of_owner: Versions,
}

impl History {
    async fn change_key(&self, node: usize) {
        let mut written = self.of_key.written.lock().await;
        *written += 1;
        let patch = serde_json::from_value(body(BURST + *written)).expect("a body");
        let changed = self.nodes[node].gate.patch_key(&operator(None, &["admin"]), self.key.key_id.as_str(), None, patch).await;
        // Without its fence a change holds when the log has been read, not before.
        if changed.expect("changed").propagated == Some(true) {
            self.of_key.answered.store(*written, Ordering::SeqCst);
        }
    }

    async fn change_owner(&self, node: usize) {
        let mut written = self.of_owner.written.lock().await;
        *written += 1;
        let put = serde_json::from_value(body(BURST + *written)).expect("a body");
        let changed = self.nodes[node].gate.put_owner(&operator(None, &["admin"]), &self.owner, put).await;
        if changed.expect("changed").propagated == Some(true) {
            self.of_owner.answered.store(*written, Ordering::SeqCst);
        }
    }

    async fn ask(&self, node: usize) {
        let least = [&self.of_key, &self.of_owner].map(|versions| versions.answered.load(Ordering::SeqCst));
        match self.nodes[node].check(&self.key).await {
            Ok(Verdict::Allowed(passed)) => {
                let seen = [SubjectKind::Key, SubjectKind::Owner].map(|kind| {
                    let of_kind = passed.standings.iter().find(|standing| standing.kind == kind);
                    of_kind.map_or(0, |standing| u64::from(standing.named.limit.burst()) - BURST)
                });
                assert!(seen[0] >= least[0] && seen[1] >= least[1], "decided by {seen:?} after {least:?} had answered");
            }
            Ok(other) => panic!("{other:?}"),
            // Two changes between a reading and its decision: nobody can say, so nobody says.
            Err(error) => {
                let reason = error.to_string();
                assert!(reason.contains("ahead of the key store") || reason.contains("lost its state"), "{reason}");
            }
        }
    }
}

async fn history(keys: Arc<KeyFile>, number: usize, acts: Vec<Act>) {
    let clock = TestClock::new();
    let first = Arc::new(FakeBuckets::new(clock.micros()));
    let buckets = [first.clone(), Arc::new(first.beside())];
    let nodes = buckets.clone().map(|buckets| Node::new(keys.clone(), buckets, &clock, options()));
    let owner = format!("owner-{number}");
    let rules = KeyRules { owner: Some(OwnerName::parse(&owner).expect("an owner")), limits: limits(BURST, 60), ..rules() };
    let key = mint(&*keys, rules).await;
    let history = Arc::new(History { nodes, buckets, key, owner, of_key: Versions::default(), of_owner: Versions::default() });
    let mut going_on = JoinSet::new();
    for act in acts {
        let history = history.clone();
        match act {
            Act::ChangeKey(node) => drop(going_on.spawn(async move { history.change_key(node).await })),
            Act::ChangeOwner(node) => drop(going_on.spawn(async move { history.change_owner(node).await })),
            Act::Follow(node) => drop(going_on.spawn(async move { history.nodes[node].turn().await })),
            Act::Ask(node) => {
                for _ in 0..3 {
                    let history = history.clone();
                    going_on.spawn(async move { history.ask(node).await });
                }
            }
            Act::Settle => while_any(&mut going_on).await,
            Act::Flush => history.buckets[0].lose_state(),
            Act::Reconnect(node) => history.buckets[node].fail_over(),
        }
    }
    while_any(&mut going_on).await;
    ends_in_revocation(&history).await;
}

async fn while_any(going_on: &mut JoinSet<()>) {
    while let Some(done) = going_on.join_next().await {
        done.expect("no panic");
    }
}

async fn ends_in_revocation(history: &History) {
    for node in &history.nodes {
        node.turn().await;
        node.check(&history.key).await.allowed();
    }
    let empty = serde_json::from_str("{}").expect("a body");
    let revoked = history.nodes[0].gate.revoke_key(&operator(None, &["admin"]), history.key.key_id.as_str(), empty).await.expect("revoked");
    assert_eq!(revoked.propagated, Some(true));
    for node in &history.nodes {
        assert_eq!(node.check(&history.key).await.unauthenticated(), Unauthenticated::Revoked);
    }
}

#[test]
fn no_request_is_decided_by_older_rules_than_have_answered() {
    let directory = tempfile::tempdir().expect("a directory");
    let keys = Arc::new(KeyFile::open(directory.path(), KeyFileRetention::default()).expect("a key file"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime");
    let config = ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() };
    let number = AtomicUsize::new(0);
    let run = TestRunner::new(config).run(&acts(), |acts| {
        runtime.block_on(history(keys.clone(), number.fetch_add(1, Ordering::SeqCst), acts));
        Ok(())
    });
    run.expect("holds");
}
