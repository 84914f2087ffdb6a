//! What keys were used for, in a real Redis, read and spoiled by another client library.

#![allow(clippy::expect_used, reason = "tests fail by panicking")]

#[path = "support/store.rs"]
mod store;

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use store::{PATIENT, joined, names, started};
use tokio::time::Instant;
use tollgate_gate::ports::{BucketError, BucketStore, NodeId, TopName, TopSpan, UsageBatch, UsageCounts, UsageRow, UsageStore};
use tollgate_keys::KeyId;
use tollgate_redis::{Options, RedisBuckets};
use tollgate_telemetry::Metrics;
use tollgate_testkit::{RedisOptions, TestRedis, TestRedisCluster, conformance, eventually};

const ONE: UsageCounts = UsageCounts { allowed: 1, limited: 2, denied: 3, cost: 4 };

fn key_id() -> KeyId {
    KeyId::parse("a-key").expect("an id")
}

fn batch(number: u64, minute: u32) -> UsageBatch {
    let rows = vec![UsageRow { key_id: key_id(), minute, counts: ONE }];
    UsageBatch { node: NodeId(1), number, part: 0, rows }
}

async fn add(store: &RedisBuckets, batch: UsageBatch) {
    store.add(batch, Instant::now() + PATIENT).await.expect("redis answers");
}

async fn minutes(store: &RedisBuckets) -> Vec<(u32, UsageCounts)> {
    store.read(key_id(), Instant::now() + PATIENT).await.expect("redis answers").minutes
}

async fn this_minute(witness: &mut MultiplexedConnection) -> u32 {
    let (seconds, _): (u32, u32) = redis::cmd("TIME").query_async(witness).await.expect("redis answers");
    seconds / 60
}

/// The key of what a key was used for, by minutes.
fn by_minutes() -> Vec<u8> {
    names().usage_minutes("a-key").to_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keeps_the_contract_under_the_least_rights_and_on_a_cluster() {
    let acl = include_str!("../../../deploy/redis/tollgate.acl").trim();
    let redis = TestRedis::with(RedisOptions::default().user(&format!("{acl} >leaf"))).await.expect("redis starts");
    conformance::usage::all(&*joined(&Options::new(redis.url_as("tollgate", "leaf"))).await).await;
    let cluster = TestRedisCluster::start(3).await.expect("a cluster");
    conformance::usage::all(&*joined(&Options::new(cluster.url())).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_that_is_written_has_an_end() {
    let (redis, store) = started().await;
    let mut witness = redis.connection().await.expect("redis answers");
    let minute = this_minute(&mut witness).await;
    add(&store, batch(1, minute)).await;
    let top = |span: TopSpan| TopName { owner: None, span, slot: minute / span.minutes() };
    for span in TopSpan::ALL {
        store.put_top(top(span), NodeId(1), Box::from(*b"x"), Instant::now() + PATIENT).await.expect("redis answers");
    }
    let (hour_s, mut found) = (3600, 0);
    for (key, expected_s) in [
        (by_minutes(), hour_s),
        (names().usage_hours("a-key").to_vec(), 24 * hour_s),
        (names().usage_number(0, NodeId(1)).to_vec(), 24 * hour_s),
        (names().top(&top(TopSpan::TenMinutes)).to_vec(), 80 * 60),
        (names().top(&top(TopSpan::Hour)).to_vec(), 25 * hour_s),
    ] {
        let left_s: i64 = redis::cmd("TTL").arg(key).query_async(&mut witness).await.expect("redis answers");
        assert!((expected_s - 60..=expected_s).contains(&left_s), "{left_s} of {expected_s}");
        found += 1;
    }
    let keys: Vec<Vec<u8>> = redis::cmd("KEYS").arg("tg:*").query_async(&mut witness).await.expect("redis answers");
    assert_eq!(keys.len(), found + 16, "and the state ids, nothing else");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_holds_an_hour_whatever_the_clocks_of_nodes_say() {
    let (redis, store) = started().await;
    let mut witness = redis.connection().await.expect("redis answers");
    let minute = this_minute(&mut witness).await;
    for (number, at) in (1..).zip((0..2000).rev().map(|ago| minute - ago).chain([minute + 100_000, u32::MAX])) {
        add(&store, batch(number, at)).await;
    }
    let told = minutes(&store).await;
    assert!((59..=60).contains(&told.len()), "{}", told.len());
    let now = this_minute(&mut witness).await;
    assert!(told.iter().all(|(at, _)| (minute - 59..=now).contains(at)), "{told:?}");
    // The minute may have ended before the last two came.
    let sum: u64 = told.iter().map(|(_, counts)| counts.allowed).sum();
    assert!((told.len() as u64 + 1..=told.len() as u64 + 2).contains(&sum), "what lies ahead counts for now: {told:?}");
    let bytes: usize = redis::cmd("STRLEN").arg(by_minutes()).query_async(&mut witness).await.expect("redis answers");
    assert!(bytes <= 1 + 60 * 29, "{bytes}");
    let hours = store.read(key_id(), Instant::now() + PATIENT).await.expect("redis answers").hours;
    assert!((23..=24).contains(&hours.len()), "{hours:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_lies_in_its_place_is_replaced() {
    let (redis, store) = started().await;
    let mut witness = redis.connection().await.expect("redis answers");
    let minute = this_minute(&mut witness).await;
    let number = names().usage_number(0, NodeId(1)).to_vec();
    let top = TopName { owner: None, span: TopSpan::Hour, slot: 1 };
    for (spoilt, sent) in [("garbage", 1), ("\u{1}short", 2), ("", 3)] {
        for key in [by_minutes(), names().usage_hours("a-key").to_vec(), names().top(&top).to_vec(), number.clone()] {
            let () = redis::cmd("SET").arg(&key).arg(spoilt).query_async(&mut witness).await.expect("redis answers");
        }
        assert!(minutes(&store).await.is_empty());
        assert!(store.tops(vec![top.clone()], Instant::now() + PATIENT).await.expect("redis answers").is_empty());
        add(&store, batch(sent, minute)).await;
        assert_eq!(minutes(&store).await.last().map(|(_, counts)| *counts), Some(ONE), "{spoilt:?}");
        store.put_top(top.clone(), NodeId(1), Box::from(*b"x"), Instant::now() + PATIENT).await.expect("redis answers");
        assert_eq!(store.tops(vec![top.clone()], Instant::now() + PATIENT).await.expect("redis answers"), [Box::from(&b"x"[..])]);
    }
    for key in [by_minutes(), number] {
        let () = redis::cmd("DEL").arg(&key).query_async(&mut witness).await.expect("redis answers");
        let () = redis::cmd("RPUSH").arg(&key).arg("x").query_async(&mut witness).await.expect("redis answers");
    }
    assert!(minutes(&store).await.is_empty());
    add(&store, batch(4, minute)).await;
    assert_eq!(minutes(&store).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_gone_is_an_error_in_time() {
    let (redis, store) = started().await;
    drop(redis);
    let begun = Instant::now();
    let deadline = || Instant::now() + Duration::from_millis(50);
    assert!(store.add(batch(1, 7), deadline()).await.is_err());
    assert!(store.read(key_id(), deadline()).await.is_err());
    assert!(store.tops(vec![TopName { owner: None, span: TopSpan::Hour, slot: 1 }], deadline()).await.is_err());
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_eq!(store.losses(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_may_be_somebody_elses_is_left_as_it_is() {
    let (redis, _) = started().await;
    let mut witness = redis.connection().await.expect("redis answers");
    let stranger = RedisBuckets::connect(&Options { tags: 8, ..Options::new(redis.url()) }, Metrics::noop()).expect("good options");
    let refused = eventually("a refusal", PATIENT, async || {
        let told = stranger.join(store::log()).await;
        anyhow::ensure!(matches!(told, Err(BucketError::Unusable(_))), "{told:?}");
        Ok(())
    });
    refused.await.expect("redis answers");
    assert!(stranger.add(batch(1, 7), Instant::now() + PATIENT).await.is_err());
    let top = TopName { owner: None, span: TopSpan::Hour, slot: 1 };
    assert!(stranger.put_top(top, NodeId(1), Box::from(*b"x"), Instant::now() + PATIENT).await.is_err());
    let keys: Vec<Vec<u8>> = redis::cmd("KEYS").arg("tg:*").query_async(&mut witness).await.expect("redis answers");
    assert_eq!(keys.len(), 16, "the state ids, nothing else");
}
