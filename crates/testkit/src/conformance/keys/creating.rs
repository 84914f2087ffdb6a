//! Making keys.

use std::sync::Arc;

use serde_json::json;
use tokio::task::JoinSet;
use tollgate_gate::{
    OutageMode,
    ports::{ChangeKind, CreateGuard, KeyDraft, KeyStore, KeyStoreError},
    record::{KeyRecord, Revocation},
};
use tollgate_keys::{KeyId, Lifecycle, PreviousHash, SecretHashes, SecretKind, Status};
use tollgate_limits::{LimitName, NamedLimit, RateLimit, RateLimits};

use super::draft::{HASH, NOW_MS, OTHER_HASH, at, context, draft, found, hash, imported, made, owner, position, scopes};
use crate::conformance::fresh;

fn admin() -> KeyDraft {
    let mut admin = draft(None);
    admin.record.scopes = scopes(&["admin"]);
    admin
}

/// Expects a store without admins, and nobody else on it; leaves one without.
pub async fn the_first_admin_is_made_once(store: &Arc<dyn KeyStore>) {
    let (mut expired, mut suspended, mut owned, mut other) = (admin(), admin(), admin(), draft(None));
    expired.record.lifecycle.expires_at_ms = Some(NOW_MS);
    suspended.record.lifecycle.status = Status::Suspended;
    owned.record.owner = Some(owner());
    other.record.scopes = scopes(&["keys:read", "keys:write", "owners:write"]);
    for no_admin in [expired, suspended, owned, other] {
        made(&**store, no_admin).await;
    }
    let before = position(&**store).await;
    let mut racing = JoinSet::new();
    for _ in 0..8 {
        let store = Arc::clone(store);
        racing.spawn(async move { store.create(admin(), CreateGuard::NoAdminYet, context()).await.expect("a store that works") });
    }
    let made: Vec<KeyRecord> = racing.join_all().await.into_iter().flatten().collect();
    assert_eq!(made.len(), 1, "of eight at once");
    assert_eq!(position(&**store).await, before + 1, "who is turned away leaves no trace");
    assert_eq!(store.create(admin(), CreateGuard::NoAdminYet, context()).await.expect("a store that works"), None);
    // A second one by intention, and none is left when both are out of use.
    let second = store.create(admin(), CreateGuard::None, context()).await.expect("a store that works").expect("made");
    revoke(&**store, &made[0].key_id).await;
    assert_eq!(store.create(admin(), CreateGuard::NoAdminYet, context()).await.expect("a store that works"), None);
    revoke(&**store, &second.key_id).await;
    let third = store.create(admin(), CreateGuard::NoAdminYet, context()).await.expect("a store that works").expect("made");
    revoke(&**store, &third.key_id).await;
}

async fn revoke(store: &dyn KeyStore, key_id: &KeyId) {
    let edit = |record: &KeyRecord| {
        let mut record = record.clone();
        record.lifecycle.status = Status::Revoked;
        record.revoked = Some(Revocation { at_ms: NOW_MS, reason: None });
        Ok(Some(record))
    };
    store.change(key_id.clone(), None, ChangeKind::Revoked, Box::new(edit), context()).await.expect("revoked");
}

/// Id, creation and generation come from the row of the log, all in one.
pub async fn a_new_key_has_the_instant_of_its_row(store: &dyn KeyStore) {
    let owner = owner();
    let draft = draft(Some(&owner));
    let (sent, entropy) = (draft.record.clone(), draft.id_entropy);
    let record = made(store, draft).await;
    let rows = store.changes(record.generation - 1, 1).await.expect("changes");
    let [row] = rows.as_slice() else { panic!("one row: {rows:?}") };
    assert_eq!((row.position, row.kind), (record.generation, ChangeKind::Created));
    assert_eq!((row.key_id.as_ref(), row.owner.as_ref()), (Some(&record.key_id), Some(&owner)));
    assert_eq!(record.key_id, KeyId::from_parts(row.at_ms, entropy));
    assert_eq!(record.created_at_ms, row.at_ms);
    assert!(row.at_ms >= NOW_MS);
    let KeyRecord { key_id, created_at_ms, generation, .. } = record.clone();
    assert_eq!(record, KeyRecord { key_id, created_at_ms, generation, ..sent }, "the rest is as it was sent");
    assert_eq!(found(store, &record.key_id).await, record);
}

/// Also where the clock stands still or goes back.
pub async fn ids_are_in_order_of_positions(store: &dyn KeyStore) {
    let mut records = Vec::new();
    for now_ms in [NOW_MS, NOW_MS, NOW_MS - 3_600_000, NOW_MS + 5, NOW_MS, 0] {
        let made = store.create(draft(None), CreateGuard::None, at(now_ms)).await;
        records.push(made.expect("a store that works").expect("made"));
    }
    for pair in records.windows(2) {
        assert!(pair[0].key_id < pair[1].key_id && pair[0].key_id.unix_ms() < pair[1].key_id.unix_ms(), "{pair:?}");
        assert!(pair[0].generation < pair[1].generation && pair[0].created_at_ms < pair[1].created_at_ms, "{pair:?}");
    }
}

/// Nothing is lost or rounded on the way in and out.
pub async fn everything_of_a_key_comes_back(store: &dyn KeyStore) {
    let limits = [("second", 1, 1), ("month", 1_000_000_000, 2_678_400)].map(|(name, burst, per_seconds)| NamedLimit {
        name: LimitName::new(name).expect("a name"),
        limit: RateLimit::new(burst, per_seconds).expect("a limit"),
    });
    let mut draft = imported(Some(&owner()), &fresh());
    let record = &mut draft.record;
    record.name = String::from("Schlüssel „Ä“ 鍵 'quoted' \\ %");
    record.secrets = SecretHashes {
        current: hash(HASH),
        previous: Some(PreviousHash { hash: hash(OTHER_HASH), kind: SecretKind::Unsigned, valid_until_ms: 1_900_000_000_001 }),
    };
    record.scopes = scopes(&["keys:read", "a.b:c", "limit:write"]);
    record.limits = RateLimits::new(limits.to_vec()).expect("a list");
    record.lifecycle = Lifecycle { status: Status::Revoked, expires_at_ms: Some(1_900_000_000_003) };
    record.revoked = Some(Revocation { at_ms: 1_800_000_000_007, reason: Some("leaked \"somewhere\"".to_owned()) });
    record.metadata = serde_json::from_value(json!({
        "text": "ä\n\t", "list": [1, -2, 2.5, null, true], "deep": {"er": {}}, "big": 9_007_199_254_740_993_u64,
    }))
    .expect("an object");
    record.outage_mode = Some(OutageMode::Open);
    let sent = record.clone();
    let kept = made(store, draft).await;
    let KeyRecord { created_at_ms, generation, .. } = kept;
    assert_eq!(kept, KeyRecord { created_at_ms, generation, ..sent });
    assert_eq!(found(store, &kept.key_id).await, kept);
    let mut plain = self::draft(None);
    (plain.record.limits, plain.record.kind) = (RateLimits::unlimited(), SecretKind::Unsigned);
    let plain = made(store, plain).await;
    assert_eq!(found(store, &plain.key_id).await, plain);
}

/// An imported key keeps its id; a second of that id is refused and leaves no hole.
pub async fn an_own_id_is_kept_and_taken_once(store: &dyn KeyStore) {
    let key_id = fresh();
    let first = made(store, imported(None, &key_id)).await;
    assert_eq!(first.key_id.as_str(), key_id);
    let before = position(store).await;
    let second = store.create(imported(Some(&owner()), &key_id), CreateGuard::None, context()).await;
    assert!(matches!(&second, Err(KeyStoreError::Exists(what)) if what.contains(&key_id)), "{second:?}");
    assert_eq!(found(store, &first.key_id).await, first);
    assert_eq!(position(store).await, before);
}

/// An unknown id is no error.
pub async fn nobody_is_found_where_nobody_is(store: &dyn KeyStore) {
    let nobody = KeyId::parse(&fresh()).expect("a key id");
    assert!(store.find(nobody).await.expect("a store that works").is_none());
}
