//! T46: a fleet goes to another version and back again, one node at a time, while it serves.
//!
//! The version before is the binary that `TOLLGATE_BEFORE_BIN` names, on the schema that this one has migrated, as the book
//! says (`docs/src/upgrades.md`). `.ci/upgrade` builds it from an earlier revision; where there is none it is this version too,
//! and what is shown is that nodes are restarted one after the other without an error.

use std::time::Instant;

use serde_json::json;
use tollgate_testkit::{Build, Fleet, Node};

use super::{PERIOD, SOON, tally::Running, until};
use crate::support::{Api, Cluster, Load, NewKey, metric};

const PLENTY: u64 = 1_000_000;
/// Spent half by one version, the rest by another.
const BURST: u64 = 8;
/// Decisions of a node between two that are replaced.
const MEANWHILE: u64 = 100;
const NODES: usize = 3;
const CONNECTIONS: usize = 4;
const DECIDED: &str = "tollgate_decisions_total{";

/// What one version has made and the other goes on with.
#[derive(Debug)]
struct Kept {
    spent: NewKey,
    half: NewKey,
    revoked: NewKey,
    /// By its owner's limit.
    capped: NewKey,
}

impl Kept {
    /// By these nodes, of whichever version.
    async fn make(cluster: &Cluster, owner: &str) -> Self {
        cluster.limit_owner(owner, json!({"burst": BURST / 2, "per_seconds": PERIOD})).await;
        let capped = cluster.key(json!({"owner": owner, "rate_limit": {"burst": PLENTY, "per_seconds": PERIOD}})).await;
        let mut keys = Vec::new();
        for _ in 0..3 {
            keys.push(cluster.limited_key(BURST, PERIOD).await);
        }
        let [spent, half, revoked] = keys.try_into().expect("three keys");
        for (key, count) in [(&spent, BURST), (&half, BURST / 2), (&revoked, 1), (&capped, BURST / 2)] {
            for number in 0..count {
                let node = cluster.node(usize::try_from(number).unwrap());
                node.with(&key.api_key).authorize("").await.expect(200);
            }
        }
        revoked.revoke(&cluster.admin()).await;
        Self { spent, half, revoked, capped }
    }

    /// As one node sees it, whatever version it is of.
    async fn holds_at(&self, node: &Api) {
        node.with(&self.spent.api_key).authorize("").await.expect(429);
        node.with(&self.capped.api_key).authorize("").await.expect(429);
        node.with(&self.revoked.api_key).authorize("").await.expect(401);
        assert_eq!(node.with(&self.half.api_key).peek().await.remaining, Some(BURST / 2));
    }
}

/// A change at one node holds at all others at once, whatever version each is of.
async fn a_change_holds_everywhere(cluster: &Cluster, at: usize) {
    let admin = cluster.admin_of(at);
    let key = NewKey::make(&admin, json!({"rate_limit": {"burst": 3, "per_seconds": PERIOD}})).await;
    for (number, api) in cluster.each(&key.api_key).iter().enumerate() {
        assert_eq!(api.authorize("").await.status, 200, "node {number}, of a key that node {at} has made");
    }
    assert_eq!(cluster.node(at).with(&key.api_key).authorize("").await.status, 429);
    let record = key.patch(&admin, json!({"rate_limit": {"burst": 5, "per_seconds": PERIOD}})).await;
    assert_eq!(record["rate_limit"]["burst"], 5);
    for (number, api) in cluster.each(&key.api_key).iter().enumerate() {
        assert_eq!(api.peek().await.remaining, Some(2), "node {number}, of a limit that node {at} has raised");
    }
    key.revoke(&admin).await;
    for (number, api) in cluster.each(&key.api_key).iter().enumerate() {
        assert_eq!(api.authorize("").await.status, 401, "node {number}, of a key that node {at} has revoked");
    }
}

/// The balancer sends to this node again: the next one may go.
async fn decides(node: &Node) {
    let before = metric(node, DECIDED).await;
    until("the balancer comes back", SOON, async || Ok(metric(node, DECIDED).await >= before + MEANWHILE)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_goes_to_another_version_and_back_without_an_error_and_without_a_token_more() {
    let builder = Fleet::builder(NODES).build(Build::Before).env("TOLLGATE_SHUTDOWN__DRAIN_DELAY", "1s");
    let mut cluster = Cluster::of(builder).await;
    let nginx = cluster.fleet.balancer().await.unwrap();
    let balancer = Api::new(nginx.url());
    let begun = Instant::now();
    let plenty = cluster.limited_key(PLENTY, PERIOD).await;
    let load = Running::start(Load::on(vec![balancer.with(&plenty.api_key)]).connections(CONNECTIONS));
    let mut kept = vec![Kept::make(&cluster, "before").await];
    for (build, owner) in [(Build::Debug, "after"), (Build::Before, "before-again")] {
        for replaced in 0..NODES {
            let node = &mut cluster.fleet.nodes[replaced];
            assert_eq!(node.stop().await.unwrap().code(), Some(0), "{}", node.process().log_tail());
            node.start_again_as(build).await.unwrap();
            for state in &kept {
                state.holds_at(&cluster.node(replaced)).await;
            }
            a_change_holds_everywhere(&cluster, replaced).await;
            decides(&cluster.fleet.nodes[replaced]).await;
        }
        kept.push(Kept::make(&cluster, owner).await);
    }
    let tally = load.stop().await;
    assert!(tally.admitted == tally.attempts && tally.attempts >= MEANWHILE, "{tally:?}");
    // The balancer asks again where a node that ends gives no answer; and one token comes back every PERIOD / PLENTY seconds.
    let charged = PLENTY - cluster.node(0).with(&plenty.api_key).peek().await.remaining.expect("a limit");
    let back = begun.elapsed().as_secs() * PLENTY / PERIOD + 1;
    let asked_again = (CONNECTIONS * NODES * 2) as u64;
    assert!(
        (tally.admitted.saturating_sub(back)..=tally.attempts + asked_again).contains(&charged),
        "{charged} charged, {back} came back, {tally:?}"
    );
    println!("{} requests, none failed; {charged} tokens charged, and at most {back} came back", tally.attempts);
}
