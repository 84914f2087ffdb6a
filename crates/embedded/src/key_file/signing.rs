//! Signing keys. What protects them at rest is the gate's affair: the bytes may be wrapped.

use std::sync::Arc;

use redb::{ReadTransaction, ReadableTable, ReadableTableMetadata, WriteTransaction};
use tollgate_gate::ports::{KeyStoreError, StoredSigningKey};

use super::{Fallible, Wrote, tables::SIGNING_KEYS};

/// All of them, the oldest first.
pub(super) fn all(transaction: &ReadTransaction) -> Fallible<Vec<StoredSigningKey>> {
    let mut keys = Vec::new();
    for row in transaction.open_table(SIGNING_KEYS)?.iter()? {
        let (ring, row) = row?;
        let (sealed, added_at_ms, retired_at_ms) = row.value();
        keys.push(StoredSigningKey { ring: ring.value(), sealed: sealed.to_vec(), added_at_ms, retired_at_ms });
    }
    keys.sort_by_key(|key| (key.added_at_ms, key.ring));
    Ok(keys)
}

/// Adds one; where only the first is wanted and there is one, does nothing.
pub(super) fn add(transaction: &WriteTransaction, key: &StoredSigningKey, only_first: bool) -> Fallible<Wrote<()>> {
    let mut table = transaction.open_table(SIGNING_KEYS)?;
    if only_first && !table.is_empty()? {
        return Ok(Wrote::Nothing(()));
    }
    if table.get(key.ring)?.is_some() {
        return Err(KeyStoreError::Exists(Arc::from(format!("signing key {}", key.ring))).into());
    }
    table.insert(key.ring, (key.sealed.as_slice(), key.added_at_ms, key.retired_at_ms))?;
    Ok(Wrote::Kept(()))
}

/// Retires one; a retired one stays as it is.
pub(super) fn retire(transaction: &WriteTransaction, ring: char, now_ms: u64) -> Fallible<Wrote<()>> {
    let mut table = transaction.open_table(SIGNING_KEYS)?;
    let found = table.get(ring)?.map(|row| {
        let (sealed, added_at_ms, retired_at_ms) = row.value();
        (sealed.to_vec(), added_at_ms, retired_at_ms)
    });
    let (sealed, added_at_ms, retired_at_ms) = found.ok_or(KeyStoreError::NotFound)?;
    if retired_at_ms.is_some() {
        return Ok(Wrote::Nothing(()));
    }
    table.insert(ring, (sealed.as_slice(), added_at_ms, Some(now_ms)))?;
    Ok(Wrote::Kept(()))
}
