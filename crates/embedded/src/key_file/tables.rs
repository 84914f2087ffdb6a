//! The tables of the file, and rows as text.

use std::fmt;

use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, TableError, WriteTransaction};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tollgate_gate::record::{KeyLine, KeyRecord, OwnerLine, OwnerRecord, OwnerRules};
use tollgate_keys::{OwnerName, random_bytes};
use tollgate_limits::RateLimits;

use super::{Fallible, KeyFileError};

/// Key id → [`KeyLine`], as JSON.
pub(super) const KEYS: TableDefinition<'_, &str, &str> = TableDefinition::new("keys");
/// (Owner or nothing, key id): the keys of an owner, in order of ids.
pub(super) const KEYS_BY_OWNER: TableDefinition<'_, (&str, &str), ()> = TableDefinition::new("keys_by_owner");
/// Owner → [`OwnerLine`], as JSON.
pub(super) const OWNERS: TableDefinition<'_, &str, &str> = TableDefinition::new("owners");
/// Position → change, as JSON.
pub(super) const CHANGES: TableDefinition<'_, u64, &str> = TableDefinition::new("changes");
/// Position → who changed what, as JSON.
pub(super) const AUDIT: TableDefinition<'_, u64, &str> = TableDefinition::new("audit");
/// Ring character → sealed key, when it was added, when it was retired.
pub(super) const SIGNING_KEYS: TableDefinition<'_, char, SealedRow> = TableDefinition::new("signing_keys");
/// The same for those that were brought from another store: (ring character, id of its log). Made
/// with the first of them, so that a file of an earlier version needs none.
pub(super) const FOREIGN_SIGNING_KEYS: TableDefinition<'_, (char, &str), SealedRow> = TableDefinition::new("foreign_signing_keys");
/// One row, [`Head`] as JSON.
const HEAD: TableDefinition<'_, &str, &str> = TableDefinition::new("head");
const HEAD_ROW: &str = "head";

/// Sealed key, when it was added, when it was retired.
type SealedRow = (&'static [u8], u64, Option<u64>);

const FORMAT: u32 = 1;

/// The identity and the end of the change log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    /// Version of all tables.
    pub(super) format: u32,
    /// The log's random id.
    pub(super) log_id: String,
    /// The last position drawn.
    pub(super) position: u64,
    /// The instant of the last change: each is later than the one before.
    pub(super) last_ms: u64,
}

/// Makes the tables of a new file, and checks the format of an old one.
pub(super) fn prepare(database: &Database) -> Fallible<()> {
    let found = match database.begin_read()?.open_table(HEAD) {
        Ok(table) => Some(head_of(&table)?),
        Err(TableError::TableDoesNotExist(_)) => None,
        Err(error) => return Err(error.into()),
    };
    match found {
        Some(head) if head.format == FORMAT => Ok(()),
        Some(head) => Err(KeyFileError::Format { found: head.format, expected: FORMAT }),
        None => create(database),
    }
}

fn create(database: &Database) -> Fallible<()> {
    let log_id = format!("{:032x}", u128::from_be_bytes(random_bytes()?));
    let transaction = database.begin_write()?;
    transaction.open_table(KEYS)?;
    transaction.open_table(KEYS_BY_OWNER)?;
    transaction.open_table(OWNERS)?;
    transaction.open_table(CHANGES)?;
    transaction.open_table(AUDIT)?;
    transaction.open_table(SIGNING_KEYS)?;
    put_head(&transaction, &Head { format: FORMAT, log_id, position: 0, last_ms: 0 })?;
    Ok(transaction.commit()?)
}

pub(super) fn read_head(transaction: &ReadTransaction) -> Fallible<Head> {
    head_of(&transaction.open_table(HEAD)?)
}

/// The head as the transaction has it.
pub(super) fn head(transaction: &WriteTransaction) -> Fallible<Head> {
    head_of(&transaction.open_table(HEAD)?)
}

pub(super) fn put_head(transaction: &WriteTransaction, head: &Head) -> Fallible<()> {
    let json = to_json("head", &HEAD_ROW, head)?;
    transaction.open_table(HEAD)?.insert(HEAD_ROW, json.as_str())?;
    Ok(())
}

fn head_of(table: &impl ReadableTable<&'static str, &'static str>) -> Fallible<Head> {
    let row = table.get(HEAD_ROW)?.ok_or_else(|| KeyFileError::row("head", &HEAD_ROW, &"it is missing"))?;
    from_json("head", &HEAD_ROW, row.value())
}

/// The key of that id.
pub(super) fn key(table: &impl ReadableTable<&'static str, &'static str>, key_id: &str) -> Fallible<Option<KeyRecord>> {
    table.get(key_id)?.map(|row| key_from_json(key_id, row.value())).transpose()
}

pub(super) fn key_from_json(key_id: &str, json: &str) -> Fallible<KeyRecord> {
    let line: KeyLine = from_json("keys", &key_id, json)?;
    KeyRecord::try_from(line).map_err(|error| KeyFileError::row("keys", &key_id, &error))
}

/// Writes a key and its place among its owner's.
pub(super) fn put_key(transaction: &WriteTransaction, record: &KeyRecord) -> Fallible<()> {
    let key_id = record.key_id.as_str();
    let json = to_json("keys", &key_id, &KeyLine::from(record))?;
    transaction.open_table(KEYS)?.insert(key_id, json.as_str())?;
    transaction.open_table(KEYS_BY_OWNER)?.insert((owner_column(record.owner.as_ref()), key_id), ())?;
    Ok(())
}

/// How an owner is written in [`KEYS_BY_OWNER`]: no owner's name is empty.
pub(super) fn owner_column(owner: Option<&OwnerName>) -> &str {
    owner.map_or("", OwnerName::as_str)
}

/// The rules of an owner, whether any were ever written or not.
pub(super) fn owner_rules(table: &impl ReadableTable<&'static str, &'static str>, owner: &OwnerName) -> Fallible<Option<OwnerRules>> {
    let Some(row) = table.get(owner.as_str())? else { return Ok(None) };
    let line: OwnerLine = from_json("owners", owner, row.value())?;
    let record = OwnerRecord::try_from(line).map_err(|error| KeyFileError::row("owners", owner, &error))?;
    Ok(Some(record.rules))
}

/// The rules of an owner for whom none were ever written.
pub(super) fn no_rules() -> OwnerRules {
    OwnerRules { limits: RateLimits::unlimited(), generation: 0 }
}

pub(super) fn put_owner(transaction: &WriteTransaction, record: &OwnerRecord) -> Fallible<()> {
    let owner = record.owner.as_str();
    let json = to_json("owners", &owner, &OwnerLine::from(record))?;
    transaction.open_table(OWNERS)?.insert(owner, json.as_str())?;
    Ok(())
}

pub(super) fn to_json(table: &'static str, row: &dyn fmt::Display, value: &impl Serialize) -> Fallible<String> {
    serde_json::to_string(value).map_err(|error| KeyFileError::row(table, row, &error))
}

pub(super) fn from_json<T: DeserializeOwned>(table: &'static str, row: &dyn fmt::Display, json: &str) -> Fallible<T> {
    serde_json::from_str(json).map_err(|error| KeyFileError::row(table, row, &error))
}
