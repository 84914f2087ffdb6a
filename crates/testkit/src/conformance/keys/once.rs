//! Changes that are made once, however often they are asked for.

use std::sync::Arc;

use tokio::task::JoinSet;
use tollgate_gate::{
    ports::{ChangeContext, ChangeKind, CreateGuard, DoneOnce, KeyEdit, KeyStore, KeyStoreError, Once},
    record::KeyRecord,
};
use tollgate_keys::random_bytes;

use super::draft::{NOW_MS, at, draft, found, made, position};

fn once() -> Once {
    Once { name: random_bytes().expect("randomness"), request: random_bytes().expect("randomness") }
}

fn named(now_ms: u64, once: Once) -> ChangeContext {
    ChangeContext { once: Some(once), ..at(now_ms) }
}

async fn create(store: &dyn KeyStore, context: ChangeContext) -> Result<KeyRecord, KeyStoreError> {
    Ok(store.create(draft(None), CreateGuard::None, context).await?.expect("no guard forbids it"))
}

fn rename() -> KeyEdit {
    Box::new(|record| Ok(Some(KeyRecord { name: "renamed".to_owned(), ..record.clone() })))
}

/// The second change under a name is none, be it the same or another.
pub async fn a_change_under_a_name_is_made_once(store: &dyn KeyStore) {
    let once = once();
    assert_eq!(store.done_once(once.name, NOW_MS).await.expect("read"), None);
    let key = create(store, named(NOW_MS, once)).await.expect("made");
    let before = position(store).await;
    let again = create(store, named(NOW_MS, once)).await;
    assert!(matches!(again, Err(KeyStoreError::Repeated)), "{again:?}");
    let change = store.change(key.key_id.clone(), None, ChangeKind::Updated, rename(), named(NOW_MS, once)).await;
    assert!(matches!(change, Err(KeyStoreError::Repeated)), "{change:?}");
    assert_eq!((position(store).await, found(store, &key.key_id).await), (before, key.clone()), "nothing was changed");
    let done = store.done_once(once.name, key.created_at_ms).await.expect("read");
    assert_eq!(done, Some(DoneOnce { request: once.request, key_id: key.key_id }));
}

/// A change that fails takes no name.
pub async fn a_refused_change_leaves_its_name_free(store: &dyn KeyStore) {
    let (once, key) = (once(), made(store, draft(None)).await);
    let stranger = Some(super::draft::owner());
    let refused = store.change(key.key_id.clone(), stranger, ChangeKind::Updated, rename(), named(NOW_MS, once)).await;
    assert!(matches!(refused, Err(KeyStoreError::NotFound)), "{refused:?}");
    assert_eq!(store.done_once(once.name, NOW_MS).await.expect("read"), None);
    let changed = store.change(key.key_id.clone(), None, ChangeKind::Updated, rename(), named(NOW_MS, once)).await.expect("changed");
    assert!(changed.changed);
    let done = store.done_once(once.name, NOW_MS).await.expect("read").expect("done");
    assert_eq!(done.key_id, key.key_id);
}

/// Of many at once one is made.
pub async fn callers_of_one_name_make_one_key(store: &Arc<dyn KeyStore>) {
    let (once, before) = (once(), position(&**store).await);
    let mut makers = JoinSet::new();
    for _ in 0..8 {
        let store = Arc::clone(store);
        makers.spawn(async move { create(&*store, named(NOW_MS, once)).await });
    }
    let made = makers.join_all().await;
    let repeated = made.iter().filter(|made| matches!(made, Err(KeyStoreError::Repeated))).count();
    assert_eq!((made.iter().filter(|made| made.is_ok()).count(), repeated), (1, 7), "{made:?}");
    assert_eq!(position(&**store).await, before + 1);
}

/// After its time a name may be taken again.
pub async fn a_name_is_kept_for_a_day(store: &dyn KeyStore) {
    let once = once();
    let first = create(store, named(NOW_MS, once)).await.expect("made");
    let end_ms = first.created_at_ms + Once::KEPT_MS;
    let done_at = async |now_ms| store.done_once(once.name, now_ms).await.expect("read").map(|done| done.key_id);
    assert_eq!(done_at(end_ms - 1).await, Some(first.key_id));
    assert_eq!(done_at(end_ms).await, None);
    let second = create(store, named(end_ms, once)).await.expect("made again");
    assert_eq!(done_at(end_ms).await, Some(second.key_id));
}
