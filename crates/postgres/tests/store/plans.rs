//! The statements that the store really sends use indexes, on tables large enough to tell.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tollgate_api::KeyStatus;
use tollgate_gate::ports::{KeyListQuery, KeyStore, StreamTurn};
use tollgate_keys::KeyId;
use tollgate_postgres::{Options, PostgresKeys};
use tollgate_testkit::TestDatabase;

use crate::support::{Fixture, NOW_MS, PHC, fixture, owner, patient};

/// Keys and changes.
const ROWS: u64 = 1_000_000;

/// The one key without a limit.
const UNLIMITED: u64 = 500_000;

/// So many keys of 100 owners, some revoked, some expired; and as many changes.
///
/// What is checked of a row is no part of any plan, and would take most of the time.
async fn fill(database: &TestDatabase) {
    let mut connection = database.connection().await.expect("a connection");
    let sql = format!(
        "do $$ declare name text; begin \
             for name in select conname from pg_constraint where conrelid in ('keys'::regclass, 'change_log'::regclass) and contype in ('c', 'f') \
             loop execute format('alter table keys drop constraint if exists %I', name); \
                 execute format('alter table change_log drop constraint if exists %I', name); end loop; end $$; \
         insert into owners (owner) select 'o' || n from generate_series(0, 99) as n; \
         insert into keys (key_id, owner, name, kind, secret_phc, scopes, status, expires_at_ms, created_at_ms, revoked_at_ms, generation, \
             rate_limit) \
         select 'tk_' || lpad(n::text, 26, '0'), case when n % 50 > 0 then 'o' || n % 100 end, 'name', 'signed', '{PHC}', '{{app:read}}', \
             case when n % 97 = 0 then 'revoked' else 'active' end, case when n % 89 = 0 then 1 end, n, case when n % 97 = 0 then n end, n, \
             case when n <> {UNLIMITED} then json '{{\"burst\":1,\"per_seconds\":1}}' end \
         from generate_series(1, {ROWS}) as n; \
         insert into change_log (position, at_ms, kind, key_id, request_id) \
         select n, n, 'created', 'tk_' || lpad(n::text, 26, '0'), 'r' from generate_series(1, {ROWS}) as n; \
         update change_head set position = {ROWS}, last_ms = {ROWS}; analyze"
    );
    connection.execute(AssertSqlSafe(sql)).await.expect("filled");
}

/// A store of one connection, whose last statement can be asked for. To read a table of this size may take a slow machine long.
fn store(database: &TestDatabase) -> PostgresKeys {
    let options = Options { pool_size: 1, statement_timeout: Duration::from_mins(1), ..patient(database.url()) };
    PostgresKeys::connect(&options).expect("a store")
}

async fn last_statement(witness: &mut PgConnection, session: &str) -> String {
    let sql = "select query from pg_stat_activity where datname = current_database() and application_name = $1";
    sqlx::query_scalar(sql).bind(session).fetch_one(witness).await.expect("one session")
}

/// The plan of the store's last statement, both for these values and for any.
async fn plan(database: &TestDatabase, values: &str) -> String {
    plan_of(database, "tollgate", values).await
}

/// The same for the session of that name.
async fn plan_of(database: &TestDatabase, session: &str, values: &str) -> String {
    let mut witness = PgConnection::connect(database.url()).await.expect("a connection");
    let statement = last_statement(&mut witness, session).await;
    witness.execute(AssertSqlSafe(format!("prepare p as {statement}"))).await.expect("prepared");
    let mut plans = vec![statement];
    for mode in ["force_custom_plan", "force_generic_plan"] {
        witness.execute(AssertSqlSafe(format!("set plan_cache_mode = {mode}"))).await.expect("set");
        let lines: Vec<String> =
            sqlx::query_scalar(AssertSqlSafe(format!("explain execute p ({values})"))).fetch_all(&mut witness).await.expect("a plan");
        plans.extend(lines);
    }
    plans.join("\n")
}

fn assert_indexed(plan: &str, index: &str) {
    assert!(!plan.contains("Seq Scan") && !plan.contains("Sort"), "{plan}");
    assert_eq!(plan.matches(index).count(), 2, "{index} in both plans:\n{plan}");
}

/// Nearly all keys are in use, and their ids in the order of their rows: one index is as good as the other then.
fn assert_walked(plan: &str) {
    assert!(!plan.contains("Seq Scan") && !plan.contains("Sort"), "{plan}");
    assert_eq!(plan.matches("using keys_").count(), 2, "an index in both plans:\n{plan}");
    assert!(plan.contains("Index Only Scan using keys_by_status"), "{plan}");
}

/// The session that streams ids.
const SESSION: &str = "tollgate key ids";
const ID: &str = "tk_00000000000000000000500000";

async fn a_look_up_uses_both_primary_keys(fixture: &Fixture) {
    let store = store(&fixture.database);
    assert!(store.find(KeyId::parse(ID).expect("an id")).await.expect("an answer").is_some());
    let plan = plan(&fixture.database, &format!("'{ID}'")).await;
    assert!(plan.matches("keys_pkey").count() == 2 && plan.matches("Index Scan using keys_pkey").count() == 2, "{plan}");
    assert!(!plan.contains("Seq Scan on keys"), "{plan}");
}

async fn the_change_log_is_read_by_position(fixture: &Fixture) {
    let store = store(&fixture.database);
    assert_eq!(store.changes(ROWS - 10, 100).await.expect("changes").len(), 10);
    assert_indexed(&plan(&fixture.database, &format!("{}, 100", ROWS - 10)).await, "change_log_pkey");
}

async fn lists_go_by_the_index_of_what_they_ask_for(fixture: &Fixture) {
    let store = store(&fixture.database);
    let all =
        || KeyListQuery { owner: None, status: None, revoked_since_ms: None, after: KeyId::parse(ID).ok(), count_max: 100, now_ms: NOW_MS };
    let by_owner = KeyListQuery { owner: Some(owner("o7")), ..all() };
    let revoked = KeyListQuery { status: Some(KeyStatus::Revoked), ..all() };
    for (query, values, index) in [
        (all(), format!("'{ID}', 100"), "keys_pkey"),
        (by_owner, format!("'o7', '{ID}', 100"), "keys_by_owner"),
        (revoked, format!("'{ID}', 100"), "keys_by_status"),
    ] {
        assert_eq!(store.list(query).await.expect("a page").len(), 100);
        assert_indexed(&plan(&fixture.database, &values).await, index);
    }
}

async fn keys_without_a_limit_are_found_by_an_index_of_their_own(fixture: &Fixture) {
    let store = store(&fixture.database);
    assert_eq!(store.unlimited_keys(NOW_MS, 100).await.expect("an answer").len(), 1);
    assert_indexed(&plan(&fixture.database, "5, 100").await, "keys_unlimited");
}

async fn the_question_for_an_administrator_reads_administrators_only(fixture: &Fixture) {
    let mut witness = fixture.database.connection().await.expect("a connection");
    let sql = "explain select exists (select from keys where owner is null and 'admin' = any (scopes) and status = 'active' \
        and (expires_at_ms is null or expires_at_ms > 5))";
    let lines: Vec<String> = sqlx::query_scalar(sql).fetch_all(&mut witness).await.expect("a plan");
    assert!(lines.iter().any(|line| line.contains("keys_admins")), "{lines:?}");
}

async fn what_is_cleared_away_is_found_by_its_age(fixture: &Fixture) {
    let mut witness = fixture.database.connection().await.expect("a connection");
    let sql = "explain delete from change_log where position = any (array( \
        select position from change_log where at_ms < 30000 order by at_ms limit 64)) returning position";
    let lines: Vec<String> = sqlx::query_scalar(sql).fetch_all(&mut witness).await.expect("a plan");
    let plan = lines.join("\n");
    assert!(plan.contains("change_log_by_time") && plan.contains("change_log_pkey") && !plan.contains("Seq Scan"), "{plan}");
}

async fn the_stream_of_ids_and_its_count_go_by_the_index_of_states(fixture: &Fixture) {
    // As autovacuum does in its own time: what is old enough need not be looked up in the table.
    let mut connection = fixture.database.connection().await.expect("a connection");
    // In a container there is little memory to share between workers.
    connection.execute("vacuum (analyze, parallel 0) keys").await.expect("cleaned up");
    let store = store(&fixture.database);
    let mut stream = store.key_ids(StreamTurn::Any).await.expect("a stream").expect("anybody's turn");
    let usable = ROWS - ROWS / 97;
    assert_eq!(stream.count().await.expect("a count"), usable);
    let counted = plan_of(&fixture.database, SESSION, &format!("'active', '{ID}', 100000")).await;
    assert_walked(&counted);
    assert_eq!(stream.next_page(1000).await.expect("a page").len(), 1000);
    let paged = plan_of(&fixture.database, SESSION, &format!("'active', '{ID}', 1000")).await;
    assert_walked(&paged);
}

#[tokio::test]
async fn at_a_million_rows_every_statement_goes_by_its_index() {
    let fixture = fixture().await;
    fill(&fixture.database).await;
    a_look_up_uses_both_primary_keys(&fixture).await;
    the_change_log_is_read_by_position(&fixture).await;
    lists_go_by_the_index_of_what_they_ask_for(&fixture).await;
    keys_without_a_limit_are_found_by_an_index_of_their_own(&fixture).await;
    the_question_for_an_administrator_reads_administrators_only(&fixture).await;
    what_is_cleared_away_is_found_by_its_age(&fixture).await;
    the_stream_of_ids_and_its_count_go_by_the_index_of_states(&fixture).await;
}
