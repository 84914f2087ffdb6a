//! The cache under every order of its threads' steps: what a change made stale is never kept.

use loom::{
    model::Builder,
    sync::{Arc, Mutex},
    thread,
};
use serde_json::Map;
use tollgate_keys::{ApiKey, Lifecycle, Scopes, SecretHash, SecretHashes, SecretKind, Slot};
use tollgate_limits::RateLimits;

use super::*;
use crate::{
    ports::ChangeKind,
    record::{KeyRecord, OwnerRules},
};

const HASH: &str = "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$AAECAwQFBgcICQoLDA0ODw";
/// Of another secret.
const NEW_HASH: &str = "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$DwECAwQFBgcICQoLDA0ODw";
/// Threads of a model get small stacks unless told otherwise.
const STACK_BYTES: usize = 1 << 20;

fn key_id() -> KeyId {
    KeyId::parse("key").expect("an id")
}

fn owner() -> OwnerName {
    OwnerName::parse("acme").expect("an owner")
}

/// The key store: the generations of the key and of its owner.
type Store = Arc<Mutex<(u64, u64)>>;

fn find(store: &Store) -> FoundKey {
    found(*store.lock().expect("no panic"), HASH)
}

fn found((key, of_owner): (u64, u64), hash: &str) -> FoundKey {
    let record = KeyRecord {
        key_id: key_id(),
        owner: Some(owner()),
        name: "key".to_owned(),
        kind: SecretKind::Imported,
        secrets: SecretHashes::only(SecretHash::parse(hash).expect("a hash")),
        scopes: Scopes::none(),
        limits: RateLimits::unlimited(),
        lifecycle: Lifecycle::active(None),
        created_at_ms: 0,
        revoked: None,
        metadata: Map::new(),
        generation: key,
        last_used_at_ms: None,
        outage_mode: None,
    };
    FoundKey { key: record, owner: Some(OwnerRules { limits: RateLimits::unlimited(), generation: of_owner }) }
}

fn change(position: u64, of_owner: bool) -> Change {
    let (kind, key_id) = if of_owner { (ChangeKind::OwnerUpdated, None) } else { (ChangeKind::Revoked, Some(key_id())) };
    Change { position, at_ms: position, kind, key_id, owner: Some(owner()) }
}

fn cache() -> Arc<KeyCache> {
    let options = CacheOptions { age_max: Duration::from_hours(1), count_max: 10 };
    let cache = KeyCache::new(options, ProcessKey::generate().expect("randomness"));
    cache.restart_at(1);
    Arc::new(cache)
}

fn spawn(work: impl FnOnce() + Send + 'static) -> thread::JoinHandle<()> {
    thread::Builder::new().stack_size(STACK_BYTES).spawn(work).expect("a thread")
}

/// What a request does that finds nothing cached.
fn look_up(cache: &KeyCache, store: &Store) {
    let mark = cache.mark();
    let found = find(store);
    drop(cache.insert(found, mark, None));
}

/// Every order of `actors`, each given the cache and a store at generation 1; in the end, and for
/// who asks after `change` is done, the cache must hold nothing older than the store.
fn never_holds_what_is_stale(actors: &'static [fn(&KeyCache, &Store)], change: fn(&KeyCache, &Store)) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(move || {
        let work = move || {
            let (cache, store) = (cache(), Arc::new(Mutex::new((1, 1))));
            let threads: Vec<_> = actors
                .iter()
                .map(|actor| {
                    let (cache, store) = (Arc::clone(&cache), Arc::clone(&store));
                    spawn(move || actor(&cache, &store))
                })
                .collect();
            change(&cache, &store);
            assert_fresh(&cache, &store);
            for thread in threads {
                thread.join().expect("no panic");
            }
            assert_fresh(&cache, &store);
        };
        spawn(work).join().expect("no panic");
    });
}

fn assert_fresh(cache: &KeyCache, store: &Store) {
    let now = *store.lock().expect("no panic");
    if let Some(held) = cache.get(&key_id()) {
        assert_eq!(held.generations(), (now.0, Some(now.1)), "stale rules are held");
    }
}

/// Committed first, and then read from the log.
fn revoke(cache: &KeyCache, store: &Store) {
    store.lock().expect("no panic").0 = 2;
    cache.apply(&[change(2, false)]);
}

fn change_owner(cache: &KeyCache, store: &Store) {
    store.lock().expect("no panic").1 = 2;
    cache.apply(&[change(2, true)]);
}

/// The place in the log is lost while another history begins.
fn start_over(cache: &KeyCache, store: &Store) {
    store.lock().expect("no panic").0 = 2;
    cache.restart_at(1);
}

#[test]
fn an_insert_against_a_revocation() {
    never_holds_what_is_stale(&[look_up], revoke);
}

#[test]
fn two_inserts_against_a_revocation() {
    never_holds_what_is_stale(&[look_up, look_up], revoke);
}

#[test]
fn an_insert_against_a_change_of_the_owner() {
    never_holds_what_is_stale(&[look_up], change_owner);
}

#[test]
fn an_insert_against_another_history() {
    never_holds_what_is_stale(&[look_up], start_over);
}

#[test]
fn an_insert_and_what_makes_room_against_a_revocation() {
    never_holds_what_is_stale(&[look_up, |cache, _| cache.sweep()], revoke);
}

#[test]
fn an_insert_and_a_writer_of_this_node_against_a_revocation() {
    never_holds_what_is_stale(&[look_up, |cache, _| cache.forget(&key_id())], revoke);
}

/// A secret turns out to be the entry's.
fn prove(cache: &KeyCache, entry: &CachedKey) -> SecretDigest {
    let digest = cache.digest(&ApiKey::from_parts("key", "swordfish").expect("an api key"));
    entry.set_verified(&entry.proofs.secrets().expect("nothing is known"), digest, Slot::Current);
    digest
}

/// It is read again, and may miss a change, while its holder shows the secret that was right before.
#[test]
fn a_proof_outlives_every_reading() {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(|| {
        let work = || {
            let (cache, store) = (cache(), Arc::new(Mutex::new((1, 1))));
            let first = cache.insert(find(&store), cache.mark(), None);
            let digest = prove(&cache, &first);
            let again = spawn({
                let (cache, store) = (Arc::clone(&cache), Arc::clone(&store));
                move || look_up(&cache, &store)
            });
            revoke(&cache, &store);
            assert!(cache.was_verified(&key_id(), &digest, 0));
            again.join().expect("no panic");
            look_up(&cache, &store);
            assert!(cache.was_verified(&key_id(), &digest, 0));
            assert_eq!(cache.get(&key_id()).map(|held| held.generations().0), Some(2), "what is new takes the place of what was held");
        };
        spawn(work).join().expect("no panic");
    });
}

#[test]
fn a_reading_that_missed_a_rotation_does_not_cost_the_new_secret_its_proof() {
    loom::model(|| {
        let work = || {
            let cache = cache();
            let before = cache.mark();
            let digest = prove(&cache, &cache.insert(found((2, 1), NEW_HASH), cache.mark(), None));
            cache.apply(&[change(2, false)]);
            cache.forget(&key_id());
            drop(cache.insert(found((1, 1), HASH), before, None));
            assert!(cache.was_verified(&key_id(), &digest, 0));
        };
        spawn(work).join().expect("no panic");
    });
}
