//! Slices over the store: given along with a decision, handed back with another.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]

#[path = "support/store.rs"]
mod store;

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use store::{Charges, PATIENT, ask, names, one, started};
use tokio::time::Instant;
use tollgate_gate::ports::{BucketStore, Decision, Fence, Leasing, Outcome, SubjectKind};
use tollgate_limits::{Cost, EPOCH_US, Grant, LeaseAsk, Record, Settle, Slices};
use tollgate_redis::{
    RedisBuckets,
    codec::{decode_record, encode_record},
};
use tollgate_testkit::eventually;

const WANT: u32 = 100;

async fn record(witness: &mut MultiplexedConnection, id: &str) -> Record {
    let key = names().record(names().tag_of(id), SubjectKind::Key, id).to_vec();
    let stored: Vec<u8> = redis::cmd("GET").arg(key).query_async(witness).await.expect("redis answers");
    decode_record(&stored).expect("a good record")
}

/// Charges one token and takes a slice ahead.
async fn take_slice(store: &RedisBuckets, id: &str) -> Grant {
    let lease = LeaseAsk { want: WANT, settle: None };
    match store.decide_leased(one(id), Leasing { ask: lease, realm: store.realm() }, Instant::now() + PATIENT).await {
        Ok(Outcome::Leased(_, grant)) => grant,
        told => panic!("no slice was given: {told:?}"),
    }
}

#[tokio::test]
async fn a_slice_is_charged_when_it_is_given_and_what_is_left_of_it_comes_back() {
    let (redis, store) = started().await;
    let mut witness = redis.connection().await.expect("redis answers");
    let mut attempts = 0..;
    let begun = Instant::now();
    // A slice that is handed back too late is not taken back: on a busy machine that takes some attempts.
    loop {
        assert!(begun.elapsed() < PATIENT * 6, "no slice came back in time");
        let id = format!("a{}", attempts.next().expect("without end"));
        let charges = Charges::from_first(&mut witness, &store, &id).await;
        let grant = take_slice(&store, &id).await;
        assert_eq!(grant.tokens, WANT);
        assert!((EPOCH_US..=2 * EPOCH_US).contains(&grant.valid_us), "{grant:?}");
        assert_eq!(charges.count(&mut witness).await, 2 + u64::from(WANT));
        assert_eq!(record(&mut witness, &id).await.slices.outstanding(), WANT);
        let settle = Settle { granted: WANT, unused: 60, stamp: grant.stamp };
        let peek = Decision { cost: Cost::ONE, peek: true, ..one(&id) };
        let lease = LeaseAsk { want: 0, settle: Some(settle) };
        let told = store.decide_leased(peek, Leasing { ask: lease, realm: store.realm() }, Instant::now() + PATIENT).await;
        assert!(matches!(told, Ok(Outcome::Allowed(_))), "{told:?}");
        let spent = charges.count(&mut witness).await;
        if spent == 2 + u64::from(WANT) - 60 {
            assert!(record(&mut witness, &id).await.slices.is_none(), "it is not counted any more");
            return;
        }
        assert_eq!(spent, 2 + u64::from(WANT), "all of it comes back, or nothing");
    }
}

#[tokio::test]
async fn a_named_thing_gives_no_slice() {
    let (_redis, store) = started().await;
    let mut named = one("a");
    named.subjects.first.kind = SubjectKind::Named;
    let lease = LeaseAsk { want: WANT, settle: None };
    let told = store.decide_leased(named, Leasing { ask: lease, realm: store.realm() }, Instant::now() + PATIENT).await;
    assert!(matches!(told, Ok(Outcome::Allowed(_))), "{told:?}");
}

/// Bytes that Redis has taken for everything but its clients: their buffers are as large as the calls
/// of a moment ago.
async fn used_memory(witness: &mut MultiplexedConnection) -> u64 {
    let stats: redis::InfoDict = redis::cmd("INFO").arg("memory").query_async(witness).await.expect("redis answers");
    let figure = |name: &str| stats.get::<u64>(name).expect("a figure");
    figure("used_memory") - figure("mem_clients_normal")
}

/// The same once it stands still: Redis tidies up by and by.
async fn settled_memory(witness: &mut MultiplexedConnection) -> u64 {
    let mut beat = tokio::time::interval(Duration::from_millis(200));
    let mut last = None;
    loop {
        beat.tick().await;
        let used = used_memory(witness).await;
        if last.replace(used) == Some(used) {
            return used;
        }
    }
}

/// Name, generation, limit, slices and expiry, and the tables of Redis that they are in.
#[tokio::test]
async fn a_bucket_takes_at_most_220_bytes_of_redis() {
    const BUCKETS: u64 = 20_000;
    let (redis, store) = started().await;
    let mut witness = redis.connection().await.expect("redis answers");
    let ask = |number: u64| {
        let lease = LeaseAsk { want: WANT, settle: None };
        store.decide_leased(one(&format!("{number:032}")), Leasing { ask: lease, realm: store.realm() }, Instant::now() + PATIENT)
    };
    // What connections, scripts and the like take is there before.
    assert!(matches!(ask(BUCKETS).await, Ok(Outcome::Leased(..))));
    let before = tokio::time::timeout(PATIENT, settled_memory(&mut witness)).await.expect("it stands still");
    for first in (0..BUCKETS).step_by(500) {
        for told in futures_util::future::join_all((first..first + 500).map(ask)).await {
            assert!(matches!(told, Ok(Outcome::Leased(..))), "{told:?}");
        }
    }
    let small = async || {
        let each = (settled_memory(&mut witness.clone()).await - before) / BUCKETS;
        anyhow::ensure!(each <= 220, "{each}");
        Ok(each)
    };
    let each = eventually("small buckets", PATIENT, small).await.expect("small");
    println!("a bucket with a slice out takes {each} bytes of Redis");
}

#[tokio::test]
async fn who_asks_for_no_slice_gets_none() {
    let (redis, store) = started().await;
    let mut witness = redis.connection().await.expect("redis answers");
    for _ in 0..20 {
        assert!(matches!(ask(&store, one("a")).await, Ok(Outcome::Allowed(_))));
    }
    assert!(record(&mut witness, "a").await.slices.is_none());
}

#[tokio::test]
async fn slices_that_cannot_be_read_break_a_record_until_its_next_fence() {
    let (redis, store) = started().await;
    let mut witness = redis.connection().await.expect("redis answers");
    let slices = Slices { epoch: 9_000_000_000, current: 7, previous: 0, quiet: 0, series: 1 };
    let good = encode_record(&Record { slices, ..Record::default() }).to_vec();
    let head = good.len() - 14;
    // Current, previous and quiet lie behind five bytes of epoch, and two of series follow.
    let with = |tokens: [u8; 7]| [&good[..head + 5], &tokens, &good[head + 12..]].concat();
    let (none, most) = (with([0; 7]), with([0x3f, 0xff, 0xff, 0, 0, 1, 0]));
    let too_many = with([0x3f, 0xff, 0xff, 0, 0, 2, 0]);
    let (short, flagless) = (good[..good.len() - 1].to_vec(), [&good[..1], &[0], &good[2..]].concat());
    for (number, (bytes, is_good)) in
        [(good.clone(), true), (most, true), (none, false), (too_many, false), (short, false), (flagless, false)].into_iter().enumerate()
    {
        let id = format!("b{number}");
        assert_eq!(decode_record(&bytes).is_some(), is_good, "{number}");
        let key = names().record(names().tag_of(&id), SubjectKind::Key, &id).to_vec();
        redis::cmd("SET").arg(&key).arg(bytes).exec_async(&mut witness).await.expect("redis answers");
        let told = ask(&store, one(&id)).await;
        assert_eq!(matches!(told, Ok(Outcome::Allowed(_))), is_good, "{number}: {told:?}");
        assert_eq!(matches!(told, Ok(Outcome::Broken)), !is_good, "{number}: {told:?}");
        let first = one(&id).subjects.first;
        let (placed_by, generation) = (first.id.clone(), first.generation);
        let fence = Fence { kind: first.kind, id: first.id, placed_by, generation, revoked: false, reset: false };
        store.raise_fence(fence, Instant::now() + PATIENT).await.expect("raised");
        assert!(record(&mut witness, &id).await.slices.is_none() || is_good, "{number}");
        let told = ask(&store, one(&id)).await;
        assert!(matches!(told, Ok(Outcome::Allowed(_))), "{number}: {told:?}");
    }
}
