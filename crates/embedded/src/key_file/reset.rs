//! The reset of the change log: the file as it is now is right.

use redb::{ReadableTable, WriteTransaction};
use tollgate_gate::{
    ports::{ChangeContext, LogHead, LogId},
    record::{KeyRecord, OwnerLine, OwnerRecord},
};

use super::{
    Fallible, KeyFileError, Wrote,
    log::{self, Drawn},
    tables::{self, CHANGES, KEYS, OWNERS, from_json},
};

/// Goes on far beyond the last position, with every key and owner of that generation.
pub(super) fn reset_log(transaction: &WriteTransaction, context: &ChangeContext) -> Fallible<Wrote<LogHead>> {
    let mut head = tables::head(transaction)?;
    head.position = LogHead::reset_from(head.position);
    head.last_ms = context.now_ms.max(head.last_ms + 1);
    let position = head.position;
    tables::put_head(transaction, &head)?;
    log::audit(transaction, Drawn { position, at_ms: head.last_ms }, context)?;
    transaction.open_table(CHANGES)?.retain(|_, _| false)?;
    for mut key in keys(transaction)? {
        key.generation = position;
        tables::put_key(transaction, &key)?;
    }
    for mut owner in owners(transaction)? {
        owner.rules.generation = position;
        tables::put_owner(transaction, &owner)?;
    }
    Ok(Wrote::Kept(LogHead { log: LogId(head.log_id.into()), position, oldest: position + 1 }))
}

/// All of them in memory: a node alone holds no more keys than that.
fn keys(transaction: &WriteTransaction) -> Fallible<Vec<KeyRecord>> {
    let table = transaction.open_table(KEYS)?;
    let rows = table.iter()?;
    rows.map(|row| row.map_err(KeyFileError::from).and_then(|(id, json)| tables::key_from_json(id.value(), json.value()))).collect()
}

fn owners(transaction: &WriteTransaction) -> Fallible<Vec<OwnerRecord>> {
    let table = transaction.open_table(OWNERS)?;
    let mut owners = Vec::new();
    for row in table.iter()? {
        let (owner, json) = row?;
        let line: OwnerLine = from_json("owners", &owner.value(), json.value())?;
        owners.push(OwnerRecord::try_from(line).map_err(|error| KeyFileError::row("owners", &owner.value(), &error))?);
    }
    Ok(owners)
}
