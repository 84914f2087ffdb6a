//! Signing keys. What protects them at rest is the gate's affair: the bytes may be wrapped.

use std::sync::Arc;

use redb::{ReadTransaction, ReadableTable, ReadableTableMetadata, TableError, WriteTransaction};
use tollgate_gate::ports::{KeyStoreError, StoredSigningKey};

use super::{
    Fallible, Wrote,
    tables::{FOREIGN_SIGNING_KEYS, SIGNING_KEYS},
};

/// Bytes, when added, when retired.
type Row<'a> = (&'a [u8], u64, Option<u64>);

/// All of them, the oldest first.
pub(super) fn all(transaction: &ReadTransaction) -> Fallible<Vec<StoredSigningKey>> {
    let mut keys = Vec::new();
    for row in transaction.open_table(SIGNING_KEYS)?.iter()? {
        let (ring, row) = row?;
        keys.push(stored(ring.value(), "", row.value()));
    }
    match transaction.open_table(FOREIGN_SIGNING_KEYS) {
        Ok(table) => {
            for row in table.iter()? {
                let (place, row) = row?;
                let (ring, origin) = place.value();
                keys.push(stored(ring, origin, row.value()));
            }
        }
        Err(TableError::TableDoesNotExist(_)) => {}
        Err(error) => return Err(error.into()),
    }
    keys.sort_by(|a, b| (a.added_at_ms, a.ring, &a.origin).cmp(&(b.added_at_ms, b.ring, &b.origin)));
    Ok(keys)
}

fn stored(ring: char, origin: &str, (sealed, added_at_ms, retired_at_ms): Row<'_>) -> StoredSigningKey {
    StoredSigningKey { ring, origin: origin.to_owned(), sealed: sealed.to_vec(), added_at_ms, retired_at_ms }
}

/// Adds one; where only the first is wanted and there is one, does nothing.
pub(super) fn add(transaction: &WriteTransaction, key: &StoredSigningKey, only_first: bool) -> Fallible<Wrote<()>> {
    let exists = || KeyStoreError::Exists(Arc::from(format!("signing key {}", key.ring)));
    let row: Row<'_> = (key.sealed.as_slice(), key.added_at_ms, key.retired_at_ms);
    let mut table = transaction.open_table(SIGNING_KEYS)?;
    if only_first && !table.is_empty()? {
        return Ok(Wrote::Nothing(()));
    }
    if key.origin.is_empty() {
        if table.get(key.ring)?.is_some() {
            return Err(exists().into());
        }
        table.insert(key.ring, row)?;
        return Ok(Wrote::Kept(()));
    }
    let mut foreign = transaction.open_table(FOREIGN_SIGNING_KEYS)?;
    let place = (key.ring, key.origin.as_str());
    if foreign.get(place)?.is_some() {
        return Err(exists().into());
    }
    foreign.insert(place, row)?;
    Ok(Wrote::Kept(()))
}

/// Retires all of one ring character; what is retired stays as it is.
pub(super) fn retire(transaction: &WriteTransaction, ring: char, now_ms: u64) -> Fallible<Wrote<()>> {
    let (mut known, mut due) = (false, Vec::new());
    let mut note = |origin: &str, row: Row<'_>| {
        known = true;
        due.extend(row.2.is_none().then(|| stored(ring, origin, row)));
    };
    let mut table = transaction.open_table(SIGNING_KEYS)?;
    if let Some(row) = table.get(ring)? {
        note("", row.value());
    }
    let mut foreign = transaction.open_table(FOREIGN_SIGNING_KEYS)?;
    for row in foreign.range((ring, "")..)? {
        let (place, row) = row?;
        let (character, origin) = place.value();
        if character != ring {
            break;
        }
        note(origin, row.value());
    }
    if !known {
        return Err(KeyStoreError::NotFound.into());
    }
    if due.is_empty() {
        return Ok(Wrote::Nothing(()));
    }
    for key in due {
        let row: Row<'_> = (key.sealed.as_slice(), key.added_at_ms, Some(now_ms));
        if key.origin.is_empty() {
            table.insert(ring, row)?;
        } else {
            foreign.insert((ring, key.origin.as_str()), row)?;
        }
    }
    Ok(Wrote::Kept(()))
}
