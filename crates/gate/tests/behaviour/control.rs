//! Changes of keys and owners: what they answer, and when they hold.

use serde_json::json;
use tollgate_api::{KeyStatus, RateLimitFields, RateLimitSpec};
use tollgate_gate::{
    config::{ConfigErrorKind, KeyRules},
    control::{ControlError, Operator},
    ports::SubjectKind,
};

use crate::support::{Outcomes, World, limits, operator, rules};

fn body<T: serde::de::DeserializeOwned>(json: serde_json::Value) -> T {
    serde_json::from_value(json).expect("a body")
}

fn admin() -> Operator {
    operator(None, &["admin"])
}

/// The kind and the field of a refusal.
#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, ControlError>) -> (ConfigErrorKind, String) {
    match result {
        Err(ControlError::Refused(error)) => (error.kind, error.pointer),
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_key_is_good_on_every_node_at_once() {
    let world = World::new().await;
    let other = world.other_node().await;
    let made = world.node.gate.create_key(&admin(), body(json!({ "name": "n", "owner": "acme" }))).await.expect("made");
    let key = std::sync::Arc::new(tollgate_keys::ApiKey::parse(&made.api_key.expect("shown once")).expect("an api key"));
    other.check(&key).await.allowed();
    world.node.check(&key).await.allowed();
    assert_eq!(made.key.status, KeyStatus::Active);
    assert_eq!(made.key.rate_limit, Some(RateLimitSpec::One(RateLimitFields { burst: 1000, per_seconds: 60 })), "the default");
    let read = other.gate.key(&admin(), &made.key.key_id).await.expect("found");
    assert_eq!((read.generation, read.owner.as_deref()), (made.key.generation, Some("acme")));
}

#[tokio::test(start_paused = true)]
async fn if_match_names_the_generation_to_change() {
    let world = World::new().await;
    let key = world.used_key(rules()).await;
    let (id, before) = (key.key_id.as_str(), world.keys.record(&key.key_id));
    let rename = || body(json!({ "name": "other" }));
    let wrong = world.node.gate.patch_key(&admin(), id, Some(before.generation + 1), rename()).await;
    assert_eq!(refused(wrong), (ConfigErrorKind::GenerationMismatch, String::new()));
    assert_eq!((world.keys.record(&key.key_id), world.buckets.fences().len()), (before.clone(), 0));
    let changed = world.node.gate.patch_key(&admin(), id, Some(before.generation), rename()).await.expect("changed");
    assert_eq!((changed.name.as_str(), changed.generation > before.generation, changed.propagated), ("other", true, Some(true)));
    let late = world.node.gate.patch_key(&admin(), id, Some(before.generation), rename()).await;
    assert_eq!(refused(late).0, ConfigErrorKind::GenerationMismatch, "the second of two who read the same");
}

#[tokio::test(start_paused = true)]
async fn every_field_changes_alone() {
    let world = World::new().await;
    let key = world.used_key(KeyRules { owner: Some(tollgate_keys::OwnerName::parse("acme").expect("an owner")), ..rules() }).await;
    let before = world.keys.record(&key.key_id);
    let end = json!({ "expires_at": "2030-01-01T00:00:00Z" });
    for patch in [json!({ "name": "x" }), json!({ "scopes": ["a"] }), json!({ "rate_limit": null }), end, json!({ "metadata": { "a": 1 } })]
    {
        world.node.gate.patch_key(&admin(), key.key_id.as_str(), None, body(patch)).await.expect("changed");
    }
    let after = world.keys.record(&key.key_id);
    assert_eq!((after.name.as_str(), after.limits.is_unlimited(), after.metadata.len()), ("x", true, 1));
    assert_eq!((after.scopes.to_string().as_str(), after.lifecycle.expires_at_ms), ("a", Some(1_893_456_000_000)));
    assert_eq!((&after.key_id, &after.owner, &after.secrets, after.kind), (&before.key_id, &before.owner, &before.secrets, before.kind));
    assert_eq!(after.generation, before.generation + 5);
}

#[tokio::test(start_paused = true)]
async fn revoking_again_changes_nothing() {
    let world = World::new().await;
    let key = world.used_key(rules()).await;
    let revoke = async |reason: &str| world.node.gate.revoke_key(&admin(), key.key_id.as_str(), body(json!({ "reason": reason }))).await;
    let first = revoke("leaked").await.expect("revoked");
    assert_eq!((first.status, first.revoke_reason.as_deref(), first.propagated), (KeyStatus::Revoked, Some("leaked"), Some(true)));
    let again = revoke("again").await.expect("no change");
    assert_eq!((again.generation, again.revoke_reason.as_deref(), again.revoked_at), (first.generation, Some("leaked"), first.revoked_at));
    assert!(world.buckets.fences().iter().all(|fence| fence.revoked && fence.generation == first.generation));
}

#[tokio::test(start_paused = true)]
async fn a_revoked_key_never_changes_again() {
    let world = World::new().await;
    let key = world.used_key(rules()).await;
    let id = key.key_id.as_str();
    world.node.gate.revoke_key(&admin(), id, body(json!({}))).await.expect("revoked");
    let revoked = world.keys.record(&key.key_id);
    for patch in [json!({ "name": "x" }), json!({ "scopes": [] }), json!({})] {
        assert_eq!(refused(world.node.gate.patch_key(&admin(), id, None, body(patch)).await).0, ConfigErrorKind::Conflict);
    }
    assert_eq!(world.keys.record(&key.key_id), revoked);
}

#[tokio::test(start_paused = true)]
async fn a_change_without_its_fence_says_so_and_a_repeat_makes_it_good() {
    let world = World::new().await;
    let key = world.used_key(rules()).await;
    let id = key.key_id.as_str();
    let patch = async || world.node.gate.patch_key(&admin(), id, None, body(json!({ "name": "x" }))).await;
    world.buckets.go_down();
    let first = patch().await.expect("stands");
    assert_eq!(first.propagated, Some(false));
    world.buckets.set_down(None);
    let again = patch().await.expect("stands");
    assert_eq!((again.propagated, again.generation), (Some(true), first.generation), "no other change");
    let fence = world.buckets.fences().pop().expect("a fence");
    assert_eq!((fence.kind, &*fence.id, &*fence.placed_by, fence.generation), (SubjectKind::Key, id, id, first.generation));
    world.buckets.go_down();
    let revoke = async || world.node.gate.revoke_key(&admin(), id, body(json!({}))).await;
    assert_eq!(revoke().await.expect("stands").propagated, Some(false));
    world.buckets.set_down(None);
    assert_eq!(revoke().await.expect("stands").propagated, Some(true));
}

#[tokio::test(start_paused = true)]
async fn an_owners_limit_is_set_and_taken_away() {
    let world = World::new().await;
    assert_eq!(world.node.gate.owner(&admin(), "acme").await, Err(ControlError::NotFound), "neither keys nor rules");
    let put = async |limit: serde_json::Value| world.node.gate.put_owner(&admin(), "acme", body(json!({ "rate_limit": limit }))).await;
    let first = put(json!({ "burst": 5, "per_seconds": 60 })).await.expect("put");
    assert_eq!((first.generation, first.propagated), (1, Some(true)));
    let none = put(json!(null)).await.expect("put");
    assert_eq!((none.rate_limit, none.generation), (None, 2));
    let fences: Vec<_> = world.buckets.fences().iter().map(|fence| (fence.kind, fence.id.to_string(), fence.generation)).collect();
    assert_eq!(fences, [(SubjectKind::Owner, "acme".to_owned(), 1), (SubjectKind::Owner, "acme".to_owned(), 2)]);
    assert_eq!(refused(world.node.gate.put_owner(&admin(), "Not A Name", body(json!({ "rate_limit": null }))).await).1, "/owner");
}

#[tokio::test(start_paused = true)]
async fn a_key_store_that_is_down_refuses_no_change_it_cannot_judge() {
    let world = World::new().await;
    let key = world.used_key(KeyRules { limits: limits(5, 60), ..rules() }).await;
    world.keys.set_down(true);
    let (gate, id) = (&world.node.gate, key.key_id.as_str());
    let unavailable = |result: Result<(), ControlError>| assert!(matches!(result, Err(ControlError::Unavailable(_))), "{result:?}");
    unavailable(gate.create_key(&admin(), body(json!({ "name": "n" }))).await.map(drop));
    unavailable(gate.patch_key(&admin(), id, None, body(json!({ "name": "n" }))).await.map(drop));
    unavailable(gate.revoke_key(&admin(), id, body(json!({}))).await.map(drop));
    unavailable(gate.put_owner(&admin(), "acme", body(json!({ "rate_limit": null }))).await.map(drop));
    unavailable(gate.key(&admin(), id).await.map(drop));
    unavailable(gate.list_keys(&admin(), tollgate_gate::control::ListKeys::default()).await.map(drop));
    assert!(world.buckets.fences().is_empty());
}

#[tokio::test(start_paused = true)]
async fn ids_that_name_no_key_are_not_found() {
    let world = World::new().await;
    for id in ["", "tk_", "nope", "tk_00000000000000000000000000", "a/b", "ä"] {
        assert_eq!(world.node.gate.key(&admin(), id).await, Err(ControlError::NotFound), "{id:?}");
        assert_eq!(world.node.gate.revoke_key(&admin(), id, body(json!({}))).await, Err(ControlError::NotFound), "{id:?}");
        assert_eq!(world.node.gate.patch_key(&admin(), id, None, body(json!({}))).await, Err(ControlError::NotFound), "{id:?}");
    }
}
