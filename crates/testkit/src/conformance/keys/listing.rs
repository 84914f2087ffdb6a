//! Listing keys.

use tollgate_api::KeyStatus;
use tollgate_gate::{
    ports::{KeyListQuery, KeyStore},
    record::Revocation,
};
use tollgate_keys::{KeyId, OwnerName, Status};
use tollgate_limits::RateLimits;

use super::draft::{NOW_MS, draft, imported, made, owner};
use crate::conformance::fresh;

fn query(owner: Option<&OwnerName>) -> KeyListQuery {
    KeyListQuery { owner: owner.cloned(), status: None, revoked_since_ms: None, after: None, count_max: 1000, now_ms: NOW_MS }
}

async fn ids(store: &dyn KeyStore, query: KeyListQuery) -> Vec<KeyId> {
    let count_max = query.count_max as usize;
    let keys = store.list(query).await.expect("a page");
    assert!(keys.len() <= count_max);
    keys.into_iter().map(|key| key.key_id).collect()
}

/// All ids, page by page.
async fn walk(store: &dyn KeyStore, owner: Option<&OwnerName>, count_max: u32) -> Vec<KeyId> {
    let mut all: Vec<KeyId> = Vec::new();
    loop {
        let page = ids(store, KeyListQuery { after: all.last().cloned(), count_max, ..query(owner) }).await;
        if page.is_empty() {
            return all;
        }
        all.extend(page);
        assert!(all.is_sorted_by(|one, next| one < next), "strictly ascending: {all:?}");
    }
}

/// Order is that of bytes, for ids made here and for imported ones, and no page repeats another.
pub async fn pages_are_in_order_of_ids(store: &dyn KeyStore) {
    let owner = owner();
    let mut expected = Vec::new();
    for (place, form) in ["a.", "A.", "z-", "Z_", "0"].into_iter().enumerate() {
        let who = (place % 2 == 0).then_some(&owner);
        expected.push(made(store, imported(who, &format!("{form}{}", fresh()))).await.key_id);
        expected.push(made(store, draft(who)).await.key_id);
    }
    expected.sort();
    for count_max in [1, 3, 1000] {
        let all = walk(store, None, count_max).await;
        let ours: Vec<KeyId> = all.into_iter().filter(|id| expected.contains(id)).collect();
        assert_eq!(ours, expected);
    }
}

/// An owner's keys, all of them, and in the same order.
pub async fn only_an_owners_keys_are_listed(store: &dyn KeyStore) {
    // One name begins with the other: a prefix is not an owner.
    let short = owner();
    let long = OwnerName::parse(&format!("{short}.x")).expect("a name");
    let mut expected = Vec::new();
    for _ in 0..5 {
        expected.push(made(store, draft(Some(&short))).await.key_id);
        made(store, draft(Some(&long))).await;
        made(store, draft(None)).await;
    }
    for count_max in [2, 5, 1000] {
        assert_eq!(walk(store, Some(&short), count_max).await, expected);
    }
    assert_eq!(walk(store, Some(&long), 1000).await.len(), 5);
    assert_eq!(walk(store, Some(&owner()), 1000).await, []);
}

/// A key's state is the most final that holds: revoked, expired, suspended, active.
pub async fn states_are_told_apart_as_of_now(store: &dyn KeyStore) {
    let owner = owner();
    let mut of = Vec::new();
    for (status, ends_ms) in [
        (Status::Active, None),
        (Status::Active, Some(NOW_MS + 1)),
        (Status::Active, Some(NOW_MS)),
        (Status::Suspended, None),
        (Status::Suspended, Some(NOW_MS)),
        (Status::Revoked, None),
        (Status::Revoked, Some(NOW_MS)),
    ] {
        let mut draft = draft(Some(&owner));
        draft.record.lifecycle.status = status;
        draft.record.lifecycle.expires_at_ms = ends_ms;
        draft.record.revoked = (status == Status::Revoked).then_some(Revocation { at_ms: NOW_MS, reason: None });
        of.push(made(store, draft).await.key_id);
    }
    for (status, now_ms, places) in [
        (KeyStatus::Active, NOW_MS, vec![0, 1]),
        (KeyStatus::Active, NOW_MS + 1, vec![0]),
        (KeyStatus::Active, NOW_MS - 1, vec![0, 1, 2]),
        (KeyStatus::Expired, NOW_MS, vec![2, 4]),
        (KeyStatus::Suspended, NOW_MS, vec![3]),
        (KeyStatus::Suspended, NOW_MS - 1, vec![3, 4]),
        (KeyStatus::Revoked, NOW_MS, vec![5, 6]),
    ] {
        let listed = ids(store, KeyListQuery { status: Some(status), now_ms, ..query(Some(&owner)) }).await;
        let expected: Vec<KeyId> = places.into_iter().map(|place: usize| of[place].clone()).collect();
        assert_eq!(listed, expected, "{status:?} at {now_ms}");
    }
    let second = KeyListQuery { status: Some(KeyStatus::Active), after: Some(of[0].clone()), count_max: 1, ..query(Some(&owner)) };
    assert_eq!(ids(store, second).await, [of[1].clone()]);
}

/// Only those that may be used as of then, in order, and no more than asked for.
pub async fn keys_without_a_limit_that_may_be_used_are_found(store: &dyn KeyStore) {
    let (mut ours, mut expected) = (Vec::new(), Vec::new());
    for (status, ends_ms, is_expected) in [
        (Status::Active, None, true),
        (Status::Active, Some(NOW_MS + 1), true),
        (Status::Active, Some(NOW_MS), false),
        (Status::Suspended, None, false),
        (Status::Revoked, None, false),
    ] {
        let mut draft = draft(Some(&owner()));
        draft.record.limits = RateLimits::unlimited();
        draft.record.lifecycle.status = status;
        draft.record.lifecycle.expires_at_ms = ends_ms;
        draft.record.revoked = (status == Status::Revoked).then_some(Revocation { at_ms: NOW_MS, reason: None });
        let key_id = made(store, draft).await.key_id;
        expected.extend(is_expected.then(|| key_id.clone()));
        ours.push(key_id);
    }
    ours.push(made(store, draft(None)).await.key_id);
    expected.sort();
    let all = store.unlimited_keys(NOW_MS, 1000).await.expect("an answer");
    assert!(all.is_sorted());
    let of_ours = |all: &[KeyId]| all.iter().filter(|key_id| ours.contains(key_id)).cloned().collect::<Vec<_>>();
    assert_eq!(of_ours(&all), expected);
    assert_eq!(store.unlimited_keys(NOW_MS, 1).await.expect("an answer"), all[..1]);
    let later = store.unlimited_keys(NOW_MS + 1, 1000).await.expect("an answer");
    assert_eq!(of_ours(&later).len(), 1, "the other has ended");
}
