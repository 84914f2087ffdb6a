//! A bucket store that has lost its state has lost its fences: the change log is read before
//! anything cached is used again.

use std::time::Duration;

use tokio::{sync::oneshot, task::JoinHandle};
use tollgate_gate::{
    config::KeyRules,
    ports::{BucketError, BucketStore, ChangeKind, Outcome},
    request::{Plane, SharedKey},
    verdict::{GateError, Unauthenticated, Verdict},
};
use tollgate_keys::{OwnerName, Status};

use crate::support::{Ask, Outcomes, RunningFleet, Script, World, limits, options, rules};

/// A request whose charge is with the store, which answers when told.
type UnderWay = (oneshot::Sender<Result<Outcome, BucketError>>, JoinHandle<Result<Verdict, GateError>>);

async fn charge_under_way(world: &World, key: &SharedKey) -> UnderWay {
    let asked = world.buckets.asked();
    let answer = world.buckets.tell_later();
    let (node, key) = (world.node.clone(), key.clone());
    let slow = tokio::spawn(async move { node.check(&key).await });
    world.buckets.until_asked(asked + 1).await;
    (answer, slow)
}

#[tokio::test(start_paused = true)]
async fn the_log_is_read_and_the_store_asked_once_more() {
    let world = World::new().await;
    let key = world.used_key(rules()).await;
    let (heads, joins, asked) = (world.keys.heads(), world.buckets.joins(), world.buckets.asked());
    world.buckets.lose_state();
    world.node.check(&key).await.allowed();
    assert_eq!(
        (world.keys.heads(), world.buckets.joins(), world.buckets.asked()),
        (heads + 2, joins + 1, asked + 2),
        "the log before and after the state is joined"
    );
    assert_eq!((world.keys.finds(), world.node.hashes()), (1, 1), "the log has nothing against what is cached");
    world.node.check(&key).await.allowed();
    assert_eq!(world.keys.heads(), heads + 2);
}

#[tokio::test(start_paused = true)]
async fn a_loss_is_found_though_nobody_asks_for_a_decision() {
    let fleet = RunningFleet::start(1).await;
    let member = &fleet.members[0];
    let lost = || member.buckets.losses();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(lost(), 0);
    member.buckets.lose_state();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(lost(), 1);
}

#[tokio::test(start_paused = true)]
async fn rules_that_the_log_shows_changed_are_not_used() {
    let world = World::new().await;
    let owner = OwnerName::parse("acme").expect("an owner");
    let limited = world.used_key(KeyRules { owner: Some(owner.clone()), ..rules() }).await;
    let revoked = world.used_key(rules()).await;
    // Their fences are gone with the state.
    world.keys.edit(&revoked.key_id, ChangeKind::Revoked, |record| record.lifecycle.status = Status::Revoked);
    world.keys.edit_owner(&owner, limits(1, 60));
    world.buckets.lose_state();
    assert_eq!(world.node.check(&revoked).await.unauthenticated(), Unauthenticated::Tombstone);
    assert_eq!(world.node.check(&limited).await.allowed().standings.len(), 2);
    assert_eq!(world.node.check(&limited).await.limited().standings.len(), 2);
    assert_eq!(world.node.hashes(), 2);
}

/// The request has its rules in hand while another one takes the store up again.
#[tokio::test(start_paused = true)]
async fn rules_in_hand_are_held_to_the_log_too() {
    let world = World::new().await;
    let (key, other) = (world.used_key(rules()).await, world.used_key(rules()).await);
    let request = Ask::default().with(tollgate_gate::request::Credential::ApiKey(key.clone()));
    let caller = world.node.gate.authenticate(request).await.expect("authenticated");
    world.keys.edit(&key.key_id, ChangeKind::Revoked, |record| record.lifecycle.status = Status::Revoked);
    world.buckets.lose_state();
    world.node.check(&other).await.allowed();
    assert_eq!(world.node.gate.decide(caller).await.unauthenticated(), Unauthenticated::Tombstone);
}

/// The store is taken up again while the decision is under way, so that it is answered by a state
/// that has no fence.
#[tokio::test(start_paused = true)]
async fn an_answer_of_the_new_state_to_old_rules_is_not_used() {
    let world = World::new().await;
    let (key, other) = (world.used_key(rules()).await, world.used_key(rules()).await);
    let (answer, slow) = charge_under_way(&world, &key).await;
    world.keys.edit(&key.key_id, ChangeKind::Revoked, |record| record.lifecycle.status = Status::Revoked);
    world.buckets.lose_state();
    world.node.check(&other).await.allowed();
    answer.send(Ok(Outcome::Allowed(Vec::new()))).expect("still waited for");
    assert_eq!(slow.await.expect("no panic").unauthenticated(), Unauthenticated::Tombstone);
}

/// A slow read from before the loss is used by nobody, not even by the request that made it.
#[tokio::test(start_paused = true)]
async fn a_read_from_before_the_loss_is_read_again() {
    let world = World::new().await;
    let (key, other) = (world.key(rules()).await, world.used_key(rules()).await);
    let mut held = world.keys.hold_find();
    let slow = tokio::spawn({
        let (node, key) = (world.node.clone(), key.clone());
        async move { node.check(&key).await }
    });
    held.reached().await;
    world.keys.edit(&key.key_id, ChangeKind::Revoked, |record| record.lifecycle.status = Status::Revoked);
    world.buckets.lose_state();
    world.node.check(&other).await.allowed();
    held.release();
    assert_eq!(slow.await.expect("no panic").unauthenticated(), Unauthenticated::Tombstone);
}

#[tokio::test(start_paused = true)]
async fn without_the_log_nothing_cached_is_used() {
    let world = World::new().await;
    let key = world.used_key(rules()).await;
    world.keys.set_down(true);
    world.buckets.lose_state();
    for plane in [Plane::Data, Plane::Control] {
        assert!(world.node.ask(&key, Ask { plane, ..Ask::default() }).await.unavailable().contains("key store"));
    }
    let asked = world.buckets.asked();
    world.node.check(&key).await.unavailable();
    assert_eq!(world.buckets.asked(), asked, "known to be in trouble: nobody is asked");
    world.keys.set_down(false);
    world.node.turn().await;
    world.node.check(&key).await.allowed();
}

#[tokio::test(start_paused = true)]
async fn while_the_log_hangs_one_request_waits_and_the_others_do_not() {
    let world = World::new().await;
    let key = world.used_key(rules()).await;
    world.buckets.lose_state();
    let held = world.keys.hold_head();
    let started = tokio::time::Instant::now();
    assert!(world.node.check(&key).await.unavailable().contains("in time"));
    let waited = started.elapsed();
    for _ in 0..5 {
        assert!(world.node.check(&key).await.unavailable().contains("in time"));
    }
    assert_eq!((waited.as_secs(), started.elapsed()), (1, waited));
    drop(held);
    world.node.turn().await;
    world.node.check(&key).await.allowed();
}

/// The log is read, so this is an outage like any other: in time, by its mode, operators can act.
#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_as_it_is_joined_is_an_outage() {
    let world = World::new().await;
    let key = world.used_key(rules()).await;
    world.buckets.hang_joins(true);
    world.buckets.fail_over();
    let started = tokio::time::Instant::now();
    for plane in [Plane::Data, Plane::Control] {
        world.node.ask(&key, Ask { plane, ..Ask::default() }).await.allowed();
    }
    assert_eq!(started.elapsed(), options().decision_timeout, "as long as for a decision, and once");
    assert_eq!(world.node.metric("tollgate_outage_mode"), 1);
    world.buckets.hang_joins(false);
    world.node.turn().await;
    world.node.check(&key).await.allowed();
    assert_eq!(world.node.metric("tollgate_outage_mode"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_hundred_who_find_it_lost_take_it_up_once() {
    let world = World::new().await;
    let key = world.used_key(rules()).await;
    let (heads, joins, asked) = (world.keys.heads(), world.buckets.joins(), world.buckets.asked());
    let answers: Vec<_> = (0..100).map(|_| world.buckets.tell_later()).collect();
    let crowd: Vec<_> = (0..100)
        .map(|_| {
            tokio::spawn({
                let (node, key) = (world.node.clone(), key.clone());
                async move { node.check(&key).await }
            })
        })
        .collect();
    world.buckets.until_asked(asked + 100).await;
    for answer in answers {
        answer.send(Ok(Outcome::Lost)).expect("still waited for");
    }
    for one in crowd {
        one.await.expect("no panic").allowed();
    }
    assert_eq!((world.keys.heads(), world.buckets.joins(), world.buckets.asked()), (heads + 1, joins + 1, asked + 200));
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_of_the_old_state_takes_nothing_up() {
    let world = World::new().await;
    let key = world.used_key(rules()).await;
    let asked = world.buckets.asked();
    let late = world.buckets.tell_later();
    let slow = tokio::spawn({
        let (node, key) = (world.node.clone(), key.clone());
        async move { node.check(&key).await }
    });
    world.buckets.until_asked(asked + 1).await;
    world.buckets.lose_state();
    world.node.check(&key).await.allowed();
    let joins = world.buckets.joins();
    late.send(Ok(Outcome::Lost)).expect("still waited for");
    slow.await.expect("no panic").allowed();
    assert_eq!(world.buckets.joins(), joins);
}

#[tokio::test(start_paused = true)]
async fn lost_twice_is_unavailable() {
    let world = World::new().await;
    let key = world.used_key(rules()).await;
    world.buckets.script([Script::Tell(Ok(Outcome::Lost)), Script::Tell(Ok(Outcome::Lost))]);
    assert!(world.node.check(&key).await.unavailable().contains("lost its state"));
    world.node.check(&key).await.allowed();
}

#[tokio::test(start_paused = true)]
async fn another_connection_is_taken_up_before_anything_cached_is_used() {
    let world = World::new().await;
    let (changed, same) = (world.used_key(rules()).await, world.used_key(rules()).await);
    let joins = world.buckets.joins();
    // A replica that lags has another state under the same id: it will not say that it is lost.
    world.keys.edit(&changed.key_id, ChangeKind::Updated, |record| record.limits = limits(7, 60));
    world.buckets.fail_over();
    let asked = world.buckets.asked();
    assert_eq!(world.node.check(&changed).await.allowed().standings[0].named.limit.burst(), 7);
    assert_eq!(world.buckets.asked(), asked + 1, "the old rules were not even asked with");
    world.node.check(&same).await.allowed();
    assert_eq!((world.buckets.joins(), world.keys.finds()), (joins + 1, 3));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_not_confirmed_by_a_state_without_fences() {
    let world = World::new().await;
    let key = world.used_key(rules()).await;
    world.keys.edit(&key.key_id, ChangeKind::Updated, |record| record.scopes = tollgate_keys::Scopes::parse(["a"]).expect("scopes"));
    world.buckets.fail_over();
    world.node.ask(&key, Ask::scope("a")).await.allowed();
}

#[tokio::test(start_paused = true)]
async fn a_refusal_in_hand_is_held_to_the_log_too() {
    let world = World::new().await;
    let (key, other) = (world.used_key(rules()).await, world.used_key(rules()).await);
    let request = Ask::scope("a").with(tollgate_gate::request::Credential::ApiKey(key.clone()));
    let caller = world.node.gate.authenticate(request).await.expect("authenticated");
    world.keys.edit(&key.key_id, ChangeKind::Updated, |record| record.scopes = tollgate_keys::Scopes::parse(["a"]).expect("scopes"));
    world.buckets.lose_state();
    world.node.check(&other).await.allowed();
    world.node.gate.decide(caller).await.allowed();
}

#[tokio::test(start_paused = true)]
async fn a_node_that_was_just_made_takes_up_its_stores_by_itself() {
    let world = World::cold(|_| {});
    let key = world.key(rules()).await;
    world.node.check(&key).await.allowed();
    assert_eq!(world.buckets.joins(), 1);
    let world = World::cold(|_| {});
    let key = world.key(rules()).await;
    world.keys.set_down(true);
    world.node.check(&key).await.unavailable();
    assert!(!world.node.gate.readiness().ready);
    world.keys.set_down(false);
    world.node.turn().await;
    assert!(world.node.gate.readiness().ready);
}

/// Its rules have changed while the charge was under way: nobody can say, but nothing is charged again.
#[tokio::test(start_paused = true)]
async fn a_charge_by_rules_that_have_changed_is_not_made_again() {
    let world = World::new().await;
    let (key, other) = (world.used_key(rules()).await, world.used_key(rules()).await);
    let (answer, slow) = charge_under_way(&world, &key).await;
    world.keys.edit(&key.key_id, ChangeKind::Updated, |record| record.name.push('x'));
    world.buckets.lose_state();
    world.node.check(&other).await.allowed();
    let before = world.buckets.asked();
    answer.send(Ok(Outcome::Allowed(Vec::new()))).expect("still waited for");
    assert!(slow.await.expect("no panic").unavailable().contains("charge"));
    assert_eq!(world.buckets.asked(), before, "asked a second time");
}

/// The state was lost, but the rules are the same: the charge that was made counts.
#[tokio::test(start_paused = true)]
async fn a_charge_by_rules_that_still_hold_is_kept() {
    // Nothing is kept, so that only another reading can tell that the rules are the same.
    let world = World::with(|options| options.cache.count_max = 0).await;
    let (key, other) = (world.used_key(rules()).await, world.used_key(rules()).await);
    let (answer, slow) = charge_under_way(&world, &key).await;
    world.buckets.lose_state();
    world.node.check(&other).await.allowed();
    let before = world.buckets.asked();
    answer.send(Ok(Outcome::Allowed(Vec::new()))).expect("still waited for");
    slow.await.expect("no panic").allowed();
    assert_eq!(world.buckets.asked(), before, "asked a second time");
}
