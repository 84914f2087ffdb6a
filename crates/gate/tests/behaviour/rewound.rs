//! A key store that has lost changes: what is held up, who hears of it, and how it ends.

use std::time::Duration;

use tollgate_api::Component;
use tollgate_gate::{
    config::KeyRules,
    ports::{ChangeContext, ChangeKind, KeyStore, Outcome},
    verdict::Unauthenticated,
};
use tollgate_keys::{OwnerName, Status};

use crate::support::{Node, Outcomes, World, limits, rules};

fn is_told(node: &Node) -> bool {
    let components = node.gate.readiness().components;
    let is_on = components.iter().any(|component| component.component == Component::ChangeLogRewound);
    assert_eq!(node.metric("tollgate_health_state{component=\"change_log_rewound\"}"), u64::from(is_on));
    is_on
}

fn context() -> ChangeContext {
    ChangeContext { actor: "test".into(), request_id: "test".into(), action: "log.reset", now_ms: 0, once: None }
}

/// The nodes' loops, once more, two seconds later.
async fn later(node: &Node) {
    tokio::time::advance(Duration::from_secs(3)).await;
    node.turn().await;
}

#[tokio::test(start_paused = true)]
async fn a_record_behind_its_fence_is_503_and_told_until_the_log_is_reset() {
    let world = World::new().await;
    let (key, other) = (world.used_key(rules()).await, world.used_key(rules()).await);
    let before = world.keys.record(&key.key_id);
    world.keys.edit(&key.key_id, ChangeKind::Updated, |record| record.limits = limits(7, 60));
    world.node.turn().await;
    assert_eq!(world.buckets.fences().len(), 1);
    // The last change is lost, and no node has followed the log so far.
    world.keys.put(before.clone());
    world.keys.rewind_to(2);
    let node = world.other_node().await;
    assert!(!is_told(&node), "nothing tells yet");
    for _ in 0..3 {
        assert!(node.check(&key).await.unavailable().contains("ahead of the key store"));
        assert!(is_told(&node));
    }
    node.check(&other).await.allowed();
    assert!(node.gate.readiness().ready, "others are served");
    later(&node).await;
    assert!(is_told(&node) && node.check(&key).await.unavailable().contains("ahead"), "time alone mends nothing");
    world.keys.reset_log(context()).await.expect("reset");
    later(&node).await;
    assert!(!is_told(&node));
    assert_eq!(node.check(&key).await.allowed().standings[0].named.limit, before.limits.as_slice()[0].limit);
    node.check(&other).await.allowed();
}

#[tokio::test(start_paused = true)]
async fn an_owners_rules_behind_their_fence_are_told_too() {
    let world = World::new().await;
    let owner = OwnerName::parse("acme").expect("an owner");
    let key = world.used_key(KeyRules { owner: Some(owner.clone()), ..rules() }).await;
    world.keys.edit_owner(&owner, limits(5, 60));
    world.node.turn().await;
    world.keys.forget_owner(&owner);
    world.keys.rewind_to(1);
    let node = world.other_node().await;
    node.check(&key).await.unavailable();
    assert!(is_told(&node));
    world.keys.reset_log(context()).await.expect("reset");
    later(&node).await;
    assert_eq!(node.check(&key).await.allowed().standings.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_node_whose_place_is_gone_tells_at_once() {
    let world = World::new().await;
    let key = world.used_key(rules()).await;
    world.keys.edit_owner(&OwnerName::parse("acme").expect("an owner"), limits(5, 60));
    world.node.turn().await;
    world.keys.rewind_to(1);
    world.node.turn().await;
    assert!(is_told(&world.node), "the log ends before this node's place");
    world.node.check(&key).await.allowed();
    world.keys.reset_log(context()).await.expect("reset");
    world.node.turn().await;
    assert!(!is_told(&world.node));
}

#[tokio::test(start_paused = true)]
async fn a_lost_change_that_was_read_ahead_of_the_log_is_told() {
    let world = World::new().await;
    let key = world.used_key(rules()).await;
    let before = world.keys.record(&key.key_id);
    world.keys.edit(&key.key_id, ChangeKind::Updated, |record| record.limits = limits(7, 60));
    world.buckets.tell([Outcome::Stale]);
    world.node.check(&key).await.allowed();
    assert_eq!(world.keys.finds(), 2, "the key was read again, and the log was not");
    world.keys.put(before);
    world.keys.rewind_to(1);
    world.node.turn().await;
    assert!(is_told(&world.node), "the log ends before a change that this node has used");
    world.keys.reset_log(context()).await.expect("reset");
    world.node.turn().await;
    assert!(!is_told(&world.node));
}

#[tokio::test(start_paused = true)]
async fn another_row_at_the_same_place_drops_everything_and_is_told() {
    let world = World::new().await;
    let key = world.used_key(rules()).await;
    world.keys.edit_owner(&OwnerName::parse("acme").expect("an owner"), limits(5, 60));
    world.node.turn().await;
    world.node.check(&key).await.allowed();
    assert_eq!(world.keys.finds(), 1, "held so far");
    // A restored backup, and as many changes since: head and position say nothing.
    world.keys.rewind_to(1);
    world.keys.edit(&key.key_id, ChangeKind::Revoked, |record| record.lifecycle.status = Status::Revoked);
    assert_eq!(world.keys.position(), 2);
    world.buckets.tell([Outcome::Revoked]);
    world.node.turn().await;
    assert!(is_told(&world.node));
    assert_eq!(world.node.check(&key).await.unauthenticated(), Unauthenticated::Stranger);
    assert_eq!((world.keys.finds(), world.keys.streams()), (1, 2), "the filter was read anew");
}

#[tokio::test(start_paused = true)]
async fn changes_faster_than_reads_are_not_taken_for_lost_ones() {
    let world = World::new().await;
    let key = world.used_key(rules()).await;
    let record = world.keys.record(&key.key_id);
    // Stale however often it is asked; but by the third reading it has changed again.
    world.buckets.tell([Outcome::Stale, Outcome::Stale, Outcome::Stale]);
    world.keys.change_with_every_read(&key.key_id);
    world.node.check(&key).await.unavailable();
    assert!(!is_told(&world.node));
    assert!(world.keys.record(&key.key_id).generation > record.generation);
}
