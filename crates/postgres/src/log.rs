//! The change log: drawing positions, writing its rows, reading it.

use std::time::Duration;

use sqlx::{PgConnection, PgPool};
use tollgate_gate::ports::{Change, ChangeContext, ChangeKind, LogHead, LogId};
use tollgate_keys::{KeyId, OwnerName};

use crate::PostgresError;

/// Old rows of each log that one change clears away at most: more than it adds, and bounded. Changes
/// that are written together clear away twice as many as they are, if that is more.
const PRUNED_PER_CHANGE_MAX: i64 = 64;

/// How often a reset begins that must give way to changes under way.
const RESET_TRIES: u32 = 10;

/// How long rows are kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Retention {
    pub(crate) log: Duration,
    pub(crate) audit: Duration,
}

/// The place and instant that a change has drawn.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Drawn {
    pub(crate) position: u64,
    pub(crate) at_ms: u64,
}

impl Drawn {
    /// The place and instant of the change so many after this one.
    pub(crate) fn after(self, count: usize) -> Self {
        Self { position: self.position + count as u64, at_ms: self.at_ms + count as u64 }
    }
}

/// What a change's rows in log and audit say.
#[derive(Debug, Clone)]
pub(crate) struct Entry<'a> {
    pub(crate) kind: ChangeKind,
    pub(crate) key_id: Option<&'a KeyId>,
    pub(crate) owner: Option<&'a OwnerName>,
    pub(crate) detail: serde_json::Value,
}

/// Draws the next position and an instant after the last one. From here to the commit all other
/// changes wait, so only what needs the position comes after it.
pub(crate) async fn draw(connection: &mut PgConnection, now_ms: u64) -> Result<Drawn, PostgresError> {
    draw_many(connection, 1, now_ms).await
}

/// Draws as many positions as one transaction makes changes, at least one, and gives the first: the
/// others follow it, each a millisecond later.
pub(crate) async fn draw_many(connection: &mut PgConnection, count: usize, now_ms: u64) -> Result<Drawn, PostgresError> {
    let row: Option<(i64, i64)> = sqlx::query_as(
        "update change_head set position = position + $2, last_ms = greatest(last_ms + $2, $1) \
         where only_row returning position - $2 + 1, last_ms - $2 + 1",
    )
    .bind(to_db(now_ms)?)
    .bind(to_db(count.max(1) as u64)?)
    .fetch_optional(connection)
    .await?;
    let (position, at_ms) = row.ok_or_else(no_head)?;
    Ok(Drawn { position: from_db(position, "change_head", "position")?, at_ms: from_db(at_ms, "change_head", "last_ms")? })
}

/// Writes the rows of the change log and of the audit log, and clears away some of what they need
/// not keep any longer. The head's row is locked since [`draw`], so nobody else does so meanwhile;
/// positions have no holes, so the one after the last that goes is the oldest that stays.
pub(crate) async fn write(
    connection: &mut PgConnection,
    drawn: Drawn,
    entry: Entry<'_>,
    context: &ChangeContext,
    retention: Retention,
) -> Result<(), PostgresError> {
    write_many(connection, drawn, &[entry], context, retention).await
}

/// The same for several changes of one transaction, which were drawn together.
pub(crate) async fn write_many(
    connection: &mut PgConnection,
    first: Drawn,
    entries: &[Entry<'_>],
    context: &ChangeContext,
    retention: Retention,
) -> Result<(), PostgresError> {
    let places: Vec<Drawn> = (0..entries.len()).map(|count| first.after(count)).collect();
    let positions = places.iter().map(|place| to_db(place.position)).collect::<Result<Vec<i64>, _>>()?;
    let instants = places.iter().map(|place| to_db(place.at_ms)).collect::<Result<Vec<i64>, _>>()?;
    let pruned_max = PRUNED_PER_CHANGE_MAX.max(2 * i64::try_from(entries.len()).unwrap_or(i64::MAX / 2));
    sqlx::query(
        "with changes as ( \
             select * from unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[], $9::text[]) \
                 as change (position, at_ms, kind, key_id, owner, detail) \
         ), logged as ( \
             insert into change_log (position, at_ms, kind, key_id, owner, request_id) \
             select position, at_ms, kind, key_id, owner, $6 from changes \
         ), audited as ( \
             insert into audit (position, at_ms, actor, action, key_id, owner, request_id, detail) \
             select position, at_ms, $7, $8, key_id, owner, $6, detail::jsonb from changes \
         ), pruned as ( \
             delete from change_log where position = any (array( \
                 select position from change_log where at_ms < $10 order by at_ms limit $12)) returning position \
         ), pruned_audit as ( \
             delete from audit where position = any (array(select position from audit where at_ms < $11 order by at_ms limit $12)) \
         ) update change_head set oldest = (select max(position) + 1 from pruned) where only_row and exists (select from pruned)",
    )
    .bind(positions)
    .bind(instants)
    .bind(entries.iter().map(|entry| entry.kind.as_str()).collect::<Vec<_>>())
    .bind(entries.iter().map(|entry| entry.key_id.map(KeyId::as_str)).collect::<Vec<_>>())
    .bind(entries.iter().map(|entry| entry.owner.map(OwnerName::as_str)).collect::<Vec<_>>())
    .bind(&context.request_id)
    .bind(&context.actor)
    .bind(context.action)
    .bind(entries.iter().map(|entry| entry.detail.to_string()).collect::<Vec<_>>())
    .bind(to_db(before(first.at_ms, retention.log))?)
    .bind(to_db(before(first.at_ms, retention.audit))?)
    .bind(pruned_max)
    .execute(connection)
    .await?;
    Ok(())
}

fn before(at_ms: u64, kept: Duration) -> u64 {
    at_ms.saturating_sub(u64::try_from(kept.as_millis()).unwrap_or(u64::MAX))
}

/// Where the log ends.
pub(crate) async fn head(pool: &PgPool) -> Result<LogHead, PostgresError> {
    let row: Option<(String, i64, i64)> = sqlx::query_as("select log_id, position, oldest from change_head").fetch_optional(pool).await?;
    let (log, position, oldest) = row.ok_or_else(no_head)?;
    Ok(LogHead {
        log: LogId(log.into()),
        position: from_db(position, "change_head", "position")?,
        oldest: from_db(oldest, "change_head", "oldest")?,
    })
}

/// The time of day by the server's clock, in milliseconds since 1970.
pub(crate) async fn time_of_day(pool: &PgPool) -> Result<u64, PostgresError> {
    let now_ms: i64 = sqlx::query_scalar("select (extract(epoch from clock_timestamp()) * 1000)::bigint").fetch_one(pool).await?;
    from_db(now_ms, "clock", "now")
}

/// Changes after a position, at most `count_max`.
pub(crate) async fn changes(pool: &PgPool, after: u64, count_max: u32) -> Result<Vec<Change>, PostgresError> {
    let rows: Vec<ChangeRow> =
        sqlx::query_as("select position, at_ms, kind, key_id, owner from change_log where position > $1 order by position limit $2")
            // A cursor beyond what a position can be has nothing after it.
            .bind(i64::try_from(after).unwrap_or(i64::MAX))
            .bind(i64::from(count_max))
            .fetch_all(pool)
            .await?;
    rows.into_iter().map(ChangeRow::read).collect()
}

#[derive(sqlx::FromRow)]
struct ChangeRow {
    position: i64,
    at_ms: i64,
    kind: String,
    key_id: Option<String>,
    owner: Option<String>,
}

impl ChangeRow {
    fn read(self) -> Result<Change, PostgresError> {
        let Self { position, at_ms, kind, key_id, owner } = self;
        let unreadable = |column| PostgresError::unreadable("change", &position.to_string(), column);
        Ok(Change {
            position: u64::try_from(position).map_err(|_| unreadable("position"))?,
            at_ms: u64::try_from(at_ms).map_err(|_| unreadable("at_ms"))?,
            kind: ChangeKind::parse(&kind).ok_or_else(|| unreadable("kind"))?,
            key_id: key_id.map(|id| KeyId::parse(&id)).transpose().map_err(|_| unreadable("key_id"))?,
            owner: owner.map(|owner| OwnerName::parse(&owner)).transpose().map_err(|_| unreadable("owner"))?,
        })
    }
}

/// Starts the log anew beyond every position it can have had. Positions before it are never told
/// of again.
///
/// It wants the head and every row, which changes take one after the other, in either order: where
/// it gives way to one of them it begins again.
pub(crate) async fn reset(pool: &PgPool, context: &ChangeContext) -> Result<LogHead, PostgresError> {
    for _ in 1..RESET_TRIES {
        match try_reset(pool, context).await {
            Err(PostgresError::RolledBack(_)) => {}
            done => return done,
        }
    }
    try_reset(pool, context).await
}

/// The same in one transaction, without the bounds of other statements.
async fn try_reset(pool: &PgPool, context: &ChangeContext) -> Result<LogHead, PostgresError> {
    let mut transaction = pool.begin().await?;
    for bound in ["set local statement_timeout = 0", "set local lock_timeout = '1min'"] {
        sqlx::query(bound).execute(&mut *transaction).await?;
    }
    let last: Option<i64> =
        sqlx::query_scalar("select position from change_head where only_row for update").fetch_optional(&mut *transaction).await?;
    let position = LogHead::reset_from(from_db(last.ok_or_else(no_head)?, "change_head", "position")?);
    sqlx::query("update change_head set position = $1, last_ms = greatest(last_ms + 1, $2), oldest = $1 + 1 where only_row")
        .bind(to_db(position)?)
        .bind(to_db(context.now_ms)?)
        .execute(&mut *transaction)
        .await?;
    sqlx::query("insert into audit (position, at_ms, actor, action, request_id) select $1, last_ms, $2, $3, $4 from change_head")
        .bind(to_db(position)?)
        .bind(&context.actor)
        .bind(context.action)
        .bind(&context.request_id)
        .execute(&mut *transaction)
        .await?;
    sqlx::query("delete from change_log").execute(&mut *transaction).await?;
    for table in ["update keys set generation = $1", "update owners set generation = $1"] {
        sqlx::query(table).bind(to_db(position)?).execute(&mut *transaction).await?;
    }
    let log: String = sqlx::query_scalar("select log_id from change_head").fetch_one(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(LogHead { log: LogId(log.into()), position, oldest: position + 1 })
}

fn no_head() -> PostgresError {
    PostgresError::Unusable("table change_head has lost its row: restore the database".into())
}

/// A count or an instant as Postgres holds it.
pub(crate) fn to_db(value: u64) -> Result<i64, PostgresError> {
    i64::try_from(value).map_err(|_| PostgresError::Unusable("an instant or a position is beyond 2^63".into()))
}

fn from_db(value: i64, what: &str, column: &str) -> Result<u64, PostgresError> {
    u64::try_from(value).map_err(|_| PostgresError::unreadable(what, "", column))
}
