//! Reading the audit log.

use sqlx::{PgPool, Postgres, QueryBuilder, types::Json};
use tollgate_gate::ports::{AuditQuery, AuditRow, AuditRows};
use tollgate_keys::{KeyId, OwnerName};

use crate::PostgresError;

/// The most rows of one page.
const PAGE_MAX: u32 = 1000;

#[derive(sqlx::FromRow)]
struct Row {
    position: i64,
    at_ms: i64,
    actor: String,
    action: String,
    key_id: Option<String>,
    owner: Option<String>,
    request_id: String,
    detail: Json<serde_json::Map<String, serde_json::Value>>,
}

/// One page, newest first, and whether there is more.
pub(crate) async fn read(pool: &PgPool, query: &AuditQuery) -> Result<AuditRows, PostgresError> {
    let count = usize::try_from(query.count_max.clamp(1, PAGE_MAX)).unwrap_or(1);
    let found: Vec<Row> = sql(query, count).build_query_as().fetch_all(pool).await?;
    let mut rows = found.into_iter().map(Row::read).collect::<Result<Vec<AuditRow>, _>>()?;
    let has_more = rows.len() > count;
    rows.truncate(count);
    Ok(AuditRows { next_before: rows.last().map(|row| row.position).filter(|_| has_more), rows })
}

/// One row more than the page has.
fn sql(query: &AuditQuery, count: usize) -> QueryBuilder<Postgres> {
    let mut sql =
        QueryBuilder::new("select position, at_ms, actor, action, key_id, owner, request_id, detail from audit where position < ");
    sql.push_bind(query.before.and_then(|before| i64::try_from(before).ok()).unwrap_or(i64::MAX));
    if let Some(owner) = &query.owner {
        sql.push(" and owner = ").push_bind(OwnerName::as_str(owner).to_owned());
    }
    if let Some(key_id) = &query.key_id {
        sql.push(" and key_id = ").push_bind(KeyId::as_str(key_id).to_owned());
    }
    sql.push(" order by position desc limit ").push_bind(i64::try_from(count + 1).unwrap_or(i64::MAX));
    sql
}

impl Row {
    fn read(self) -> Result<AuditRow, PostgresError> {
        let Self { position, at_ms, actor, action, key_id, owner, request_id, detail: Json(detail) } = self;
        let unreadable = |column| PostgresError::unreadable("audit row", &position.to_string(), column);
        let (position, at_ms) =
            (u64::try_from(position).map_err(|_| unreadable("position"))?, u64::try_from(at_ms).map_err(|_| unreadable("at_ms"))?);
        Ok(AuditRow { position, at_ms, actor, action, key_id, owner, request_id, detail })
    }
}
