//! Changes that are made once, however often they are asked for.

use redb::{ReadTransaction, ReadableTable, TableDefinition, TableError, WriteTransaction};
use tollgate_gate::ports::{DoneOnce, KeyStoreError, Once};
use tollgate_keys::KeyId;

use super::{Fallible, KeyFileError, log::Drawn};

/// Name → what was asked for, which key, when. Made with the first of them, as its index is, so that
/// a file of an earlier version needs none.
const NAMES: TableDefinition<'_, [u8; 32], ([u8; 32], &str, u64)> = TableDefinition::new("idempotency_keys");
/// (When, name): the oldest come first.
const NAMES_BY_AGE: TableDefinition<'_, (u64, [u8; 32]), ()> = TableDefinition::new("idempotency_keys_by_age");

/// Old names that one change clears away at most: more than it adds, and bounded.
const PRUNED_PER_CHANGE_MAX: usize = 64;

/// What was done under a name since it is kept.
pub(super) fn done(transaction: &ReadTransaction, name: [u8; 32], now_ms: u64) -> Fallible<Option<DoneOnce>> {
    let names = match transaction.open_table(NAMES) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(None),
        opened => opened?,
    };
    let Some(row) = names.get(name)? else { return Ok(None) };
    let (request, key_id, at_ms) = row.value();
    let unreadable = |error: tollgate_keys::KeyIdError| KeyFileError::row("idempotency_keys", &key_id, &error);
    let done = DoneOnce { request, key_id: KeyId::parse(key_id).map_err(unreadable)? };
    Ok(Some(done).filter(|_| is_kept(at_ms, now_ms)))
}

/// Takes a name for a change, and fails where it is taken.
pub(super) fn take(transaction: &WriteTransaction, once: Option<Once>, drawn: Drawn, key_id: &KeyId) -> Fallible<()> {
    let Some(Once { name, request }) = once else { return Ok(()) };
    let (mut names, mut by_age) = (transaction.open_table(NAMES)?, transaction.open_table(NAMES_BY_AGE)?);
    for _ in 0..PRUNED_PER_CHANGE_MAX {
        let oldest = by_age.first()?.map(|(place, _)| place.value());
        let Some((at_ms, old)) = oldest.filter(|(at_ms, _)| !is_kept(*at_ms, drawn.at_ms)) else { break };
        by_age.remove((at_ms, old))?;
        names.remove(old)?;
    }
    let taken_at = names.get(name)?.map(|row| row.value().2);
    match taken_at {
        Some(at_ms) if is_kept(at_ms, drawn.at_ms) => return Err(KeyStoreError::Repeated.into()),
        Some(at_ms) => drop(by_age.remove((at_ms, name))?),
        None => {}
    }
    names.insert(name, (request, key_id.as_str(), drawn.at_ms))?;
    by_age.insert((drawn.at_ms, name), ())?;
    Ok(())
}

fn is_kept(at_ms: u64, now_ms: u64) -> bool {
    at_ms > now_ms.saturating_sub(Once::KEPT_MS)
}
