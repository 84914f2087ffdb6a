//! What is taken away is gone on every node at its next decision, and only by the fence: nobody
//! reads the change log meanwhile, and every node has the key in its cache.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;
use tokio::time::Instant;
use tollgate_testkit::Fleet;

use crate::support::{Api, Cluster, Load, Shot};

const DAY: u64 = 86_400;
const ROUNDS: usize = 20;

/// Three nodes that read the change log once a minute, the longest that can be set.
async fn by_fence_alone() -> Cluster {
    Cluster::of(Fleet::builder(3).env("TOLLGATE_CHANGE_LOG__POLL_INTERVAL", "1m")).await
}

async fn warm(each: &[Api], query: &str) {
    for api in each {
        api.authorize(query).await.expect(200);
    }
}

#[tokio::test]
async fn a_revoked_key_is_refused_by_every_node() {
    let cluster = by_fence_alone().await;
    for round in 0..ROUNDS {
        let key = cluster.limited_key(1000, DAY).await;
        let each = cluster.each(&key.api_key);
        warm(&each, "").await;
        key.revoke(&cluster.admin_of(round)).await;
        for api in &each {
            assert_eq!(api.authorize("").await.refusal(), (401, "unauthenticated".into()));
        }
        // Revoking again changes nothing and is no failure.
        key.revoke(&cluster.admin_of(round + 1)).await;
    }
}

#[tokio::test]
async fn under_load_nothing_is_admitted_after_a_revocation_has_answered() {
    let cluster = by_fence_alone().await;
    let key = cluster.key(json!({"rate_limit": null})).await;
    let each = cluster.each(&key.api_key);
    warm(&each, "").await;
    let (load, stop) = (Load::on(each.clone()).connections(24), Arc::new(AtomicBool::new(false)));
    let revoke = async {
        Load::on(each.clone()).connections(3).fire(100).await;
        key.revoke(&cluster.admin()).await;
        let revoked = Instant::now();
        Load::on(each.clone()).connections(3).fire(100).await;
        stop.store(true, Ordering::Relaxed);
        revoked
    };
    let (shots, revoked) = tokio::join!(load.fire_until_told(&stop), revoke);
    assert!(shots.iter().any(Shot::is_admitted) && shots.iter().any(|shot| shot.sent > revoked));
    for shot in &shots {
        let expected = if shot.sent > revoked { 401 } else { shot.answer.status };
        assert_eq!(shot.answer.status, expected, "admitted after the revocation");
        assert!([200, 401].contains(&shot.answer.status), "{}", shot.answer.text());
    }
}

#[tokio::test]
async fn a_removed_scope_is_missed_by_every_node() {
    let cluster = by_fence_alone().await;
    let key = cluster.key(json!({"scopes": ["a", "b"], "rate_limit": {"burst": 1000, "per_seconds": DAY}})).await;
    let each = cluster.each(&key.api_key);
    for round in 0..ROUNDS {
        warm(&each, "scope=b").await;
        key.patch(&cluster.admin_of(round), json!({"scopes": ["a"]})).await;
        for api in &each {
            assert_eq!(api.authorize("scope=b").await.refusal(), (403, "scope-missing".into()));
            assert_eq!(api.authorize("scope=a").await.expect(200).header("x-tollgate-scopes"), "a");
        }
        key.patch(&cluster.admin_of(round + 1), json!({"scopes": ["a", "b"]})).await;
    }
}

#[tokio::test]
async fn a_changed_limit_holds_on_every_node() {
    let cluster = by_fence_alone().await;
    let key = cluster.limited_key(1000, DAY).await;
    let each = cluster.each(&key.api_key);
    for round in 0..ROUNDS {
        warm(&each, "").await;
        let per_seconds = DAY + u64::try_from(round).unwrap();
        key.patch(&cluster.admin_of(round), json!({"rate_limit": {"burst": 1, "per_seconds": per_seconds}})).await;
        for api in &each {
            let answer = api.authorize("").await.expect(429);
            assert_eq!(answer.header("ratelimit-policy"), format!("\"key\";q=1;w={per_seconds}"));
        }
        let burst = 100 + u64::try_from(round).unwrap();
        key.patch(&cluster.admin_of(round + 1), json!({"rate_limit": {"burst": burst, "per_seconds": DAY}})).await;
        let debts = [1, 2, 3];
        for (api, debt) in each.iter().zip(debts) {
            let answer = api.authorize("").await.expect(200);
            assert!(answer.header("ratelimit").starts_with(&format!("\"key\";r={};", burst - debt - 1)), "{:?}", answer.headers);
        }
    }
}

#[tokio::test]
async fn an_owners_first_limit_holds_on_every_node() {
    let cluster = by_fence_alone().await;
    for round in 0..ROUNDS {
        let owner = format!("owner-{round}");
        let key = cluster.key(json!({"owner": owner, "rate_limit": {"burst": 1000, "per_seconds": DAY}})).await;
        let each = cluster.each(&key.api_key);
        warm(&each, "").await;
        cluster.limit_owner(&owner, json!({"burst": 1, "per_seconds": DAY})).await;
        let statuses = [each[0].authorize("").await.status, each[1].authorize("").await.status, each[2].authorize("").await.status];
        assert_eq!(statuses, [200, 429, 429], "one token for all keys of the owner");
        // And it can be taken back.
        cluster.limit_owner(&owner, json!(null)).await;
        warm(&each, "").await;
    }
}

#[tokio::test]
async fn a_key_made_unlimited_and_back_is_so_on_every_node() {
    let cluster = by_fence_alone().await;
    let key = cluster.limited_key(1, DAY).await;
    let each = cluster.each(&key.api_key);
    each[0].authorize("").await.expect(200);
    for round in 0..ROUNDS {
        for api in &each {
            api.authorize("").await.expect(429);
        }
        key.patch(&cluster.admin_of(round), json!({"rate_limit": null})).await;
        for api in &each {
            let answer = api.authorize("cost=1000000000").await.expect(200);
            assert!(!answer.tells_limits(), "nothing limits it: {:?}", answer.headers);
        }
        key.patch(&cluster.admin_of(round + 1), json!({"rate_limit": {"burst": 1, "per_seconds": DAY}})).await;
    }
}
