//! Changing keys.

use std::sync::Arc;

use tokio::task::JoinSet;
use tollgate_gate::{
    OutageMode,
    config::{ConfigError, ConfigErrorKind},
    ports::{ChangeKind, Changed, KeyEdit, KeyStore, KeyStoreError},
    record::{KeyRecord, Revocation},
};
use tollgate_keys::{KeyId, Lifecycle, OwnerName, PreviousHash, SecretHashes, SecretKind, Status};
use tollgate_limits::RateLimits;

use super::draft::{HASH, NOW_MS, OTHER_HASH, context, draft, field, found, hash, made, owner, position, scopes};
use crate::conformance::fresh;

fn rename(name: &'static str) -> KeyEdit {
    Box::new(move |record| Ok(Some(KeyRecord { name: name.to_owned(), ..record.clone() })))
}

async fn change(store: &dyn KeyStore, key_id: &KeyId, edit: KeyEdit) -> Result<Changed, KeyStoreError> {
    store.change(key_id.clone(), None, ChangeKind::Updated, edit, context()).await
}

/// The position of the change is the record's generation, whatever the edit made of it.
pub async fn a_change_is_a_new_generation(store: &dyn KeyStore) {
    let owner = owner();
    let key = made(store, draft(Some(&owner))).await;
    let before = position(store).await;
    let edit = Box::new(|record: &KeyRecord| Ok(Some(KeyRecord { name: "new".to_owned(), generation: 0, ..record.clone() })));
    let changed = change(store, &key.key_id, edit).await.expect("changed");
    assert!(changed.changed);
    assert!(changed.record.generation > before);
    let generation = changed.record.generation;
    assert_eq!(changed.record, KeyRecord { name: "new".to_owned(), generation, ..key.clone() });
    assert_eq!(found(store, &key.key_id).await, changed.record);
    let rows = store.changes(generation - 1, 1).await.expect("changes");
    let [row] = rows.as_slice() else { panic!("one row: {rows:?}") };
    assert_eq!((row.kind, row.key_id.as_ref(), row.owner.as_ref()), (ChangeKind::Updated, Some(&key.key_id), Some(&owner)));
    assert!(row.at_ms > key.created_at_ms);
}

/// Every field that a change may touch is written, and can be taken back.
pub async fn everything_that_may_change_does(store: &dyn KeyStore) {
    let mut plain = draft(None);
    plain.record.limits = RateLimits::unlimited();
    let key = made(store, plain).await;
    let full = KeyRecord {
        name: "other".to_owned(),
        secrets: SecretHashes {
            current: hash(OTHER_HASH),
            previous: Some(PreviousHash { hash: hash(HASH), kind: SecretKind::Unsigned, valid_until_ms: NOW_MS + 1 }),
        },
        scopes: scopes(&["keys:read"]),
        limits: super::draft::one_limit("day", 5, 86_400),
        lifecycle: Lifecycle { status: Status::Revoked, expires_at_ms: Some(NOW_MS + 2) },
        revoked: Some(Revocation { at_ms: NOW_MS, reason: Some("why".to_owned()) }),
        metadata: field("a", 1),
        outage_mode: Some(OutageMode::Closed),
        ..key.clone()
    };
    for to in [full, key.clone()] {
        let sent = to.clone();
        let changed = change(store, &key.key_id, Box::new(move |_| Ok(Some(sent)))).await.expect("changed").record;
        let generation = changed.generation;
        assert_eq!(changed, KeyRecord { generation, ..to });
        assert_eq!(found(store, &key.key_id).await, changed);
    }
}

/// A repeated revoke writes nothing: no position, no new generation.
pub async fn nothing_to_change_is_no_change(store: &dyn KeyStore) {
    let key = made(store, draft(None)).await;
    let revoke = || -> KeyEdit {
        Box::new(|record| {
            let mut revoked = record.clone();
            revoked.lifecycle.status = Status::Revoked;
            revoked.revoked = Some(Revocation { at_ms: NOW_MS, reason: Some("leaked".to_owned()) });
            Ok((record.lifecycle.status != Status::Revoked).then_some(revoked))
        })
    };
    let once = store.change(key.key_id.clone(), None, ChangeKind::Revoked, revoke(), context()).await.expect("revoked");
    assert!(once.changed);
    let before = store.head().await.expect("a head");
    let twice = store.change(key.key_id.clone(), None, ChangeKind::Revoked, revoke(), context()).await.expect("still revoked");
    assert!(!twice.changed);
    assert_eq!(twice.record, once.record);
    assert_eq!(found(store, &key.key_id).await, once.record);
    assert_eq!(
        store.changes(once.record.generation, 1000).await.expect("changes").iter().find(|row| row.key_id == Some(key.key_id.clone())),
        None
    );
    assert!(store.head().await.expect("a head").position >= before.position);
}

/// What the edit refuses is told as it was said.
pub async fn a_refused_change_changes_nothing(store: &dyn KeyStore) {
    let key = made(store, draft(None)).await;
    let refusal = ConfigError { kind: ConfigErrorKind::GenerationMismatch, pointer: "/x".to_owned(), detail: "no".to_owned() };
    let told = refusal.clone();
    let refused = change(store, &key.key_id, Box::new(move |_| Err(told))).await;
    assert!(matches!(&refused, Err(KeyStoreError::Refused(error)) if *error == refusal), "{refused:?}");
    assert_eq!(found(store, &key.key_id).await, key);
    let nobody = KeyId::parse(&fresh()).expect("a key id");
    let unknown = change(store, &nobody, rename("new")).await;
    assert!(matches!(unknown, Err(KeyStoreError::NotFound)), "{unknown:?}");
}

/// Of other owners' keys, and of nobody's, a tenant does not even learn that they are there.
pub async fn a_tenant_changes_his_own_keys_only(store: &dyn KeyStore) {
    let (mine, his) = (owner(), owner());
    let as_tenant = |key: &KeyRecord, tenant: &OwnerName| {
        let never = Box::new(|_: &KeyRecord| panic!("the edit must not see another's key"));
        store.change(key.key_id.clone(), Some(tenant.clone()), ChangeKind::Updated, never, context())
    };
    for key in [made(store, draft(Some(&his))).await, made(store, draft(None)).await] {
        let denied = as_tenant(&key, &mine).await;
        assert!(matches!(denied, Err(KeyStoreError::NotFound)), "{denied:?}");
        assert_eq!(found(store, &key.key_id).await, key);
    }
    let key = made(store, draft(Some(&mine))).await;
    let changed = store.change(key.key_id, Some(mine), ChangeKind::Updated, rename("mine"), context()).await.expect("changed");
    assert_eq!(changed.record.name, "mine");
}

/// Each edit sees what the one before it wrote: none is lost.
pub async fn parallel_changes_follow_each_other(store: &Arc<dyn KeyStore>) {
    let mut counted = draft(None);
    counted.record.metadata = field("count", 0);
    let key_id = made(&**store, counted).await.key_id;
    let mut racing = JoinSet::new();
    for _ in 0..16 {
        let (store, key_id) = (Arc::clone(store), key_id.clone());
        let more: KeyEdit = Box::new(|record| {
            let count = record.metadata["count"].as_u64().expect("a number");
            Ok(Some(KeyRecord { metadata: field("count", count + 1), ..record.clone() }))
        });
        racing.spawn(async move { change(&*store, &key_id, more).await.expect("changed").record.generation });
    }
    let mut generations = racing.join_all().await;
    let record = found(&**store, &key_id).await;
    assert_eq!(record.metadata, field("count", 16));
    generations.sort_unstable();
    assert_eq!(generations.last(), Some(&record.generation));
    generations.dedup();
    assert_eq!(generations.len(), 16, "every change has a generation of its own");
}
