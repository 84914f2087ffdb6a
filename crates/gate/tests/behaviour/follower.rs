//! The change log: what is read is forgotten here and fenced in the bucket store.

use tollgate_gate::{
    config::KeyRules,
    ports::{ChangeKind, Fence, SubjectKind},
    verdict::Unauthenticated,
};
use tollgate_keys::{OwnerName, Status};

use crate::support::{Outcomes, World, limits, rules};

fn told(fence: &Fence) -> (SubjectKind, String, u64, bool) {
    (fence.kind, fence.id.to_string(), fence.generation, fence.revoked)
}

fn owner() -> OwnerName {
    OwnerName::parse("acme").expect("an owner")
}

#[tokio::test(start_paused = true)]
async fn a_writer_that_died_before_its_fence_is_made_good() {
    let world = World::new().await;
    let key = world.used_key(KeyRules { owner: Some(owner()), ..rules() }).await;
    let other = world.other_node().await;
    other.check(&key).await.allowed();
    world.keys.edit(&key.key_id, ChangeKind::Revoked, |record| record.lifecycle.status = Status::Revoked);
    world.keys.edit_owner(&owner(), limits(1, 60));
    other.check(&key).await.allowed();
    assert!(world.buckets.fences().is_empty(), "a new key needs none, and nobody has read of the others");
    world.node.turn().await;
    let fences = world.buckets.fences();
    let id = key.key_id.to_string();
    assert_eq!(
        fences.iter().map(told).collect::<Vec<_>>(),
        [(SubjectKind::Key, id, 2, true), (SubjectKind::Owner, "acme".to_owned(), 3, false)]
    );
    assert!(fences.iter().all(|fence| &*fence.placed_by == "acme" && !fence.reset));
    assert_eq!(other.check(&key).await.unauthenticated(), Unauthenticated::Revoked, "who has not read the log hears it from the fence");
}

#[tokio::test(start_paused = true)]
async fn fences_wait_for_the_store_in_their_order() {
    let world = World::new().await;
    let key = world.used_key(rules()).await;
    world.buckets.go_down();
    for burst in 1..=8 {
        world.keys.edit(&key.key_id, ChangeKind::Updated, |record| record.limits = limits(burst, 60));
    }
    world.node.turn().await;
    world.keys.edit_owner(&owner(), limits(1, 60));
    world.node.turn().await;
    assert!(world.buckets.fences().is_empty());
    world.buckets.set_down(None);
    world.node.turn().await;
    let generations: Vec<_> = world.buckets.fences().iter().map(|fence| fence.generation).collect();
    assert_eq!(generations, (2..=10).collect::<Vec<_>>());
    world.node.turn().await;
    assert_eq!(world.buckets.fences().len(), 9, "each once");
}

#[tokio::test(start_paused = true)]
async fn of_too_many_waiting_fences_the_newest_are_kept() {
    let world = World::with(|options| options.follow.page_size = 1000).await;
    let key = world.used_key(rules()).await;
    world.buckets.go_down();
    for _ in 0..10_005 {
        world.keys.edit(&key.key_id, ChangeKind::Updated, |_| {});
    }
    world.node.turn().await;
    world.buckets.set_down(None);
    world.node.turn().await;
    let generations: Vec<_> = world.buckets.fences().iter().map(|fence| fence.generation).collect();
    assert_eq!(generations, (7..=10_006).collect::<Vec<_>>());
}

/// The entry is dropped, though nothing in the log is about it.
async fn is_dropped_by(lose_place: impl FnOnce(&World)) {
    let world = World::new().await;
    let key = world.used_key(rules()).await;
    for _ in 0..5 {
        world.keys.edit_owner(&owner(), limits(1, 60));
    }
    world.node.turn().await;
    world.node.check(&key).await.allowed();
    assert_eq!(world.keys.finds(), 1, "held so far");
    // Behind the log's back.
    let record = world.keys.record(&key.key_id);
    world.keys.put(tollgate_gate::record::KeyRecord { limits: limits(7, 60), ..record });
    lose_place(&world);
    world.node.turn().await;
    assert_eq!(world.node.check(&key).await.allowed().standings[0].named.limit.burst(), 7);
    assert_eq!(world.keys.finds(), 2);
    // And goes on from there.
    world.keys.edit(&key.key_id, ChangeKind::Updated, |record| record.limits = limits(9, 60));
    world.node.turn().await;
    assert_eq!(world.node.check(&key).await.allowed().standings[0].named.limit.burst(), 9);
}

#[tokio::test(start_paused = true)]
async fn another_log_drops_everything() {
    is_dropped_by(|world| world.keys.become_log("second log", 6)).await;
}

#[tokio::test(start_paused = true)]
async fn a_place_beyond_the_head_drops_everything() {
    is_dropped_by(|world| world.keys.rewind_to(2)).await;
}

#[tokio::test(start_paused = true)]
async fn a_place_before_the_oldest_row_drops_everything() {
    is_dropped_by(|world| {
        world.keys.edit_owner(&owner(), limits(1, 60));
        world.keys.edit_owner(&owner(), limits(1, 60));
        let position = world.keys.position();
        world.keys.clear_log_to(position - 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn rows_that_are_cleared_away_while_the_log_is_read_drop_everything() {
    let world = World::new().await;
    let key = world.used_key(rules()).await;
    world.node.turn().await;
    world.keys.edit(&key.key_id, ChangeKind::Updated, |record| record.limits = limits(7, 60));
    world.keys.edit_owner(&owner(), limits(1, 60));
    let mut held = world.keys.hold_head();
    let turn = tokio::spawn({
        let node = world.node.clone();
        async move { node.turn().await }
    });
    held.reached().await;
    // The row of the key's change is gone, that of the owner's is there.
    world.keys.clear_log_to(2);
    held.release();
    turn.await.expect("no panic");
    assert_eq!(world.node.check(&key).await.allowed().standings[0].named.limit.burst(), 7);
    assert!(world.buckets.fences().iter().all(|fence| fence.kind != SubjectKind::Key), "and no fence has told");
}

#[tokio::test(start_paused = true)]
async fn a_log_that_cannot_be_read_drops_nothing_and_is_told() {
    let world = World::new().await;
    let key = world.used_key(rules()).await;
    world.keys.set_down(true);
    world.node.turn().await;
    world.node.check(&key).await.allowed();
    assert_eq!(world.keys.finds(), 1);
    tokio::time::advance(std::time::Duration::from_secs(10)).await;
    world.node.turn().await;
    let down = |world: &World| world.node.gate.readiness().components.iter().filter(|component| component.reason.is_some()).count();
    assert_eq!(down(&world), 1);
    assert_eq!(world.node.metric("tollgate_health_state{component=\"postgres\"}"), 2);
    assert!(world.node.gate.readiness().ready, "who is cached is still served");
    world.keys.set_down(false);
    world.node.turn().await;
    assert_eq!((down(&world), world.node.metric("tollgate_health_state{component=\"postgres\"}")), (0, 0));
}
