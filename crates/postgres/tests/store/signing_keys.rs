//! The ring of signing keys.

use std::sync::Arc;

use tollgate_gate::ports::{KeyStore, KeyStoreError, StoredSigningKey};

use crate::support::{NOW_MS, fixture};

fn signing_key(ring: char, added_at_ms: u64) -> StoredSigningKey {
    StoredSigningKey { ring, origin: String::new(), sealed: vec![0, 1, 255, ring as u8], added_at_ms, retired_at_ms: None }
}

#[tokio::test]
async fn keys_are_added_told_apart_by_case_and_retired_once() {
    let fixture = fixture().await;
    for (ring, at_ms) in [('b', 2), ('B', 1), ('0', 3)] {
        fixture.store.add_signing_key(signing_key(ring, at_ms), false).await.expect("added");
    }
    let again = fixture.store.add_signing_key(signing_key('B', 9), false).await;
    assert!(matches!(again, Err(KeyStoreError::Exists(_))), "{again:?}");
    let bad = fixture.store.add_signing_key(signing_key('-', 9), false).await;
    assert!(matches!(bad, Err(KeyStoreError::Refused(_))), "{bad:?}");
    fixture.store.retire_signing_key('b', NOW_MS).await.expect("retired");
    fixture.store.retire_signing_key('b', NOW_MS + 5).await.expect("still retired");
    let unknown = fixture.store.retire_signing_key('x', NOW_MS).await;
    assert!(matches!(unknown, Err(KeyStoreError::NotFound)), "{unknown:?}");
    let retired = StoredSigningKey { retired_at_ms: Some(NOW_MS), ..signing_key('b', 2) };
    assert_eq!(fixture.store.signing_keys().await.expect("a ring"), [signing_key('B', 1), retired, signing_key('0', 3)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_nodes_that_start_together_one_adds_the_first_key() {
    let fixture = fixture().await;
    let nodes: Vec<_> = ('a'..='h')
        .map(|ring| {
            let store = Arc::clone(&fixture.store);
            tokio::spawn(async move { store.add_signing_key(signing_key(ring, 1), true).await })
        })
        .collect();
    for node in nodes {
        node.await.expect("a node").expect("no error");
    }
    assert_eq!(fixture.store.signing_keys().await.expect("a ring").len(), 1);
}
