//! What the suite makes keys of.

use serde_json::{Map, Value};
use tollgate_gate::{
    ports::{ChangeContext, CreateGuard, KeyDraft, KeyStore},
    record::KeyRecord,
};
use tollgate_keys::{KeyId, Lifecycle, OwnerName, Scopes, SecretHash, SecretHashes, SecretKind, random_bytes};
use tollgate_limits::{LimitName, RateLimit, RateLimits};

use crate::conformance::fresh;

/// An instant that the suite's changes are made at, in milliseconds since 1970.
pub(super) const NOW_MS: u64 = 1_800_000_000_000;

/// A cheap hash of nothing in particular.
pub(super) const HASH: &str = "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$AAECAwQFBgcICQoLDA0ODw";
/// Another one.
pub(super) const OTHER_HASH: &str = "$argon2id$v=19$m=8,t=1,p=1$b3RoZXJzYWx0b3RoZXJzYQ$AAECAwQFBgcICQoLDA0ODw";

/// A plain active key of `owner` with one limit, whose id is to be set by the store.
pub(super) fn draft(owner: Option<&OwnerName>) -> KeyDraft {
    let record = KeyRecord {
        key_id: KeyId::from_parts(0, [0; 10]),
        owner: owner.cloned(),
        name: "conformance".to_owned(),
        kind: SecretKind::Signed,
        secrets: SecretHashes::only(hash(HASH)),
        scopes: Scopes::none(),
        limits: one_limit("key", 100, 60),
        lifecycle: Lifecycle::active(None),
        created_at_ms: 0,
        revoked: None,
        metadata: Map::new(),
        outage_mode: None,
        generation: 0,
        last_used_at_ms: None,
    };
    KeyDraft { record, id_entropy: random_bytes().expect("randomness"), own_id: false }
}

/// The same with an id of its own.
pub(super) fn imported(owner: Option<&OwnerName>, key_id: &str) -> KeyDraft {
    let mut draft = draft(owner);
    draft.record.key_id = KeyId::parse(key_id).expect("a key id");
    draft.record.kind = SecretKind::Imported;
    draft.own_id = true;
    draft
}

/// A key as the store has made it, which it must.
pub(super) async fn made(store: &dyn KeyStore, draft: KeyDraft) -> KeyRecord {
    store.create(draft, CreateGuard::None, context()).await.expect("a store that works").expect("no guard forbids it")
}

/// The key as the store has it now, which it must.
pub(super) async fn found(store: &dyn KeyStore, key_id: &KeyId) -> KeyRecord {
    store.find(key_id.clone()).await.expect("a store that works").expect("the key is there").key
}

/// The position of the last change.
pub(super) async fn position(store: &dyn KeyStore) -> u64 {
    store.head().await.expect("a head").position
}

pub(super) fn context() -> ChangeContext {
    at(NOW_MS)
}

pub(super) fn at(now_ms: u64) -> ChangeContext {
    ChangeContext { actor: "conformance".to_owned(), request_id: fresh(), action: "keys.test", now_ms, once: None }
}

/// An owner that nobody else uses.
pub(super) fn owner() -> OwnerName {
    OwnerName::parse(&fresh()).expect("a name")
}

pub(super) fn hash(text: &str) -> SecretHash {
    SecretHash::parse(text).expect("a hash")
}

pub(super) fn scopes(texts: &[&str]) -> Scopes {
    Scopes::parse(texts.iter().copied()).expect("scopes")
}

pub(super) fn one_limit(name: &str, burst: u64, per_seconds: u64) -> RateLimits {
    RateLimits::one(LimitName::new(name).expect("a name"), RateLimit::new(burst, per_seconds).expect("a limit"))
}

/// Metadata with one field.
pub(super) fn field(name: &str, value: impl Into<Value>) -> Map<String, Value> {
    Map::from_iter([(name.to_owned(), value.into())])
}
