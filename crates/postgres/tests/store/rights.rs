//! T19: the least rights of `deploy/postgres/node-rights.sql` are enough for all that a node does, and for nothing else.

use std::sync::Arc;

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, raw_sql};
use tollgate_gate::ports::{ChangeKind, KeyStore};
use tollgate_postgres::{PostgresKeys, SchemaState, schema_state};
use tollgate_testkit::{conformance, repository, unique};

use crate::support::{Fixture, change, create, draft, fixture, patient, rename};

/// Insufficient privilege, as Postgres says it.
const DENIED: &str = "42501";

/// A role with the rights of the file, under a name of the test's own, and the URL by which it logs in.
async fn node_of(fixture: &Fixture) -> String {
    let (role, password) = (unique("node"), unique("word"));
    let file = std::fs::read_to_string(repository().join("deploy/postgres/node-rights.sql")).expect("the file");
    let mut owner = fixture.database.connection().await.expect("a connection");
    for statements in [file.replace("tollgate_node", &role), format!("alter role {role} password '{password}'")] {
        raw_sql(AssertSqlSafe(statements)).execute(&mut owner).await.expect("rights are given");
    }
    let (_, server) = fixture.database.url().rsplit_once('@').expect("postgres://user@server/database");
    format!("postgres://{role}:{password}@{server}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_least_rights_are_enough_for_all_that_a_node_does() {
    let fixture = fixture().await;
    let url = node_of(&fixture).await;
    assert_eq!(schema_state(&url).await.expect("readable"), SchemaState::Current);
    let store: Arc<dyn KeyStore> = Arc::new(PostgresKeys::connect(&patient(&url)).expect("a store"));
    conformance::keys::all(&store).await;
}

/// Whether this is refused for want of a right, and nothing else.
async fn is_denied(connection: &mut PgConnection, statement: &str) -> bool {
    let mut transaction = connection.begin().await.expect("a transaction");
    let done = transaction.execute(AssertSqlSafe(statement.to_owned())).await;
    let code = done.err().and_then(|error| error.as_database_error().and_then(|error| error.code().map(std::borrow::Cow::into_owned)));
    transaction.rollback().await.expect("taken back");
    code.as_deref() == Some(DENIED)
}

#[tokio::test]
async fn a_node_can_neither_rewrite_what_has_happened_nor_change_the_schema() {
    let fixture = fixture().await;
    let made = create(&fixture.store, draft(Some("acme"))).await;
    change(&fixture.store, &made.key_id, ChangeKind::Updated, rename("other")).await.expect("renamed");
    let url = node_of(&fixture).await;
    let mut node = PgConnection::connect(&url).await.expect("it may log in");
    for statement in [
        "update audit set actor = 'nobody'",
        "update change_log set kind = 'updated'",
        "update idempotency_keys set at_ms = 0",
        "update _sqlx_migrations set success = false",
        "delete from keys",
        "delete from owners",
        "delete from signing_keys",
        "delete from change_head",
        "insert into change_head default values",
        "truncate audit",
        "truncate keys cascade",
        "drop table audit",
        "alter table keys disable trigger all",
        "alter table keys drop constraint keys_rate_limit_good",
        "create table mine (a int)",
        "create function mine() returns int language sql as 'select 1'",
        "create role mine",
        "alter role current_user createrole",
        "copy keys to program 'true'",
        "select pg_read_file('/etc/passwd')",
        "select rolpassword from pg_authid",
    ] {
        assert!(is_denied(&mut node, statement).await, "{statement}");
    }
    // That the check can tell: what it may do is not denied.
    for statement in ["select * from keys", "update keys set name = name", "delete from audit where at_ms < 0"] {
        assert!(!is_denied(&mut node, statement).await, "{statement}");
    }
    let left = fixture.store.find(made.key_id).await.expect("an answer").expect("there");
    assert_eq!(left.key.name, "other");
}
