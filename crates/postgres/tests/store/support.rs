//! A store on a database of its own, and records to put in it.

use std::{sync::Arc, time::Duration};

use serde_json::Map;
use tollgate_gate::{
    ports::{ChangeContext, ChangeKind, Changed, CreateGuard, KeyDraft, KeyEdit, KeyStore, KeyStoreError},
    record::{KeyRecord, Revocation},
};
use tollgate_keys::{KeyId, Lifecycle, OwnerName, Scopes, SecretHash, SecretHashes, SecretKind, Status, random_bytes};
use tollgate_limits::{LimitName, NamedLimit, RateLimit, RateLimits};
use tollgate_postgres::{Options, PostgresKeys, migrate};
use tollgate_testkit::TestDatabase;

/// An instant for tests that need none in particular.
pub(crate) const NOW_MS: u64 = 1_800_000_000_000;

/// A PHC string as cheap as can be.
pub(crate) const PHC: &str = "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$AAECAwQFBgcICQoLDA0ODw";
/// Another one.
pub(crate) const OTHER_PHC: &str = "$argon2id$v=19$m=8,t=1,p=1$b3RoZXJzYWx0b3RoZXJzYQ$AAECAwQFBgcICQoLDA0ODw";

/// A store and its database, which is dropped with it.
pub(crate) struct Fixture {
    pub(crate) store: Arc<PostgresKeys>,
    pub(crate) database: TestDatabase,
}

/// Time-outs for tests of anything else: a slow machine is no reason to fail.
const PATIENT: Duration = Duration::from_secs(30);

/// Options of a store that must not be in a hurry.
pub(crate) fn patient(url: impl Into<String>) -> Options {
    Options {
        acquire_timeout: PATIENT,
        statement_timeout: PATIENT,
        lock_timeout: PATIENT,
        idle_in_transaction_timeout: PATIENT,
        ..Options::new(url)
    }
}

/// A patient store on a migrated database.
pub(crate) async fn fixture() -> Fixture {
    let database = TestDatabase::create(async |url| Ok(migrate(&url).await.map(|_| ())?)).await.expect("a database");
    let store = Arc::new(PostgresKeys::connect(&patient(database.url())).expect("a store"));
    Fixture { store, database }
}

pub(crate) fn context() -> ChangeContext {
    context_at(NOW_MS)
}

pub(crate) fn context_at(now_ms: u64) -> ChangeContext {
    ChangeContext { actor: "tk_tester".to_owned(), request_id: "req-1".to_owned(), action: "keys.test", now_ms, once: None }
}

pub(crate) fn owner(name: &str) -> OwnerName {
    OwnerName::parse(name).expect("an owner")
}

pub(crate) fn hash(phc: &str) -> SecretHash {
    SecretHash::parse(phc).expect("a hash")
}

pub(crate) fn limits(list: &[(&str, u64, u64)]) -> RateLimits {
    let named = |(name, burst, per_seconds): &(&str, u64, u64)| NamedLimit {
        name: LimitName::new(name).expect("a name"),
        limit: RateLimit::new(*burst, *per_seconds).expect("figures"),
    };
    RateLimits::new(list.iter().map(named).collect()).expect("limits")
}

/// A plain key of an owner or of none.
pub(crate) fn draft(owner_name: Option<&str>) -> KeyDraft {
    let record = KeyRecord {
        key_id: KeyId::from_parts(0, [0; 10]),
        owner: owner_name.map(owner),
        name: "a key".to_owned(),
        kind: SecretKind::Signed,
        secrets: SecretHashes::only(hash(PHC)),
        scopes: Scopes::none(),
        limits: limits(&[("key", 100, 60)]),
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

/// Makes a key of this draft.
pub(crate) async fn create(store: &PostgresKeys, draft: KeyDraft) -> KeyRecord {
    store.create(draft, CreateGuard::None, context()).await.expect("made").expect("no guard")
}

/// An edit that renames.
pub(crate) fn rename(name: &str) -> KeyEdit {
    let name = name.to_owned();
    Box::new(move |key| Ok(Some(KeyRecord { name, ..key.clone() })))
}

/// An edit that revokes once.
pub(crate) fn revoke(reason: &str) -> KeyEdit {
    let reason = reason.to_owned();
    Box::new(move |key| {
        Ok((key.lifecycle.status != Status::Revoked).then(|| KeyRecord {
            lifecycle: Lifecycle { status: Status::Revoked, ..key.lifecycle },
            revoked: Some(Revocation { at_ms: NOW_MS, reason: Some(reason) }),
            ..key.clone()
        }))
    })
}

/// Changes a key as an operator.
pub(crate) async fn change(store: &PostgresKeys, key_id: &KeyId, kind: ChangeKind, edit: KeyEdit) -> Result<Changed, KeyStoreError> {
    store.change(key_id.clone(), None, kind, edit, context()).await
}

/// The position of the log's end.
pub(crate) async fn position(store: &PostgresKeys) -> u64 {
    store.head().await.expect("a head").position
}
