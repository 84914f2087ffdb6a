//! Changes of keys and owners: record, index, both logs, in one transaction.

use std::sync::Arc;

use redb::{ReadableTable, WriteTransaction};
use tollgate_gate::{
    ports::{ChangeContext, ChangeKind, Changed, CreateGuard, KeyDraft, KeyEdit, KeyStoreError},
    record::{KeyRecord, OwnerRecord, OwnerRules},
};
use tollgate_keys::{KeyId, OwnerName, Scope};
use tollgate_limits::RateLimits;

use super::{
    Fallible, KeyFileRetention, Wrote,
    log::{self, Entry},
    once,
    tables::{self, KEYS, KEYS_BY_OWNER},
};

/// Which key a change is for, and who may know of it.
pub(super) struct Whose {
    pub(super) key_id: KeyId,
    pub(super) tenant: Option<OwnerName>,
}

/// Makes a key whose id has the instant of its row in the log.
pub(super) fn create(
    transaction: &WriteTransaction,
    draft: KeyDraft,
    guard: CreateGuard,
    context: &ChangeContext,
    retention: KeyFileRetention,
) -> Fallible<Wrote<Option<KeyRecord>>> {
    if guard == CreateGuard::NoAdminYet && has_admin(transaction, context.now_ms)? {
        return Ok(Wrote::Nothing(None));
    }
    let drawn = log::draw(transaction, context.now_ms)?;
    let mut record = draft.record;
    if !draft.own_id {
        record.key_id = KeyId::from_parts(drawn.at_ms, draft.id_entropy);
    }
    if transaction.open_table(KEYS)?.get(record.key_id.as_str())?.is_some() {
        return Err(KeyStoreError::Exists(Arc::from(record.key_id.as_str())).into());
    }
    record.generation = drawn.position;
    record.created_at_ms = drawn.at_ms;
    once::take(transaction, context.once, drawn, &record.key_id)?;
    tables::put_key(transaction, &record)?;
    let entry = Entry { kind: ChangeKind::Created, key_id: Some(&record.key_id), owner: record.owner.as_ref() };
    log::write(transaction, drawn, &entry, context, retention)?;
    Ok(Wrote::Kept(Some(record)))
}

/// Whether anybody can do everything already.
fn has_admin(transaction: &WriteTransaction, now_ms: u64) -> Fallible<bool> {
    let (keys, by_owner) = (transaction.open_table(KEYS)?, transaction.open_table(KEYS_BY_OWNER)?);
    let nobodys = tables::owner_column(None);
    for row in by_owner.range((nobodys, "")..)? {
        let (place, ()) = row.map(|(place, row)| (place, row.value()))?;
        let (owner, key_id) = place.value();
        if owner != nobodys {
            return Ok(false);
        }
        let record = tables::key(&keys, key_id)?;
        if record.is_some_and(|record| record.scopes.allows(&Scope::ADMIN) && record.lifecycle.usable(now_ms).is_ok()) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Changes a key, unless the edit finds nothing to change.
pub(super) fn change(
    transaction: &WriteTransaction,
    whose: &Whose,
    (kind, edit): (ChangeKind, KeyEdit),
    context: &ChangeContext,
    retention: KeyFileRetention,
) -> Fallible<Wrote<Changed>> {
    let found = tables::key(&transaction.open_table(KEYS)?, whose.key_id.as_str())?;
    let may_know = |record: &KeyRecord| whose.tenant.is_none() || record.owner == whose.tenant;
    let current = found.filter(may_know).ok_or(KeyStoreError::NotFound)?;
    let Some(edited) = edit(&current)? else { return Ok(Wrote::Nothing(Changed { record: current, changed: false })) };
    let drawn = log::draw(transaction, context.now_ms)?;
    once::take(transaction, context.once, drawn, &whose.key_id)?;
    // What a key is for all its life stays, whatever the edit did.
    let KeyRecord { key_id, owner, created_at_ms, .. } = current;
    let record = KeyRecord { key_id, owner, created_at_ms, generation: drawn.position, ..edited };
    tables::put_key(transaction, &record)?;
    let entry = Entry { kind, key_id: Some(&record.key_id), owner: record.owner.as_ref() };
    log::write(transaction, drawn, &entry, context, retention)?;
    Ok(Wrote::Kept(Changed { record, changed: true }))
}

/// Sets an owner's rules.
pub(super) fn put_owner(
    transaction: &WriteTransaction,
    owner: OwnerName,
    limits: RateLimits,
    context: &ChangeContext,
    retention: KeyFileRetention,
) -> Fallible<Wrote<OwnerRecord>> {
    let drawn = log::draw(transaction, context.now_ms)?;
    let record = OwnerRecord { owner, rules: OwnerRules { limits, generation: drawn.position } };
    tables::put_owner(transaction, &record)?;
    let entry = Entry { kind: ChangeKind::OwnerUpdated, key_id: None, owner: Some(&record.owner) };
    log::write(transaction, drawn, &entry, context, retention)?;
    Ok(Wrote::Kept(record))
}
