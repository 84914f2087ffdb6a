//! Keys: found, listed, made and changed.

use sqlx::{PgConnection, PgPool, Postgres, QueryBuilder, types::Json};
use tollgate_api::{KeyStatus, RateLimitSpec};
use tollgate_gate::{
    ports::{ChangeContext, ChangeKind, Changed, CreateGuard, FoundKey, KeyDraft, KeyEdit, KeyListQuery},
    record::{KEY_LIMIT_NAME, KeyRecord},
};
use tollgate_keys::{KeyId, OwnerName, Scope};

use crate::{
    PostgresError, audit,
    key_row::{KeyRow, key_columns, kind_name, outage_mode_name, owner_rules, status_name},
    log::{self, Entry, Retention, to_db},
    once, rate_limit,
};

const PAGE_MAX: u32 = 1000;

#[derive(sqlx::FromRow)]
struct FoundRow {
    #[sqlx(flatten)]
    key: KeyRow,
    owner_rate_limit: Option<Json<RateLimitSpec>>,
    owner_generation: Option<i64>,
}

/// The key with its owner's rules, by two primary keys in one statement, so of one instant.
pub(crate) async fn find(pool: &PgPool, key_id: &KeyId) -> Result<Option<FoundKey>, PostgresError> {
    let row: Option<FoundRow> = sqlx::query_as(concat!(
        "select ",
        key_columns!(),
        ", owners.rate_limit as owner_rate_limit, owners.generation as owner_generation \
         from keys left join owners on owners.owner = keys.owner where keys.key_id = $1"
    ))
    .bind(key_id.as_str())
    .fetch_optional(pool)
    .await?;
    let Some(FoundRow { key, owner_rate_limit, owner_generation }) = row else { return Ok(None) };
    let key = key.read()?;
    let rules =
        key.owner.as_ref().map(|owner| owner_rules(owner.as_str(), owner_rate_limit.as_ref(), owner_generation.unwrap_or_default()));
    Ok(Some(FoundKey { owner: rules.transpose()?, key }))
}

/// One page of keys in order of ids. The text is put together of fixed parts; values are bound.
pub(crate) async fn list(pool: &PgPool, query: &KeyListQuery) -> Result<Vec<KeyRecord>, PostgresError> {
    let mut sql = list_query(query)?;
    let rows: Vec<KeyRow> = sql.build_query_as().fetch_all(pool).await?;
    rows.into_iter().map(KeyRow::read).collect()
}

/// Keys that may be used now and have no limit of their own.
pub(crate) async fn unlimited(pool: &PgPool, now_ms: u64, count_max: u32) -> Result<Vec<KeyId>, PostgresError> {
    let ids: Vec<String> = sqlx::query_scalar(
        "select key_id from keys where rate_limit is null and status = 'active' and (expires_at_ms is null or expires_at_ms > $1) \
         order by key_id limit $2",
    )
    .bind(to_db(now_ms)?)
    .bind(i64::from(count_max.clamp(1, PAGE_MAX)))
    .fetch_all(pool)
    .await?;
    ids.iter().map(|id| KeyId::parse(id).map_err(|_| PostgresError::unreadable("key", id, "key_id"))).collect()
}

fn list_query(query: &KeyListQuery) -> Result<QueryBuilder<Postgres>, PostgresError> {
    let mut sql = QueryBuilder::new(concat!("select ", key_columns!(), " from keys where true"));
    if let Some(owner) = &query.owner {
        sql.push(" and keys.owner = ").push_bind(owner.as_str().to_owned());
    }
    if let Some(after) = &query.after {
        sql.push(" and keys.key_id > ").push_bind(after.as_str().to_owned());
    }
    let now_ms = to_db(query.now_ms)?;
    // Of several reasons a key has the most final state: revoked, expired, suspended.
    match query.status {
        None => {}
        Some(KeyStatus::Revoked) => {
            sql.push(" and keys.status = 'revoked'");
        }
        Some(KeyStatus::Expired) => {
            sql.push(" and keys.status in ('active', 'suspended') and keys.expires_at_ms <= ").push_bind(now_ms);
        }
        Some(KeyStatus::Active) => {
            sql.push(" and keys.status = 'active' and (keys.expires_at_ms is null or keys.expires_at_ms > ").push_bind(now_ms).push(")");
        }
        Some(KeyStatus::Suspended) => {
            sql.push(" and keys.status = 'suspended' and (keys.expires_at_ms is null or keys.expires_at_ms > ").push_bind(now_ms).push(")");
        }
    }
    if let Some(since_ms) = query.revoked_since_ms {
        sql.push(" and keys.revoked_at_ms >= ").push_bind(to_db(since_ms)?);
    }
    sql.push(" order by keys.key_id limit ").push_bind(i64::from(query.count_max.clamp(1, PAGE_MAX)));
    Ok(sql)
}

/// Makes a key. The log's instant becomes part of its id, so the position is drawn first.
pub(crate) async fn create(
    pool: &PgPool,
    draft: KeyDraft,
    guard: CreateGuard,
    context: &ChangeContext,
    retention: Retention,
) -> Result<Option<KeyRecord>, PostgresError> {
    let KeyDraft { mut record, id_entropy, own_id } = draft;
    let mut transaction = pool.begin().await?;
    let drawn = log::draw(&mut transaction, context.now_ms).await?;
    let forbidden = match guard {
        CreateGuard::None => false,
        CreateGuard::NoAdminYet => has_admin(&mut transaction, context.now_ms).await?,
    };
    if forbidden {
        transaction.rollback().await?;
        return Ok(None);
    }
    if !own_id {
        record.key_id = KeyId::from_parts(drawn.at_ms, id_entropy);
    }
    record.created_at_ms = drawn.at_ms;
    record.generation = drawn.position;
    if let Some(owner) = &record.owner {
        sqlx::query("insert into owners (owner) values ($1) on conflict on constraint owners_pkey do nothing")
            .bind(owner.as_str())
            .execute(&mut *transaction)
            .await?;
    }
    insert(&mut transaction, &record).await.map_err(|error| error.naming(|| format!("key {}", record.key_id)))?;
    once::take(&mut transaction, context.once, drawn, &record.key_id).await?;
    let entry =
        Entry { kind: ChangeKind::Created, key_id: Some(&record.key_id), owner: record.owner.as_ref(), detail: audit::created(&record)? };
    log::write(&mut transaction, drawn, entry, context, retention).await?;
    transaction.commit().await?;
    Ok(Some(record))
}

/// Changes a key: locks its row, lets `edit` decide on it, and only then draws a position.
pub(crate) async fn change(
    pool: &PgPool,
    key_id: &KeyId,
    tenant: Option<&OwnerName>,
    (kind, edit): (ChangeKind, KeyEdit),
    context: &ChangeContext,
    retention: Retention,
) -> Result<Changed, PostgresError> {
    let mut transaction = pool.begin().await?;
    let current = lock(&mut transaction, key_id, tenant).await?.ok_or(PostgresError::NotFound)?;
    let Some(mut record) = edit(&current)? else {
        transaction.rollback().await?;
        return Ok(Changed { record: current, changed: false });
    };
    let drawn = log::draw(&mut transaction, context.now_ms).await?;
    once::take(&mut transaction, context.once, drawn, key_id).await?;
    // What never changes in a key's life is not the edit's to say.
    record.key_id.clone_from(&current.key_id);
    record.owner.clone_from(&current.owner);
    record.created_at_ms = current.created_at_ms;
    record.generation = drawn.position;
    update(&mut transaction, &record).await?;
    let entry = Entry { kind, key_id: Some(&record.key_id), owner: record.owner.as_ref(), detail: audit::changed(&current, &record)? };
    log::write(&mut transaction, drawn, entry, context, retention).await?;
    transaction.commit().await?;
    Ok(Changed { record, changed: true })
}

async fn has_admin(connection: &mut PgConnection, now_ms: u64) -> Result<bool, PostgresError> {
    // 'admin' is written out, so that the planner sees that the index of administrators serves.
    debug_assert_eq!(Scope::ADMIN.as_str(), "admin");
    let found = sqlx::query_scalar(
        "select exists (select from keys where owner is null and 'admin' = any (scopes) and status = 'active' \
         and (expires_at_ms is null or expires_at_ms > $1))",
    );
    Ok(found.bind(to_db(now_ms)?).fetch_one(connection).await?)
}

async fn lock(connection: &mut PgConnection, key_id: &KeyId, tenant: Option<&OwnerName>) -> Result<Option<KeyRecord>, PostgresError> {
    let row: Option<KeyRow> = sqlx::query_as(concat!(
        "select ",
        key_columns!(),
        " from keys where keys.key_id = $1 and ($2::text is null or keys.owner = $2) for update"
    ))
    .bind(key_id.as_str())
    .bind(tenant.map(OwnerName::as_str))
    .fetch_optional(connection)
    .await?;
    row.map(KeyRow::read).transpose()
}

async fn insert(connection: &mut PgConnection, record: &KeyRecord) -> Result<(), PostgresError> {
    let query = sqlx::query(
        "insert into keys (name, secret_phc, previous_phc, previous_until_ms, scopes, rate_limit, status, expires_at_ms, \
         revoked_at_ms, revoke_reason, metadata, generation, kind, previous_kind, outage_mode, key_id, owner, created_at_ms, last_used_at_ms) \
         values ($1, $2, $3, $4, $5, $6::text::json, $7, $8, $9, $10, $11::text::json, $12, $13, $14, $15, $16, $17, $18, $19)",
    );
    bind_rules(query, record)?
        .bind(record.key_id.as_str())
        .bind(record.owner.as_ref().map(OwnerName::as_str))
        .bind(to_db(record.created_at_ms)?)
        .bind(record.last_used_at_ms.map(to_db).transpose()?)
        .execute(connection)
        .await?;
    Ok(())
}

async fn update(connection: &mut PgConnection, record: &KeyRecord) -> Result<(), PostgresError> {
    let query = sqlx::query(
        "update keys set name = $1, secret_phc = $2, previous_phc = $3, previous_until_ms = $4, scopes = $5, \
         rate_limit = $6::text::json, status = $7, expires_at_ms = $8, revoked_at_ms = $9, revoke_reason = $10, \
         metadata = $11::text::json, generation = $12, kind = $13, previous_kind = $14, outage_mode = $15 where key_id = $16",
    );
    bind_rules(query, record)?.bind(record.key_id.as_str()).execute(connection).await?;
    Ok(())
}

type Query<'q> = sqlx::query::Query<'q, Postgres, sqlx::postgres::PgArguments>;

/// Binds what a change may change, $1 to $15. JSON goes as text: a `jsonb` parameter would write
/// it anew on its way into the column.
fn bind_rules<'q>(query: Query<'q>, record: &'q KeyRecord) -> Result<Query<'q>, PostgresError> {
    let previous = record.secrets.previous.as_ref();
    let revoked = record.revoked.as_ref();
    let metadata = serde_json::to_string(&record.metadata).map_err(|_| PostgresError::Unusable("metadata is no JSON".into()))?;
    let scopes: Vec<&str> = record.scopes.iter().map(Scope::as_str).collect();
    Ok(query
        .bind(record.name.as_str())
        .bind(record.secrets.current.as_str())
        .bind(previous.map(|previous| previous.hash.as_str()))
        .bind(previous.map(|previous| to_db(previous.valid_until_ms)).transpose()?)
        .bind(scopes)
        .bind(rate_limit::to_text(&record.limits, KEY_LIMIT_NAME)?)
        .bind(status_name(record.lifecycle.status))
        .bind(record.lifecycle.expires_at_ms.map(to_db).transpose()?)
        .bind(revoked.map(|revoked| to_db(revoked.at_ms)).transpose()?)
        .bind(revoked.and_then(|revoked| revoked.reason.as_deref()))
        .bind(metadata)
        .bind(to_db(record.generation)?)
        .bind(kind_name(record.kind))
        .bind(previous.map(|previous| kind_name(previous.kind)))
        .bind(record.outage_mode.map(outage_mode_name)))
}
