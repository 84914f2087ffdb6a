//! Stores, decisions, and what Redis has really charged, read by another client library.

#![allow(dead_code, clippy::expect_used, reason = "part of several tests, which fail by panicking")]

use std::{sync::Arc, time::Duration};

use redis::aio::MultiplexedConnection;
use tokio::time::Instant;
use tollgate_gate::ports::{BucketError, BucketStore, Decision, LogId, Outcome, Subject, SubjectKind, Subjects};
use tollgate_limits::{Cost, LimitName, RateLimit, RateLimits};
use tollgate_redis::{Options, RedisBuckets, codec::decode_record, names::Names};
use tollgate_telemetry::Metrics;
use tollgate_testkit::{TestRedis, eventually};

pub(crate) const PATIENT: Duration = Duration::from_secs(10);
/// One token comes back in 2.7 s.
pub(crate) const BURST: u64 = 1_000_000;
const TOKEN_US: u64 = 2_678_400;

pub(crate) type Told = Result<Outcome, BucketError>;

pub(crate) fn log() -> LogId {
    LogId("0123456789abcdef".into())
}

pub(crate) fn names() -> Names {
    Names::new("tg:", 16).expect("good names")
}

/// A store that has joined the change log of these tests.
pub(crate) async fn joined(options: &Options) -> Arc<RedisBuckets> {
    let store = Arc::new(RedisBuckets::connect(options, Metrics::noop()).expect("good options"));
    rejoin(&store).await;
    store
}

pub(crate) async fn rejoin(store: &RedisBuckets) {
    eventually("the buckets are joined", PATIENT, async || Ok(store.join(log()).await?)).await.expect("redis answers");
}

pub(crate) async fn started() -> (TestRedis, Arc<RedisBuckets>) {
    let redis = TestRedis::start().await.expect("redis starts");
    let store = joined(&Options::new(redis.url())).await;
    (redis, store)
}

pub(crate) fn limits(burst: u64, per_seconds: u64) -> RateLimits {
    RateLimits::one(LimitName::new("key").expect("a good name"), RateLimit::new(burst, per_seconds).expect("in range"))
}

pub(crate) fn subject(kind: SubjectKind, id: &str, generation: u64, limits: &RateLimits) -> Subject {
    Subject { kind, id: id.into(), generation, limits: limits.clone() }
}

/// One token from a key that hardly refills.
pub(crate) fn one(id: &str) -> Decision {
    let first = subject(SubjectKind::Key, id, 1, &limits(BURST, 2_678_400));
    Decision { subjects: Subjects { first, owner: None }, cost: Cost::ONE, peek: false }
}

pub(crate) async fn ask(store: &RedisBuckets, decision: Decision) -> Told {
    store.decide(decision, Instant::now() + PATIENT).await
}

pub(crate) async fn ask_within(store: &RedisBuckets, decision: Decision, time: Duration) -> Told {
    store.decide(decision, Instant::now() + time).await
}

pub(crate) fn is_allowed(told: &Told) -> bool {
    matches!(told, Ok(Outcome::Allowed(_)))
}

/// Counts what a key of [`one`] was charged, by Redis' clock before its first charge.
pub(crate) struct Charges {
    key: Vec<u8>,
    from_us: u64,
}

impl Charges {
    /// Makes the first charge.
    pub(crate) async fn from_first(witness: &mut MultiplexedConnection, store: &RedisBuckets, id: &str) -> Self {
        let (seconds, micros): (u64, u64) = redis::cmd("TIME").query_async(witness).await.expect("redis answers");
        assert!(is_allowed(&ask(store, one(id)).await));
        let names = names();
        let key = names.record(names.tag_of(id), SubjectKind::Key, id).to_vec();
        Self { key, from_us: seconds * 1_000_000 + micros }
    }

    /// Tokens that were charged, exactly.
    pub(crate) async fn count(&self, witness: &mut MultiplexedConnection) -> u64 {
        let stored: Vec<u8> = redis::cmd("GET").arg(&self.key).query_async(witness).await.expect("redis answers");
        let record = decode_record(&stored).expect("a good record");
        let arrival = record.buckets.first().expect("a bucket").arrival.whole_us;
        (arrival - self.from_us) / TOKEN_US
    }
}
