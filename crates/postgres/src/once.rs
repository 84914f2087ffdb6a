//! Changes that are made once, however often they are asked for.

use sqlx::{PgConnection, PgPool};
use tollgate_gate::ports::{DoneOnce, Once};
use tollgate_keys::KeyId;

use crate::{
    PostgresError,
    log::{Drawn, to_db},
};

/// Old names that one change clears away at most: more than it adds, and bounded.
const PRUNED_PER_CHANGE_MAX: i64 = 64;

/// What was done under a name since it is kept.
pub(crate) async fn done(pool: &PgPool, name: [u8; 32], now_ms: u64) -> Result<Option<DoneOnce>, PostgresError> {
    let row: Option<(Vec<u8>, String)> = sqlx::query_as("select request, key_id from idempotency_keys where name = $1 and at_ms > $2")
        .bind(name.as_slice())
        .bind(kept_after(now_ms)?)
        .fetch_optional(pool)
        .await?;
    let Some((request, key_id)) = row else { return Ok(None) };
    let unreadable = |column| PostgresError::unreadable("idempotency key of", &key_id, column);
    let request = request.try_into().map_err(|_| unreadable("request"))?;
    Ok(Some(DoneOnce { request, key_id: KeyId::parse(&key_id).map_err(|_| unreadable("key_id"))? }))
}

/// Takes a name for a change that has drawn its position, and so comes after all others that took
/// one. Fails where it is taken.
pub(crate) async fn take(connection: &mut PgConnection, once: Option<Once>, drawn: Drawn, key_id: &KeyId) -> Result<(), PostgresError> {
    let Some(Once { name, request }) = once else { return Ok(()) };
    sqlx::query(
        "delete from idempotency_keys where at_ms <= $2 and (name = $1 \
         or name = any (array(select name from idempotency_keys where at_ms <= $2 order by at_ms limit $3)))",
    )
    .bind(name.as_slice())
    .bind(kept_after(drawn.at_ms)?)
    .bind(PRUNED_PER_CHANGE_MAX)
    .execute(&mut *connection)
    .await?;
    let taken = sqlx::query(
        "insert into idempotency_keys (name, request, key_id, at_ms) values ($1, $2, $3, $4) \
         on conflict on constraint idempotency_keys_pkey do nothing",
    )
    .bind(name.as_slice())
    .bind(request.as_slice())
    .bind(key_id.as_str())
    .bind(to_db(drawn.at_ms)?)
    .execute(connection)
    .await?;
    if taken.rows_affected() == 1 { Ok(()) } else { Err(PostgresError::Repeated) }
}

fn kept_after(now_ms: u64) -> Result<i64, PostgresError> {
    to_db(now_ms.saturating_sub(Once::KEPT_MS))
}
