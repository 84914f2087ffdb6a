//! Floods of wrong keys: what they cost, and that nobody else pays for them.

use std::{net::SocketAddr, sync::Arc};

use serde_json::json;
use tokio::task::JoinSet;
use tollgate_testkit::{Fleet, Node};

use crate::support::{Answer, Api, Cluster, Wire, metric};

const ADDRESS_BURST: &str = "TOLLGATE_PREAUTH__ADDRESS__BURST";
const TEXT_BURST: &str = "TOLLGATE_PREAUTH__KEY_TEXT__BURST";
const HASHES: &str = "tollgate_argon2_duration_seconds_count";
const LOOKUPS: &str = "tollgate_postgres_lookups_total";

/// A fleet with the budgets of the settings' defaults.
fn guarded(nodes: usize) -> tollgate_testkit::FleetBuilder {
    Fleet::builder(nodes).without(ADDRESS_BURST).without(TEXT_BURST)
}

#[track_caller]
fn told_to_wait(answer: &Answer) {
    assert_eq!(answer.refusal(), (429, "abnormal-usage-detected".into()));
    assert!(!answer.tells_limits(), "nobody was authenticated");
}

/// Another text at every call: the same length, other characters.
fn spoiled(secret: &str, number: usize) -> String {
    let (head, tail) = secret.split_at(8);
    let digits = format!("{number:06}");
    format!("{head}{digits}{}", &tail[digits.len()..])
}

/// Wrong keys of every kind, `count` of them, no two the same.
struct Wrong {
    signed: String,
    unsigned: String,
    revoked: String,
}

impl Wrong {
    async fn of(cluster: &Cluster) -> Self {
        let revoked = cluster.key(json!({})).await;
        revoked.revoke(&cluster.admin()).await;
        let (signed, unsigned) = (cluster.key(json!({})).await, cluster.key(json!({"kind": "unsigned"})).await);
        Self { signed: signed.api_key, unsigned: unsigned.api_key, revoked: revoked.api_key }
    }

    fn text(&self, number: usize) -> String {
        let (signed_id, signed) = self.signed.split_once(':').expect("an api key");
        let (unsigned_id, unsigned) = self.unsigned.split_once(':').expect("an api key");
        match number % 6 {
            // Of this length, but with a checksum and a tag that no secret has.
            0 => format!("{signed_id}:{}", spoiled(signed, number)),
            // Any form, any id.
            1 => format!("{unsigned_id}:guess-{number}"),
            2 => format!("{signed_id}:guess-{number}"),
            3 => format!("nobody-{number}:guess"),
            4 => self.revoked.clone(),
            _ => format!("{unsigned_id}:{}", spoiled(unsigned, number)),
        }
    }
}

/// Shows `count` wrong keys to the nodes over several connections.
async fn flood(apis: &[Api], wrong: &Arc<Wrong>, count: usize) -> Vec<u16> {
    let mut gunners = JoinSet::new();
    for gunner in 0..16 {
        let (api, wrong) = (apis[gunner % apis.len()].apart(), Arc::clone(wrong));
        gunners.spawn(async move {
            let mut statuses = Vec::new();
            for number in (gunner..count).step_by(16) {
                statuses.push(api.with(&wrong.text(number)).authorize("").await.status);
            }
            statuses
        });
    }
    gunners.join_all().await.into_iter().flatten().collect()
}

/// Resident memory in KiB.
fn resident_kib(node: &Node) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.process().id())).expect("the node runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a figure");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_wrong_keys_costs_the_stores_no_more_than_the_budget_and_the_rightful_nothing() {
    let cluster = Cluster::of(guarded(2)).await;
    let wrong = Arc::new(Wrong::of(&cluster).await);
    let (used, unsigned) = (cluster.key(json!({})).await, cluster.key(json!({"kind": "unsigned"})).await);
    let apis = [cluster.node(0), cluster.node(1)];
    for api in cluster.each(&used.api_key).iter().chain(&cluster.each(&unsigned.api_key)) {
        api.authorize("").await.expect(200);
    }
    flood(&apis, &wrong, 1000).await;
    let (lookups, hashes) = (cluster.counted(LOOKUPS).await, cluster.counted(HASHES).await);
    let before: Vec<u64> = cluster.fleet.nodes.iter().map(resident_kib).collect();
    let flooding = tokio::spawn({
        let (apis, wrong) = (apis.clone(), Arc::clone(&wrong));
        async move { flood(&apis, &wrong, 12_000).await }
    });
    let mut first_uses = 0;
    while !flooding.is_finished() {
        let fresh = cluster.key(json!({})).await;
        for key in [&fresh.api_key, &used.api_key, &unsigned.api_key] {
            for api in cluster.each(key) {
                api.authorize("").await.expect(200);
            }
        }
        first_uses += 1;
    }
    let statuses = flooding.await.unwrap();
    assert!(first_uses > 3, "the flood was over at once");
    assert!(statuses.iter().all(|status| matches!(status, 401 | 429)), "{statuses:?}");
    let looked_up = cluster.counted(LOOKUPS).await - lookups;
    assert!(looked_up <= 2 * first_uses + 2 * 200, "{looked_up} look-ups, {first_uses} keys used for the first time");
    let more = cluster.counted(HASHES).await - hashes;
    assert!(more <= 2 * first_uses + 2 * 2 * 20, "{more} hashes");
    for (node, before) in cluster.fleet.nodes.iter().zip(before) {
        let grown = resident_kib(node).saturating_sub(before);
        assert!(grown < 16 * 1024, "{grown} KiB more than before");
        assert!(metric(node, "api_auth_total{outcome=\"preauth_limited\"}").await > 1000);
    }
}

#[tokio::test]
async fn wrong_secrets_change_nothing_for_whom_they_are_aimed_at() {
    let cluster = Cluster::start(1).await;
    let key = cluster.limited_key(10, 2_678_400).await;
    let victim = cluster.node(0).with(&key.api_key);
    victim.authorize("").await.expect(200);
    let before = victim.peek().await.remaining;
    assert_eq!(before, Some(9));
    for guess in ["hunter2".to_owned(), key.api_key.split_once(':').unwrap().1.to_uppercase()] {
        for target in ["/v1/authorize", "/v1/authorize?cost=10", "/v1/authorize?scope=x"] {
            let answer = cluster.node(0).with(&format!("{}:{guess}", key.key_id)).get(target).send().await.expect(401);
            assert!(!answer.tells_limits() && !answer.text().contains(&key.key_id), "{target}: {}", answer.text());
        }
    }
    assert_eq!(victim.peek().await.remaining, before);
}

/// A request of somebody else's, as a proxy passes it on.
async fn forwarded(address: SocketAddr, client: &str, api_key: &str) -> Answer {
    let lines = [format!("x-forwarded-for: {client}"), format!("authorization: Bearer {api_key}")];
    Wire::ask(address, "GET /v1/authorize", &lines, "").await
}

#[tokio::test]
async fn clients_behind_a_trusted_proxy_have_budgets_of_their_own() {
    let trusting = guarded(1).env(ADDRESS_BURST, "3").env("TOLLGATE_TRUSTED_PROXIES", "127.0.0.0/8");
    let cluster = Cluster::of(trusting).await;
    let (address, mut number) = (cluster.fleet.node(0).unwrap().address(), 0);
    let mut ask = async |client: &str| {
        number += 1;
        forwarded(address, client, &format!("nobody-{number}:guess")).await
    };
    for client in ["192.0.2.1", "2001:db8:0:1::1"] {
        for _ in 0..3 {
            ask(client).await.expect(401);
        }
        told_to_wait(&ask(client).await);
        // What the client itself wrote stands to the left.
        told_to_wait(&ask(&format!("198.51.100.7, {client}")).await);
    }
    told_to_wait(&ask("2001:db8:0:1:ffff::9").await);
    ask("2001:db8:0:2::1").await.expect(401);
    ask("192.0.2.2").await.expect(401);
}

#[tokio::test]
async fn a_header_of_an_untrusted_peer_is_no_way_around_the_budget() {
    let cluster = Cluster::of(guarded(1).env(ADDRESS_BURST, "3")).await;
    let address = cluster.fleet.node(0).unwrap().address();
    for number in 0..3 {
        forwarded(address, &format!("192.0.2.{number}"), &format!("nobody-{number}:guess")).await.expect(401);
    }
    told_to_wait(&forwarded(address, "198.51.100.1", "nobody:guess").await);
    // Whoever shows nothing, or a good key, is answered as ever.
    Wire::ask(address, "GET /v1/authorize", &[], "").await.expect(401);
    cluster.admin().authorize("").await.expect(200);
}
