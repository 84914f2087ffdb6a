//! The change log and the audit log.

use std::time::Duration;

use redb::{ReadTransaction, ReadableTable, Table, WriteTransaction};
use serde::{Deserialize, Serialize};
use tollgate_gate::ports::{AuditQuery, AuditRow, AuditRows, Change, ChangeContext, ChangeKind, LogHead, LogId};
use tollgate_keys::{KeyId, OwnerName};

use super::{
    Fallible, KeyFileError, KeyFileRetention,
    tables::{AUDIT, CHANGES, from_json, head as head_row, put_head, read_head, to_json},
};

/// Old rows that one change clears away at most: more than it adds, and bounded.
const PRUNED_PER_CHANGE_MAX: usize = 64;

/// The most rows of one page of the audit log, and the most that are looked at for one.
const AUDIT_PAGE_MAX: u32 = 1000;
const AUDIT_LOOKED_AT_MAX: usize = 10_000;

/// A place in the log that is being written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Drawn {
    pub(super) position: u64,
    pub(super) at_ms: u64,
}

/// What changed.
pub(super) struct Entry<'a> {
    pub(super) kind: ChangeKind,
    pub(super) key_id: Option<&'a KeyId>,
    pub(super) owner: Option<&'a OwnerName>,
}

#[derive(Serialize, Deserialize)]
struct ChangeRow {
    at_ms: u64,
    kind: String,
    key_id: Option<String>,
    owner: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Audited {
    at_ms: u64,
    actor: String,
    request_id: String,
    action: String,
    key_id: Option<String>,
    owner: Option<String>,
}

impl Audited {
    fn of(at_ms: u64, context: &ChangeContext) -> Self {
        let ChangeContext { actor, request_id, action, .. } = context.clone();
        Self { at_ms, actor, request_id, action: action.to_owned(), key_id: None, owner: None }
    }
}

/// Writes a row of the audit log alone, for what is no change of a key or an owner.
pub(super) fn audit(transaction: &WriteTransaction, drawn: Drawn, context: &ChangeContext) -> Fallible<()> {
    let Drawn { position, at_ms } = drawn;
    let row = Audited::of(at_ms, context);
    transaction.open_table(AUDIT)?.insert(position, to_json("audit", &position, &row)?.as_str())?;
    Ok(())
}

/// What both kinds of rows tell of their age.
#[derive(Deserialize)]
struct Aged {
    at_ms: u64,
}

/// Draws the next position: later than the last one, whatever the clock says.
pub(super) fn draw(transaction: &WriteTransaction, now_ms: u64) -> Fallible<Drawn> {
    let mut head = head_row(transaction)?;
    head.position += 1;
    head.last_ms = now_ms.max(head.last_ms + 1);
    put_head(transaction, &head)?;
    Ok(Drawn { position: head.position, at_ms: head.last_ms })
}

/// Writes both logs, and clears away some of what they need not keep any longer.
pub(super) fn write(
    transaction: &WriteTransaction,
    drawn: Drawn,
    entry: &Entry<'_>,
    context: &ChangeContext,
    retention: KeyFileRetention,
) -> Fallible<()> {
    let (key_id, owner) = (entry.key_id.map(KeyId::as_str), entry.owner.map(OwnerName::as_str));
    let Drawn { position, at_ms } = drawn;
    let (key_id, owner) = (key_id.map(str::to_owned), owner.map(str::to_owned));
    let change = ChangeRow { at_ms, kind: entry.kind.as_str().to_owned(), key_id: key_id.clone(), owner: owner.clone() };
    let mut changes = transaction.open_table(CHANGES)?;
    changes.insert(position, to_json("changes", &position, &change)?.as_str())?;
    prune(&mut changes, "changes", before(at_ms, retention.change_log))?;
    let audited = Audited { key_id, owner, ..Audited::of(at_ms, context) };
    let mut audit = transaction.open_table(AUDIT)?;
    audit.insert(position, to_json("audit", &position, &audited)?.as_str())?;
    prune(&mut audit, "audit", before(at_ms, retention.audit))
}

fn before(at_ms: u64, kept: Duration) -> u64 {
    at_ms.saturating_sub(u64::try_from(kept.as_millis()).unwrap_or(u64::MAX))
}

/// Removes rows from the front that are older than `end_ms`.
fn prune(table: &mut Table<'_, u64, &'static str>, name: &'static str, end_ms: u64) -> Fallible<()> {
    for _ in 0..PRUNED_PER_CHANGE_MAX {
        let Some((position, row)) = table.first()? else { return Ok(()) };
        let Aged { at_ms } = from_json(name, &position.value(), row.value())?;
        if at_ms >= end_ms {
            return Ok(());
        }
        drop((position, row));
        table.pop_first()?;
    }
    Ok(())
}

/// One page of the audit log, newest first. It has no index: of what is asked for, a part is found.
pub(super) fn read_audit(transaction: &ReadTransaction, query: &AuditQuery) -> Fallible<AuditRows> {
    let (table, count) = (transaction.open_table(AUDIT)?, query.count_max.clamp(1, AUDIT_PAGE_MAX) as usize);
    let mut found = AuditRows::default();
    for (looked_at, row) in table.range(..query.before.unwrap_or(u64::MAX))?.rev().enumerate() {
        let (position, json) = row.map(|(position, json)| (position.value(), json))?;
        if found.rows.len() == count || looked_at == AUDIT_LOOKED_AT_MAX {
            found.next_before = Some(position + 1);
            break;
        }
        let row: Audited = from_json("audit", &position, json.value())?;
        let is_of_owner = query.owner.as_ref().is_none_or(|owner| row.owner.as_deref() == Some(owner.as_str()));
        if is_of_owner && query.key_id.as_ref().is_none_or(|key_id| row.key_id.as_deref() == Some(key_id.as_str())) {
            let Audited { at_ms, actor, request_id, action, key_id, owner } = row;
            found.rows.push(AuditRow { position, at_ms, actor, action, key_id, owner, request_id, detail: serde_json::Map::new() });
        }
    }
    Ok(found)
}

/// Where the log ends and begins.
pub(super) fn head(transaction: &ReadTransaction) -> Fallible<LogHead> {
    let head = read_head(transaction)?;
    let oldest = transaction.open_table(CHANGES)?.first()?.map_or(head.position + 1, |(position, _)| position.value());
    Ok(LogHead { log: LogId(head.log_id.into()), position: head.position, oldest })
}

/// Changes after a position, in order.
pub(super) fn changes(transaction: &ReadTransaction, after: u64, count_max: u32) -> Fallible<Vec<Change>> {
    let Some(from) = after.checked_add(1) else { return Ok(Vec::new()) };
    let rows = transaction.open_table(CHANGES)?.range(from..)?;
    let read = |row: Result<(redb::AccessGuard<'_, u64>, redb::AccessGuard<'_, &str>), _>| {
        let (position, json) = row?;
        change(position.value(), json.value())
    };
    rows.take(usize::try_from(count_max).unwrap_or(usize::MAX)).map(read).collect()
}

fn change(position: u64, json: &str) -> Fallible<Change> {
    let row: ChangeRow = from_json("changes", &position, json)?;
    let bad = |detail: String| KeyFileError::row("changes", &position, &detail);
    let kind = ChangeKind::parse(&row.kind).ok_or_else(|| bad(format!("no such kind of change: {}", row.kind)))?;
    let key_id = row.key_id.as_deref().map(KeyId::parse).transpose().map_err(|error| bad(error.to_string()))?;
    let owner = row.owner.as_deref().map(OwnerName::parse).transpose().map_err(|error| bad(error.to_string()))?;
    Ok(Change { position, at_ms: row.at_ms, kind, key_id, owner })
}
