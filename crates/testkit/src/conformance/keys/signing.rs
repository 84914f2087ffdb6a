//! Signing keys.

use tollgate_gate::ports::{KeyStore, KeyStoreError, StoredSigningKey};

fn key(ring: char, added_at_ms: u64) -> StoredSigningKey {
    // Any bytes: wrapped keys are not text.
    StoredSigningKey { ring, origin: String::new(), sealed: (0..=255).collect(), added_at_ms, retired_at_ms: None }
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
    foreign_signing_keys_stand_beside(store).await;
}

/// A key that was brought along may have the character of one that is there; both retire by it.
async fn foreign_signing_keys_stand_beside(store: &dyn KeyStore) {
    let brought = |origin: &str| StoredSigningKey { origin: origin.to_owned(), ..key('Z', 90) };
    for origin in ["one", "two"] {
        store.add_signing_key(brought(origin), false).await.expect("added");
        let again = store.add_signing_key(brought(origin), false).await;
        assert!(matches!(again, Err(KeyStoreError::Exists(_))), "{again:?}");
    }
    let of_z = async || rings(store).await.into_iter().filter(|key| key.ring == 'Z').collect::<Vec<_>>();
    assert_eq!(of_z().await, [key('Z', 30), brought("one"), brought("two")]);
    store.retire_signing_key('Z', 100).await.expect("retired");
    assert!(of_z().await.iter().all(|key| key.retired_at_ms == Some(100)));
}
