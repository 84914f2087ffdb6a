//! Owners and their limits.

use sqlx::{PgPool, types::Json};
use tollgate_api::RateLimitSpec;
use tollgate_gate::{
    ports::{ChangeContext, ChangeKind},
    record::{OWNER_LIMIT_NAME, OwnerRecord, OwnerRules},
};
use tollgate_keys::OwnerName;
use tollgate_limits::RateLimits;

use crate::{
    PostgresError, audit,
    key_row::owner_rules,
    log::{self, Entry, Retention, to_db},
    rate_limit,
};

/// An owner that has keys or rules.
pub(crate) async fn find(pool: &PgPool, owner: OwnerName) -> Result<Option<OwnerRecord>, PostgresError> {
    let row: Option<(Option<Json<RateLimitSpec>>, i64)> =
        sqlx::query_as("select rate_limit, generation from owners where owner = $1").bind(owner.as_str()).fetch_optional(pool).await?;
    let Some((spec, generation)) = row else { return Ok(None) };
    let rules = owner_rules(owner.as_str(), spec.as_ref(), generation)?;
    Ok(Some(OwnerRecord { owner, rules }))
}

/// Sets an owner's limits. Decides on nothing that was there, so the position is drawn first:
/// rows of owners are then written only under the head's lock. Rows of keys are not touched.
pub(crate) async fn put(
    pool: &PgPool,
    owner: OwnerName,
    limits: RateLimits,
    context: &ChangeContext,
    retention: Retention,
) -> Result<OwnerRecord, PostgresError> {
    let mut transaction = pool.begin().await?;
    let drawn = log::draw(&mut transaction, context.now_ms).await?;
    sqlx::query(
        "insert into owners (owner, rate_limit, generation, ruled) values ($1, $2::text::json, $3, true) \
         on conflict on constraint owners_pkey do update set rate_limit = excluded.rate_limit, generation = excluded.generation, ruled = true",
    )
    .bind(owner.as_str())
    .bind(rate_limit::to_text(&limits, OWNER_LIMIT_NAME)?)
    .bind(to_db(drawn.position)?)
    .execute(&mut *transaction)
    .await?;
    let entry = Entry { kind: ChangeKind::OwnerUpdated, key_id: None, owner: Some(&owner), detail: audit::owner_put(&limits)? };
    log::write(&mut transaction, drawn, entry, context, retention).await?;
    transaction.commit().await?;
    Ok(OwnerRecord { owner, rules: OwnerRules { limits, generation: drawn.position } })
}
