//! Reading keys and owners.

use std::ops::Bound;

use redb::ReadTransaction;
use tollgate_api::KeyStatus;
use tollgate_gate::{
    ports::{FoundKey, KeyListQuery},
    record::{KeyRecord, OwnerRecord},
};
use tollgate_keys::{KeyId, Lifecycle, OwnerName, Unusable};

use super::{
    Fallible,
    tables::{self, KEYS, KEYS_BY_OWNER, OWNERS},
};

/// The most keys of one page.
const PAGE_MAX: u32 = 1000;

/// A key with its owner's rules, both of one instant.
pub(super) fn find(transaction: &ReadTransaction, key_id: &KeyId) -> Fallible<Option<FoundKey>> {
    let Some(key) = tables::key(&transaction.open_table(KEYS)?, key_id.as_str())? else { return Ok(None) };
    let owner = match &key.owner {
        Some(owner) => Some(tables::owner_rules(&transaction.open_table(OWNERS)?, owner)?.unwrap_or_else(tables::no_rules)),
        None => None,
    };
    Ok(Some(FoundKey { key, owner }))
}

/// An owner with keys or with rules.
pub(super) fn owner(transaction: &ReadTransaction, owner: OwnerName) -> Fallible<Option<OwnerRecord>> {
    let written = tables::owner_rules(&transaction.open_table(OWNERS)?, &owner)?;
    let rules = match written {
        Some(rules) => Some(rules),
        None => has_keys(transaction, &owner)?.then(tables::no_rules),
    };
    Ok(rules.map(|rules| OwnerRecord { owner, rules }))
}

fn has_keys(transaction: &ReadTransaction, owner: &OwnerName) -> Fallible<bool> {
    let table = transaction.open_table(KEYS_BY_OWNER)?;
    let first = table.range((owner.as_str(), "")..)?.next().transpose()?;
    Ok(first.is_some_and(|(place, _)| place.value().0 == owner.as_str()))
}

/// One page of keys.
pub(super) fn list(transaction: &ReadTransaction, query: &KeyListQuery) -> Fallible<Vec<KeyRecord>> {
    let mut page = Page { query, keys: Vec::new() };
    match &query.owner {
        Some(owner) => page.of_owner(transaction, owner)?,
        None => page.of_all(transaction)?,
    }
    Ok(page.keys)
}

struct Page<'a> {
    query: &'a KeyListQuery,
    keys: Vec<KeyRecord>,
}

impl Page<'_> {
    fn of_all(&mut self, transaction: &ReadTransaction) -> Fallible<()> {
        let table = transaction.open_table(KEYS)?;
        let after = self.query.after.as_ref().map_or(Bound::Unbounded, |after| Bound::Excluded(after.as_str()));
        for row in table.range::<&str>((after, Bound::Unbounded))? {
            let (key_id, json) = row?;
            if self.take(tables::key_from_json(key_id.value(), json.value())?) {
                break;
            }
        }
        Ok(())
    }

    fn of_owner(&mut self, transaction: &ReadTransaction, owner: &OwnerName) -> Fallible<()> {
        let (keys, by_owner) = (transaction.open_table(KEYS)?, transaction.open_table(KEYS_BY_OWNER)?);
        let after = self.query.after.as_ref().map_or("", KeyId::as_str);
        for row in by_owner.range::<(&str, &str)>((Bound::Excluded((owner.as_str(), after)), Bound::Unbounded))? {
            let (place, _) = row?;
            let (whose, key_id) = place.value();
            if whose != owner.as_str() {
                break;
            }
            if let Some(record) = tables::key(&keys, key_id)?
                && self.take(record)
            {
                break;
            }
        }
        Ok(())
    }

    /// Takes a key that is asked for; true where the page is full.
    fn take(&mut self, record: KeyRecord) -> bool {
        let is_late = |since_ms| record.revoked.as_ref().is_some_and(|revoked| revoked.at_ms >= since_ms);
        let is_of_status = self.query.status.is_none_or(|status| status == status_at(record.lifecycle, self.query.now_ms));
        if is_of_status && self.query.revoked_since_ms.is_none_or(is_late) {
            self.keys.push(record);
        }
        self.keys.len() >= self.query.count_max.clamp(1, PAGE_MAX) as usize
    }
}

fn status_at(lifecycle: Lifecycle, now_ms: u64) -> KeyStatus {
    match lifecycle.usable(now_ms) {
        Ok(()) => KeyStatus::Active,
        Err(Unusable::Suspended) => KeyStatus::Suspended,
        Err(Unusable::Revoked) => KeyStatus::Revoked,
        Err(Unusable::Expired) => KeyStatus::Expired,
    }
}
