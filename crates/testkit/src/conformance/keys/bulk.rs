//! Many keys at once: revoked with all of an owner's, brought along, noted as used.

use std::collections::BTreeSet;

use tollgate_gate::{
    OutageMode,
    ports::{ChangeKind, ImportBatch, Imported, KeyStore, OwnerRevocation},
    record::{KeyRecord, OwnerRecord, OwnerRules, Revocation},
};
use tollgate_keys::{KeyId, Lifecycle, OwnerName, PreviousHash, SecretHashes, SecretKind, Status};
use tollgate_limits::RateLimits;

use super::draft::{HASH, NOW_MS, OTHER_HASH, context, draft, field, found, hash, made, one_limit, owner, position, scopes};
use crate::conformance::fresh;

fn next(owner: &OwnerName, after: Option<&KeyId>, count_max: u32) -> OwnerRevocation {
    let revocation = Revocation { at_ms: NOW_MS, reason: Some("breach".to_owned()) };
    OwnerRevocation { owner: owner.clone(), after: after.cloned(), count_max, revocation }
}

/// Page by page, each key with a row and a generation of its own; others' keys and those that were
/// revoked before stay as they are.
pub async fn all_keys_of_an_owner_are_revoked_in_pages(store: &dyn KeyStore) {
    let (theirs, others) = (owner(), owner());
    let mut keys = Vec::new();
    for _ in 0..5 {
        keys.push(made(store, draft(Some(&theirs))).await);
    }
    let foreign = made(store, draft(Some(&others))).await;
    let first = store.revoke_keys(next(&theirs, None, 2), context()).await.expect("revoked");
    assert_eq!(ids(&first), ids(&keys[..2]));
    let rest = store.revoke_keys(next(&theirs, Some(&keys[1].key_id), 500), context()).await.expect("revoked");
    assert_eq!(ids(&rest), ids(&keys[2..]));
    let revoked = [first, rest].concat();
    for (before, after) in keys.iter().zip(&revoked) {
        let lifecycle = Lifecycle { status: Status::Revoked, ..before.lifecycle };
        let expected =
            KeyRecord { lifecycle, revoked: Some(next(&theirs, None, 1).revocation), generation: after.generation, ..before.clone() };
        assert_eq!((after, &found(store, &before.key_id).await), (&expected, &expected));
        let rows = store.changes(after.generation - 1, 1).await.expect("changes");
        let [row] = rows.as_slice() else { panic!("one row: {rows:?}") };
        assert_eq!((row.position, row.kind), (after.generation, ChangeKind::Revoked));
        assert_eq!((row.key_id.as_ref(), row.owner.as_ref()), (Some(&before.key_id), Some(&theirs)));
    }
    let before = position(store).await;
    assert_eq!(store.revoke_keys(next(&theirs, None, 500), context()).await.expect("none is left"), []);
    assert_eq!(store.revoke_keys(next(&owner(), None, 500), context()).await.expect("nobody's"), []);
    assert_eq!((found(store, &foreign.key_id).await, position(store).await), (foreign, before));
}

fn ids(records: &[KeyRecord]) -> Vec<KeyId> {
    records.iter().map(|record| record.key_id.clone()).collect()
}

/// A key with everything that a key can have.
fn full(owner: &OwnerName) -> KeyRecord {
    KeyRecord {
        key_id: KeyId::parse(&fresh()).expect("a key id"),
        kind: SecretKind::Signed,
        secrets: SecretHashes {
            current: hash(HASH),
            previous: Some(PreviousHash { hash: hash(OTHER_HASH), kind: SecretKind::Imported, valid_until_ms: NOW_MS + 7 }),
        },
        scopes: scopes(&["a", "b"]),
        lifecycle: Lifecycle { status: Status::Revoked, expires_at_ms: Some(NOW_MS + 9) },
        created_at_ms: 1_500_000_000_123,
        revoked: Some(Revocation { at_ms: NOW_MS, reason: Some("\"quoted\" \\ and 'so'".to_owned()) }),
        metadata: field("a", 1),
        outage_mode: Some(OutageMode::Closed),
        last_used_at_ms: Some(NOW_MS - 1),
        ..draft(Some(owner)).record
    }
}

/// Two keys and an owner's rules, all in use of everything they can have, and an unlimited key.
fn batch(ruled: &OwnerName, plain: &OwnerName) -> ImportBatch {
    let mut unlimited = KeyRecord { key_id: KeyId::parse(&fresh()).expect("a key id"), ..draft(None).record };
    unlimited.limits = RateLimits::unlimited();
    let of_owner = OwnerRules { limits: one_limit("owner", 7, 60), generation: 99 };
    ImportBatch { owners: vec![OwnerRecord { owner: ruled.clone(), rules: of_owner }], keys: vec![full(ruled), full(plain), unlimited] }
}

async fn rules(store: &dyn KeyStore, owner: &OwnerName) -> OwnerRules {
    store.owner(owner.clone()).await.expect("a store that works").expect("the owner").rules
}

/// What is brought along is there as it was, each with a row and a generation of its own.
pub async fn what_is_brought_along_is_there_as_it_was(store: &dyn KeyStore) {
    let (ruled, plain) = (owner(), owner());
    let (batch, before) = (batch(&ruled, &plain), position(store).await);
    let imported = store.import(batch.clone(), context()).await.expect("imported");
    assert_eq!(imported, Imported { owners_made: 1, keys_made: 3, keys_kept: vec![] });
    let mut generations = BTreeSet::from([rules(store, &ruled).await.generation]);
    for key in &batch.keys {
        let there = found(store, &key.key_id).await;
        assert_eq!(there, KeyRecord { generation: there.generation, ..key.clone() });
        generations.insert(there.generation);
        let rows = store.changes(there.generation - 1, 1).await.expect("changes");
        assert_eq!(rows.first().map(|row| (row.kind, row.key_id.clone())), Some((ChangeKind::Created, Some(key.key_id.clone()))));
    }
    assert_eq!(rules(store, &ruled).await.limits, batch.owners[0].rules.limits);
    assert!(generations.len() == 4 && generations.iter().all(|generation| *generation > before), "a position each: {generations:?}");
    assert_eq!(rules(store, &plain).await.generation, 0);
}

/// What is there stays as it is, and a second time leaves no trace.
pub async fn what_is_there_is_not_brought_along_again(store: &dyn KeyStore) {
    let (ruled, plain) = (owner(), owner());
    let first = batch(&ruled, &plain);
    store.import(first.clone(), context()).await.expect("imported");
    let (before, mut other) = (position(store).await, first.clone());
    other.owners[0].rules.limits = RateLimits::unlimited();
    for key in &mut other.keys {
        "changed".clone_into(&mut key.name);
    }
    let again = store.import(other, context()).await.expect("imported");
    assert_eq!((again.owners_made, again.keys_made), (0, 0));
    assert_eq!(ids(&again.keys_kept).into_iter().collect::<BTreeSet<_>>(), ids(&first.keys).into_iter().collect());
    assert!(again.keys_kept.iter().all(|kept| kept.name == first.keys[0].name));
    assert_eq!(rules(store, &ruled).await.limits, first.owners[0].rules.limits);
    assert_eq!(position(store).await, before);
    // Some are there, some are not.
    let fresh = full(&ruled);
    let mixed = ImportBatch { owners: vec![], keys: vec![first.keys[0].clone(), fresh.clone()] };
    let mixed = store.import(mixed, context()).await.expect("imported");
    assert_eq!((mixed.keys_made, ids(&mixed.keys_kept)), (1, ids(&first.keys[..1])));
    assert_eq!(found(store, &fresh.key_id).await.generation, before + 1);
}

/// Owners with rules are told in order of names; those without are not.
pub async fn owners_with_rules_are_listed(store: &dyn KeyStore) {
    let (one, two, plain) = (owner(), owner(), owner());
    for owner in [&one, &two] {
        store.put_owner((*owner).clone(), one_limit("owner", 5, 60), context()).await.expect("put");
    }
    made(store, draft(Some(&plain))).await;
    let (mut all, mut after): (Vec<OwnerRecord>, _) = (Vec::new(), None);
    loop {
        let page = store.owners(after.clone(), 1).await.expect("a store that works");
        let Some(last) = page.last() else { break };
        after = Some(last.owner.clone());
        all.extend(page);
    }
    assert!(all.is_sorted_by(|a, b| a.owner < b.owner));
    let has = |owner: &OwnerName| all.iter().any(|record| record.owner == *owner && record.rules.generation > 0);
    assert!(has(&one) && has(&two) && !has(&plain));
}

/// Last uses are beside the log: no generation, no row, never an older one.
pub async fn last_uses_only_rise_and_are_no_change(store: &dyn KeyStore) {
    let (key, idle) = (made(store, draft(None)).await, made(store, draft(None)).await);
    let nobody = KeyId::parse(&fresh()).expect("a key id");
    let before = position(store).await;
    for (at_ms, told) in [(1000, 1000), (3000, 3000), (2000, 3000), (3000, 3000)] {
        let busy = store.record_uses(vec![(key.key_id.clone(), at_ms), (nobody.clone(), at_ms)]).await.expect("noted");
        assert_eq!(busy, []);
        assert_eq!(found(store, &key.key_id).await, KeyRecord { last_used_at_ms: Some(told), ..key.clone() });
    }
    assert_eq!(found(store, &idle.key_id).await, idle);
    assert_eq!(position(store).await, before);
    let rename = Box::new(|record: &KeyRecord| Ok(Some(KeyRecord { name: "new".to_owned(), ..record.clone() })));
    let changed = store.change(key.key_id.clone(), None, ChangeKind::Updated, rename, context()).await.expect("changed");
    assert_eq!((changed.record.last_used_at_ms, changed.changed), (Some(3000), true), "a change leaves it alone");
    assert_eq!(found(store, &key.key_id).await.last_used_at_ms, Some(3000));
}
