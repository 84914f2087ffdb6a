//! Signing keys.

use tollgate_gate::ports::{KeyStore, KeyStoreError, StoredSigningKey};

fn key(ring: char, added_at_ms: u64) -> StoredSigningKey {
    // Any bytes: wrapped keys are not text.
    StoredSigningKey { ring, sealed: (0..=255).collect(), added_at_ms, retired_at_ms: None }
}

async fn rings(store: &dyn KeyStore) -> Vec<StoredSigningKey> {
    let mut keys = store.signing_keys().await.expect("signing keys");
    keys.sort_by_key(|key| key.added_at_ms);
    keys
}

/// Expects a store without signing keys; leaves one with ring character `a`.
pub async fn the_first_signing_key_is_added_once(store: &dyn KeyStore) {
    assert_eq!(rings(store).await, []);
    store.add_signing_key(key('a', 10), true).await.expect("added");
    store.add_signing_key(key('b', 20), true).await.expect("left alone");
    store.add_signing_key(key('a', 20), true).await.expect("left alone");
    assert_eq!(rings(store).await, [key('a', 10)]);
}

/// Expects a store with ring character `a` alone.
pub async fn signing_keys_are_added_and_retired(store: &dyn KeyStore) {
    for (ring, added_at_ms) in [('Z', 30), ('A', 40), ('0', 50)] {
        store.add_signing_key(key(ring, added_at_ms), false).await.expect("added");
    }
    let again = store.add_signing_key(key('A', 60), false).await;
    assert!(matches!(again, Err(KeyStoreError::Exists(_))), "{again:?}");
    store.retire_signing_key('a', 70).await.expect("retired");
    let retired = StoredSigningKey { retired_at_ms: Some(70), ..key('a', 10) };
    assert_eq!(rings(store).await, [retired, key('Z', 30), key('A', 40), key('0', 50)]);
    assert!(store.retire_signing_key('q', 80).await.is_err(), "nobody retires what is not there");
}
