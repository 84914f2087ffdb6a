//! Owners and their rules.

use tollgate_gate::{
    ports::{ChangeKind, KeyStore},
    record::{OwnerRecord, OwnerRules},
};
use tollgate_limits::RateLimits;

use super::draft::{context, draft, made, one_limit, owner, position};

/// Whoever has a key is an owner; without any rules there is no limit, and generation 0.
pub async fn an_owner_without_rules_has_generation_zero(store: &dyn KeyStore) {
    let owner = owner();
    assert_eq!(store.owner(owner.clone()).await.expect("a store that works"), None);
    let key_id = made(store, draft(Some(&owner))).await.key_id;
    let rules = OwnerRules { limits: RateLimits::unlimited(), generation: 0 };
    let record = OwnerRecord { owner: owner.clone(), rules: rules.clone() };
    assert_eq!(store.owner(owner).await.expect("a store that works"), Some(record));
    let found = store.find(key_id).await.expect("a store that works").expect("the key");
    assert_eq!(found.owner, Some(rules));
    let nobodys = made(store, draft(None)).await.key_id;
    assert_eq!(store.find(nobodys).await.expect("a store that works").expect("the key").owner, None);
}

/// Rules hold for keys made before and after, with the position of their change.
pub async fn an_owners_rules_are_found_with_his_keys(store: &dyn KeyStore) {
    let owner = owner();
    let before = made(store, draft(Some(&owner))).await.key_id;
    for limits in [one_limit("owner", 1000, 60), one_limit("day", 5, 86_400), RateLimits::unlimited()] {
        let last = position(store).await;
        let put = store.put_owner(owner.clone(), limits.clone(), context()).await.expect("put");
        assert_eq!((&put.owner, &put.rules.limits), (&owner, &limits));
        assert!(put.rules.generation > last);
        let rows = store.changes(put.rules.generation - 1, 1).await.expect("changes");
        let [row] = rows.as_slice() else { panic!("one row: {rows:?}") };
        assert_eq!((row.kind, row.key_id.as_ref(), row.owner.as_ref()), (ChangeKind::OwnerUpdated, None, Some(&owner)));
        let after = made(store, draft(Some(&owner))).await.key_id;
        for key_id in [before.clone(), after] {
            assert_eq!(store.find(key_id).await.expect("a store that works").expect("the key").owner.as_ref(), Some(&put.rules));
        }
        assert_eq!(store.owner(owner.clone()).await.expect("a store that works"), Some(put));
    }
}

/// Rules may come before the first key.
pub async fn an_owner_needs_no_keys(store: &dyn KeyStore) {
    let owner = owner();
    let put = store.put_owner(owner.clone(), one_limit("owner", 7, 1), context()).await.expect("put");
    assert_eq!(store.owner(owner.clone()).await.expect("a store that works"), Some(put.clone()));
    let key_id = made(store, draft(Some(&owner))).await.key_id;
    assert_eq!(store.find(key_id).await.expect("a store that works").expect("the key").owner, Some(put.rules));
}
