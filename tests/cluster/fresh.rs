//! What is granted is good on every node as soon as the change has answered.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tollgate_testkit::{Fleet, eventually};

use crate::support::{Api, Cluster, NewKey};

const DAY: u64 = 86_400;
const ROUNDS: usize = 20;

async fn by_fence_alone() -> Cluster {
    Cluster::of(Fleet::builder(3).env("TOLLGATE_CHANGE_LOG__POLL_INTERVAL", "1m")).await
}

fn in_future(after: Duration) -> String {
    (OffsetDateTime::now_utc() + after).format(&Rfc3339).unwrap()
}

async fn expect_all(each: &[Api], query: &str, status: u16) {
    for api in each {
        api.authorize(query).await.expect(status);
    }
}

#[tokio::test]
async fn a_new_key_is_good_on_every_node() {
    let cluster = by_fence_alone().await;
    for round in 0..ROUNDS {
        let kind = if round % 2 == 0 { "signed" } else { "unsigned" };
        let body = json!({"kind": kind, "rate_limit": {"burst": 3, "per_seconds": DAY}});
        let key = NewKey::make(&cluster.admin_of(round), body).await;
        let each = cluster.each(&key.api_key);
        expect_all(&each, "", 200).await;
        expect_all(&each, "", 429).await;
    }
}

#[tokio::test]
async fn an_added_scope_is_good_on_every_node() {
    let cluster = by_fence_alone().await;
    for round in 0..ROUNDS {
        let key = cluster.key(json!({"scopes": ["a"], "rate_limit": {"burst": 100, "per_seconds": DAY}})).await;
        let each = cluster.each(&key.api_key);
        expect_all(&each, "scope=b", 403).await;
        key.patch(&cluster.admin_of(round), json!({"scopes": ["a", "b"]})).await;
        expect_all(&each, "scope=b", 200).await;
    }
}

#[tokio::test]
async fn a_longer_expiry_is_good_on_every_node() {
    let cluster = by_fence_alone().await;
    let make = async |end: &Value| {
        let key = cluster.key(json!({"expires_at": end, "rate_limit": {"burst": 1000, "per_seconds": DAY}})).await;
        expect_all(&cluster.each(&key.api_key), "", 200).await;
        key
    };
    // All are to be made and used within their life: three times what this machine needs for it.
    let begun = Instant::now();
    make(&json!(null)).await;
    let life = Duration::from_secs(4) + begun.elapsed() * u32::try_from(3 * ROUNDS).unwrap();
    let end = json!(in_future(life));
    let mut keys = Vec::new();
    for _ in 0..ROUNDS {
        keys.push(make(&end).await);
    }
    let (before, after) = keys.split_at(ROUNDS / 2);
    for (round, key) in before.iter().enumerate() {
        key.patch(&cluster.admin_of(round), json!({"expires_at": in_future(life * 100)})).await;
    }
    for key in after {
        for api in cluster.each(&key.api_key) {
            expired(&api, life).await;
        }
    }
    for key in before {
        expect_all(&cluster.each(&key.api_key), "", 200).await;
    }
    for (round, key) in after.iter().enumerate() {
        key.patch(&cluster.admin_of(round), json!({"expires_at": null})).await;
        expect_all(&cluster.each(&key.api_key), "", 200).await;
    }
}

/// Waits until the key has met its end, which is a matter of real time.
async fn expired(api: &Api, life: Duration) {
    eventually("the key's end", life * 5, async || {
        let status = api.authorize("").await.status;
        anyhow::ensure!(status == 401, "it answers {status}");
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn an_owners_limit_taken_back_is_gone_on_every_node() {
    let cluster = by_fence_alone().await;
    cluster.limit_owner("acme", json!({"burst": 1, "per_seconds": DAY})).await;
    let key = cluster.key(json!({"owner": "acme", "rate_limit": {"burst": 1000, "per_seconds": DAY}})).await;
    let each = cluster.each(&key.api_key);
    each[0].authorize("").await.expect(200);
    for _ in 0..ROUNDS {
        expect_all(&each, "", 429).await;
        cluster.limit_owner("acme", json!(null)).await;
        expect_all(&each, "", 200).await;
        cluster.limit_owner("acme", json!({"burst": 1, "per_seconds": DAY})).await;
        // The bucket is the same one, and its token is spent.
    }
}
