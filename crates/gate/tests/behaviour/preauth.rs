//! Whoever fails too often is told to come back later, and costs nobody anything meanwhile.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use tollgate_gate::{
    FailureBudget, GateOptions,
    ports::ChangeKind,
    request::{Credential, SharedKey},
    verdict::{Denial, GateError, Unauthenticated, Verdict},
};
use tollgate_keys::{ApiKey, RandomPart, Secret, Status, hash_secret};

use crate::{
    credentials::{Untouched, other_unsigned, unsigned_key},
    support::{Ask, Outcomes, World, keep_hashing_busy, let_others_go_on, limits, options, preauth, rules, with_one_hashing_thread},
};

const A_MINUTE: Duration = Duration::from_mins(1);

fn budget(burst: u32) -> FailureBudget {
    FailureBudget { burst: NonZeroU32::new(burst).expect("not zero"), period: A_MINUTE }
}

/// So many failures an address.
fn of_address(burst: u32) -> impl FnOnce(&mut GateOptions) {
    move |options| options.preauth.address = budget(burst)
}

/// A key that nobody has made.
fn unknown() -> SharedKey {
    let made = tollgate_keys::KeyId::from_parts(1_760_000_000_000, tollgate_keys::random_bytes().expect("randomness"));
    Arc::new(ApiKey { key_id: made, secret: Secret::unsigned(&RandomPart::generate().expect("randomness")) })
}

/// A signed key with a tag of some other ring.
fn forged(of: &SharedKey) -> SharedKey {
    let random = RandomPart::generate().expect("randomness");
    let signer = tollgate_keys::SigningKey::generate(of.secret.ring().expect("signed")).expect("randomness");
    Arc::new(ApiKey { key_id: of.key_id.clone(), secret: Secret::signed(&signer, &of.key_id, &random) })
}

#[track_caller]
fn not_now(told: Result<Verdict, GateError>) -> u32 {
    match told.denied() {
        Denial::AbnormalUsage { retry_after_s } => retry_after_s,
        other => panic!("looked at: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn an_address_over_its_budget_is_told_to_wait_and_asks_nobody() {
    let world = World::with(of_address(5)).await;
    let signed = world.key(rules()).await;
    for _ in 0..5 {
        assert_eq!(world.node.check(&unknown()).await.unauthenticated(), Unauthenticated::Stranger);
    }
    let (untouched, ring_reads) = (Untouched::of(&world), world.keys.signing_reads());
    let elsewhere = ApiKey::from_parts(signed.key_id.as_str(), &{
        let ring = tollgate_keys::RingChar::new('z').expect("a ring character");
        let other = tollgate_keys::SigningKey::generate(ring).expect("randomness");
        Secret::signed(&other, &signed.key_id, &RandomPart::generate().expect("randomness")).expose().to_owned()
    });
    let shown = [unknown(), forged(&signed), other_unsigned(&signed), Arc::new(elsewhere.expect("well formed"))];
    for key in &shown {
        assert_eq!(not_now(world.node.check(key).await), 12, "one of five in a minute");
    }
    assert_eq!(not_now(world.node.request(Ask::default().with(Credential::Malformed)).await), 12);
    untouched.check(&world);
    assert_eq!(world.keys.signing_reads(), ring_reads, "an unknown ring character is not looked up either");
    assert_eq!(world.node.auth("preauth_limited"), 5);
    assert_eq!(world.node.metric("tollgate_decisions_total{verdict=\"denied\",source=\"preauth\"}"), 5);
    assert_eq!(world.node.throttled(), 5);
    // Who shows nothing guesses nothing.
    assert_eq!(world.node.request(Ask::default().with(Credential::Missing)).await.unauthenticated(), Unauthenticated::Missing);
    // Exactly when it was promised, and not before.
    tokio::time::advance(Duration::from_millis(11_999)).await;
    not_now(world.node.check(&unknown()).await);
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(world.node.check(&unknown()).await.unauthenticated(), Unauthenticated::Stranger);
    not_now(world.node.check(&unknown()).await);
}

#[tokio::test(start_paused = true)]
async fn every_kind_of_failure_counts_and_nothing_else_does() {
    let world = World::with(of_address(1000)).await;
    let (signed, unsigned) = (world.used_key(rules()).await, unsigned_key(&world).await);
    let revoked = world.key(rules()).await;
    world.keys.edit(&revoked.key_id, ChangeKind::Revoked, |record| record.lifecycle.status = Status::Revoked);
    let suspended = world.key(rules()).await;
    world.keys.edit(&suspended.key_id, ChangeKind::Updated, |record| record.lifecycle.status = Status::Suspended);
    let ask = |key: SharedKey, nth| (Ask::client(nth).with(Credential::ApiKey(key)), nth);
    let failures = [
        ask(unknown(), 1),
        ask(forged(&signed), 2),
        ask(other_unsigned(&unsigned), 3),
        ask(revoked, 4),
        ask(other_unsigned(&signed), 5),
        (Ask::client(6).with(Credential::Malformed), 6),
    ];
    let others = [ask(signed, 11), ask(unsigned, 12), ask(suspended, 13), (Ask::client(14).with(Credential::Missing), 14)];
    let count = failures.len();
    for (place, (request, nth)) in failures.into_iter().chain(others).enumerate() {
        world.node.request(request).await.expect("a verdict");
        // What is left of the budget, counted.
        let mut left = 0;
        while let Denial::Unauthenticated(_) = world.node.request(Ask::client(nth).with(Credential::Malformed)).await.denied() {
            left += 1;
        }
        assert_eq!(left, if place < count { 999 } else { 1000 }, "request {place}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_good_tag_and_a_verified_secret_pass_an_address_over_its_budget() {
    let world = World::with(of_address(3)).await;
    let (verified, fresh) = (unsigned_key(&world).await, unsigned_key(&world).await);
    world.node.check(&verified).await.allowed();
    for _ in 0..100 {
        world.node.check(&unknown()).await.denied();
    }
    not_now(world.node.check(&unknown()).await);
    for _ in 0..20 {
        let first_use = world.key(rules()).await;
        world.node.check(&first_use).await.allowed();
        world.node.check(&first_use).await.allowed();
    }
    world.node.check(&verified).await.allowed();
    // Its rules change: it is read again, and was right before.
    world.keys.edit(&verified.key_id, ChangeKind::Updated, |record| record.limits = limits(7, 60));
    world.node.turn().await;
    assert_eq!(world.node.check(&verified).await.allowed().standings[0].named.limit.burst(), 7);
    not_now(world.node.check(&fresh).await);
    world.node.ask(&fresh, Ask::client(1)).await.allowed();
}

/// A key's first use is on its way while this node hears that it was made, or changed.
#[tokio::test(start_paused = true)]
async fn a_secret_that_was_verified_while_word_of_its_key_came_passes_too() {
    let world = World::with(of_address(3)).await;
    let (made, changed) = (unsigned_key(&world).await, unsigned_key(&world).await);
    use_while(&world, &made, || ()).await;
    use_while(&world, &changed, || world.keys.edit(&changed.key_id, ChangeKind::Updated, |record| record.limits = limits(7, 60))).await;
    for _ in 0..100 {
        world.node.check(&unknown()).await.denied();
    }
    world.node.check(&made).await.allowed();
    assert_eq!(world.node.check(&changed).await.allowed().standings[0].named.limit.burst(), 7);
}

/// Shows the key; before it is verified something is `done`, which this node reads in the log and no
/// fence tells.
async fn use_while(world: &World, key: &SharedKey, done: impl FnOnce()) {
    let mut held = world.keys.hold_find();
    let first_use = tokio::spawn({
        let (node, key) = (world.node.clone(), key.clone());
        async move { node.check(&key).await }
    });
    held.reached().await;
    done();
    world.buckets.go_down();
    world.node.turn().await;
    world.buckets.set_down(None);
    held.release();
    first_use.await.expect("no panic").allowed();
}

#[tokio::test(start_paused = true)]
async fn first_uses_are_never_charged() {
    let world = World::with(|options| options.preauth = preauth(1)).await;
    for _ in 0..50 {
        let (signed, unsigned) = (world.key(rules()).await, unsigned_key(&world).await);
        world.node.check(&signed).await.allowed();
        world.node.check(&unsigned).await.allowed();
    }
}

#[tokio::test(start_paused = true)]
async fn one_text_has_one_budget_wherever_it_comes_from() {
    let world = World::with(|options| options.preauth.key_text = budget(3)).await;
    let (key, other) = (unknown(), unknown());
    for nth in 0..3 {
        assert_eq!(world.node.ask(&key, Ask::client(nth)).await.unauthenticated(), Unauthenticated::Stranger);
    }
    let untouched = Untouched::of(&world);
    for nth in 3..1000 {
        assert_eq!(not_now(world.node.ask(&key, Ask::client(nth)).await), 20);
    }
    untouched.check(&world);
    assert_eq!(world.node.ask(&other, Ask::client(1)).await.unauthenticated(), Unauthenticated::Stranger);
}

#[tokio::test(start_paused = true)]
async fn a_suspended_key_that_is_asked_for_all_the_time_is_back_at_once() {
    let world = World::with(|options| options.preauth = preauth(2)).await;
    let (signed, unsigned) = (world.key(rules()).await, unsigned_key(&world).await);
    for key in [&signed, &unsigned] {
        world.keys.edit(&key.key_id, ChangeKind::Updated, |record| record.lifecycle.status = Status::Suspended);
        for _ in 0..100 {
            assert_eq!(world.node.check(key).await.unauthenticated(), Unauthenticated::Suspended);
        }
        world.keys.edit(&key.key_id, ChangeKind::Updated, |record| record.lifecycle.status = Status::Active);
        world.node.turn().await;
        world.node.check(key).await.allowed();
    }
}

/// T1: wrong secrets for a key id that everybody knows.
#[tokio::test(start_paused = true)]
async fn guesses_at_a_signed_key_are_never_hashed_and_those_at_an_unsigned_one_hardly_ever() {
    let world = World::with(|options| options.preauth.key_id = budget(20)).await;
    let (signed, unsigned) = (world.used_key(rules()).await, unsigned_key(&world).await);
    world.node.check(&unsigned).await.allowed();
    let untouched = Untouched::of(&world);
    for nth in 0..5000 {
        world.node.ask(&forged(&signed), Ask::client(nth)).await.denied();
    }
    untouched.check(&world);
    let unused = unsigned_key(&world).await;
    let (hashes, finds) = (world.node.hashes(), world.keys.finds());
    for nth in 0..5000 {
        world.node.ask(&other_unsigned(&unsigned), Ask::client(nth % 4000)).await.denied();
    }
    assert_eq!((world.node.hashes(), world.keys.finds()), (hashes, finds), "the right one is known");
    for nth in 0..5000 {
        world.node.ask(&other_unsigned(&unused), Ask::client(nth % 4000)).await.denied();
    }
    assert_eq!((world.node.hashes() - hashes, world.keys.finds()), (40, finds + 1), "20 of those who failed, 20 of the others");
    world.node.check(&unsigned).await.allowed();
}

#[tokio::test(start_paused = true)]
async fn one_attacker_does_not_keep_an_owner_from_his_first_use() {
    let world = World::with(|options| options.preauth.key_id = budget(20)).await;
    let key = unsigned_key(&world).await;
    for _ in 0..1000 {
        world.node.ask(&other_unsigned(&key), Ask::client(1)).await.denied();
    }
    not_now(world.node.ask(&other_unsigned(&key), Ask::client(1)).await);
    world.node.ask(&key, Ask::client(2)).await.allowed();
    world.node.ask(&key, Ask::client(1)).await.allowed();
}

/// Only its holder can show it, but he may do so for ever.
#[tokio::test(start_paused = true)]
async fn a_rotated_secret_with_a_good_tag_is_hashed_once() {
    let world = World::new().await;
    let old = world.used_key(rules()).await;
    let new: SharedKey = Arc::new(world.keys.signed(&old.key_id));
    let hash = hash_secret(&options().hashing.params, &new.secret).expect("hashed");
    world.keys.edit(&old.key_id, ChangeKind::Rotated, |record| record.secrets.current = hash);
    world.node.turn().await;
    let hashes = world.node.hashes();
    let try_old = async || {
        for _ in 0..100 {
            assert_eq!(world.node.check(&old).await.unauthenticated(), Unauthenticated::BadSecret);
        }
    };
    try_old().await;
    assert_eq!(world.node.hashes(), hashes + 1);
    world.node.check(&new).await.allowed();
    try_old().await;
    assert_eq!(world.node.hashes(), hashes + 2, "the new one's");
    world.node.check(&new).await.allowed();
}

#[test]
fn operators_hear_of_peers_that_pretend_and_of_secrets_that_were_shed() {
    with_one_hashing_thread(hear_of_marks());
}

async fn hear_of_marks() {
    let world = World::with(|options| (options.hashing.threads, options.hashing.queue_max, options.lookups_max) = (1, 0, 100)).await;
    let told = || {
        let components = world.node.gate.readiness().components;
        components
            .into_iter()
            .filter(|component| component.state != tollgate_api::ComponentState::Ok)
            .map(|component| component.component)
            .filter(|component| [tollgate_api::Component::UntrustedForwarder, tollgate_api::Component::Argon2Pool].contains(component))
    };
    let gauge = |name: &str| world.node.metric(&format!("tollgate_health_state{{component=\"{name}\"}}"));
    assert_eq!(told().count(), 0);
    world.node.gate.note_untrusted_forwarder([192, 0, 2, 1].into());
    let (mut keys, mut crowd) = (Vec::new(), tokio::task::JoinSet::new());
    for _ in 0..3 {
        keys.push(world.key(rules()).await);
    }
    let busy = keep_hashing_busy();
    for key in keys {
        let node = world.node.clone();
        crowd.spawn(async move { node.check(&key).await });
    }
    let_others_go_on().await;
    drop(busy);
    assert!(crowd.join_all().await.into_iter().any(|told| told.is_err()), "nothing was shed");
    assert!(world.node.gate.readiness().ready, "a node that sheds is still of use");
    tokio::time::advance(Duration::from_secs(2)).await;
    world.node.turn().await;
    assert_eq!((told().count(), gauge("untrusted_forwarder"), gauge("argon2_pool")), (2, 1, 1));
    tokio::time::advance(Duration::from_secs(10)).await;
    world.node.turn().await;
    assert_eq!((told().count(), gauge("untrusted_forwarder"), gauge("argon2_pool")), (1, 1, 0));
    tokio::time::advance(Duration::from_mins(5)).await;
    world.node.turn().await;
    assert_eq!((told().count(), gauge("untrusted_forwarder"), gauge("argon2_pool")), (0, 0, 0));
}
