//! The ids of all keys that are not revoked, page by page, over a connection of its own.
//!
//! The pool's connections stay with decisions and operators, however long the stream takes; no
//! statement reads more than a page, so none holds back Postgres' cleaning up. Every page goes by
//! the index `keys_by_status`, one state after the other: what moves from one to the other
//! meanwhile may be missed, but its change is in the log.

use std::{fmt, time::Duration};

use sqlx::{Connection, PgConnection, postgres::PgConnectOptions};
use tollgate_gate::ports::{BoxFuture, KeyIdStream, KeyStoreError, StreamTurn};
use tollgate_keys::{KeyId, Status};

use crate::{PostgresError, key_row::status_name, schema};

/// What its session is called in `pg_stat_activity`.
const SESSION_NAME: &str = "tollgate key ids";
/// "tollgate" in ASCII: the lock of the one node whose turn it is.
const TURN_LOCK: i64 = 0x746f_6c6c_6761_7465;
/// Rows that one statement counts.
const COUNTED_AT_A_TIME: i64 = 100_000;
/// The states of keys that may be used now or some day.
const USABLE: &[Status] = &[Status::Active, Status::Suspended];

const PAGE: &str = "select key_id from keys where status = $1 and key_id > $2 order by key_id limit $3";
const COUNT: &str = "select count(*), max(key_id) from \
    (select key_id from keys where status = $1 and key_id > $2 order by key_id limit $3) as page";

/// A stream under way. The lock of its turn ends with its session.
pub(crate) struct PostgresKeyIds {
    connection: PgConnection,
    call_timeout: Duration,
    last_change_ms: u64,
    usable: Place,
    revoked: Place,
}

/// How far a walk over keys of some states has come.
#[derive(Debug, Clone)]
struct Place {
    /// Those that are still to be walked over.
    states: &'static [Status],
    /// The last id of the first of them.
    after: String,
}

impl Place {
    fn before(states: &'static [Status]) -> Self {
        Self { states, after: String::new() }
    }

    fn state(&self) -> Option<&'static str> {
        self.states.first().map(|state| status_name(*state))
    }

    fn next_state(&mut self) {
        *self = Self::before(self.states.get(1..).unwrap_or_default());
    }

    /// The next ids, at most `count_max`; none at the end.
    async fn page(&mut self, connection: &mut PgConnection, count_max: u32) -> Result<Vec<KeyId>, PostgresError> {
        while let Some(state) = self.state() {
            let query = sqlx::query_scalar(PAGE).bind(state).bind(&self.after).bind(i64::from(count_max.max(1)));
            let ids: Vec<String> = query.fetch_all(&mut *connection).await?;
            match ids.last() {
                Some(last) => self.after.clone_from(last),
                None => self.next_state(),
            }
            if !ids.is_empty() {
                let read = |id: &String| KeyId::parse(id).map_err(|_| PostgresError::unreadable("key", id, "key_id"));
                return ids.iter().map(read).collect();
            }
        }
        Ok(Vec::new())
    }
}

/// Opens a stream; `None` where another node has its turn.
pub(crate) async fn open(
    session: &PgConnectOptions,
    call_timeout: Duration,
    turn: StreamTurn,
) -> Result<Option<Box<dyn KeyIdStream>>, PostgresError> {
    let mut connection = PgConnection::connect_with(&session.clone().application_name(SESSION_NAME)).await?;
    let schema = schema::state_of(&mut connection).await?;
    if !schema.is_usable() {
        return Err(PostgresError::Schema(schema));
    }
    if turn == StreamTurn::Alone {
        let won: bool = sqlx::query_scalar("select pg_try_advisory_lock($1)").bind(TURN_LOCK).fetch_one(&mut connection).await?;
        if !won {
            connection.close().await?;
            return Ok(None);
        }
    }
    let last_ms: i64 = sqlx::query_scalar("select last_ms from change_head").fetch_one(&mut connection).await?;
    let last_change_ms = u64::try_from(last_ms).map_err(|_| PostgresError::unreadable("change_head", "", "last_ms"))?;
    Ok(Some(Box::new(PostgresKeyIds {
        connection,
        call_timeout,
        last_change_ms,
        usable: Place::before(USABLE),
        revoked: Place::before(&[Status::Revoked]),
    })))
}

impl PostgresKeyIds {
    async fn count_all(&mut self) -> Result<u64, PostgresError> {
        let (mut place, mut counted) = (Place::before(USABLE), 0_u64);
        while let Some(state) = place.state() {
            let query = sqlx::query_as(COUNT).bind(state).bind(&place.after).bind(COUNTED_AT_A_TIME);
            let (count, last): (i64, Option<String>) = query.fetch_one(&mut self.connection).await?;
            counted += u64::try_from(count).unwrap_or_default();
            match last {
                Some(last) if count == COUNTED_AT_A_TIME => place.after = last,
                Some(_) | None => place.next_state(),
            }
        }
        Ok(counted)
    }
}

/// The end of a call whose server does not even say that its own time-outs have passed.
async fn bounded<T>(timeout: Duration, work: impl Future<Output = Result<T, PostgresError>>) -> Result<T, KeyStoreError> {
    let overdue = |_| PostgresError::Unreachable("no answer in time".into());
    tokio::time::timeout(timeout, work).await.map_err(overdue).flatten().map_err(KeyStoreError::from)
}

impl KeyIdStream for PostgresKeyIds {
    fn last_change_ms(&self) -> u64 {
        self.last_change_ms
    }

    fn count(&mut self) -> BoxFuture<'_, Result<u64, KeyStoreError>> {
        // Many statements, each with its time-out at the server; the reader has one for them all.
        Box::pin(async move { self.count_all().await.map_err(KeyStoreError::from) })
    }

    fn next_page(&mut self, count_max: u32) -> BoxFuture<'_, Result<Vec<KeyId>, KeyStoreError>> {
        Box::pin(bounded(self.call_timeout, self.usable.page(&mut self.connection, count_max)))
    }

    fn next_revoked_page(&mut self, count_max: u32) -> BoxFuture<'_, Result<Vec<KeyId>, KeyStoreError>> {
        Box::pin(bounded(self.call_timeout, self.revoked.page(&mut self.connection, count_max)))
    }
}

impl fmt::Debug for PostgresKeyIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresKeyIds").field("usable", &self.usable).field("revoked", &self.revoked).finish_non_exhaustive()
    }
}
