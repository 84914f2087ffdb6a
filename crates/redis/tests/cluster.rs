//! A Cluster of three masters while a slot moves.

#![allow(clippy::expect_used, reason = "tests fail by panicking")]

#[path = "support/store.rs"]
mod store;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use redis::aio::MultiplexedConnection;
use store::{Charges, PATIENT, ask_within, is_allowed, joined, names, one};
use tokio::{task::JoinSet, time::Instant};
use tollgate_gate::ports::{BucketError, BucketStore as _};
use tollgate_redis::{Options, RedisBuckets};
use tollgate_testkit::{RedisOptions, TestRedisCluster, eventually};

/// The longest that a decision may take which a moving slot does not concern, beyond what the machine takes.
const QUICK: Duration = Duration::from_millis(500);

/// Some askers for one key, and what they were told.
#[derive(Default)]
struct Tally {
    attempts: AtomicU64,
    admitted: AtomicU64,
    slowest_us: AtomicU64,
}

/// Tasks that go on until they are told to stop.
#[derive(Default)]
struct Tasks {
    stop: Arc<AtomicBool>,
    running: JoinSet<()>,
}

impl Tasks {
    fn ask(&mut self, store: &Arc<RedisBuckets>, id: &str, each: Duration) -> Arc<Tally> {
        let tally = Arc::new(Tally::default());
        for _ in 0..4 {
            let (store, id, stop, tally) = (Arc::clone(store), id.to_owned(), Arc::clone(&self.stop), Arc::clone(&tally));
            self.running.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    tally.attempts.fetch_add(1, Ordering::Relaxed);
                    let begun = Instant::now();
                    if is_allowed(&ask_within(&store, one(&id), each).await) {
                        tally.admitted.fetch_add(1, Ordering::Relaxed);
                    }
                    tally.slowest_us.fetch_max(us(begun.elapsed()), Ordering::Relaxed);
                }
            });
        }
        tally
    }

    /// Sleeps and has a word with that server, all the time: the longest that this takes is the machine's doing.
    fn canary(&mut self, mut server: MultiplexedConnection) -> Arc<AtomicU64> {
        const PAUSE: Duration = Duration::from_millis(5);
        let (stop, overrun_us) = (Arc::clone(&self.stop), Arc::new(AtomicU64::new(0)));
        let longest_us = Arc::clone(&overrun_us);
        self.running.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let begun = Instant::now();
                tokio::time::sleep(PAUSE).await;
                redis::cmd("PING").exec_async(&mut server).await.expect("redis answers");
                longest_us.fetch_max(us(begun.elapsed().saturating_sub(PAUSE)), Ordering::Relaxed);
            }
        });
        overrun_us
    }

    async fn finish(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.running.join_next().await {
            ended.expect("no task panics");
        }
    }
}

fn us(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).expect("short")
}

async fn more(tally: &Tally, what: &str) {
    let seen = tally.admitted.load(Ordering::Relaxed);
    let grown = async || {
        anyhow::ensure!(tally.admitted.load(Ordering::Relaxed) > seen + 20, "none is admitted");
        Ok(())
    };
    eventually(what, PATIENT, grown).await.expect(what);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_moving_slot_concerns_only_its_own_decisions() {
    let cluster = TestRedisCluster::start(3).await.expect("a cluster");
    let store = joined(&Options::new(cluster.url())).await;
    let slot_of = async |tag: u8| cluster.slot_of(&format!("{{s{tag:02}}}")).await.expect("a slot");
    let moving = "tk_moving";
    let tag = names().tag_of(moving);
    let other = (0..1000).map(|n| format!("tk_{n}")).find(|id| names().tag_of(id) != tag).expect("16 tags");
    let (slot, other_slot) = (slot_of(tag).await, slot_of(names().tag_of(&other)).await);
    let from = cluster.owner_of(slot).await.expect("an owner");
    let to = (from + 1) % 3;

    let mut witness = cluster.node(from).expect("a node").connection().await.expect("answers");
    let counted = Charges::from_first(&mut witness, &store, moving).await;
    let staying = cluster.node(cluster.owner_of(other_slot).await.expect("an owner")).expect("a node");
    let mut tasks = Tasks::default();
    let overrun_us = tasks.canary(staying.connection().await.expect("answers"));
    let moved = tasks.ask(&store, moving, QUICK);
    let stayed = tasks.ask(&store, &other, PATIENT);
    more(&moved, "decisions before").await;

    cluster.begin_move(slot, to).await.expect("a slot on its way");
    // The state id and the record lie apart for a while: nothing can be decided there.
    assert_eq!(cluster.move_keys(slot, from, to, 1).await.expect("a key moves"), 1);
    more(&stayed, "decisions of the other slots").await;
    while cluster.move_keys(slot, from, to, 100).await.expect("keys move") > 0 {}
    more(&stayed, "decisions of the other slots").await;
    cluster.finish_move(slot, from, to).await.expect("a new owner");
    more(&moved, "decisions after").await;
    more(&stayed, "decisions of the other slots").await;

    tasks.finish().await;
    let mut witness = cluster.node(to).expect("a node").connection().await.expect("answers");
    let charged = counted.count(&mut witness).await - 1;
    let (attempts, admitted) = (moved.attempts.load(Ordering::Relaxed), moved.admitted.load(Ordering::Relaxed));
    assert!(admitted <= charged && charged <= attempts, "{admitted} admitted, {charged} charged, {attempts} attempts");
    let failed = stayed.attempts.load(Ordering::Relaxed) - stayed.admitted.load(Ordering::Relaxed);
    assert_eq!(failed, 0, "decisions of the other slots failed");
    let (slowest_us, overrun_us) = (stayed.slowest_us.load(Ordering::Relaxed), overrun_us.load(Ordering::Relaxed));
    assert!(slowest_us < us(QUICK) + overrun_us, "a decision took {slowest_us} us, the canary {overrun_us} us too long");
    let mut quickest = PATIENT;
    for _ in 0..5 {
        let begun = Instant::now();
        assert!(is_allowed(&ask_within(&store, one(moving), PATIENT).await));
        quickest = quickest.min(begun.elapsed());
    }
    assert!(quickest < Duration::from_secs(1), "the client has not recovered: {quickest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_is_silent_is_left_out_when_the_others_are_joined() {
    // However long this takes, the others serve their slots.
    let options = RedisOptions::default().line("cluster-require-full-coverage no");
    let cluster = TestRedisCluster::with(3, &options).await.expect("a cluster");
    let store = joined(&Options::new(cluster.url())).await;
    let slot = cluster.slot_of(&format!("{{s{:02}}}", names().tag_of("tk_silent"))).await.expect("a slot");
    let silent = cluster.owner_of(slot).await.expect("an owner");
    let mut elsewhere = None;
    for id in (0..1000).map(|n| format!("tk_{n}")) {
        let slot = cluster.slot_of(&format!("{{s{:02}}}", names().tag_of(&id))).await.expect("a slot");
        if cluster.owner_of(slot).await.expect("an owner") != silent {
            elsewhere = Some(id);
            break;
        }
    }
    let elsewhere = elsewhere.expect("a tag of another master");
    assert!(
        is_allowed(&ask_within(&store, one(&elsewhere), PATIENT).await) && is_allowed(&ask_within(&store, one("tk_silent"), PATIENT).await)
    );

    cluster.node(silent).expect("a node").stop().expect("stopped");
    // On a slow machine more tags may be left out than those of the silent master.
    let alone = async || {
        let left_out = store.join_within(store::log(), Duration::from_secs(1)).await?;
        let is_left_out = |id: &str| left_out.contains(&names().tag_of(id).into());
        anyhow::ensure!(is_left_out("tk_silent") && !is_left_out(&elsewhere), "{left_out:?}");
        Ok(())
    };
    eventually("the others are joined", PATIENT, alone).await.expect("without the silent one");
    assert!(is_allowed(&ask_within(&store, one(&elsewhere), PATIENT).await), "the others are decided as ever");
    let asked = Instant::now();
    let told = ask_within(&store, one("tk_silent"), PATIENT).await;
    assert!(matches!(told, Err(BucketError::Unreachable(_))), "{told:?}");
    assert!(asked.elapsed() < Duration::from_secs(5), "nobody waits for it");

    cluster.node(silent).expect("a node").cont().expect("it goes on");
    let all = async || {
        anyhow::ensure!(store.join_within(store::log(), Duration::from_secs(1)).await?.is_empty(), "left out");
        Ok(())
    };
    eventually("all are joined", PATIENT, all).await.expect("it is back");
    assert!(is_allowed(&ask_within(&store, one("tk_silent"), PATIENT).await));
}
