//! What becomes of a key after it was made: rotated, suspended, resumed, reset, revoked with all of
//! its owner's, expired, out of fashion.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use tollgate_api::{CreatedKey, KeyKindName, KeyStatus};
use tollgate_gate::{
    Clock as _, Deprecated, KindLife, KindLives,
    config::{ConfigErrorKind, KeyRules},
    control::{ControlError, Operator},
    ports::ChangeKind,
    request::SharedKey,
    verdict::Unauthenticated,
};
use tollgate_keys::{ApiKey, OwnerName, Secret, SecretKind};

use crate::support::{Outcomes, World, limits, operator, rules};

fn body<T: serde::de::DeserializeOwned>(json: Value) -> T {
    serde_json::from_value(json).expect("a body")
}

fn admin() -> Operator {
    operator(None, &["admin"])
}

fn shown(created: &CreatedKey) -> SharedKey {
    Arc::new(ApiKey::parse(created.api_key.as_deref().expect("shown once")).expect("an api key"))
}

fn of(owner: &str) -> KeyRules {
    KeyRules { owner: Some(OwnerName::parse(owner).expect("an owner")), ..rules() }
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, ControlError>) -> (ConfigErrorKind, String) {
    match result {
        Err(ControlError::Refused(error)) => (error.kind, error.pointer),
        other => panic!("not refused: {other:?}"),
    }
}

async fn rotate(world: &World, key: &SharedKey, asked: Value) -> Result<CreatedKey, ControlError> {
    world.node.gate.rotate_key(&admin(), key.key_id.as_str(), body(asked)).await
}

async fn made(world: &World, asked: Value) -> SharedKey {
    shown(&world.node.gate.create_key(&admin(), body(asked)).await.expect("made"))
}

/// The same secret without its tag, as no key of ours was ever shown.
fn without_tag(signed: &SharedKey) -> SharedKey {
    let text = format!("tku_{}", signed.secret.hash_input());
    let bit = |sum: u32, _| if sum & 1 == 1 { sum >> 1 ^ 0xEDB8_8320 } else { sum >> 1 };
    let mut sum = !text.bytes().fold(u32::MAX, |sum, byte| (0..8).fold(sum ^ u32::from(byte), bit));
    let mut digits = Vec::new();
    for _ in 0..6 {
        digits.push(char::from(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"[sum as usize % 62]));
        sum /= 62;
    }
    let text = text + &digits.iter().rev().collect::<String>();
    let secret = Secret::parse(&text).expect("a good checksum");
    assert_eq!(secret.kind(), SecretKind::Unsigned);
    Arc::new(ApiKey { key_id: signed.key_id.clone(), secret })
}

#[tokio::test(start_paused = true)]
async fn both_secrets_are_good_on_every_node_until_the_grace_is_over() {
    let world = World::new().await;
    let other = world.other_node().await;
    let old = world.used_key(KeyRules { limits: limits(20, 86_400), ..rules() }).await;
    other.check(&old).await.allowed();
    let created = rotate(&world, &old, json!({ "grace_seconds": 10 })).await.expect("rotated");
    let new = shown(&created);
    assert_eq!((created.key.key_id.as_str(), created.key.propagated), (old.key_id.as_str(), Some(true)));
    assert_ne!(new.secret.expose(), old.secret.expose());
    let hashes = world.node.hashes() + other.hashes();
    for node in [&world.node, &other] {
        for key in [&old, &new, &old, &new] {
            node.check(key).await.allowed();
        }
    }
    assert_eq!(world.node.hashes() + other.hashes(), hashes + 2, "the old secret is known, the new one is hashed once a node");
    world.clock.advance_ms(9_999);
    world.node.check(&old).await.allowed();
    world.clock.advance_ms(1);
    for node in [&world.node, &other] {
        assert_eq!(node.check(&old).await.unauthenticated(), Unauthenticated::BadSecret, "dead exactly at its end");
        node.check(&new).await.allowed();
    }
    let spent = 2 + 8 + 1 + 2;
    for _ in spent..20 {
        world.node.check(&new).await.allowed();
    }
    world.node.check(&new).await.limited();
    let read = other.gate.key(&admin(), new.key_id.as_str()).await.expect("found");
    assert_eq!(read.previous_secret_until, None, "over");
}

#[tokio::test(start_paused = true)]
async fn a_rotation_without_grace_ends_the_old_secret_everywhere_at_once() {
    let world = World::new().await;
    let other = world.other_node().await;
    let old = world.used_key(rules()).await;
    other.check(&old).await.allowed();
    let new = shown(&rotate(&world, &old, json!({ "grace_seconds": 0 })).await.expect("rotated"));
    for node in [&world.node, &other] {
        assert_eq!(node.check(&old).await.unauthenticated(), Unauthenticated::BadSecret);
        node.check(&new).await.allowed();
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_rotation_ends_the_oldest_secret() {
    let world = World::new().await;
    let first = world.used_key(rules()).await;
    let second = shown(&rotate(&world, &first, json!({})).await.expect("rotated"));
    let third = shown(&rotate(&world, &first, json!({})).await.expect("rotated"));
    assert_eq!(world.node.check(&first).await.unauthenticated(), Unauthenticated::BadSecret);
    world.node.check(&second).await.allowed();
    world.node.check(&third).await.allowed();
}

#[tokio::test(start_paused = true)]
async fn a_grace_has_a_default_and_a_most() {
    let world = World::new().await;
    let key = world.used_key(rules()).await;
    let (week, now_ms) = (7 * 86_400, world.clock.unix_ms());
    let until = |created: &CreatedKey| created.key.previous_secret_until.expect("a grace").unix_timestamp_nanos() / 1_000_000;
    let most = rotate(&world, &key, json!({ "grace_seconds": week })).await.expect("rotated");
    assert_eq!(until(&most), i128::from(now_ms + week * 1000));
    let before = world.keys.record(&key.key_id);
    for grace in [json!(week + 1), json!(u64::MAX)] {
        let over = rotate(&world, &key, json!({ "grace_seconds": grace })).await;
        assert_eq!(refused(over), (ConfigErrorKind::Invalid, "/grace_seconds".to_owned()));
    }
    assert_eq!(world.keys.record(&key.key_id), before);
    let default = rotate(&world, &key, json!({})).await.expect("rotated");
    assert_eq!(until(&default), i128::from(now_ms + 3_600_000));
}

#[tokio::test(start_paused = true)]
async fn no_secret_outlives_its_key() {
    let world = World::new().await;
    let end_ms = world.clock.unix_ms() + 5_000;
    let old = world.used_key(KeyRules { expires_at_ms: Some(end_ms), ..rules() }).await;
    let created = rotate(&world, &old, json!({ "grace_seconds": 10 })).await.expect("rotated");
    let new = shown(&created);
    assert_eq!(created.key.previous_secret_until, created.key.expires_at, "cut to the end of the key");
    world.clock.advance_ms(4_999);
    world.node.check(&old).await.allowed();
    world.node.check(&new).await.allowed();
    world.clock.advance_ms(1);
    assert_eq!(world.node.check(&new).await.unauthenticated(), Unauthenticated::Expired);
    world.node.check(&old).await.denied();
    let hashes = world.node.hashes();
    assert_eq!(refused(rotate(&world, &old, json!({})).await).0, ConfigErrorKind::Conflict);
    assert_eq!(world.node.hashes(), hashes, "what is refused is not hashed for");
    // A later end does not bring the old secret back.
    let later = world.clock.unix_ms() + 60_000;
    world.keys.edit(&old.key_id, tollgate_gate::ports::ChangeKind::Updated, |record| record.lifecycle.expires_at_ms = Some(later));
    world.node.turn().await;
    world.node.check(&new).await.allowed();
    assert_eq!(world.node.check(&old).await.unauthenticated(), Unauthenticated::BadSecret);
}

#[tokio::test(start_paused = true)]
async fn a_rotation_may_change_how_the_secret_is_made() {
    let world = World::new().await;
    let old = made(&world, json!({ "name": "n", "kind": "unsigned" })).await;
    world.node.check(&old).await.allowed();
    let same = rotate(&world, &old, json!({})).await.expect("rotated");
    assert_eq!((same.key.kind, shown(&same).secret.kind()), (KeyKindName::Unsigned, SecretKind::Unsigned), "as before");
    let old = shown(&same);
    let signed = rotate(&world, &old, json!({ "kind": "signed", "grace_seconds": 10 })).await.expect("rotated");
    assert_eq!((signed.key.kind, shown(&signed).secret.kind()), (KeyKindName::Signed, SecretKind::Signed));
    world.node.check(&old).await.allowed();
    let spelled = world.other_node().await;
    assert_eq!(spelled.check(&without_tag(&shown(&signed))).await.unauthenticated(), Unauthenticated::BadSecret, "whatever its hash");
    spelled.check(&shown(&signed)).await.allowed();
    world.node.check(&shown(&signed)).await.allowed();
    world.clock.advance_ms(10_000);
    let hashes = world.node.hashes();
    assert_eq!(world.node.check(&old).await.unauthenticated(), Unauthenticated::BadSecret);
    assert_eq!(world.node.hashes(), hashes, "a secret of another form is not worth a hash any more");
    let imported = rotate(&world, &old, json!({ "kind": "imported" })).await;
    assert_eq!(refused(imported), (ConfigErrorKind::Invalid, "/kind".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_secret_made_elsewhere_is_followed_by_a_signed_one() {
    let world = World::new().await;
    let key = world.key(rules()).await;
    let old = Arc::new(ApiKey { key_id: key.key_id.clone(), secret: Secret::parse("open-sesame").expect("a secret") });
    let hash = tollgate_keys::hash_secret(&crate::support::options().hashing.params, &old.secret).expect("hashed");
    world.keys.edit(&key.key_id, tollgate_gate::ports::ChangeKind::Rotated, |record| {
        (record.kind, record.secrets.current) = (SecretKind::Imported, hash);
    });
    world.node.check(&old).await.allowed();
    let created = rotate(&world, &old, json!({})).await.expect("rotated");
    assert_eq!((created.key.kind, shown(&created).secret.kind()), (KeyKindName::Signed, SecretKind::Signed));
    world.node.check(&shown(&created)).await.allowed();
    world.node.check(&old).await.allowed();
}

#[tokio::test(start_paused = true)]
async fn a_suspended_key_is_refused_on_every_node_until_it_is_resumed() {
    let world = World::new().await;
    let other = world.other_node().await;
    let key = world.used_key(rules()).await;
    other.check(&key).await.allowed();
    let (gate, id) = (&world.node.gate, key.key_id.as_str());
    let suspended = gate.suspend_key(&admin(), id).await.expect("suspended");
    assert_eq!((suspended.status, suspended.propagated), (KeyStatus::Suspended, Some(true)));
    assert_eq!(gate.suspend_key(&admin(), id).await.expect("still").generation, suspended.generation, "once more is no change");
    for node in [&world.node, &other] {
        assert_eq!(node.check(&key).await.unauthenticated(), Unauthenticated::Suspended);
    }
    shown(&rotate(&world, &key, json!({ "grace_seconds": 60 })).await.expect("a leaked key is suspended, rotated and resumed"));
    let resumed = gate.resume_key(&admin(), id).await.expect("resumed");
    assert_eq!(resumed.status, KeyStatus::Active);
    for node in [&world.node, &other] {
        node.check(&key).await.allowed();
    }
    assert_eq!(gate.resume_key(&admin(), id).await.expect("still").generation, resumed.generation);
}

#[tokio::test(start_paused = true)]
async fn a_reset_fills_the_buckets_once() {
    let world = World::new().await;
    let key = world.used_key(KeyRules { limits: limits(3, 86_400), ..of("acme") }).await;
    let (gate, id) = (&world.node.gate, key.key_id.as_str());
    for _ in 0..2 {
        world.node.check(&key).await.allowed();
    }
    world.node.check(&key).await.limited();
    let reset = gate.reset_key(&admin(), id).await.expect("reset");
    assert_eq!(reset.propagated, Some(true));
    let fence = world.buckets.fences().pop().expect("a fence");
    assert!(fence.reset && !fence.revoked && fence.generation == reset.generation && &*fence.placed_by == "acme");
    for _ in 0..3 {
        world.node.check(&key).await.allowed();
    }
    world.node.check(&key).await.limited();
    // The log's readers raise the fence again; they fill nothing.
    world.node.turn().await;
    tokio::time::advance(Duration::from_secs(3)).await;
    world.node.turn().await;
    let resets = world.buckets.fences().iter().filter(|fence| fence.reset && fence.generation == reset.generation).count();
    assert!(resets > 1, "who reads of it cannot know that it was raised");
    world.node.check(&key).await.limited();
    // Where the bucket store cannot be told nothing is filled, and the answer says so.
    world.buckets.go_down();
    assert!(matches!(gate.reset_key(&admin(), id).await, Err(ControlError::Unavailable(_))));
    world.buckets.set_down(None);
    world.node.check(&key).await.limited();
    gate.reset_key(&admin(), id).await.expect("reset");
    world.node.check(&key).await.allowed();
}

#[tokio::test(start_paused = true)]
async fn a_revoked_key_is_neither_rotated_nor_suspended_nor_resumed_nor_reset() {
    let world = World::new().await;
    let key = world.used_key(rules()).await;
    let (gate, id) = (&world.node.gate, key.key_id.as_str());
    gate.revoke_key(&admin(), id, body(json!({ "reason": "leaked" }))).await.expect("revoked");
    let (record, hashes) = (world.keys.record(&key.key_id), world.node.hashes());
    assert_eq!(refused(rotate(&world, &key, json!({})).await).0, ConfigErrorKind::Conflict);
    assert_eq!(refused(gate.suspend_key(&admin(), id).await).0, ConfigErrorKind::Conflict);
    assert_eq!(refused(gate.resume_key(&admin(), id).await).0, ConfigErrorKind::Conflict);
    assert_eq!(refused(gate.reset_key(&admin(), id).await).0, ConfigErrorKind::Conflict);
    assert_eq!((world.keys.record(&key.key_id), world.node.hashes()), (record, hashes));
}

#[tokio::test(start_paused = true)]
async fn a_last_use_is_told_within_a_minute() {
    let world = World::new().await;
    let (key, idle) = (world.used_key(rules()).await, world.key(rules()).await);
    let mut written = 0;
    for _ in 0..300 {
        world.node.check(&key).await.allowed();
        world.clock.advance_ms(1_000);
        tokio::time::advance(Duration::from_secs(1)).await;
        world.node.turn().await;
        let told = world.keys.record(&key.key_id).last_used_at_ms;
        written += u64::from(told.is_some());
        assert!(written == 0 || world.clock.unix_ms() - told.expect("once told, always") <= 60_000);
    }
    assert!(written > 240, "told within the first minute: {written}");
    assert_eq!(world.keys.record(&idle.key_id).last_used_at_ms, None);
    let generation = world.keys.record(&key.key_id).generation;
    let read = world.node.gate.key(&admin(), key.key_id.as_str()).await.expect("found");
    assert!(read.last_used_at.is_some() && read.generation == generation, "no change in the sense of the log");
}

#[tokio::test(start_paused = true)]
async fn a_last_use_waits_for_a_store_that_is_down() {
    let world = World::with(|options| options.usage.pending_max = 2).await;
    let keys = [world.used_key(rules()).await, world.used_key(rules()).await, world.used_key(rules()).await];
    world.keys.set_down(true);
    world.node.gate.write_uses().await;
    world.keys.set_down(false);
    world.node.gate.write_uses().await;
    let told = keys.iter().filter(|key| world.keys.record(&key.key_id).last_used_at_ms.is_some()).count();
    assert_eq!(told, 2, "no more are kept than may be");
}

/// As when a node ends while its loop waits for a slow store.
#[tokio::test(start_paused = true)]
async fn who_writes_last_uses_waits_for_those_that_another_one_is_about_to_write() {
    let world = World::new().await;
    let key = world.used_key(rules()).await;
    let mut held = world.keys.hold_uses();
    let write = || {
        let gate = world.node.gate.clone();
        tokio::spawn(async move { gate.write_uses().await })
    };
    let before = write();
    held.reached().await;
    let last = write();
    tokio::time::sleep(Duration::from_millis(1)).await;
    held.release();
    last.await.expect("no panic");
    assert!(world.keys.record(&key.key_id).last_used_at_ms.is_some());
    before.await.expect("no panic");
}

#[tokio::test(start_paused = true)]
async fn a_wall_clock_that_steps_back_brings_nothing_back() {
    let world = World::new().await;
    let end_ms = world.clock.unix_ms() + 1_000;
    // The buckets of these tests go by the same clock: no limit, so that they have no say.
    let unlimited = || KeyRules { limits: tollgate_limits::RateLimits::unlimited(), ..rules() };
    let key = world.used_key(KeyRules { expires_at_ms: Some(end_ms), ..unlimited() }).await;
    let rotated = world.used_key(unlimited()).await;
    shown(&rotate(&world, &rotated, json!({ "grace_seconds": 1 })).await.expect("rotated"));
    world.node.check(&rotated).await.allowed();
    world.clock.set_back_ms(3_600_000);
    tokio::time::advance(Duration::from_millis(900)).await;
    world.node.check(&key).await.allowed();
    world.node.check(&rotated).await.allowed();
    tokio::time::advance(Duration::from_millis(100)).await;
    assert_eq!(world.node.check(&key).await.unauthenticated(), Unauthenticated::Expired, "a second has passed, whatever the clock says");
    assert_eq!(world.node.check(&rotated).await.unauthenticated(), Unauthenticated::BadSecret);
}

/// A key that ends in ten minutes, looked at while the clock is an hour ahead, and the clock set right.
async fn after_a_jump_ahead() -> (World, SharedKey) {
    let world = World::new().await;
    let end_ms = world.clock.unix_ms() + 600_000;
    let key = world.key(KeyRules { expires_at_ms: Some(end_ms), limits: tollgate_limits::RateLimits::unlimited(), ..rules() }).await;
    world.clock.advance_ms(3_600_000);
    assert_eq!(world.node.check(&key).await.unauthenticated(), Unauthenticated::Expired);
    world.clock.set_back_ms(3_600_000);
    (world, key)
}

#[tokio::test(start_paused = true)]
async fn what_a_clock_that_ran_ahead_has_ended_comes_back_once_it_is_right() {
    let (world, key) = after_a_jump_ahead().await;
    // The store's clock is not quite the same.
    world.keys.set_time_of_day(world.clock.unix_ms() + 20_000);
    assert_eq!(world.node.check(&key).await.unauthenticated(), Unauthenticated::Expired, "nobody has asked yet");
    world.node.turn().await;
    world.node.check(&key).await.allowed();
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_was_days_ahead_loses_no_secret_that_is_still_good() {
    let world = World::new().await;
    let old = world.used_key(KeyRules { limits: tollgate_limits::RateLimits::unlimited(), ..rules() }).await;
    let new = shown(&rotate(&world, &old, json!({ "grace_seconds": 3600 })).await.expect("rotated"));
    let other = world.other_node().await;
    let ahead_ms = 3 * 86_400_000;
    world.clock.advance_ms(ahead_ms);
    other.check(&new).await.allowed();
    assert_eq!(other.check(&old).await.unauthenticated(), Unauthenticated::BadSecret, "by that clock it has long ended");
    world.clock.set_back_ms(ahead_ms);
    world.keys.set_time_of_day(world.clock.unix_ms());
    other.check(&new).await.allowed();
    other.turn().await;
    other.check(&old).await.allowed();
    other.check(&new).await.allowed();
}

#[tokio::test(start_paused = true)]
async fn what_has_ended_stays_so_while_the_key_store_says_that_the_clock_is_wrong() {
    let (world, key) = after_a_jump_ahead().await;
    for _ in 0..300 {
        world.keys.set_time_of_day(world.clock.unix_ms() + 3_600_000);
        assert_eq!(world.node.check(&key).await.unauthenticated(), Unauthenticated::Expired);
        world.node.turn().await;
        tokio::time::advance(Duration::from_secs(2)).await;
    }
    // Nor is anything believed that cannot be asked.
    world.keys.set_down(true);
    for _ in 0..60 {
        assert_eq!(world.node.check(&key).await.unauthenticated(), Unauthenticated::Expired);
        world.node.turn().await;
        tokio::time::advance(Duration::from_secs(2)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_nobody_can_check_is_believed_after_a_minute() {
    let (world, key) = after_a_jump_ahead().await;
    for _ in 0..30 {
        assert_eq!(world.node.check(&key).await.unauthenticated(), Unauthenticated::Expired);
        world.node.turn().await;
        tokio::time::advance(Duration::from_secs(2)).await;
    }
    assert_eq!(world.node.check(&key).await.unauthenticated(), Unauthenticated::Expired);
    world.node.turn().await;
    world.node.check(&key).await.allowed();
}

#[tokio::test(start_paused = true)]
async fn a_reset_whose_writer_died_is_made_good_once() {
    let world = World::new().await;
    let other = world.other_node().await;
    let key = world.used_key(KeyRules { limits: limits(2, 86_400), ..rules() }).await;
    world.node.check(&key).await.allowed();
    world.node.check(&key).await.limited();
    // Written, and no fence was raised.
    world.keys.edit(&key.key_id, ChangeKind::Reset, |_| {});
    world.node.check(&key).await.limited();
    world.node.turn().await;
    world.node.check(&key).await.allowed();
    other.turn().await;
    other.check(&key).await.allowed();
    other.check(&key).await.limited();
    // One that is read of much later is not made good any more.
    world.keys.edit(&key.key_id, ChangeKind::Reset, |_| {});
    world.clock.advance_ms(31 * 60 * 1000);
    let fences = world.buckets.fences().len();
    world.node.turn().await;
    assert!(world.buckets.fences()[fences..].iter().all(|fence| !fence.reset), "a fence all the same");
    assert!(world.buckets.fences().len() > fences);
}

#[tokio::test(start_paused = true)]
async fn a_kind_on_its_way_out_is_warned_of_counted_and_then_refused() {
    let end_ms = crate::support::TestClock::new().unix_ms() + 1_000;
    let lives = KindLives { unsigned: KindLife::Until(end_ms), imported: KindLife::Deprecated, ..KindLives::default() };
    let world = World::with(|options| options.kinds = lives).await;
    let (old, good) = (made(&world, json!({ "name": "n", "kind": "unsigned" })).await, world.used_key(rules()).await);
    let passed = world.node.check(&old).await.allowed();
    assert_eq!(passed.deprecated, Some(Deprecated { kind: SecretKind::Unsigned, until_ms: Some(end_ms) }));
    assert_eq!(world.node.check(&good).await.allowed().deprecated, None);
    let uses = |kind: &str| world.node.metric(&format!("tollgate_key_uses_total{{kind=\"{kind}\"}}"));
    assert_eq!((uses("unsigned"), uses("signed"), uses("imported")), (1, 2, 0));
    // Rotated to a kind that stays, the key goes on; the old secret is still of the old kind.
    let rotated = rotate(&world, &old, json!({ "kind": "signed", "grace_seconds": 3600 })).await.expect("rotated");
    let new = shown(&rotated);
    assert_eq!(world.node.check(&new).await.allowed().deprecated, None);
    assert!(world.node.check(&old).await.allowed().deprecated.is_some());
    world.clock.advance_ms(1_000);
    let hashes = world.node.hashes();
    assert_eq!(world.node.check(&old).await.unauthenticated(), Unauthenticated::KindEnded, "known and in its grace, but over");
    let fresh = made(&world, json!({ "name": "n", "kind": "unsigned" })).await;
    assert_eq!(world.node.check(&fresh).await.unauthenticated(), Unauthenticated::KindEnded);
    assert_eq!(world.node.hashes(), hashes + 1, "the making of a key is hashed, its refusal is not");
    let guess = ApiKey::from_parts(good.key_id.as_str(), old.secret.expose()).expect("well formed").into();
    assert_eq!(world.node.check(&guess).await.unauthenticated(), Unauthenticated::BadSecret, "of a kind that this key never had");
    world.node.check(&new).await.allowed();
    world.node.check(&good).await.allowed();
}
