//! A secret that one node has verified is hashed by no other, and a receipt admits nothing by itself.

use std::{sync::Arc, time::Duration};

use tollgate_api::{CreateKeyBody, KeyKindName};
use tollgate_gate::{
    GateOptions, Receipts,
    ports::ChangeKind,
    request::SharedKey,
    verdict::{Denial, Unauthenticated},
};
use tollgate_keys::{ApiKey, PreviousHash, SecretHashes, SecretKind, Status, hash_secret};

use crate::{
    credentials::other_unsigned,
    support::{Ask, FakeReceipts, Node, Outcomes, World, operator, options, preauth, rules},
};

const TTL: Duration = Duration::from_hours(24);

/// Nodes of one fleet, with receipts between them.
struct Fleet {
    world: World,
    receipts: Arc<FakeReceipts>,
}

impl Fleet {
    async fn new() -> Self {
        Self { world: World::new().await, receipts: Arc::default() }
    }

    async fn node(&self) -> Node {
        self.node_with(|_| {}).await
    }

    /// A node that has just started.
    async fn node_with(&self, change: impl FnOnce(&mut GateOptions)) -> Node {
        let mut options = options();
        change(&mut options);
        let World { keys, buckets, clock, .. } = &self.world;
        let receipts = Receipts { store: self.receipts.clone(), ttl: TTL };
        let node = Node::with_receipts((keys.clone(), Arc::new(buckets.beside())), Some(receipts), clock, options);
        node.turn().await;
        node
    }
}

async fn made_by(node: &Node, kind: KeyKindName) -> SharedKey {
    let body = CreateKeyBody { kind: Some(kind), ..serde_json::from_str(r#"{"name":"made"}"#).expect("a body") };
    let made = node.gate.create_key(&operator(None, &["admin"]), body).await.expect("made");
    Arc::new(ApiKey::parse(&made.api_key.expect("shown once")).expect("an api key"))
}

#[tokio::test(start_paused = true)]
async fn a_fleet_that_restarts_hashes_nothing() {
    let fleet = Fleet::new().await;
    let first = fleet.node().await;
    let mut keys = Vec::new();
    for _ in 0..50 {
        keys.push(fleet.world.key(rules()).await);
        keys.push(made_by(&first, KeyKindName::Signed).await);
        keys.push(made_by(&first, KeyKindName::Unsigned).await);
    }
    for key in &keys {
        first.check(key).await.allowed();
    }
    assert_eq!(first.hashes(), 50 + 100, "what others made is hashed, what was made here was hashed then");
    for _ in 0..3 {
        let restarted = fleet.node().await;
        for key in &keys {
            restarted.check(key).await.allowed();
        }
        assert_eq!((restarted.hashes(), restarted.auth("verified")), (0, 150));
    }
}

#[tokio::test(start_paused = true)]
async fn without_receipts_everything_is_hashed_and_nothing_refused() {
    let fleet = Fleet::new().await;
    let node = fleet.node().await;
    let key = made_by(&node, KeyKindName::Signed).await;
    fleet.receipts.clear();
    let restarted = fleet.node().await;
    restarted.check(&key).await.allowed();
    assert_eq!((restarted.hashes(), fleet.receipts.all().len()), (1, 1), "and leaves one again");
    fleet.receipts.hang();
    let another = fleet.node().await;
    let started = tokio::time::Instant::now();
    another.check(&key).await.allowed();
    assert_eq!(another.hashes(), 1);
    assert!(started.elapsed() <= 2 * options().decision_timeout, "looking and leaving wait for a decision's time each");
}

#[tokio::test(start_paused = true)]
async fn forged_and_copied_receipts_admit_nothing() {
    let fleet = Fleet::new().await;
    let node = fleet.node().await;
    let (key, own) = (made_by(&node, KeyKindName::Unsigned).await, made_by(&node, KeyKindName::Unsigned).await);
    let stored = fleet.receipts.all();
    let of = |key: &SharedKey| stored.iter().find(|(name, _)| *name.key_id == *key.key_id.as_str()).cloned().expect("left");
    let (victim, attacker) = (of(&key), of(&own));
    // The attacker's own secret for the victim's id, with every receipt that he could lay there.
    let guess = Arc::new(ApiKey::from_parts(key.key_id.as_str(), own.secret.expose()).expect("well formed"));
    let forged: [&[u8]; 6] = [&attacker.1, &victim.1, &[], &[0; 32], &[0xff; 32], &victim.1[..31]];
    for (place, receipt) in forged.into_iter().enumerate() {
        fleet.receipts.put(victim.0.clone(), receipt);
        let fresh = fleet.node().await;
        assert_eq!(fresh.check(&guess).await.unauthenticated(), Unauthenticated::BadSecret, "receipt {place}");
        assert_eq!(fresh.hashes(), 1, "the hash decides");
    }
    fleet.receipts.put(victim.0, &attacker.1);
    let fresh = fleet.node().await;
    fresh.check(&key).await.allowed();
}

#[tokio::test(start_paused = true)]
async fn a_rotation_outdates_a_receipt() {
    let fleet = Fleet::new().await;
    let node = fleet.node().await;
    let old = made_by(&node, KeyKindName::Unsigned).await;
    let new = other_unsigned(&old);
    let (receipt_name, receipt) = fleet.receipts.all().pop().expect("left");
    let hash = hash_secret(&options().hashing.params, &new.secret).expect("hashed");
    fleet.world.keys.edit(&old.key_id, ChangeKind::Rotated, |record| record.secrets = SecretHashes::only(hash));
    let fresh = fleet.node().await;
    fresh.check(&new).await.allowed();
    let new_name = fleet.receipts.all().into_iter().map(|(name, _)| name).find(|name| *name != receipt_name).expect("left");
    fleet.receipts.put(new_name, &receipt);
    let fresh = fleet.node().await;
    assert_eq!(fresh.check(&old).await.unauthenticated(), Unauthenticated::BadSecret, "though its receipt lies under both names");
    fresh.check(&new).await.allowed();
}

#[tokio::test(start_paused = true)]
async fn both_secrets_of_a_rotated_key_have_a_receipt() {
    let fleet = Fleet::new().await;
    let node = fleet.node().await;
    let old = made_by(&node, KeyKindName::Unsigned).await;
    let new = other_unsigned(&old);
    let hash = hash_secret(&options().hashing.params, &new.secret).expect("hashed");
    fleet.world.keys.edit(&old.key_id, ChangeKind::Rotated, |record| {
        let before = std::mem::replace(&mut record.secrets.current, hash);
        record.secrets.previous = Some(PreviousHash { hash: before, kind: record.kind, valid_until_ms: u64::MAX });
    });
    node.turn().await;
    node.check(&new).await.allowed();
    node.check(&old).await.allowed();
    let fresh = fleet.node().await;
    fresh.check(&old).await.allowed();
    fresh.check(&new).await.allowed();
    assert_eq!(fresh.hashes(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_receipt_of_a_revoked_key_admits_nothing() {
    let fleet = Fleet::new().await;
    let node = fleet.node().await;
    let key = made_by(&node, KeyKindName::Signed).await;
    fleet.world.keys.edit(&key.key_id, ChangeKind::Revoked, |record| record.lifecycle.status = Status::Revoked);
    let fresh = fleet.node().await;
    assert_eq!(fresh.check(&key).await.unauthenticated(), Unauthenticated::Stranger);
}

#[tokio::test(start_paused = true)]
async fn an_imported_secret_gets_none() {
    let fleet = Fleet::new().await;
    let node = fleet.node().await;
    let key = made_by(&node, KeyKindName::Unsigned).await;
    fleet.receipts.clear();
    let imported: SharedKey = Arc::new(ApiKey::from_parts(key.key_id.as_str(), "swordfish").expect("well formed"));
    let hash = hash_secret(&options().hashing.params, &imported.secret).expect("hashed");
    fleet.world.keys.edit(&key.key_id, ChangeKind::Updated, |record| {
        (record.kind, record.secrets) = (SecretKind::Imported, SecretHashes::only(hash));
    });
    let fresh = fleet.node().await;
    fresh.check(&imported).await.allowed();
    assert_eq!((fresh.hashes(), fleet.receipts.all().len(), fleet.receipts.finds()), (1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_receipt_that_is_used_lasts_and_one_that_is_not_ends() {
    let fleet = Fleet::new().await;
    let node = fleet.node().await;
    let (used, unused) = (made_by(&node, KeyKindName::Signed).await, made_by(&node, KeyKindName::Signed).await);
    for _ in 0..3 {
        tokio::time::advance(TTL.mul_f32(0.7)).await;
        let fresh = fleet.node().await;
        fresh.check(&used).await.allowed();
        assert_eq!(fresh.hashes(), 0);
    }
    let fresh = fleet.node().await;
    fresh.check(&unused).await.allowed();
    assert_eq!(fresh.hashes(), 1);
}

/// The receipt is compared before anything that guesses could use up.
#[tokio::test(start_paused = true)]
async fn guesses_at_a_key_id_do_not_lock_its_owner_out() {
    let fleet = Fleet::new().await;
    let maker = fleet.node().await;
    let (key, signed) = (made_by(&maker, KeyKindName::Unsigned).await, made_by(&maker, KeyKindName::Signed).await);
    let node = fleet.node_with(|options| options.preauth.key_id = preauth(5).key_id).await;
    for nth in 0..1000 {
        node.ask(&other_unsigned(&key), Ask::client(nth)).await.denied();
    }
    assert!(matches!(node.ask(&other_unsigned(&key), Ask::client(5000)).await.denied(), Denial::AbnormalUsage { .. }));
    assert_eq!(node.hashes(), 5);
    assert!(fleet.receipts.finds() <= 2, "guesses do not ask the receipts each: {}", fleet.receipts.finds());
    node.ask(&key, Ask::client(6000)).await.allowed();
    node.ask(&signed, Ask::client(6001)).await.allowed();
    assert_eq!(node.hashes(), 5);
}

#[tokio::test(start_paused = true)]
async fn waiting_for_receipts_is_not_taken_for_a_clock_that_ran_ahead() {
    let fleet = Fleet::new().await;
    let node = fleet.node_with(|options| options.decision_timeout = Duration::from_secs(20)).await;
    let key = fleet.world.key(tollgate_gate::config::KeyRules { limits: tollgate_limits::RateLimits::unlimited(), ..rules() }).await;
    fleet.receipts.hang();
    // It waits twice: to find one and to leave one.
    let clock_goes_on = async {
        while fleet.receipts.finds() == 0 {
            tokio::task::yield_now().await;
        }
        fleet.world.clock.advance_ms(40_000);
    };
    let (first, ()) = tokio::join!(node.check(&key), clock_goes_on);
    first.allowed();
    node.turn().await;
    assert_eq!(fleet.world.keys.times_asked(), 0, "nobody doubts the clock");
}
