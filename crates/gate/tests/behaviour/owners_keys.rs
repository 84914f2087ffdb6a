//! The end of all keys of an owner.

use std::time::Duration;

use serde_json::{Value, json};
use tollgate_gate::{
    Clock as _,
    config::KeyRules,
    control::{ControlError, Operator},
    ports::ChangeKind,
    record::Revocation,
    verdict::Unauthenticated,
};
use tollgate_keys::{OwnerName, Status};

use crate::support::{Outcomes, World, operator, rules};

fn body<T: serde::de::DeserializeOwned>(json: Value) -> T {
    serde_json::from_value(json).expect("a body")
}

fn admin() -> Operator {
    operator(None, &["admin"])
}

fn of(owner: &str) -> KeyRules {
    KeyRules { owner: Some(OwnerName::parse(owner).expect("an owner")), ..rules() }
}

#[tokio::test(start_paused = true)]
async fn all_keys_of_an_owner_end_together_and_nobody_elses() {
    let world = World::new().await;
    let other = world.other_node().await;
    let mut theirs = Vec::new();
    for _ in 0..7 {
        theirs.push(world.used_key(of("a")).await);
        other.check(&theirs[theirs.len() - 1]).await.allowed();
    }
    let (foreign, nobodys) = (world.used_key(of("b")).await, world.used_key(rules()).await);
    let revoke = async |who: Operator| world.node.gate.revoke_keys_of(&who, "a", body(json!({ "reason": "breach" }))).await;
    let told = revoke(admin()).await.expect("revoked");
    assert_eq!((told.owner.as_str(), told.revoked, told.propagated), ("a", 7, true));
    for key in &theirs {
        for node in [&world.node, &other] {
            assert_eq!(node.check(key).await.unauthenticated(), Unauthenticated::Revoked);
        }
        assert_eq!(world.keys.record(&key.key_id).revoked.expect("revoked").reason.as_deref(), Some("breach"));
    }
    for key in [&foreign, &nobodys] {
        other.check(key).await.allowed();
    }
    assert_eq!(revoke(admin()).await.expect("none is left").revoked, 0);
    let again = world.used_key(of("a")).await;
    assert_eq!(revoke(operator(Some("a"), &["keys:write"])).await.expect("his own").revoked, 1);
    world.node.check(&again).await.denied();
    let of_nobody = world.node.gate.revoke_keys_of(&admin(), "c", body(json!({}))).await;
    assert_eq!(of_nobody, Err(ControlError::NotFound));
}

#[tokio::test(start_paused = true)]
async fn an_owners_keys_end_though_the_bucket_store_is_gone_and_are_fenced_from_the_log() {
    let world = World::new().await;
    for _ in 0..40 {
        world.key(of("a")).await;
    }
    let key = world.used_key(of("a")).await;
    world.buckets.go_down();
    let told = world.node.gate.revoke_keys_of(&admin(), "a", body(json!({}))).await.expect("revoked");
    assert_eq!((told.revoked, told.propagated), (41, false));
    world.buckets.set_down(None);
    world.node.turn().await;
    tokio::time::advance(Duration::from_secs(3)).await;
    world.node.turn().await;
    let fenced = world
        .buckets
        .fences()
        .iter()
        .filter(|fence| fence.revoked)
        .map(|fence| fence.id.to_string())
        .collect::<std::collections::BTreeSet<_>>();
    assert_eq!(fenced.len(), 41, "every one is made good");
    world.node.check(&key).await.denied();
}

#[tokio::test(start_paused = true)]
async fn an_owners_keys_revoked_again_are_fenced_again() {
    let world = World::new().await;
    for _ in 0..1_100 {
        world.key(of("a")).await;
    }
    world.buckets.go_down();
    let revoke = async || world.node.gate.revoke_keys_of(&admin(), "a", body(json!({}))).await.expect("revoked");
    let fenced = || {
        let fences = world.buckets.fences();
        fences.iter().filter(|fence| fence.revoked).map(|fence| fence.id.to_string()).collect::<std::collections::BTreeSet<_>>().len()
    };
    let (first, again) = (revoke().await, revoke().await);
    assert_eq!((first.revoked, first.propagated), (1_100, false));
    assert_eq!((again.revoked, again.propagated), (0, false), "nothing was fenced yet");
    world.buckets.set_down(None);
    let last = revoke().await;
    assert_eq!((last.revoked, last.propagated, fenced()), (0, true, 1_100), "by the call itself");
    // Together with what is revoked newly.
    world.key(of("a")).await;
    world.buckets.go_down();
    assert!(!revoke().await.propagated);
    world.key(of("a")).await;
    world.buckets.set_down(None);
    let both = revoke().await;
    assert_eq!((both.revoked, both.propagated, fenced()), (1, true, 1_102));
    // What no node can hold any more costs nothing.
    world.clock.advance_ms(2 * 3_600_000);
    let raised = world.buckets.fences().len();
    assert!(revoke().await.propagated);
    assert_eq!(world.buckets.fences().len(), raised);
}

#[tokio::test(start_paused = true)]
async fn keys_that_another_node_has_revoked_and_not_fenced_yet_are_fenced_whatever_its_clock_says() {
    let world = World::new().await;
    let key = world.used_key(of("a")).await;
    world.node.check(&key).await.allowed();
    let later_ms = world.clock.unix_ms() + 5_000;
    world.keys.edit(&key.key_id, ChangeKind::Revoked, |record| {
        record.lifecycle.status = Status::Revoked;
        record.revoked = Some(Revocation { at_ms: later_ms, reason: None });
    });
    let told = world.node.gate.revoke_keys_of(&admin(), "a", body(json!({}))).await.expect("revoked");
    assert_eq!((told.revoked, told.propagated), (0, true));
    let fences = world.buckets.fences();
    assert!(fences.iter().any(|fence| fence.revoked && *fence.id == *key.key_id.as_str()), "{fences:?}");
}

#[tokio::test(start_paused = true)]
async fn an_owners_keys_are_revoked_by_one_call_at_a_time() {
    let world = World::new().await;
    for owner in ["a", "b"] {
        world.key(of(owner)).await;
    }
    let operator = admin();
    let revoke = |owner| world.node.gate.revoke_keys_of(&operator, owner, body(json!({})));
    let (one, two, other) = tokio::join!(revoke("a"), revoke("a"), revoke("b"));
    assert_eq!((one.expect("revoked").revoked, other.expect("revoked").revoked), (1, 1));
    assert!(matches!(two, Err(ControlError::Unavailable(_))), "{two:?}");
    assert_eq!(revoke("a").await.expect("its turn").revoked, 0);
}
