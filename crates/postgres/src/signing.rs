//! The ring of signing keys.

use sqlx::PgPool;
use tollgate_gate::ports::StoredSigningKey;

use crate::{PostgresError, log::to_db};

/// All signing keys, the oldest first.
pub(crate) async fn all(pool: &PgPool) -> Result<Vec<StoredSigningKey>, PostgresError> {
    let rows: Vec<Row> =
        sqlx::query_as("select ring, origin, sealed, added_at_ms, retired_at_ms from signing_keys order by added_at_ms, ring, origin")
            .fetch_all(pool)
            .await?;
    rows.into_iter().map(read).collect()
}

type Row = (String, String, Vec<u8>, i64, Option<i64>);

fn read((ring, origin, sealed, added_at_ms, retired_at_ms): Row) -> Result<StoredSigningKey, PostgresError> {
    let unreadable = |column| PostgresError::unreadable("signing key", &ring, column);
    Ok(StoredSigningKey {
        ring: ring.chars().next().ok_or_else(|| unreadable("ring"))?,
        origin,
        sealed,
        added_at_ms: u64::try_from(added_at_ms).map_err(|_| unreadable("added_at_ms"))?,
        retired_at_ms: retired_at_ms.map(u64::try_from).transpose().map_err(|_| unreadable("retired_at_ms"))?,
    })
}

/// Adds a signing key; with `only_first` only where none is. The table is locked, so of nodes
/// that start together one adds its key and the others see it.
pub(crate) async fn add(pool: &PgPool, key: &StoredSigningKey, only_first: bool) -> Result<(), PostgresError> {
    let mut transaction = pool.begin().await?;
    sqlx::query("lock table signing_keys in share row exclusive mode").execute(&mut *transaction).await?;
    sqlx::query(
        "insert into signing_keys (ring, sealed, added_at_ms, retired_at_ms, origin) \
         select $1, $2, $3, $4, $6 where not $5 or not exists (select from signing_keys where origin = '')",
    )
    .bind(key.ring.to_string())
    .bind(&key.sealed)
    .bind(to_db(key.added_at_ms)?)
    .bind(key.retired_at_ms.map(to_db).transpose()?)
    .bind(only_first)
    .bind(&key.origin)
    .execute(&mut *transaction)
    .await
    .map_err(|error| PostgresError::from(error).naming(|| format!("signing key {}", key.ring)))?;
    transaction.commit().await?;
    Ok(())
}

/// Retires a signing key; one that is retired stays as it is.
pub(crate) async fn retire(pool: &PgPool, ring: char, now_ms: u64) -> Result<(), PostgresError> {
    let done = sqlx::query("update signing_keys set retired_at_ms = coalesce(retired_at_ms, $2) where ring = $1")
        .bind(ring.to_string())
        .bind(to_db(now_ms)?)
        .execute(pool)
        .await?;
    if done.rows_affected() == 0 { Err(PostgresError::NotFound) } else { Ok(()) }
}
