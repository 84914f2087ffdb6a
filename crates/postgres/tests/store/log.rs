//! The change log: no hole, no late row, no reader held up.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use sqlx::{Connection, PgConnection};
use tollgate_gate::ports::{Change, ChangeKind, CreateGuard, KeyStore};
use tollgate_limits::RateLimits;
use tollgate_postgres::{Options, PostgresKeys};
use tollgate_testkit::TestDatabase;

use crate::support::{NOW_MS, change, context, context_at, create, draft, fixture, limits, owner, patient, position, rename, revoke};

const FAR: Duration = Duration::from_mins(1);

#[tokio::test]
async fn each_change_is_one_row_in_both_logs() {
    let fixture = fixture().await;
    let key = create(&fixture.store, draft(Some("acme"))).await;
    change(&fixture.store, &key.key_id, ChangeKind::Updated, rename("b")).await.expect("changed");
    change(&fixture.store, &key.key_id, ChangeKind::Rotated, rename("c")).await.expect("changed");
    change(&fixture.store, &key.key_id, ChangeKind::Revoked, revoke("done")).await.expect("changed");
    fixture.store.put_owner(owner("acme"), RateLimits::unlimited(), context()).await.expect("put");
    let changes = fixture.store.changes(0, 100).await.expect("changes");
    let kinds: Vec<_> = changes.iter().map(|row| (row.position, row.kind, row.key_id.clone())).collect();
    let id = || Some(key.key_id.clone());
    assert_eq!(
        kinds,
        [
            (1, ChangeKind::Created, id()),
            (2, ChangeKind::Updated, id()),
            (3, ChangeKind::Rotated, id()),
            (4, ChangeKind::Revoked, id()),
            (5, ChangeKind::OwnerUpdated, None)
        ]
    );
    assert!(changes.iter().all(|row| row.owner == Some(owner("acme"))));
    assert!(changes.is_sorted_by(|a, b| a.at_ms < b.at_ms));
    let mut witness = fixture.database.connection().await.expect("a connection");
    let sql = "select count(*) from audit join change_log using (position, at_ms, request_id) where audit.actor = 'tk_tester'";
    let audited: i64 = sqlx::query_scalar(sql).fetch_one(&mut witness).await.expect("a count");
    assert_eq!(audited, 5);
}

#[tokio::test]
async fn changes_are_read_on_from_any_position() {
    let fixture = fixture().await;
    for _ in 0..5 {
        create(&fixture.store, draft(None)).await;
    }
    for (after, count_max, wanted) in [(0, 2, vec![1, 2]), (2, 100, vec![3, 4, 5]), (5, 10, vec![]), (u64::MAX, 10, vec![]), (0, 0, vec![])]
    {
        let read = fixture.store.changes(after, count_max).await.expect("changes");
        assert_eq!(read.iter().map(|row| row.position).collect::<Vec<_>>(), wanted, "{count_max} after {after}");
    }
    let head = fixture.store.head().await.expect("a head");
    assert_eq!((head.position, head.oldest, head.log.0.len()), (5, 1, 32));
    assert_eq!(fixture.store.head().await.expect("a head"), head);
}

/// A change at this instant.
async fn put(store: &PostgresKeys, now_ms: u64) {
    store.put_owner(owner("acme"), RateLimits::unlimited(), context_at(now_ms)).await.expect("put");
}

async fn audited(database: &TestDatabase) -> (i64, i64) {
    let mut witness = database.connection().await.expect("a connection");
    sqlx::query_as("select min(position), count(*) from audit").fetch_one(&mut witness).await.expect("a count")
}

#[tokio::test]
async fn both_logs_are_kept_for_their_time_and_cleared_a_little_with_every_change() {
    let fixture = fixture().await;
    let (log_retention, audit_retention) = (Duration::from_secs(10), Duration::from_secs(1000));
    let options = Options { log_retention, audit_retention, ..Options::new(fixture.database.url()) };
    let store = PostgresKeys::connect(&options).expect("a store");
    // At NOW_MS and the hundred milliseconds after.
    for _ in 0..100 {
        put(&store, NOW_MS).await;
    }
    let oldest = async || store.head().await.expect("a head").oldest;
    put(&store, NOW_MS + 10_000).await;
    assert_eq!(oldest().await, 1, "as old as may be kept");
    put(&store, NOW_MS + 20_000).await;
    assert_eq!(oldest().await, 65);
    let left = store.changes(0, 1000).await.expect("changes");
    assert_eq!(left.iter().map(|row| row.position).collect::<Vec<_>>(), (65..=102).collect::<Vec<_>>());
    let place = 10;
    assert!(place + 1 < oldest().await, "a reader that is behind can tell");
    put(&store, NOW_MS + 20_000).await;
    assert_eq!(oldest().await, 102, "the row of 10 s before went too, by its one millisecond");
    put(&store, NOW_MS + 20_000).await;
    assert_eq!((oldest().await, position(&store).await), (102, 104), "nothing more to clear away");
    assert_eq!(audited(&fixture.database).await, (1, 104), "audit is kept longer");
    put(&store, NOW_MS + 2_000_000).await;
    assert_eq!(oldest().await, 105, "the newest row is always there");
    assert_eq!(audited(&fixture.database).await, (65, 41));
}

#[tokio::test]
async fn a_week_of_changes_is_kept_unless_told_otherwise() {
    const DAY_MS: u64 = 86_400_000;
    let fixture = fixture().await;
    for day in 0..10 {
        put(&fixture.store, NOW_MS + day * DAY_MS).await;
    }
    let head = fixture.store.head().await.expect("a head");
    assert_eq!((head.oldest, head.position), (3, 10));
    assert_eq!(audited(&fixture.database).await, (1, 10));
    put(&fixture.store, NOW_MS + 402 * DAY_MS).await;
    assert_eq!(audited(&fixture.database).await, (3, 9));
}

/// Reads on until the log ends at `until`, and checks that no position was passed over.
async fn follow(store: Arc<PostgresKeys>, until: u64) -> Vec<Change> {
    let mut seen: Vec<Change> = Vec::new();
    while (seen.len() as u64) < until {
        let after = seen.last().map_or(0, |row| row.position);
        for row in store.changes(after, 7).await.expect("changes") {
            assert_eq!(row.position, seen.len() as u64 + 1, "passed over a change");
            seen.push(row);
        }
        tokio::task::yield_now().await;
    }
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_writers_at_once_leave_no_hole_and_one_order() {
    let fixture = fixture().await;
    let mut stranger = fixture.database.connection().await.expect("a connection");
    let _idle = old_transaction(&mut stranger).await;
    let reader = tokio::spawn(follow(Arc::clone(&fixture.store), 200));
    let writers: Vec<_> = (0..200)
        .map(|place| {
            let store = Arc::clone(&fixture.store);
            let name = format!("o{}", place % 5);
            tokio::spawn(async move {
                loop {
                    // Two hundred want sixteen connections at once: some wait too long and try again.
                    if let Ok(made) = store.create(draft(Some(&name)), CreateGuard::None, context()).await {
                        return made.expect("no guard");
                    }
                }
            })
        })
        .collect();
    let mut made = Vec::new();
    for writer in writers {
        made.push(writer.await.expect("a writer"));
    }
    let seen = tokio::time::timeout(FAR, reader).await.expect("in time").expect("a reader");
    made.sort_by_key(|key| key.generation);
    assert_eq!(made.iter().map(|key| key.generation).collect::<Vec<_>>(), (1..=200).collect::<Vec<_>>());
    assert!(made.is_sorted_by(|a, b| a.key_id < b.key_id), "order of ids is order of positions");
    assert_eq!(
        seen.iter().map(|row| row.key_id.clone()).collect::<Vec<_>>(),
        made.iter().map(|key| Some(key.key_id.clone())).collect::<Vec<_>>()
    );
    assert!(seen.is_sorted_by(|a, b| a.at_ms < b.at_ms));
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_all_kinds_at_once_do_not_wait_for_each_other() {
    let fixture = fixture().await;
    let key = create(&fixture.store, draft(Some("acme"))).await;
    let tasks: Vec<_> = (0..12u64)
        .map(|place| {
            let (store, id) = (Arc::clone(&fixture.store), key.key_id.clone());
            tokio::spawn(async move {
                match place % 3 {
                    0 => create(&store, draft(Some("acme"))).await.generation,
                    1 => change(&store, &id, ChangeKind::Updated, rename(&format!("n{place}"))).await.expect("changed").record.generation,
                    _ => store.put_owner(owner("acme"), limits(&[("owner", place + 1, 1)]), context()).await.expect("put").rules.generation,
                }
            })
        })
        .collect();
    let mut positions = BTreeSet::new();
    for task in tasks {
        positions.insert(task.await.expect("a change"));
    }
    assert_eq!(positions, (2..=13).collect());
}

#[tokio::test]
async fn a_writer_that_rolls_back_leaves_no_hole() {
    let fixture = fixture().await;
    create(&fixture.store, draft(None)).await;
    let mut writer = fixture.database.connection().await.expect("a connection");
    let mut transaction = writer.begin().await.expect("begun");
    sqlx::query("update change_head set position = position + 1").execute(&mut *transaction).await.expect("drawn");
    transaction.rollback().await.expect("rolled back");
    assert_eq!(create(&fixture.store, draft(None)).await.generation, 2);
    assert_eq!(fixture.store.changes(0, 10).await.expect("changes").len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_writer_and_a_silent_transaction_hide_nothing_and_hold_no_reader() {
    let fixture = fixture().await;
    create(&fixture.store, draft(None)).await;
    let mut stranger = fixture.database.connection().await.expect("a connection");
    let _idle = old_transaction(&mut stranger).await;
    create(&fixture.store, draft(None)).await;
    let witness = fixture.database.connection().await.expect("a connection").into();
    // It may wait for the head as long as it takes to see it waiting.
    let options = Options { lock_timeout: FAR, statement_timeout: FAR, ..patient(fixture.database.url()) };
    let waiting_store = PostgresKeys::connect(&options).expect("a store");
    // A writer that has drawn position 3 and hesitates.
    let mut writer = fixture.database.connection().await.expect("a connection");
    let mut held = writer.begin().await.expect("begun");
    sqlx::query("update change_head set position = position + 1, last_ms = last_ms + 1").execute(&mut *held).await.expect("drawn");
    sqlx::query(
        "insert into change_log (position, at_ms, kind, key_id, request_id) select position, last_ms, 'updated', 'x', '' from change_head",
    )
    .execute(&mut *held)
    .await
    .expect("logged");
    // Readers see all that is committed, at once.
    assert_eq!(position(&fixture.store).await, 2);
    assert_eq!(fixture.store.changes(0, 10).await.expect("changes").len(), 2);
    // The next writer waits its turn, and nobody can see it before the one ahead of it.
    let next = tokio::spawn(async move { create(&waiting_store, draft(None)).await });
    wait_for_a_waiter(&witness).await;
    assert_eq!(fixture.store.changes(2, 10).await.expect("changes"), []);
    held.commit().await.expect("committed");
    assert_eq!(next.await.expect("a writer").generation, 4);
    let seen: Vec<_> = fixture.store.changes(2, 10).await.expect("changes").iter().map(|row| row.position).collect();
    assert_eq!(seen, [3, 4]);
}

/// A change has its key's row and wants the head, a reset has the head and wants the row: Postgres ends the reset,
/// which looks for a deadlock long after both wait, and the change never looks.
#[tokio::test(flavor = "multi_thread")]
async fn a_reset_begins_again_where_it_must_give_way_to_a_change() {
    let fixture = fixture().await;
    let key = create(&fixture.store, draft(None)).await;
    let (mut connection, witness) = (fixture.database.connection().await.expect("a connection"), fixture.database.connection().await);
    let witness = tokio::sync::Mutex::new(witness.expect("a connection"));
    let slow_deadlock = "do $$ begin execute format('alter database %I set deadlock_timeout = ''5s''', current_database()); end $$";
    sqlx::query(slow_deadlock).execute(&mut connection).await.expect("set for new sessions");
    let options = Options { lock_timeout: FAR, statement_timeout: FAR, ..patient(fixture.database.url()) };
    let store = PostgresKeys::connect(&options).expect("a store");
    let mut change = connection.begin().await.expect("begun");
    sqlx::query("set local deadlock_timeout = '10min'").execute(&mut *change).await.expect("set");
    sqlx::query("select from keys where key_id = $1 for update").bind(key.key_id.as_str()).execute(&mut *change).await.expect("the row");
    let reset = tokio::spawn(async move { store.reset_log(context()).await });
    wait_for_a_waiter(&witness).await;
    sqlx::query("update change_head set position = position + 1").execute(&mut *change).await.expect("the head");
    change.commit().await.expect("committed");
    let head = reset.await.expect("a reset").expect("done");
    assert_eq!((position(&fixture.store).await, head.oldest), (head.position, head.position + 1));
    let found = fixture.store.find(key.key_id).await.expect("found").expect("a key");
    assert_eq!(found.key.generation, head.position);
}

/// A transaction with a number and a snapshot that then does nothing.
async fn old_transaction(connection: &mut PgConnection) -> sqlx::Transaction<'_, sqlx::Postgres> {
    let mut transaction = connection.begin_with("begin isolation level repeatable read").await.expect("begun");
    sqlx::query("select pg_current_xact_id()").execute(&mut *transaction).await.expect("a number");
    transaction
}

/// Until some session waits for a lock.
async fn wait_for_a_waiter(witness: &tokio::sync::Mutex<PgConnection>) {
    let waits = tollgate_testkit::eventually("a session that waits for a lock", FAR, async || {
        let sql = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()";
        let waiting: i64 = sqlx::query_scalar(sql).fetch_one(&mut *witness.lock().await).await?;
        anyhow::ensure!(waiting > 0, "none");
        Ok(())
    });
    waits.await.expect("a waiter");
}
