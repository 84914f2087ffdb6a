//! The change log.

use std::sync::Arc;

use tokio::task::JoinSet;
use tollgate_gate::{
    ports::{Change, CreateGuard, ImportBatch, KeyStore, KeyStoreError},
    record::{OwnerRecord, OwnerRules},
};
use tollgate_keys::OwnerName;
use tollgate_limits::RateLimits;

use super::draft::{at, context, draft, imported, made, owner, position};
use crate::conformance::fresh;

/// Expects a store that nothing was ever written to.
pub async fn a_new_log_is_empty(store: &dyn KeyStore) {
    let head = store.head().await.expect("a head");
    assert_eq!(head.position, 0);
    assert!(head.oldest <= 1, "{head:?}");
    assert!(!head.log.0.is_empty());
    assert_eq!(store.changes(0, 10).await.expect("changes"), []);
}

/// Expects nobody else on the store. Positions are one by one, whatever is going on at the same
/// time and however much of it fails.
pub async fn positions_have_no_holes(store: &Arc<dyn KeyStore>) {
    let (before, taken) = (position(&**store).await, fresh());
    let mut racing = JoinSet::new();
    for place in 0..32_u64 {
        let (store, taken) = (Arc::clone(store), taken.clone());
        racing.spawn(async move {
            // Every fourth wants the same id, and all but the first of them fail.
            let draft = if place % 4 == 0 { imported(None, &taken) } else { draft(None) };
            match store.create(draft, CreateGuard::None, at(1_700_000_000_000 + place)).await {
                Ok(made) => made.map(|record| record.generation),
                Err(KeyStoreError::Exists(_)) => None,
                Err(other) => panic!("made or there already: {other}"),
            }
        });
    }
    let mut generations: Vec<u64> = racing.join_all().await.into_iter().flatten().collect();
    generations.sort_unstable();
    let expected: Vec<u64> = (before + 1..=before + 25).collect();
    assert_eq!(generations, expected);
    assert_eq!(position(&**store).await, before + 25);
    let rows = store.changes(before, 100).await.expect("changes");
    assert_eq!(rows.iter().map(|row| row.position).collect::<Vec<_>>(), expected);
    assert!(rows.is_sorted_by(|one, next| one.at_ms < next.at_ms), "instants rise strictly: {rows:?}");
}

/// From any position on, as many as wanted, in order, and nothing beyond the end.
pub async fn changes_are_read_in_pages(store: &dyn KeyStore) {
    let start = position(store).await;
    for _ in 0..3 {
        let owner = owner();
        made(store, draft(Some(&owner))).await;
        store.put_owner(owner, super::draft::one_limit("owner", 1, 1), context()).await.expect("put");
    }
    let end = position(store).await;
    let all = store.changes(start, 1000).await.expect("changes");
    assert!(all.len() >= 6 && all.is_sorted_by(|one, next| one.position < next.position));
    let mut paged: Vec<Change> = Vec::new();
    while paged.last().map_or(start, |row| row.position) < end {
        let page = store.changes(paged.last().map_or(start, |row| row.position), 2).await.expect("changes");
        assert!((1..=2).contains(&page.len()), "{page:?}");
        paged.extend(page);
    }
    assert_eq!(paged[..6], all[..6]);
    for beyond in [1_u64 << 40, u64::MAX >> 1] {
        assert_eq!(store.changes(beyond, 10).await.expect("changes"), []);
    }
}

/// The identity of the log stays, its end only moves on, and everything from its oldest row is there.
pub async fn the_log_keeps_its_identity(store: &dyn KeyStore) {
    let before = store.head().await.expect("a head");
    let generation = made(store, draft(None)).await.generation;
    let after = store.head().await.expect("a head");
    assert_eq!(after.log, before.log);
    assert!(after.position >= generation && generation > before.position);
    assert!(after.oldest >= before.oldest && after.oldest <= after.position);
    let oldest = store.changes(after.oldest.saturating_sub(1), 1).await.expect("changes");
    assert_eq!(oldest.first().map(|row| row.position), Some(after.oldest.max(1)));
}

/// Expects nobody else on the store. What is there stays as it is, under a generation that no
/// fence can be ahead of; a reader of any place from before has lost it, and the log goes on.
pub async fn a_reset_starts_the_log_anew(store: &dyn KeyStore) {
    let owner = owner();
    let key = made(store, draft(Some(&owner))).await;
    store.put_owner(owner.clone(), super::draft::one_limit("owner", 1, 1), context()).await.expect("put");
    let before = store.head().await.expect("a head");
    let reset = store.reset_log(context()).await.expect("reset");
    assert_eq!(store.head().await.expect("a head"), reset);
    assert_eq!(reset.log, before.log);
    assert!(reset.position > before.position + 1_000_000, "beyond what may have been lost: {reset:?}");
    assert_eq!(reset.oldest, reset.position + 1);
    assert_eq!(store.changes(0, 10).await.expect("changes"), [], "the rows from before are gone");
    let found = store.find(key.key_id.clone()).await.expect("an answer").expect("still there");
    assert_eq!(found.key, tollgate_gate::record::KeyRecord { generation: reset.position, ..key });
    assert_eq!(found.owner.map(|owner| owner.generation), Some(reset.position));
    let after = made(store, draft(None)).await;
    assert_eq!(after.generation, reset.position + 1);
    let rows = store.changes(reset.position, 10).await.expect("changes");
    assert_eq!(rows.iter().map(|row| row.position).collect::<Vec<_>>(), [reset.position + 1]);
    let again = store.reset_log(context()).await.expect("reset");
    assert!(again.position > reset.position + 1_000_000);
}

/// Expects nobody else on the store. An owner without rules has none after a reset either, so they
/// can be brought along; one whose rules are "no limit" keeps them.
pub async fn a_reset_gives_no_owner_rules(store: &dyn KeyStore) {
    let (plain, unlimited) = (owner(), owner());
    made(store, draft(Some(&plain))).await;
    store.put_owner(unlimited.clone(), RateLimits::unlimited(), context()).await.expect("put");
    store.reset_log(context()).await.expect("reset");
    let ruled: Vec<OwnerName> = store.owners(None, 1000).await.expect("owners").into_iter().map(|record| record.owner).collect();
    assert!(ruled.contains(&unlimited) && !ruled.contains(&plain), "{ruled:?}");
    let limits = super::draft::one_limit("owner", 7, 60);
    let brought = |owner: &OwnerName| OwnerRecord { owner: owner.clone(), rules: OwnerRules { limits: limits.clone(), generation: 9 } };
    let batch = ImportBatch { owners: vec![brought(&plain), brought(&unlimited)], keys: vec![] };
    assert_eq!(store.import(batch, context()).await.expect("imported").owners_made, 1);
    let limits_of = async |owner: &OwnerName| store.owner(owner.clone()).await.expect("an answer").expect("the owner").rules.limits;
    assert_eq!((limits_of(&plain).await, limits_of(&unlimited).await), (limits.clone(), RateLimits::unlimited()));
}
