//! The filter of key ids: whom it keeps from the key store, and that it never keeps a key from its
//! holder.

use std::{sync::Arc, time::Duration};

use tollgate_api::{Component, ComponentHealth, ComponentState, CreateKeyBody, KeyKindName};
use tollgate_gate::{
    Clock, GateOptions,
    ports::ChangeKind,
    record::KeyRecord,
    request::SharedKey,
    verdict::{Denial, GateError, Unauthenticated, Verdict},
};
use tollgate_keys::{ApiKey, KeyId, RandomPart, Secret, Status, random_bytes};

use crate::support::{Node, Outcomes, World, operator, rules};

fn health(node: &Node) -> ComponentHealth {
    let components = node.gate.readiness().components;
    components.into_iter().find(|one| one.component == Component::BloomFilter).expect("the filter is a component")
}

fn unsigned_of(key_id: KeyId) -> SharedKey {
    Arc::new(ApiKey { key_id, secret: Secret::unsigned(&RandomPart::generate().expect("randomness")) })
}

/// An unsigned secret for an id of that instant, which nobody has.
fn guess(ms: u64) -> SharedKey {
    unsigned_of(KeyId::from_parts(ms, random_bytes().expect("randomness")))
}

fn is_told_to_wait(answer: Result<Verdict, GateError>) -> bool {
    match answer.denied() {
        Denial::AbnormalUsage { retry_after_s } => retry_after_s >= 1,
        Denial::Unauthenticated(Unauthenticated::Unknown) => false,
        other => panic!("neither unknown nor told to wait: {other:?}"),
    }
}

/// Nothing but the filter stands in the way of a flood from one place.
fn no_preauth(options: &mut GateOptions) {
    let boundless = tollgate_gate::FailureBudget { burst: std::num::NonZeroU32::MAX, period: Duration::from_secs(1) };
    (options.preauth.address, options.preauth.key_text, options.preauth.key_id) = (boundless, boundless, boundless);
}

/// A filter that cannot be: no key fits into it.
fn without_filter(options: &mut GateOptions) {
    no_preauth(options);
    options.filter.bytes_max = 1;
}

fn set_status(world: &World, key: &SharedKey, status: Status) {
    let kind = if status == Status::Revoked { ChangeKind::Revoked } else { ChangeKind::Updated };
    world.keys.edit(&key.key_id, kind, |record| record.lifecycle.status = status);
}

#[tokio::test(start_paused = true)]
async fn a_stranger_costs_no_read_whatever_its_secret() {
    let world = World::with(no_preauth).await;
    let key = world.used_key(rules()).await;
    world.node.turn().await;
    let now_ms = world.clock.unix_ms();
    for nth in 0..1000 {
        let guess = guess(now_ms - 5000 - nth);
        assert_eq!(world.node.check(&guess).await.unauthenticated(), Unauthenticated::Stranger);
        let signed: SharedKey = Arc::new(world.keys.signed(&guess.key_id));
        assert_eq!(world.node.check(&signed).await.unauthenticated(), Unauthenticated::Stranger);
    }
    // One in a thousand may be an error of the filter; not of one with room for ten thousand keys and two in it.
    assert_eq!((world.keys.finds(), world.node.hashes()), (1, 1));
    assert_eq!(world.node.auth("bloom_rejected"), 2000);
    world.node.check(&key).await.allowed();
    assert_eq!(
        health(&world.node),
        ComponentHealth { component: Component::BloomFilter, state: ComponentState::Ok, reason: None, since: None }
    );
    assert!(world.node.metric("tollgate_bloom_keys") >= 1 && world.node.metric("tollgate_bloom_bytes") > 0);
    assert_eq!(world.node.metric("tollgate_bloom_rebuild_duration_seconds_count"), 1);
}

#[tokio::test(start_paused = true)]
async fn an_id_more_than_a_minute_ahead_is_refused_unseen() {
    let world = World::new().await;
    let now_ms = world.clock.unix_ms();
    assert_eq!(world.node.check(&guess(now_ms + 60_001)).await.unauthenticated(), Unauthenticated::Unknown);
    assert_eq!(world.keys.finds(), 0);
    assert_eq!(world.node.check(&guess(now_ms + 60_000)).await.unauthenticated(), Unauthenticated::Unknown);
    assert_eq!(world.keys.finds(), 1, "looked up");
    // Made by a node whose clock, or whose log, is ahead: a good tag says that it was made.
    let signed: SharedKey = Arc::new(world.keys.signed(&guess(now_ms + 600_000).key_id));
    assert_eq!(world.node.check(&signed).await.unauthenticated(), Unauthenticated::Unknown);
    assert_eq!(world.keys.finds(), 2, "looked up");
}

#[tokio::test(start_paused = true)]
async fn a_key_is_good_on_every_node_at_once() {
    let world = World::new().await;
    let behind = world.other_node().await;
    for nth in 0..100 {
        let key = world.key(rules()).await;
        if nth % 7 == 0 {
            world.node.turn().await;
        }
        world.node.check(&key).await.allowed();
        behind.check(&key).await.allowed();
    }
    assert_eq!((world.node.auth("bloom_rejected"), behind.auth("bloom_rejected")), (0, 0));
}

/// T4: what changes while ids are read page by page, behind the page or before it.
#[tokio::test(start_paused = true)]
async fn keys_made_and_resumed_while_the_filter_is_loaded_are_good() {
    for page_size in [1, 2, 1000] {
        let world = World::cold(|options| options.filter.page_size = page_size);
        let mut keys = Vec::new();
        for _ in 0..6 {
            keys.push(world.key(rules()).await);
        }
        for key in &keys[..3] {
            set_status(&world, key, Status::Suspended);
        }
        // The first page of the active ones is read. What was suspended until now will be missed by both.
        let mut held = world.keys.hold_page();
        let turn = tokio::spawn({
            let node = world.node.clone();
            async move { node.turn().await }
        });
        held.reached().await;
        // The node's other loops come to rest: nobody but the load itself reads the log after this.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        for key in &keys[..3] {
            set_status(&world, key, Status::Active);
        }
        world.keys.edit(&keys[3].key_id, ChangeKind::Rotated, |_| {});
        keys.push(world.key(rules()).await);
        held.release();
        turn.await.expect("no panic");
        assert_eq!(health(&world.node).state, ComponentState::Ok, "in use");
        for key in &keys {
            world.node.check(key).await.allowed();
        }
        assert_eq!(world.node.auth("bloom_rejected"), 0);
    }
}

/// T4: 500 changes under rebuilds that are cut off in the middle again and again.
#[tokio::test(start_paused = true)]
async fn no_key_is_refused_whatever_becomes_of_the_rebuilds() {
    let world = World::with(|options| {
        (options.filter.page_size, options.filter.rebuild_interval) = (3, Duration::from_secs(1));
        options.follow.page_size = 1000;
    })
    .await;
    let behind = world.other_node().await;
    let mut keys: Vec<SharedKey> = Vec::new();
    for round in 0..100_usize {
        keys.push(world.key(rules()).await);
        let (some, other) = (&keys[round / 2], &keys[round / 3]);
        set_status(&world, some, Status::Suspended);
        tokio::time::advance(Duration::from_millis(1100)).await;
        let held = (round % 3 == 0).then(|| world.keys.hold_page());
        world.keys.set_down(round % 11 == 0);
        world.node.turn().await;
        world.keys.set_down(false);
        world.keys.let_pages_pass();
        drop(held);
        set_status(&world, some, Status::Active);
        world.keys.edit(&other.key_id, ChangeKind::Rotated, |_| {});
        for key in [some, other, &keys[round], &keys[round / 5]] {
            world.node.check(key).await.allowed();
            behind.check(key).await.allowed();
        }
    }
    assert!(world.keys.streams() > 50, "{} rebuilds", world.keys.streams());
}

#[tokio::test(start_paused = true)]
async fn a_revoked_key_is_a_tombstone_and_after_the_rebuild_a_stranger() {
    let world = World::with(|options| options.filter.tombstones_min = 3).await;
    let mut keys = Vec::new();
    for _ in 0..5 {
        keys.push(world.key(rules()).await);
    }
    world.node.turn().await;
    for key in &keys[..3] {
        set_status(&world, key, Status::Revoked);
    }
    world.node.turn().await;
    for key in &keys[..3] {
        assert_eq!(world.node.check(key).await.unauthenticated(), Unauthenticated::Tombstone);
    }
    assert_eq!((world.keys.finds(), world.node.auth("tombstone")), (0, 3));
    tokio::time::advance(Duration::from_mins(1)).await;
    world.node.turn().await;
    assert_eq!(world.keys.streams(), 1, "three are no reason");
    set_status(&world, &keys[3], Status::Revoked);
    world.node.turn().await;
    world.node.turn().await;
    assert_eq!(world.keys.streams(), 2, "four are");
    for key in &keys[..4] {
        assert_eq!(world.node.check(key).await.unauthenticated(), Unauthenticated::Stranger);
    }
    world.node.check(&keys[4]).await.allowed();
    assert_eq!(world.keys.finds(), 1, "the last one alone");
}

/// Every one with its right secret, as it was leaked.
#[tokio::test(start_paused = true)]
async fn a_hundred_thousand_revoked_keys_replayed_after_the_rebuild_cost_no_read() {
    const KEYS: u64 = 100_000;
    let world = World::cold(no_preauth);
    let first = world.key(rules()).await;
    let record = world.keys.record(&first.key_id);
    let mut leaked = Vec::new();
    for nth in 0..KEYS {
        let key_id = KeyId::from_parts(record.created_at_ms, nth_entropy(nth));
        leaked.push(Arc::new(world.keys.signed(&key_id)));
        let mut revoked = KeyRecord { key_id, ..record.clone() };
        revoked.lifecycle.status = Status::Revoked;
        world.keys.put(revoked);
        let live = KeyId::from_parts(record.created_at_ms, nth_entropy(nth | 1 << 40));
        if nth % 10 == 0 {
            world.keys.put(KeyRecord { key_id: live, ..record.clone() });
        }
    }
    world.node.turn().await;
    assert!(world.node.metric("tollgate_bloom_keys") > KEYS / 11, "as many live ones as the filter is made for");
    for key in &leaked {
        world.node.check(key).await.unauthenticated();
    }
    assert_eq!((world.keys.finds(), world.node.hashes()), (0, 0));
    assert_eq!(world.node.auth("bloom_rejected") + world.node.auth("tombstone"), KEYS);
    world.node.check(&first).await.allowed();
}

fn nth_entropy(nth: u64) -> [u8; 10] {
    let mut entropy = [0; 10];
    entropy[2..].copy_from_slice(&nth.to_be_bytes());
    entropy
}

#[tokio::test(start_paused = true)]
async fn without_a_filter_a_node_serves_within_the_budget_and_says_so() {
    let world = World::with(without_filter).await;
    assert!(world.node.gate.readiness().ready);
    let told = health(&world.node);
    assert_eq!(told.state, ComponentState::Down);
    assert!(told.reason.is_some_and(|why| why.contains("bytes_max")));
    assert_eq!(world.node.metric("tollgate_health_state{component=\"bloom_filter\"}"), 2);
    let key = world.used_key(rules()).await;
    let mut waits = 0;
    for nth in 0..200 {
        waits += u32::from(is_told_to_wait(world.node.check(&guess(world.clock.unix_ms() - nth)).await));
    }
    assert_eq!((waits, world.keys.finds()), (151, 50), "49 looked up and unknown; no other told that it is wrong");
    let fresh = world.key(rules()).await;
    assert!(is_told_to_wait(world.node.check(&fresh).await));
    world.node.check(&key).await.allowed();
    tokio::time::advance(Duration::from_secs(1)).await;
    world.node.check(&fresh).await.allowed();
    assert_eq!(world.keys.finds(), 51);
}

#[tokio::test(start_paused = true)]
async fn new_unsigned_and_imported_ids_are_looked_up_within_the_budget() {
    let world = World::with(no_preauth).await;
    let now_ms = world.clock.unix_ms();
    let mut waits = 0;
    for nth in 0..100 {
        let unknown =
            if nth % 2 == 0 { guess(now_ms + 1000) } else { unsigned_of(KeyId::parse(&format!("elsewhere-{nth}")).expect("an id")) };
        waits += u32::from(is_told_to_wait(world.node.check(&unknown).await));
    }
    assert_eq!((waits, world.keys.finds()), (50, 50));
    // A good tag is no guess: it waits for nobody.
    let key = world.key(rules()).await;
    world.node.check(&key).await.allowed();
    // Nor does whoever the filter knows.
    let body = CreateKeyBody { kind: Some(KeyKindName::Unsigned), ..serde_json::from_str(r#"{"name":"unsigned"}"#).expect("a body") };
    let made = world.node.gate.create_key(&operator(None, &["admin"]), body).await.expect("made");
    let unsigned: SharedKey = Arc::new(ApiKey::parse(&made.api_key.expect("shown once")).expect("an api key"));
    world.node.check(&unsigned).await.allowed();
    let behind = world.other_node().await;
    behind.check(&unsigned).await.allowed();
}

#[tokio::test(start_paused = true)]
async fn a_lost_place_in_the_log_keeps_no_key_with_a_good_tag_waiting() {
    let world = World::with(|options| options.follow.page_size = 1000).await;
    let (mut keys, mut leaked) = (Vec::new(), Vec::new());
    for _ in 0..100 {
        keys.push(world.key(rules()).await);
        leaked.push(world.key(rules()).await);
    }
    for key in &leaked {
        world.keys.edit(&key.key_id, ChangeKind::Revoked, |record| record.lifecycle.status = Status::Revoked);
    }
    world.node.turn().await;
    let held = world.keys.hold_page();
    world.keys.become_log("second log", 500);
    world.node.turn().await;
    assert!(health(&world.node).state == ComponentState::Down && world.node.gate.readiness().ready);
    let (mut waits, before) = (0, world.keys.finds());
    for key in &leaked {
        waits += u32::from(matches!(world.node.check(key).await.denied(), Denial::AbnormalUsage { .. }));
    }
    assert_eq!((waits, world.keys.finds() - before), (50, 50), "what was revoked is within the budget, as all that nobody knows");
    for key in &keys {
        world.node.check(key).await.allowed();
    }
    drop(held);
}

#[tokio::test(start_paused = true)]
async fn another_log_is_another_filter() {
    let world = World::new().await;
    let key = world.used_key(rules()).await;
    world.node.turn().await;
    world.keys.become_log("second log", 7);
    world.node.turn().await;
    assert_eq!(world.keys.streams(), 2);
    world.node.check(&key).await.allowed();
    assert_eq!(health(&world.node).state, ComponentState::Ok);
}

#[tokio::test(start_paused = true)]
async fn an_old_filter_is_made_anew_at_its_own_time_and_in_its_turn() {
    let world = World::new().await;
    tokio::time::advance(Duration::from_mins(53)).await;
    world.node.turn().await;
    assert_eq!(world.keys.streams(), 1, "not before nine tenths of the hour");
    world.keys.take_stream(true);
    tokio::time::advance(Duration::from_mins(14)).await;
    world.node.turn().await;
    assert_eq!((world.keys.streams(), health(&world.node).state), (1, ComponentState::Ok), "another node is at it");
    world.keys.take_stream(false);
    tokio::time::advance(Duration::from_secs(6)).await;
    world.node.turn().await;
    assert_eq!(world.keys.streams(), 2);
    world.other_node().await;
    assert_eq!(world.keys.streams(), 3, "a node that starts waits for nobody");
}

/// Four pages of ten seconds: the last one is empty.
#[tokio::test(start_paused = true)]
async fn a_filter_that_nobody_waits_for_is_made_with_rests_while_there_is_time() {
    // The fourth reads its three ids as one page first, and then as three pages of a quarter.
    for (page_size, load_timeout, first_s, made_in_s) in [(1, 300, 40, 70), (1, 90, 40, 60), (1, 60, 40, 40), (4, 300, 20, 70)] {
        let world = World::cold(|options| {
            (options.filter.page_size, options.filter.load_timeout) = (page_size, Duration::from_secs(load_timeout));
            options.filter.rebuild_interval = Duration::from_mins(5);
        });
        for _ in 0..3 {
            world.key(rules()).await;
        }
        world.keys.set_page_time(Duration::from_secs(10));
        tokio::time::timeout(Duration::from_mins(9), world.node.gate.run()).await.expect_err("the loops never end");
        assert_eq!(world.node.metric("tollgate_bloom_rebuild_duration_seconds_count"), 2);
        let took_s = world.node.seconds("tollgate_bloom_rebuild_duration_seconds_sum");
        assert_eq!(took_s, first_s + made_in_s, "the first one is wanted at once");
    }
}

#[tokio::test(start_paused = true)]
async fn a_rebuild_that_fails_leaves_the_old_filter_in_use_and_is_told() {
    let world = World::with(|options| options.filter.rebuild_interval = Duration::from_mins(1)).await;
    let key = world.used_key(rules()).await;
    world.node.turn().await;
    world.keys.set_down(true);
    tokio::time::advance(Duration::from_mins(2)).await;
    world.node.turn().await;
    let told = health(&world.node);
    assert_eq!(told.state, ComponentState::Degraded, "{told:?}");
    assert_eq!(world.node.check(&guess(world.clock.unix_ms() - 5000)).await.unauthenticated(), Unauthenticated::Stranger);
    world.node.check(&key).await.allowed();
    world.keys.set_down(false);
    tokio::time::advance(Duration::from_mins(1)).await;
    world.node.turn().await;
    assert_eq!((health(&world.node).state, world.keys.streams()), (ComponentState::Ok, 2));
}

#[tokio::test(start_paused = true)]
async fn a_node_is_ready_when_its_first_filter_is_there() {
    let world = World::cold(|_| {});
    let held = world.keys.hold_page();
    world.node.turn().await;
    let readiness = world.node.gate.readiness();
    assert!(!readiness.ready && readiness.reason.is_some_and(|why| why.contains("being loaded")));
    drop(held);
    world.node.turn().await;
    assert!(world.node.gate.readiness().ready);
}
