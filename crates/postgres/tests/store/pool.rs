//! T6: look-ups, however many there are, leave operators their connections.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use sqlx::{Connection, PgConnection, PgPool};
use tokio::task::JoinSet;
use tollgate_gate::ports::KeyStore;
use tollgate_keys::{KeyId, random_bytes};
use tollgate_postgres::{Options, PostgresKeys};
use tollgate_testkit::eventually;

use crate::support::{create, draft, fixture, patient, position};

const POOL: u32 = 5;
const LOOKUPS: u32 = 3;
/// What operators may wait beyond what the machine and its Postgres take anyhow: 50 ms, times five.
const WAIT_MAX: Duration = Duration::from_millis(250);

/// A store of five connections over the same database, and a flood of look-ups of strangers.
fn flooded(url: &str, floods: usize) -> (Arc<PostgresKeys>, Arc<AtomicBool>, Arc<AtomicU64>, JoinSet<()>) {
    let options = Options { pool_size: POOL, lookups_in_flight: LOOKUPS, ..patient(url) };
    let (store, stop, asked) = (Arc::new(PostgresKeys::connect(&options).expect("a store")), Arc::default(), Arc::default());
    let mut flood = JoinSet::new();
    for _ in 0..floods {
        let (store, stop, asked): (_, Arc<AtomicBool>, Arc<AtomicU64>) = (Arc::clone(&store), Arc::clone(&stop), Arc::clone(&asked));
        flood.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                asked.fetch_add(1, Ordering::Relaxed);
                // What comes of it is nobody's concern: where all is held up, it is an error in the end.
                drop(store.find(KeyId::from_parts(0, random_bytes().expect("randomness"))).await);
            }
        });
    }
    (store, stop, asked, flood)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn look_ups_that_hang_take_no_more_than_their_share() {
    let fixture = fixture().await;
    create(&fixture.store, draft(None)).await;
    let mut holder = fixture.database.connection().await.expect("a connection");
    let witness = PgPool::connect(fixture.database.url()).await.expect("another");
    let mut held = holder.begin().await.expect("a transaction");
    sqlx::query("lock table keys in access exclusive mode").execute(&mut *held).await.expect("locked");
    let (store, stop, _, flood) = flooded(fixture.database.url(), 50);
    let all_hang = eventually("look-ups hang", Duration::from_secs(30), async || {
        let hanging = hanging(&witness).await;
        anyhow::ensure!(hanging == i64::from(LOOKUPS), "{hanging}");
        Ok(())
    });
    all_hang.await.expect("they hang");
    for _ in 0..50 {
        assert_eq!(position(&store).await, 1, "an operator's call");
        let hanging = hanging(&witness).await;
        assert!(hanging <= i64::from(LOOKUPS), "{hanging} look-ups hold connections");
    }
    stop.store(true, Ordering::Relaxed);
    held.rollback().await.expect("given back");
    flood.join_all().await;
}

/// Sessions of this database that wait for a lock, as Postgres sees it.
async fn hanging(witness: &PgPool) -> i64 {
    let waiting = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    sqlx::query_scalar(waiting).fetch_one(witness).await.expect("counted")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_hardly_wait_while_strangers_are_looked_up_without_end() {
    let fixture = fixture().await;
    create(&fixture.store, draft(None)).await;
    let (store, stop, asked, flood) = flooded(fixture.database.url(), 64);
    let mut own = fixture.database.connection().await.expect("a connection");
    position(&store).await;
    let (mut waits, mut own_waits) = (Vec::new(), Vec::new());
    for _ in 0..500 {
        let started = Instant::now();
        assert_eq!(position(&store).await, 1);
        waits.push(started.elapsed());
        own_waits.push(own_wait(&mut own).await);
    }
    stop.store(true, Ordering::Relaxed);
    flood.join_all().await;
    let (p99, own_p99) = (p99(&mut waits), p99(&mut own_waits));
    assert!(p99 < WAIT_MAX + own_p99, "{p99:?} of {:?}, {own_p99:?} without the pool", waits.last());
    assert!(asked.load(Ordering::Relaxed) > 500, "only {asked:?} look-ups");
}

/// What the same takes that waits for no pool: a sign of life, and the statement.
async fn own_wait(own: &mut PgConnection) -> Duration {
    let started = Instant::now();
    own.ping().await.expect("there");
    let (_, position, _): (String, i64, i64) =
        sqlx::query_as("select log_id, position, oldest from change_head").fetch_one(own).await.expect("a head");
    assert_eq!(position, 1);
    started.elapsed()
}

/// Of a hundred waits all but one were no longer.
fn p99(waits: &mut [Duration]) -> Duration {
    waits.sort_unstable();
    *waits.iter().rev().nth(waits.len() / 100).expect("some")
}
