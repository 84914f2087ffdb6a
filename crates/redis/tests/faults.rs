//! Redis flushed, cut, frozen, restarted, absent: nobody is charged twice, nobody waits.

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

use store::{Charges, PATIENT, ask, ask_within, is_allowed, joined, one, rejoin, started};
use tokio::{task::JoinSet, time::Instant};
use tollgate_gate::ports::{BucketError, BucketStore, BucketsHealth, Outcome};
use tollgate_redis::{Options, RedisBuckets, StateMark, Wire};
use tollgate_telemetry::Metrics;
use tollgate_testkit::{Fault, Proxy, TestRedis, eventually};

/// Asks for one token after the other until told to stop; counts attempts and admissions.
struct Load {
    stop: Arc<AtomicBool>,
    attempts: Arc<AtomicU64>,
    admitted: Arc<AtomicU64>,
    tasks: JoinSet<()>,
}

impl Load {
    fn start(store: &Arc<RedisBuckets>, id: &'static str, each: Duration, check: fn(&store::Told)) -> Self {
        let mut load = Self { stop: Arc::default(), attempts: Arc::default(), admitted: Arc::default(), tasks: JoinSet::new() };
        for _ in 0..16 {
            let (store, stop) = (Arc::clone(store), Arc::clone(&load.stop));
            let (attempts, admitted) = (Arc::clone(&load.attempts), Arc::clone(&load.admitted));
            load.tasks.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    attempts.fetch_add(1, Ordering::Relaxed);
                    let told = ask_within(&store, one(id), each).await;
                    check(&told);
                    if is_allowed(&told) {
                        admitted.fetch_add(1, Ordering::Relaxed);
                    } else {
                        tokio::task::yield_now().await;
                    }
                }
            });
        }
        load
    }

    /// Waits until more is admitted.
    async fn admits_more(&self) {
        let seen = self.admitted.load(Ordering::Relaxed);
        let grown = async || {
            anyhow::ensure!(self.admitted.load(Ordering::Relaxed) > seen, "nothing is admitted");
            Ok(())
        };
        eventually("an admission", PATIENT, grown).await.expect("redis answers");
    }

    async fn finish(mut self) -> (u64, u64) {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.tasks.join_next().await {
            ended.expect("no task panics");
        }
        (self.attempts.load(Ordering::Relaxed), self.admitted.load(Ordering::Relaxed))
    }
}

/// Waits until so many connections were ever made.
async fn connected(store: &RedisBuckets, count: u64) {
    let made = async || {
        anyhow::ensure!(store.connection_count() >= count, "{} of {count}", store.connection_count());
        Ok(())
    };
    eventually("connections", PATIENT, made).await.expect("redis answers");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn script_flush_under_load_is_seen_by_nobody() {
    // A Redis that the machine does not run for a second loses its connections, and that is seen: such a run says nothing.
    for _ in 0..5 {
        if flushed_under_load().await {
            return;
        }
    }
    unreachable!("connections were lost in every run");
}

/// Whether no connection was lost.
async fn flushed_under_load() -> bool {
    let (redis, store) = started().await;
    let mut witness = redis.connection().await.expect("redis answers");
    connected(&store, 2).await;
    let before = store.connection_count();
    let counted = Charges::from_first(&mut witness, &store, "a").await;
    let load = Load::start(&store, "a", PATIENT, |told| {
        assert!(is_allowed(told) || matches!(told, Err(BucketError::Unreachable(_))), "{told:?}");
    });
    let (mut beat, mut longest) = (tokio::time::interval(Duration::from_millis(10)), Duration::ZERO);
    for _ in 0..60 {
        let begun = Instant::now();
        beat.tick().await;
        redis::cmd("SCRIPT").arg("FLUSH").exec_async(&mut witness).await.expect("redis answers");
        longest = longest.max(begun.elapsed());
    }
    let (attempts, admitted) = load.finish().await;
    let charged = counted.count(&mut witness).await - 1;
    if attempts == admitted {
        assert_eq!(charged, admitted, "each exactly once");
        return true;
    }
    assert!(admitted <= charged && charged <= attempts, "{admitted} admitted, {charged} charged, {attempts} attempts");
    // Over connections that stand none may fail, and no connection is lost while the machine runs.
    connected(&store, before + 1).await;
    assert!(longest > Duration::from_millis(500), "connections were lost, and no flush took longer than {longest:?}");
    false
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_is_never_sent_again() {
    let (redis, store) = started().await;
    let mut witness = redis.connection().await.expect("redis answers");
    let counted = Charges::from_first(&mut witness, &store, "a").await;
    let before = store.connection_count();
    let load = Load::start(&store, "a", Duration::from_millis(200), |told| match told {
        Ok(Outcome::Allowed(_)) | Err(BucketError::Unreachable(_) | BucketError::Deadline) => {}
        other => unreachable!("{other:?}"),
    });
    let mut beat = tokio::time::interval(Duration::from_millis(3));
    for kill in 1..=400 {
        beat.tick().await;
        redis::cmd("CLIENT").arg("KILL").arg("TYPE").arg("normal").exec_async(&mut witness).await.expect("redis answers");
        // A slow machine may bring no answer before the next kill, and one that comes to nothing shows nothing.
        if kill % 40 == 0 {
            load.admits_more().await;
            beat.reset();
        }
    }
    let (attempts, admitted) = load.finish().await;
    let charged = counted.count(&mut witness).await - 1;
    assert!(admitted <= charged && charged <= attempts, "{admitted} admitted, {charged} charged, {attempts} attempts");
    assert!(admitted > 0 && store.connection_count() > before, "nothing happened");
    let back = async || {
        anyhow::ensure!(is_allowed(&ask(&store, one("a")).await), "not back");
        Ok(())
    };
    eventually("a decision", PATIENT, back).await.expect("the connections come back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_redis_keeps_nobody_waiting_and_is_not_flooded() {
    let (redis, store) = started().await;
    let mut witness = redis.connection().await.expect("redis answers");
    let counted = Charges::from_first(&mut witness, &store, "a").await;
    redis.stop().expect("own process");
    let mut asked = JoinSet::new();
    // Some wait far less than those whose call hangs.
    for place in 0..600_u64 {
        let (store, time) = (Arc::clone(&store), Duration::from_millis(if place % 2 == 0 { 50 } else { 400 }));
        asked.spawn(async move {
            let start = Instant::now();
            let asking = async { (ask_within(&store, one("a"), time).await, start.elapsed()) };
            // When this runtime gets to what is due at the same time.
            let waiting = async {
                tokio::time::sleep(time).await;
                start.elapsed()
            };
            let ((told, took), late) = tokio::join!(asking, waiting);
            (told, time, took, late)
        });
    }
    for (told, time, took, late) in asked.join_all().await {
        assert!(matches!(told, Err(BucketError::Deadline | BucketError::Unreachable(_))), "{told:?}");
        assert!(took < late + time * 4 + Duration::from_millis(100), "{took:?} instead of {time:?}, where a sleep took {late:?}");
        // Who blocks the threads of the runtime makes sleeps late too, and is not excused by that.
        assert!(late < time + Duration::from_secs(2), "a sleep of {time:?} took {late:?}");
    }
    redis.cont().expect("own process");
    let back = async || {
        anyhow::ensure!(is_allowed(&ask_within(&store, one("b"), Duration::from_millis(200)).await), "not back");
        Ok(())
    };
    eventually("a decision", PATIENT, back).await.expect("redis is back");
    // Two calls of at most 64 were on their way; all else was never sent.
    let charged = counted.count(&mut witness).await - 1;
    assert!(charged <= 2 * 64, "{charged} charges that nobody waited for");
}

#[tokio::test]
async fn a_decision_whose_time_is_up_is_never_sent() {
    let (redis, store) = started().await;
    let mut witness = redis.connection().await.expect("redis answers");
    let counted = Charges::from_first(&mut witness, &store, "a").await;
    for _ in 0..20 {
        let late = store.decide(one("a"), Instant::now() - Duration::from_millis(1)).await;
        assert!(matches!(late, Err(BucketError::Deadline)), "{late:?}");
    }
    assert!(is_allowed(&ask(&store, one("a")).await));
    assert_eq!(counted.count(&mut witness).await, 2);
}

#[tokio::test]
async fn more_than_the_queue_holds_is_refused_at_once() {
    let redis = TestRedis::start().await.expect("redis starts");
    let options = Options { queue_max: 4, ..Options::new(redis.url()) };
    let store = joined(&options).await;
    // No task of the store runs before this one waits.
    let asked: Vec<_> = (0..6).map(|_| store.decide(one("a"), Instant::now() + PATIENT)).collect();
    let mut told = Vec::new();
    for pending in asked {
        told.push(pending.await);
    }
    assert_eq!(told.iter().filter(|told| matches!(told, Err(BucketError::QueueFull))).count(), 2);
    assert_eq!(told.iter().filter(|told| is_allowed(told)).count(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_restart_is_lost_until_it_is_joined() {
    let (redis, store) = started().await;
    let load = Load::start(&store, "a", Duration::from_millis(200), |told| {
        assert!(!matches!(told, Ok(Outcome::Limited(_) | Outcome::Stale | Outcome::Revoked | Outcome::Broken)), "{told:?}");
    });
    load.admits_more().await;
    redis.restart().await.expect("redis comes back");
    let lost = async || {
        let told = ask_within(&store, one("b"), Duration::from_millis(200)).await;
        anyhow::ensure!(matches!(told, Ok(Outcome::Lost)), "{told:?}");
        Ok(())
    };
    eventually("the loss is noticed", PATIENT, lost).await.expect("lost");
    rejoin(&store).await;
    assert!(is_allowed(&ask(&store, one("b")).await));
    load.admits_more().await;
    load.finish().await;
}

#[tokio::test]
async fn redis_may_come_after_the_store() {
    let redis = TestRedis::start().await.expect("redis starts");
    redis.kill().expect("own process");
    let store = RedisBuckets::connect(&Options::new(redis.url()), Metrics::noop()).expect("good options");
    let told = tokio::time::timeout(PATIENT, store.join(store::log())).await.expect("answers");
    assert!(matches!(told, Err(BucketError::Unreachable(_))), "{told:?}");
    assert!(matches!(store.health().await, BucketsHealth::Down(_)));
    assert!(matches!(ask(&store, one("a")).await, Ok(Outcome::Lost)));
    redis.start_again().await.expect("redis starts");
    rejoin(&store).await;
    assert!(is_allowed(&ask(&store, one("a")).await));
    assert_eq!(store.health().await, BucketsHealth::Ok);
}

#[tokio::test]
async fn a_distant_redis_is_joined_in_a_few_round_trips() {
    const EACH_WAY: Duration = Duration::from_millis(50);
    let redis = TestRedis::start().await.expect("redis starts");
    let proxy = Proxy::start(redis.address()).await.expect("a proxy");
    let options = Options::new(redis.url_through(proxy.addr()));
    assert_eq!(options.tags, 16);
    let store = joined(&options).await;
    proxy.set(Fault::Delay(EACH_WAY));
    // A busy machine makes some take longer; many round trips would make all.
    let mut took = Vec::new();
    while took.len() < 5 && took.iter().all(|took| *took >= 16 * EACH_WAY) {
        let start = Instant::now();
        let told = store.join(store::log()).await;
        took.push(start.elapsed());
        assert!(told.is_ok() || matches!(told, Err(BucketError::Deadline)) && took.last() > Some(&(16 * EACH_WAY)), "{told:?}");
    }
    assert!(took.iter().all(|took| *took >= 2 * EACH_WAY), "{took:?}: not by the proxy");
    assert!(took.iter().any(|took| *took < 16 * EACH_WAY), "{took:?}: half of what 16 round trips take");
}

#[tokio::test]
async fn another_client_library_reads_the_state_id_as_it_was_meant() {
    let (redis, _store) = started().await;
    let mut witness = redis.connection().await.expect("redis answers");
    let mut seen = std::collections::BTreeSet::new();
    for tag in 0..16 {
        let mark: StateMark = redis::cmd("GET").arg(&store::names().state_id(tag)[..]).query_async(&mut witness).await.expect("a mark");
        assert_eq!((mark.log_id.as_str(), mark.tags), (&*store::log().0, 16));
        assert_eq!(mark.state_id.len(), 32);
        seen.insert(mark.state_id.clone());
        // What redis-rs writes, the bridge reads.
        redis::cmd("SET").arg("copy").arg(&mark).exec_async(&mut witness).await.expect("redis answers");
        let copy: Vec<u8> = redis::cmd("GET").arg("copy").query_async(&mut witness).await.expect("a copy");
        let bridged = <Wire<StateMark> as fred::types::FromValue>::from_value(fred::types::Value::Bytes(copy.into()));
        assert_eq!(bridged.expect("a good form").0, mark);
    }
    assert_eq!(seen.len(), 16, "every tag has an id of its own");
}

#[tokio::test]
async fn urls_of_every_kind_are_taken_and_passwords_never_shown() {
    for url in [
        "redis://user:hunter2@127.0.0.1:1/3",
        "rediss://user:hunter2@127.0.0.1:1",
        "redis-cluster://user:hunter2@127.0.0.1:1?node=127.0.0.1:2",
        "rediss-cluster://user:hunter2@127.0.0.1:1",
        "redis-sentinel://user:hunter2@127.0.0.1:1/0?sentinelServiceName=main",
    ] {
        let options = Options::new(url);
        let store = RedisBuckets::connect(&options, Metrics::noop()).expect(url);
        let shown = format!("{options:?} {store:?} {:?} {:?}", store.health().await, store.join(store::log()).await);
        assert!(!shown.contains("hunter2"), "{shown}");
    }
    for url in ["", "hunter2", "http://user:hunter2@host", "redis://user:hunter2@host:notaport"] {
        let refused = RedisBuckets::connect(&Options::new(url), Metrics::noop());
        let shown = refused.map(|_| ()).map_err(|error| format!("{error} {error:?}"));
        assert!(url.starts_with("http") || shown.is_err(), "{url} is taken");
        assert!(!format!("{shown:?}").contains("hunter2"), "{shown:?}");
    }
}
