//! Who is refused, at what price, and that nobody else pays it.

use std::sync::Arc;

use tollgate_api::{CreateKeyBody, KeyKindName};
use tollgate_gate::{
    config::KeyRules,
    ports::ChangeKind,
    request::{Credential, SharedKey},
    verdict::Unauthenticated,
};
use tollgate_keys::{ApiKey, PreviousHash, RandomPart, Secret, Status};

use crate::support::{Ask, Outcomes, World, keep_hashing_busy, let_others_go_on, limits, operator, rules, with_one_hashing_thread};

/// The key store and the bucket store have been asked for nothing since.
pub(crate) struct Untouched(usize, usize, u64);

impl Untouched {
    pub(crate) fn of(world: &World) -> Self {
        Self(world.keys.finds(), world.buckets.asked(), world.node.hashes())
    }

    #[track_caller]
    pub(crate) fn check(&self, world: &World) {
        let Self(finds, asked, hashes) = Self::of(world);
        assert_eq!((finds, asked, hashes), (self.0, self.1, self.2), "reads, decisions, hashes");
    }
}

pub(crate) async fn unsigned_key(world: &World) -> SharedKey {
    let body = CreateKeyBody { kind: Some(KeyKindName::Unsigned), ..serde_json::from_str(r#"{"name":"unsigned"}"#).expect("a body") };
    let made = world.node.gate.create_key(&operator(None, &["admin"]), body).await.expect("made");
    Arc::new(ApiKey::parse(&made.api_key.expect("shown once")).expect("an api key"))
}

pub(crate) fn other_unsigned(key: &SharedKey) -> SharedKey {
    let secret = Secret::unsigned(&RandomPart::generate().expect("randomness"));
    Arc::new(ApiKey { key_id: key.key_id.clone(), secret })
}

#[tokio::test(start_paused = true)]
async fn missing_and_malformed_ask_nobody() {
    let world = World::new().await;
    let untouched = Untouched::of(&world);
    for (credential, why) in [(Credential::Missing, Unauthenticated::Missing), (Credential::Malformed, Unauthenticated::Malformed)] {
        assert_eq!(world.node.request(Ask::default().with(credential)).await.unauthenticated(), why);
    }
    untouched.check(&world);
    assert_eq!(world.node.auth("unknown"), 2);
    assert_eq!(world.node.metric("tollgate_decisions_total{verdict=\"denied\",source=\"local\"}"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_forged_signature_asks_nobody() {
    let world = World::new().await;
    let (victim, own) = (world.used_key(rules()).await, world.key(rules()).await);
    let signing_reads = world.keys.signing_reads();
    let untouched = Untouched::of(&world);
    // A good signature, of another key.
    let forged: SharedKey = Arc::new(ApiKey::from_parts(victim.key_id.as_str(), own.secret.expose()).expect("well formed"));
    for _ in 0..100 {
        assert_eq!(world.node.check(&forged).await.unauthenticated(), Unauthenticated::BadSignature);
    }
    untouched.check(&world);
    assert_eq!((world.node.auth("bad_signature"), world.keys.signing_reads()), (100, signing_reads));
}

#[tokio::test(start_paused = true)]
async fn an_unknown_key_costs_a_read_and_no_hash() {
    let world = World::new().await;
    let key = world.key(rules()).await;
    world.keys.remove(&key.key_id);
    assert_eq!(world.node.check(&key).await.unauthenticated(), Unauthenticated::Unknown);
    assert_eq!((world.keys.finds(), world.buckets.asked(), world.node.hashes()), (1, 0, 0));
    assert_eq!(world.node.auth("unknown"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_key_made_after_it_was_unknown_is_good_at_once() {
    let world = World::new().await;
    let key = world.key(rules()).await;
    let record = world.keys.record(&key.key_id);
    world.keys.remove(&key.key_id);
    assert_eq!(world.node.check(&key).await.unauthenticated(), Unauthenticated::Unknown);
    world.keys.put(record);
    world.node.check(&key).await.allowed();
}

/// Whoever shows it: before the right one was shown it takes a hash to tell, and after that none.
#[tokio::test(start_paused = true)]
async fn a_wrong_secret_costs_one_hash_at_most_and_charges_nothing() {
    let world = World::new().await;
    let key = world.key(rules()).await;
    let try_wrong = async || {
        let wrong: SharedKey = Arc::new(world.keys.signed(&key.key_id));
        for _ in 0..2 {
            assert_eq!(world.node.check(&wrong).await.unauthenticated(), Unauthenticated::BadSecret);
        }
    };
    for count in 1..=5 {
        try_wrong().await;
        assert_eq!(world.node.hashes(), count, "one hash each");
    }
    let before = world.node.ask(&key, Ask::peek()).await.allowed().standings;
    let hashes = world.node.hashes();
    for _ in 0..5 {
        try_wrong().await;
    }
    assert_eq!((world.node.hashes(), world.node.auth("bad_secret"), world.keys.finds()), (hashes, 20, 1));
    assert!(world.buckets.decisions().iter().all(|decision| decision.peek), "nothing but peeks");
    assert_eq!(world.node.ask(&key, Ask::peek()).await.allowed().standings, before, "the owner's figures stand");
}

#[tokio::test(start_paused = true)]
async fn a_wrong_secret_is_hashed_once_even_where_no_fence_can_be_asked() {
    let world = World::new().await;
    let key = world.key(rules()).await;
    let wrong = || Arc::new(world.keys.signed(&key.key_id));
    assert_eq!(world.node.check(&wrong()).await.unauthenticated(), Unauthenticated::BadSecret);
    world.buckets.go_down();
    assert_eq!(world.node.check(&wrong()).await.unauthenticated(), Unauthenticated::BadSecret);
    assert_eq!((world.node.hashes(), world.keys.finds()), (2, 2), "confirmed by the key store instead");
}

#[tokio::test(start_paused = true)]
async fn an_unsigned_key_is_told_from_a_guess_by_its_hash() {
    let world = World::new().await;
    let key = unsigned_key(&world).await;
    let hashes = world.node.hashes();
    assert_eq!(world.node.check(&other_unsigned(&key)).await.unauthenticated(), Unauthenticated::BadSecret);
    assert_eq!((world.node.hashes(), world.buckets.asked()), (hashes + 1, 0), "read just now: no fence to ask");
    world.node.check(&key).await.allowed();
    world.node.check(&key).await.allowed();
    assert_eq!((world.node.hashes(), world.keys.finds()), (hashes + 2, 1));
}

#[tokio::test(start_paused = true)]
async fn both_secrets_are_good_while_the_older_lasts() {
    let world = World::new().await;
    let old = unsigned_key(&world).await;
    let new = other_unsigned(&old);
    world.node.check(&old).await.allowed();
    let end_ms = tollgate_gate::Clock::unix_ms(&world.clock) + 1000;
    let hash = tollgate_keys::hash_secret(&crate::support::options().hashing.params, &new.secret).expect("hashed");
    world.keys.edit(&old.key_id, ChangeKind::Rotated, |record| {
        let before = std::mem::replace(&mut record.secrets.current, hash);
        record.secrets.previous = Some(PreviousHash { hash: before, kind: record.kind, valid_until_ms: end_ms });
    });
    world.node.turn().await;
    for key in [&old, &new, &old, &new] {
        world.node.check(key).await.allowed();
    }
    world.clock.advance_ms(999);
    world.node.check(&old).await.allowed();
    world.clock.advance_ms(1);
    assert_eq!(world.node.check(&old).await.unauthenticated(), Unauthenticated::BadSecret, "cached and verified, but over");
    world.node.check(&new).await.allowed();
}

#[tokio::test(start_paused = true)]
async fn suspended_expired_and_revoked_keys_are_refused() {
    let world = World::new().await;
    let soon = tollgate_gate::Clock::unix_ms(&world.clock) + 1000;
    let suspended = world.key(rules()).await;
    world.keys.edit(&suspended.key_id, ChangeKind::Updated, |record| record.lifecycle.status = Status::Suspended);
    let revoked = world.key(rules()).await;
    world.keys.edit(&revoked.key_id, ChangeKind::Revoked, |record| record.lifecycle.status = Status::Revoked);
    let expiring = world.used_key(KeyRules { expires_at_ms: Some(soon), ..rules() }).await;
    assert_eq!(world.node.check(&suspended).await.unauthenticated(), Unauthenticated::Suspended);
    assert_eq!(world.node.check(&revoked).await.unauthenticated(), Unauthenticated::Revoked);
    world.clock.advance_ms(999);
    world.node.check(&expiring).await.allowed();
    world.clock.advance_ms(1);
    assert_eq!(world.node.check(&expiring).await.unauthenticated(), Unauthenticated::Expired, "at its end exactly, though cached");
    assert_eq!((world.node.auth("revoked"), world.node.auth("expired")), (2, 1));
    assert_eq!(world.node.auth("cached") + world.node.auth("verified"), 2, "who is refused is not counted as let in");
}

#[tokio::test(start_paused = true)]
async fn a_wrong_secret_never_learns_how_the_key_is() {
    let world = World::new().await;
    let key = world.key(rules()).await;
    world.keys.edit(&key.key_id, ChangeKind::Revoked, |record| record.lifecycle.status = Status::Revoked);
    let wrong: SharedKey = Arc::new(world.keys.signed(&key.key_id));
    assert_eq!(world.node.check(&wrong).await.unauthenticated(), Unauthenticated::BadSecret);
}

#[tokio::test(start_paused = true)]
async fn a_key_store_that_is_down_is_no_refusal() {
    let world = World::new().await;
    let (cached, fresh) = (world.used_key(rules()).await, world.key(rules()).await);
    world.keys.set_down(true);
    assert!(world.node.check(&fresh).await.unavailable().contains("key store"));
    world.node.check(&cached).await.allowed();
    assert_eq!(world.node.auth("unavailable"), 1);
    world.keys.set_down(false);
    world.node.check(&fresh).await.allowed();
}

#[tokio::test(start_paused = true)]
async fn a_look_up_that_hangs_has_an_end_and_so_has_the_wait_for_it() {
    let world = World::with(|options| (options.lookups_max, options.lookup_timeout) = (1, std::time::Duration::from_secs(2))).await;
    let (slow, other) = (world.key(rules()).await, world.key(rules()).await);
    let held = world.keys.hold_find();
    let started = tokio::time::Instant::now();
    let (first, second) = tokio::join!(world.node.check(&slow), world.node.check(&other));
    assert!(first.unavailable().contains("in time") && second.unavailable().contains("in time"));
    assert_eq!(started.elapsed().as_secs(), 2);
    assert_eq!(world.node.metric("tollgate_postgres_lookups_total{outcome=\"timed_out\"}"), 2);
    drop(held);
    world.node.check(&slow).await.allowed();
    world.node.check(&other).await.allowed();
}

#[test]
fn hashing_has_a_queue_with_an_end() {
    with_one_hashing_thread(async {
        let world = World::with(|options| (options.hashing.threads, options.hashing.queue_max, options.lookups_max) = (1, 3, 100)).await;
        let mut keys = Vec::new();
        for _ in 0..20 {
            keys.push(world.key(KeyRules { limits: limits(5, 60), ..rules() }).await);
        }
        let busy = keep_hashing_busy();
        let asked = keys.iter().map(|key| {
            tokio::spawn({
                let (node, key) = (world.node.clone(), key.clone());
                async move { node.check(&key).await }
            })
        });
        let asked: Vec<_> = asked.collect();
        let_others_go_on().await;
        drop(busy);
        let mut refused = 0;
        for one in asked {
            match one.await.expect("no panic") {
                Err(error) => {
                    assert!(error.to_string().contains("hashed"), "{error}");
                    refused += 1;
                }
                allowed => drop(allowed.allowed()),
            }
        }
        assert_eq!(refused, 16, "one has a thread, three have a place");
    });
}

/// To refuse it by its hash would give everybody who knows a key id a way to keep the hashing busy.
#[tokio::test(start_paused = true)]
async fn a_guess_in_another_form_than_the_keys_is_refused_unhashed() {
    let world = World::new().await;
    let key = world.used_key(rules()).await;
    let hashes = world.node.hashes();
    for _ in 0..3 {
        let secret = tollgate_keys::Secret::unsigned(&tollgate_keys::RandomPart::generate().expect("random"));
        let guess: SharedKey = Arc::new(ApiKey { key_id: key.key_id.clone(), secret });
        assert_eq!(world.node.check(&guess).await.unauthenticated(), Unauthenticated::BadSecret);
    }
    assert_eq!(world.node.hashes(), hashes);
}
