//! Many keys in one transaction: revoked together, brought from elsewhere, noted as used.

use std::ops::Bound;

use redb::{ReadTransaction, ReadableTable, WriteTransaction};
use tollgate_gate::{
    ports::{ChangeContext, ChangeKind, ImportBatch, Imported, OwnerRevocation},
    record::{KeyRecord, OwnerLine, OwnerRecord},
};
use tollgate_keys::{KeyId, OwnerName, Status};

use super::{
    Fallible, KeyFileError, KeyFileRetention, Wrote,
    log::{self, Entry},
    tables::{self, KEYS, KEYS_BY_OWNER, OWNERS},
};

/// Rows of one transaction at most.
const BATCH_MAX: usize = 500;

/// Revokes the next keys of an owner.
pub(super) fn revoke_keys(
    transaction: &WriteTransaction,
    next: &OwnerRevocation,
    context: &ChangeContext,
    retention: KeyFileRetention,
) -> Fallible<Wrote<Vec<KeyRecord>>> {
    let mut records = unrevoked(transaction, next)?;
    for record in &mut records {
        let drawn = log::draw(transaction, context.now_ms)?;
        record.lifecycle.status = Status::Revoked;
        record.revoked = Some(next.revocation.clone());
        record.generation = drawn.position;
        tables::put_key(transaction, record)?;
        let entry = Entry { kind: ChangeKind::Revoked, key_id: Some(&record.key_id), owner: record.owner.as_ref() };
        log::write(transaction, drawn, &entry, context, retention)?;
    }
    Ok(if records.is_empty() { Wrote::Nothing(records) } else { Wrote::Kept(records) })
}

fn unrevoked(transaction: &WriteTransaction, next: &OwnerRevocation) -> Fallible<Vec<KeyRecord>> {
    let (keys, by_owner) = (transaction.open_table(KEYS)?, transaction.open_table(KEYS_BY_OWNER)?);
    let (owner, after) = (next.owner.as_str(), next.after.as_ref().map_or("", KeyId::as_str));
    let count_max = (next.count_max as usize).clamp(1, BATCH_MAX);
    let mut records = Vec::new();
    for row in by_owner.range::<(&str, &str)>((Bound::Excluded((owner, after)), Bound::Unbounded))? {
        let (place, _) = row?;
        let (whose, key_id) = place.value();
        if whose != owner || records.len() >= count_max {
            break;
        }
        records.extend(tables::key(&keys, key_id)?.filter(|record| record.lifecycle.status != Status::Revoked));
    }
    Ok(records)
}

/// Takes over what is not there.
pub(super) fn import(
    transaction: &WriteTransaction,
    batch: ImportBatch,
    context: &ChangeContext,
    retention: KeyFileRetention,
) -> Fallible<Wrote<Imported>> {
    let mut imported = Imported::default();
    for mut record in batch.owners {
        if tables::owner_rules(&transaction.open_table(OWNERS)?, &record.owner)?.is_some() {
            continue;
        }
        let drawn = log::draw(transaction, context.now_ms)?;
        record.rules.generation = drawn.position;
        tables::put_owner(transaction, &record)?;
        let entry = Entry { kind: ChangeKind::OwnerUpdated, key_id: None, owner: Some(&record.owner) };
        log::write(transaction, drawn, &entry, context, retention)?;
        imported.owners_made += 1;
    }
    for mut record in batch.keys {
        let kept = tables::key(&transaction.open_table(KEYS)?, record.key_id.as_str())?;
        if let Some(kept) = kept {
            imported.keys_kept.push(kept);
            continue;
        }
        let drawn = log::draw(transaction, context.now_ms)?;
        record.generation = drawn.position;
        tables::put_key(transaction, &record)?;
        let entry = Entry { kind: ChangeKind::Created, key_id: Some(&record.key_id), owner: record.owner.as_ref() };
        log::write(transaction, drawn, &entry, context, retention)?;
        imported.keys_made += 1;
    }
    let is_any = imported.keys_made + imported.owners_made > 0;
    Ok(if is_any { Wrote::Kept(imported) } else { Wrote::Nothing(imported) })
}

/// Notes last uses; no row of a log.
pub(super) fn record_uses(transaction: &WriteTransaction, uses: &[(KeyId, u64)]) -> Fallible<Wrote<Vec<KeyId>>> {
    let mut noted = false;
    for (key_id, at_ms) in uses {
        let found = tables::key(&transaction.open_table(KEYS)?, key_id.as_str())?;
        let Some(mut record) = found.filter(|record| record.last_used_at_ms < Some(*at_ms)) else { continue };
        record.last_used_at_ms = Some(*at_ms);
        tables::put_key(transaction, &record)?;
        noted = true;
    }
    // One writer at a time: no key is ever busy.
    Ok(if noted { Wrote::Kept(Vec::new()) } else { Wrote::Nothing(Vec::new()) })
}

/// Owners with rules, in order of names.
pub(super) fn owners(transaction: &ReadTransaction, after: Option<&OwnerName>, count_max: u32) -> Fallible<Vec<OwnerRecord>> {
    let table = transaction.open_table(OWNERS)?;
    let from = after.map_or(Bound::Unbounded, |after| Bound::Excluded(after.as_str()));
    let mut owners = Vec::new();
    for row in table.range::<&str>((from, Bound::Unbounded))?.take(count_max as usize) {
        let (owner, json) = row?;
        let line: OwnerLine = tables::from_json("owners", &owner.value(), json.value())?;
        owners.push(OwnerRecord::try_from(line).map_err(|error| KeyFileError::row("owners", &owner.value(), &error))?);
    }
    Ok(owners)
}
