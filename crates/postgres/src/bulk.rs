//! Many keys in one transaction: revoked together, brought from elsewhere, noted as used.
//!
//! The locks are taken in the order of every change: rows of keys, then the head of the log.

use serde_json::{Value, json};
use sqlx::{PgConnection, PgPool};
use tollgate_gate::{
    ports::{ChangeContext, ChangeKind, ImportBatch, Imported, OwnerRevocation},
    record::{KEY_LIMIT_NAME, KeyRecord, OWNER_LIMIT_NAME, OwnerRecord},
};
use tollgate_keys::{KeyId, OwnerName, Scope, Status};

use crate::{
    PostgresError, audit,
    key_row::{KeyRow, key_columns, kind_name, outage_mode_name, status_name},
    log::{self, Entry, Retention, to_db},
    rate_limit,
};

/// Rows of one transaction at most: nobody waits long for the head of the log.
const BATCH_MAX: u32 = 500;

/// Revokes the next keys of an owner, under one hold of the log's head.
pub(crate) async fn revoke_keys(
    pool: &PgPool,
    next: OwnerRevocation,
    context: &ChangeContext,
    retention: Retention,
) -> Result<Vec<KeyRecord>, PostgresError> {
    let mut transaction = pool.begin().await?;
    let before = lock_unrevoked(&mut transaction, &next).await?;
    if before.is_empty() {
        transaction.rollback().await?;
        return Ok(before);
    }
    let first = log::draw_many(&mut transaction, before.len(), context.now_ms).await?;
    let mut after = before.clone();
    for (count, record) in after.iter_mut().enumerate() {
        record.lifecycle.status = Status::Revoked;
        record.revoked = Some(next.revocation.clone());
        record.generation = first.after(count).position;
    }
    sqlx::query(
        "update keys set status = 'revoked', revoked_at_ms = $3, revoke_reason = $4, generation = revoked.generation \
         from unnest($1::text[], $2::bigint[]) as revoked (key_id, generation) where keys.key_id = revoked.key_id",
    )
    .bind(after.iter().map(|record| record.key_id.as_str()).collect::<Vec<_>>())
    .bind(after.iter().map(|record| to_db(record.generation)).collect::<Result<Vec<_>, _>>()?)
    .bind(to_db(next.revocation.at_ms)?)
    .bind(next.revocation.reason.as_deref())
    .execute(&mut *transaction)
    .await?;
    let entry = |(before, after)| {
        let detail = audit::changed(before, after)?;
        Ok(entry_of(ChangeKind::Revoked, after, detail))
    };
    let entries = before.iter().zip(&after).map(entry).collect::<Result<Vec<_>, PostgresError>>()?;
    log::write_many(&mut transaction, first, &entries, context, retention).await?;
    transaction.commit().await?;
    Ok(after)
}

fn entry_of(kind: ChangeKind, record: &KeyRecord, detail: Value) -> Entry<'_> {
    Entry { kind, key_id: Some(&record.key_id), owner: record.owner.as_ref(), detail }
}

async fn lock_unrevoked(connection: &mut PgConnection, next: &OwnerRevocation) -> Result<Vec<KeyRecord>, PostgresError> {
    let rows: Vec<KeyRow> = sqlx::query_as(concat!(
        "select ",
        key_columns!(),
        " from keys where keys.owner = $1 and keys.status <> 'revoked' and ($2::text is null or keys.key_id > $2) \
         order by keys.key_id limit $3 for update"
    ))
    .bind(next.owner.as_str())
    .bind(next.after.as_ref().map(KeyId::as_str))
    .bind(i64::from(next.count_max.clamp(1, BATCH_MAX)))
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(KeyRow::read).collect()
}

/// Takes over what is not there. The head is locked before anything is looked for, so nobody makes
/// the same key in between.
pub(crate) async fn import(
    pool: &PgPool,
    batch: ImportBatch,
    context: &ChangeContext,
    retention: Retention,
) -> Result<Imported, PostgresError> {
    let mut transaction = pool.begin().await?;
    sqlx::query("select from change_head where only_row for update").execute(&mut *transaction).await?;
    let keys_kept = present_keys(&mut transaction, &batch.keys).await?;
    let ruled = present_owners(&mut transaction, &batch.owners).await?;
    let mut owners: Vec<OwnerRecord> = batch.owners.into_iter().filter(|owner| !ruled.contains(&owner.owner.to_string())).collect();
    let is_new = |key: &KeyRecord| keys_kept.iter().all(|kept| kept.key_id != key.key_id);
    let mut keys: Vec<KeyRecord> = batch.keys.into_iter().filter(is_new).collect();
    let imported = Imported { owners_made: owners.len() as u64, keys_made: keys.len() as u64, keys_kept };
    if owners.is_empty() && keys.is_empty() {
        transaction.rollback().await?;
        return Ok(imported);
    }
    let first = log::draw_many(&mut transaction, owners.len() + keys.len(), context.now_ms).await?;
    let generations = owners.iter_mut().map(|owner| &mut owner.rules.generation).chain(keys.iter_mut().map(|key| &mut key.generation));
    generations.enumerate().for_each(|(count, generation)| *generation = first.after(count).position);
    insert_owners(&mut transaction, &owners, &keys).await?;
    insert_keys(&mut transaction, &keys).await?;
    let of_owner = |owner: &'_ OwnerRecord| audit::owner_put(&owner.rules.limits);
    let mut entries = Vec::with_capacity(owners.len() + keys.len());
    for owner in &owners {
        entries.push(Entry { kind: ChangeKind::OwnerUpdated, key_id: None, owner: Some(&owner.owner), detail: of_owner(owner)? });
    }
    for key in &keys {
        entries.push(entry_of(ChangeKind::Created, key, audit::created(key)?));
    }
    log::write_many(&mut transaction, first, &entries, context, retention).await?;
    transaction.commit().await?;
    Ok(imported)
}

async fn present_keys(connection: &mut PgConnection, keys: &[KeyRecord]) -> Result<Vec<KeyRecord>, PostgresError> {
    let ids: Vec<&str> = keys.iter().map(|key| key.key_id.as_str()).collect();
    let rows: Vec<KeyRow> = sqlx::query_as(concat!("select ", key_columns!(), " from keys where keys.key_id = any ($1)"))
        .bind(ids)
        .fetch_all(connection)
        .await?;
    rows.into_iter().map(KeyRow::read).collect()
}

/// Owners that have rules already.
async fn present_owners(connection: &mut PgConnection, owners: &[OwnerRecord]) -> Result<Vec<String>, PostgresError> {
    let names: Vec<&str> = owners.iter().map(|owner| owner.owner.as_str()).collect();
    let found = sqlx::query_scalar("select owner from owners where owner = any ($1) and ruled");
    Ok(found.bind(names).fetch_all(connection).await?)
}

async fn insert_owners(connection: &mut PgConnection, owners: &[OwnerRecord], keys: &[KeyRecord]) -> Result<(), PostgresError> {
    let names: Vec<&str> = owners.iter().map(|owner| owner.owner.as_str()).collect();
    let limits = owners.iter().map(|owner| rate_limit::to_text(&owner.rules.limits, OWNER_LIMIT_NAME)).collect::<Result<Vec<_>, _>>()?;
    let generations = owners.iter().map(|owner| to_db(owner.rules.generation)).collect::<Result<Vec<_>, _>>()?;
    sqlx::query(
        "insert into owners (owner, rate_limit, generation, ruled) \
         select owner, rate_limit::json, generation, true from unnest($1::text[], $2::text[], $3::bigint[]) as ruled (owner, rate_limit, generation) \
         on conflict on constraint owners_pkey do update set rate_limit = excluded.rate_limit, generation = excluded.generation, ruled = true",
    )
    .bind(names)
    .bind(limits)
    .bind(generations)
    .execute(&mut *connection)
    .await?;
    let holders: Vec<&str> = keys.iter().filter_map(|key| key.owner.as_ref().map(OwnerName::as_str)).collect();
    sqlx::query("insert into owners (owner) select distinct unnest($1::text[]) on conflict on constraint owners_pkey do nothing")
        .bind(holders)
        .execute(connection)
        .await?;
    Ok(())
}

async fn insert_keys(connection: &mut PgConnection, keys: &[KeyRecord]) -> Result<(), PostgresError> {
    let rows = keys.iter().map(row).collect::<Result<Vec<Value>, _>>()?;
    sqlx::query(
        "insert into keys (key_id, owner, name, kind, secret_phc, previous_phc, previous_kind, previous_until_ms, scopes, rate_limit, \
             status, expires_at_ms, created_at_ms, revoked_at_ms, revoke_reason, metadata, outage_mode, generation, last_used_at_ms) \
         select key_id, owner, name, kind, secret_phc, previous_phc, previous_kind, previous_until_ms, \
             array(select json_array_elements_text(scopes)), rate_limit::json, status, expires_at_ms, created_at_ms, revoked_at_ms, \
             revoke_reason, metadata::json, outage_mode, generation, last_used_at_ms \
         from json_to_recordset($1::text::json) as brought (key_id text, owner text, name text, kind text, secret_phc text, \
             previous_phc text, previous_kind text, previous_until_ms bigint, scopes json, rate_limit text, status text, \
             expires_at_ms bigint, created_at_ms bigint, revoked_at_ms bigint, revoke_reason text, metadata text, outage_mode text, generation bigint, \
             last_used_at_ms bigint)",
    )
    .bind(Value::Array(rows).to_string())
    .execute(connection)
    .await?;
    Ok(())
}

/// A key as a row of JSON. What is kept as written stays text within it.
fn row(key: &KeyRecord) -> Result<Value, PostgresError> {
    let (previous, revoked) = (key.secrets.previous.as_ref(), key.revoked.as_ref());
    let metadata = serde_json::to_string(&key.metadata).map_err(|_| PostgresError::Unusable("metadata is no JSON".into()))?;
    let millis = |value: Option<u64>| value.map(to_db).transpose();
    Ok(json!({
        "key_id": key.key_id.as_str(),
        "owner": key.owner.as_ref().map(OwnerName::as_str),
        "name": key.name,
        "kind": kind_name(key.kind),
        "secret_phc": key.secrets.current.as_str(),
        "previous_phc": previous.map(|previous| previous.hash.as_str()),
        "previous_kind": previous.map(|previous| kind_name(previous.kind)),
        "previous_until_ms": millis(previous.map(|previous| previous.valid_until_ms))?,
        "scopes": key.scopes.iter().map(Scope::as_str).collect::<Vec<_>>(),
        "rate_limit": rate_limit::to_text(&key.limits, KEY_LIMIT_NAME)?,
        "status": status_name(key.lifecycle.status),
        "expires_at_ms": millis(key.lifecycle.expires_at_ms)?,
        "created_at_ms": to_db(key.created_at_ms)?,
        "revoked_at_ms": millis(revoked.map(|revoked| revoked.at_ms))?,
        "revoke_reason": revoked.and_then(|revoked| revoked.reason.as_deref()),
        "metadata": metadata,
        "outage_mode": key.outage_mode.map(outage_mode_name),
        "generation": to_db(key.generation)?,
        "last_used_at_ms": millis(key.last_used_at_ms)?,
    }))
}

/// Notes last uses; no row of a log. A key that somebody is changing is passed over and given back,
/// so that nobody who revokes a key waits for this.
pub(crate) async fn record_uses(pool: &PgPool, uses: &[(KeyId, u64)]) -> Result<Vec<KeyId>, PostgresError> {
    let busy: Vec<String> = sqlx::query_scalar(
        "with used as ( \
             select * from unnest($1::text[], $2::bigint[]) as used (key_id, at_ms) \
         ), due as ( \
             select keys.key_id, used.at_ms from keys join used on keys.key_id = used.key_id \
             where coalesce(keys.last_used_at_ms, -1) < used.at_ms \
         ), locked as ( \
             select keys.key_id from keys where keys.key_id = any (array(select key_id from due)) for no key update skip locked \
         ), noted as ( \
             update keys set last_used_at_ms = greatest(coalesce(keys.last_used_at_ms, 0), due.at_ms) \
             from due join locked on locked.key_id = due.key_id where keys.key_id = due.key_id \
         ) select due.key_id from due where due.key_id not in (select key_id from locked)",
    )
    .bind(uses.iter().map(|(key_id, _)| key_id.as_str()).collect::<Vec<_>>())
    .bind(uses.iter().map(|(_, at_ms)| to_db(*at_ms)).collect::<Result<Vec<_>, _>>()?)
    .fetch_all(pool)
    .await?;
    Ok(busy.iter().filter_map(|key_id| KeyId::parse(key_id).ok()).collect())
}

/// Owners with rules, in order of names.
pub(crate) async fn owners(pool: &PgPool, after: Option<&OwnerName>, count_max: u32) -> Result<Vec<OwnerRecord>, PostgresError> {
    let names: Vec<String> =
        sqlx::query_scalar("select owner from owners where ruled and ($1::text is null or owner > $1) order by owner limit $2")
            .bind(after.map(OwnerName::as_str))
            .bind(i64::from(count_max))
            .fetch_all(pool)
            .await?;
    let mut owners = Vec::with_capacity(names.len());
    for name in names {
        let owner = OwnerName::parse(&name).map_err(|_| PostgresError::unreadable("owner", &name, "owner"))?;
        owners.extend(crate::owners::find(pool, owner).await?);
    }
    Ok(owners)
}
