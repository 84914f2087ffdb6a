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

use store::{Charges, PATIENT, ask_within, is_allowed, joined, names, one};
use tokio::{task::JoinSet, time::Instant};
use tollgate_gate::ports::{BucketError, BucketStore as _};
use tollgate_redis::{Options, RedisBuckets};
use tollgate_testkit::{TestRedisCluster, eventually};

/// One asker for one key, and what it was told.
#[derive(Default)]
struct Tally {
    attempts: AtomicU64,
    admitted: AtomicU64,
}

fn ask_on(store: &Arc<RedisBuckets>, id: &str, stop: &Arc<AtomicBool>, tasks: &mut JoinSet<()>) -> Arc<Tally> {
    let tally = Arc::new(Tally::default());
    for _ in 0..4 {
        let (store, id, stop, tally) = (Arc::clone(store), id.to_owned(), Arc::clone(stop), Arc::clone(&tally));
        tasks.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                tally.attempts.fetch_add(1, Ordering::Relaxed);
                if is_allowed(&ask_within(&store, one(&id), Duration::from_millis(500)).await) {
                    tally.admitted.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }
    tally
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
    let slot = slot_of(tag).await;
    let from = cluster.owner_of(slot).await.expect("an owner");
    let to = (from + 1) % 3;

    let mut witness = cluster.node(from).expect("a node").connection().await.expect("answers");
    let counted = Charges::from_first(&mut witness, &store, moving).await;
    let (stop, mut tasks) = (Arc::new(AtomicBool::new(false)), JoinSet::new());
    let moved = ask_on(&store, moving, &stop, &mut tasks);
    let stayed = ask_on(&store, &other, &stop, &mut tasks);
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

    stop.store(true, Ordering::Relaxed);
    while let Some(ended) = tasks.join_next().await {
        ended.expect("no task panics");
    }
    let mut witness = cluster.node(to).expect("a node").connection().await.expect("answers");
    let charged = counted.count(&mut witness).await - 1;
    let (attempts, admitted) = (moved.attempts.load(Ordering::Relaxed), moved.admitted.load(Ordering::Relaxed));
    assert!(admitted <= charged && charged <= attempts, "{admitted} admitted, {charged} charged, {attempts} attempts");
    let failed = stayed.attempts.load(Ordering::Relaxed) - stayed.admitted.load(Ordering::Relaxed);
    assert_eq!(failed, 0, "decisions of the other slots failed");
    let quick = Instant::now();
    assert!(is_allowed(&ask_within(&store, one(moving), PATIENT).await));
    assert!(quick.elapsed() < Duration::from_secs(1), "the client has not recovered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_is_silent_is_left_out_when_the_others_are_joined() {
    let cluster = TestRedisCluster::start(3).await.expect("a cluster");
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
    let left_out = store.join_within(store::log(), Duration::from_secs(1)).await.expect("the others are joined");
    assert!(
        left_out.contains(&names().tag_of("tk_silent").into()) && !left_out.contains(&names().tag_of(&elsewhere).into()),
        "{left_out:?}"
    );
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
