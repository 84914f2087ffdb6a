//! Migrations up and down, and what the store says of a schema that is not its own.

use std::sync::Arc;

use sqlx::{AssertSqlSafe, Executor};
use tollgate_gate::ports::{KeyStore, KeyStoreError};
use tollgate_postgres::{Options, PostgresError, PostgresKeys, SchemaState, give_node_rights, migrate, migrate_down, schema_state};
use tollgate_testkit::{TestDatabase, conformance};

use crate::support::{create, draft, fixture, patient};

/// All that a schema consists of, as text.
const SHAPE: &str = "select string_agg(line, e'\n' order by line) from ( \
    select format('%s.%s %s %s %s', table_name, column_name, data_type, is_nullable, column_default) as line \
        from information_schema.columns where table_schema = 'public' \
    union all select format('%s %s', conname, pg_get_constraintdef(oid)) from pg_constraint where connamespace = 'public'::regnamespace \
    union all select indexdef from pg_indexes where schemaname = 'public' \
    union all select pg_get_functiondef(oid) from pg_proc where pronamespace = 'public'::regnamespace) as lines";

async fn shape(database: &TestDatabase) -> String {
    let mut connection = database.connection().await.expect("a connection");
    sqlx::query_scalar(SHAPE).fetch_one(&mut connection).await.expect("a shape")
}

async fn run(database: &TestDatabase, sql: &str) {
    let mut connection = database.connection().await.expect("a connection");
    connection.execute(AssertSqlSafe(sql.to_owned())).await.expect(sql);
}

fn advice(result: Result<impl Sized, KeyStoreError>) -> String {
    match result.map(|_| ()) {
        Err(KeyStoreError::Unusable(text)) => text.to_string(),
        other => panic!("not unusable: {other:?}"),
    }
}

#[tokio::test]
async fn up_down_and_up_again_is_the_same() {
    let database = TestDatabase::empty().await.expect("a database");
    assert_eq!(schema_state(database.url()).await.expect("a state"), SchemaState::Absent);
    let version = migrate(database.url()).await.expect("up");
    assert_eq!(schema_state(database.url()).await.expect("a state"), SchemaState::Current);
    let first = shape(&database).await;
    assert_eq!(migrate(database.url()).await.expect("nothing to do"), version);
    for target in (0..version).rev() {
        migrate_down(database.url(), target).await.expect("down");
        let state = schema_state(database.url()).await.expect("a state");
        // Versions may have gaps: the first that is missing lies somewhere above.
        let is_behind = matches!(state, SchemaState::Behind(missing) if (target + 1..=version).contains(&missing));
        assert!(if target == 0 { state == SchemaState::Absent } else { is_behind }, "at {target}: {state:?}");
    }
    let left = shape(&database).await;
    assert!(left.lines().all(|line| line.contains("_sqlx_migrations")), "{left}");
    migrate(database.url()).await.expect("up");
    assert_eq!(shape(&database).await, first);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_migrate_at_once() {
    let database = TestDatabase::empty().await.expect("a database");
    let runs: Vec<_> = (0..6)
        .map(|_| {
            let url = database.url().to_owned();
            tokio::spawn(async move { migrate(&url).await })
        })
        .collect();
    for run in runs {
        run.await.expect("a run").expect("migrated");
    }
    assert_eq!(schema_state(database.url()).await.expect("a state"), SchemaState::Current);
}

#[tokio::test]
async fn an_empty_or_half_migrated_database_says_what_to_do() {
    let database = TestDatabase::empty().await.expect("a database");
    let store = PostgresKeys::connect(&Options::new(database.url())).expect("a store");
    assert!(advice(store.head().await).contains("run `tollgate migrate`"));
    migrate(database.url()).await.expect("up");
    migrate_down(database.url(), 7).await.expect("down");
    let text = advice(store.head().await);
    assert!(text.contains("lacks migration 8") && text.contains("run `tollgate migrate`"), "{text}");
    migrate(database.url()).await.expect("up");
    assert_eq!(create(&store, draft(None)).await.generation, 1);
}

#[tokio::test]
async fn a_schema_that_broke_with_this_version_or_was_altered_is_not_used() {
    let database = TestDatabase::empty().await.expect("a database");
    migrate(database.url()).await.expect("up");
    run(&database, "insert into _sqlx_migrations values (9999, 'breaking names', now(), true, '', 0)").await;
    let store = PostgresKeys::connect(&Options::new(database.url())).expect("a store");
    let text = advice(store.head().await);
    assert!(text.contains("migration 9999") && text.contains("newer tollgate"), "{text}");
    assert!(matches!(migrate(database.url()).await, Err(PostgresError::Schema(SchemaState::Newer(9999)))));
    run(&database, "delete from _sqlx_migrations where version = 9999; update _sqlx_migrations set checksum = '' where version = 2").await;
    assert!(advice(store.head().await).contains("migration 2"));
    assert!(matches!(migrate(database.url()).await, Err(PostgresError::Schema(SchemaState::Altered(2)))));
}

#[tokio::test]
async fn a_running_store_notices_that_its_tables_went_and_came() {
    let fixture = fixture().await;
    create(&fixture.store, draft(None)).await;
    migrate_down(fixture.database.url(), 0).await.expect("down");
    for _ in 0..2 {
        assert!(advice(fixture.store.head().await).contains("run `tollgate migrate`"));
    }
    migrate(fixture.database.url()).await.expect("up");
    assert_eq!(create(&fixture.store, draft(None)).await.generation, 1);
}

#[tokio::test]
async fn a_running_store_goes_on_when_a_newer_version_migrates() {
    let fixture = fixture().await;
    create(&fixture.store, draft(None)).await;
    run(&fixture.database, "insert into _sqlx_migrations values (9999, 'breaking names', now(), true, '', 0)").await;
    assert_eq!(create(&fixture.store, draft(None)).await.generation, 2);
}

/// What a later version may add without a word: columns that need no value, tables, indexes.
const LATER: &str = "alter table keys add column region text; alter table owners add column tier int not null default 1; \
    alter table change_log add column why text; create table regions (name text primary key); \
    create index keys_by_region on keys (region); \
    insert into _sqlx_migrations values (9998, 'regions', now(), true, '', 0), (9999, 'tiers', now(), true, '', 0)";

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_node_of_this_version_starts_and_does_all_it_does_on_what_a_later_one_has_added_to() {
    let database = TestDatabase::empty().await.expect("a database");
    migrate(database.url()).await.expect("up");
    run(&database, LATER).await;
    assert_eq!(schema_state(database.url()).await.expect("a state"), SchemaState::Ahead(9999));
    assert_eq!(migrate(database.url()).await.expect("nothing to do"), 9999);
    assert!(!give_node_rights(database.url()).await.expect("nothing to do"), "nodes of the later version keep theirs");
    let store: Arc<dyn KeyStore> = Arc::new(PostgresKeys::connect(&patient(database.url())).expect("a store"));
    conformance::keys::all(&store).await;
}

#[tokio::test]
async fn somebody_elses_tables_are_left_alone() {
    let database = TestDatabase::empty().await.expect("a database");
    run(&database, "create table keys (mine int); insert into keys values (7)").await;
    let error = migrate(database.url()).await.expect_err("a table in the way");
    assert!(!error.is_transient() && matches!(error, PostgresError::Unusable(_)), "{error:?}");
    run(&database, "alter table keys rename to other").await;
    migrate(database.url()).await.expect("goes on where it stopped");
}

#[tokio::test]
async fn every_table_and_every_column_of_keys_has_a_comment() {
    let fixture = fixture().await;
    let mut connection = fixture.database.connection().await.expect("a connection");
    let sql = "select string_agg(format('%s.%s', c.relname, a.attname), ', ') from pg_class c \
        join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 \
        where c.relname in ('keys', 'owners', 'change_head', 'signing_keys') and c.relnamespace = 'public'::regnamespace \
        and (col_description(c.oid, a.attnum) is null or obj_description(c.oid, 'pg_class') is null)";
    let silent: Option<String> = sqlx::query_scalar(sql).fetch_one(&mut connection).await.expect("a list");
    assert_eq!(silent, None);
}
