//! A fence that has moved: the record is read again, once, and the request goes by what it says.

use std::sync::Arc;

use tollgate_gate::{
    config::KeyRules,
    ports::{ChangeKind, Outcome},
    verdict::{Denial, Unauthenticated},
};
use tollgate_keys::{OwnerName, Scopes, SecretHashes, hash_secret};
use tollgate_limits::RateLimits;

use crate::support::{Ask, Outcomes, World, limits, operator, options, rules};

fn scopes(texts: &[&str]) -> Scopes {
    Scopes::parse(texts.iter().copied()).expect("scopes")
}

fn body<T: serde::de::DeserializeOwned>(json: serde_json::Value) -> T {
    serde_json::from_value(json).expect("a body")
}

#[tokio::test(start_paused = true)]
async fn a_scope_taken_away_holds_at_the_next_decision() {
    let world = World::new().await;
    let key = world.used_key(KeyRules { scopes: scopes(&["orders:read"]), ..rules() }).await;
    world.node.ask(&key, Ask::scope("orders:read")).await.allowed();
    let other = world.other_node().await;
    let admin = operator(None, &["admin"]);
    let patched =
        other.gate.patch_key(&admin, key.key_id.as_str(), None, body(serde_json::json!({ "scopes": [] }))).await.expect("patched");
    assert_eq!(patched.propagated, Some(true));
    let denial = world.node.ask(&key, Ask::scope("orders:read")).await.denied();
    assert!(matches!(denial, Denial::ScopeMissing { scope, .. } if scope.as_str() == "orders:read"));
    assert_eq!((world.keys.finds(), world.node.hashes()), (2, 1), "read again, not hashed again");
    world.node.check(&key).await.allowed();
}

#[tokio::test(start_paused = true)]
async fn a_changed_limit_holds_at_the_next_decision() {
    let world = World::new().await;
    let key = world.used_key(KeyRules { limits: limits(100, 60), ..rules() }).await;
    let other = world.other_node().await;
    let admin = operator(None, &["admin"]);
    let patch = serde_json::json!({ "rate_limit": { "burst": 1, "per_seconds": 60 } });
    other.gate.patch_key(&admin, key.key_id.as_str(), None, body(patch)).await.expect("patched");
    let standings = world.node.check(&key).await.limited().standings;
    assert_eq!(standings[0].named.limit.burst(), 1, "one of a hundred was spent: as a debt it is one of one");
    let patch = serde_json::json!({ "rate_limit": null });
    other.gate.patch_key(&admin, key.key_id.as_str(), None, body(patch)).await.expect("patched");
    assert!(world.node.check(&key).await.allowed().standings.is_empty(), "unlimited");
    let patch = serde_json::json!({ "rate_limit": { "burst": 5, "per_seconds": 60 } });
    other.gate.patch_key(&admin, key.key_id.as_str(), None, body(patch)).await.expect("patched");
    assert_eq!(world.node.check(&key).await.allowed().standings[0].named.limit.burst(), 5, "and back");
}

#[tokio::test(start_paused = true)]
async fn an_owners_first_limit_holds_at_the_next_decision() {
    let world = World::new().await;
    let owner = OwnerName::parse("acme").expect("an owner");
    let key = world.used_key(KeyRules { owner: Some(owner), ..rules() }).await;
    let other = world.other_node().await;
    let put = serde_json::json!({ "rate_limit": { "burst": 1, "per_seconds": 60 } });
    other.gate.put_owner(&operator(None, &["admin"]), "acme", body(put)).await.expect("put");
    let standings = world.node.check(&key).await.allowed().standings;
    assert_eq!(standings.iter().map(|standing| standing.named.limit.burst()).collect::<Vec<_>>(), [1000, 1]);
    let limited = world.node.check(&key).await.limited().standings;
    assert_eq!(limited.len(), 2);
    assert_eq!(world.node.hashes(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_revoked_key_is_refused_at_the_next_decision() {
    let world = World::new().await;
    let key = world.used_key(KeyRules { limits: RateLimits::unlimited(), ..rules() }).await;
    let other = world.other_node().await;
    other.gate.revoke_key(&operator(None, &["admin"]), key.key_id.as_str(), body(serde_json::json!({}))).await.expect("revoked");
    for _ in 0..2 {
        assert_eq!(world.node.check(&key).await.unauthenticated(), Unauthenticated::Revoked);
    }
    assert_eq!(world.node.auth("revoked"), 2);
}

#[tokio::test(start_paused = true)]
async fn an_old_secret_is_refused_once_the_fence_has_moved() {
    let world = World::new().await;
    let old = world.used_key(rules()).await;
    let new = Arc::new(world.keys.signed(&old.key_id));
    let hash = hash_secret(&options().hashing.params, &new.secret).expect("hashed");
    world.keys.edit(&old.key_id, ChangeKind::Rotated, |record| record.secrets = SecretHashes::only(hash));
    world.buckets.tell([Outcome::Stale]);
    assert_eq!(world.node.check(&old).await.unauthenticated(), Unauthenticated::BadSecret);
    world.node.check(&new).await.allowed();
    assert_eq!(world.node.hashes(), 3, "the first use, the old secret against the new hash, the new secret");
}

#[tokio::test(start_paused = true)]
async fn stale_twice_is_unavailable() {
    let world = World::new().await;
    let key = world.used_key(rules()).await;
    let (finds, asked) = (world.keys.finds(), world.buckets.asked());
    world.buckets.tell([Outcome::Stale, Outcome::Stale]);
    assert!(world.node.check(&key).await.unavailable().contains("ahead of the key store"));
    // The third question charges nothing: it is whether the fence really is ahead, and it is not.
    assert_eq!((world.keys.finds(), world.buckets.asked(), world.node.hashes()), (finds + 1, asked + 3, 1));
    assert_eq!(world.buckets.peeks(), 1);
    world.node.check(&key).await.allowed();
}

#[tokio::test(start_paused = true)]
async fn stale_while_the_key_store_is_down_is_unavailable() {
    let world = World::new().await;
    let key = world.used_key(rules()).await;
    world.buckets.tell([Outcome::Stale]);
    world.keys.set_down(true);
    assert!(world.node.check(&key).await.unavailable().contains("key store"));
}

#[tokio::test(start_paused = true)]
async fn a_stale_peek_goes_the_same_way() {
    let world = World::new().await;
    let key = world.used_key(rules()).await;
    world.keys.edit(&key.key_id, ChangeKind::Updated, |record| record.limits = limits(7, 60));
    world.buckets.tell([Outcome::Stale]);
    assert_eq!(world.node.ask(&key, Ask::peek()).await.allowed().standings[0].named.limit.burst(), 7);
    assert_eq!(world.buckets.peeks(), 2);
}
