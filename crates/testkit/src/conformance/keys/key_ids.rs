//! The stream of the ids of all keys that are not revoked.

use std::collections::BTreeSet;

use tollgate_gate::{
    ports::{ChangeKind, KeyIdStream, KeyStore, StreamTurn},
    record::{KeyRecord, Revocation},
};
use tollgate_keys::{KeyId, Status};

use super::draft::{NOW_MS, at, context, draft, imported, made, owner};
use crate::conformance::fresh;

async fn stream(store: &dyn KeyStore) -> Box<dyn KeyIdStream> {
    store.key_ids(StreamTurn::Any).await.expect("a store that works").expect("anybody's turn")
}

async fn read_all(stream: &mut dyn KeyIdStream, count_max: u32) -> Vec<KeyId> {
    let mut all = Vec::new();
    loop {
        let page = stream.next_page(count_max).await.expect("a page");
        assert!(page.len() <= count_max as usize);
        if page.is_empty() {
            assert_eq!(stream.next_page(count_max).await.expect("a page"), [], "the end stays the end");
            return all;
        }
        all.extend(page);
    }
}

async fn read_revoked(stream: &mut dyn KeyIdStream, count_max: u32) -> Vec<KeyId> {
    let mut all = Vec::new();
    loop {
        let page = stream.next_revoked_page(count_max).await.expect("a page");
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

async fn set_status(store: &dyn KeyStore, key_id: &KeyId, status: Status) {
    let edit = move |record: &KeyRecord| {
        let mut edited = record.clone();
        edited.lifecycle.status = status;
        edited.revoked = (status == Status::Revoked).then_some(Revocation { at_ms: NOW_MS, reason: None });
        Ok(Some(edited))
    };
    let kind = if status == Status::Revoked { ChangeKind::Revoked } else { ChangeKind::Updated };
    store.change(key_id.clone(), None, kind, Box::new(edit), context()).await.expect("changed");
}

/// Expects nobody else on the store. Every key that may be used now or some day, whatever its page,
/// its owner, its form and its end; no revoked one; each once.
pub async fn all_ids_but_the_revoked_are_streamed(store: &dyn KeyStore) {
    let (owner, mut expected) = (owner(), BTreeSet::new());
    let gone = made(store, draft(None)).await.key_id;
    set_status(store, &gone, Status::Revoked).await;
    for place in 0..7_u64 {
        let mut new = if place % 2 == 0 { draft(Some(&owner)) } else { imported(None, &format!("Z.{}", fresh())) };
        // Long over; but its end can be moved.
        new.record.lifecycle.expires_at_ms = (place % 3 == 0).then_some(1);
        let key_id = made(store, new).await.key_id;
        match place {
            0..4 => {}
            _ => set_status(store, &key_id, Status::Suspended).await,
        }
        expected.insert(key_id);
    }
    for count_max in [1, 2, 1000] {
        let mut stream = stream(store).await;
        let count = stream.count().await.expect("a count");
        let read = read_all(&mut *stream, count_max).await;
        let ids: BTreeSet<KeyId> = read.iter().cloned().collect();
        assert_eq!((ids.len(), read.len() as u64), (read.len(), count), "each once, as counted");
        let ours: BTreeSet<KeyId> = ids.into_iter().filter(|id| expected.contains(id)).collect();
        assert_eq!(ours, expected);
        let revoked = read_revoked(&mut *stream, count_max).await;
        assert!(revoked.contains(&gone) && revoked.iter().all(|id| !read.contains(id)), "each on its side");
    }
}

/// What the log tells from here on is later than that.
pub async fn a_stream_says_what_came_before_it(store: &dyn KeyStore) {
    made(store, draft(None)).await;
    let before = store.head().await.expect("a head").position;
    let last = store.changes(before - 1, 1).await.expect("changes")[0].at_ms;
    let stream = stream(store).await;
    assert_eq!(stream.last_change_ms(), last);
    let next = store.create(draft(None), tollgate_gate::ports::CreateGuard::None, at(1)).await.expect("made").expect("made");
    assert!(next.created_at_ms > last);
}
