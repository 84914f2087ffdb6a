//! Who is spoken to in plain text, and who is not, whatever a sentinel or a Cluster names.

#![allow(clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

#[path = "support/store.rs"]
mod store;

use store::{PATIENT, ask, is_allowed, joined, one};
use tollgate_gate::ports::{BucketStore as _, BucketsHealth, Bus as _, Heard};
use tollgate_redis::{Options, RedisBuckets, RedisBus};
use tollgate_telemetry::Metrics;
use tollgate_testkit::{RedisOptions, TestRedis, TestRedisCluster, eventually};

const NODE: &str = "user node on >hunter2 ~* &* +@all";
/// No loopback address, and yet one that every machine reaches itself by.
const BEYOND: &str = "0.0.0.0";

fn options(url: &str, allow_plaintext: bool) -> Options {
    Options { allow_plaintext, ..Options::new(url) }
}

/// Whether anybody has shown this Redis a password.
async fn heard_a_password(redis: &TestRedis) -> bool {
    redis.info("commandstats", "cmdstat_auth").await.is_ok()
}

/// Decisions and events say why there is no connection, and `others` hear nothing of a node.
async fn is_refused(url: &str, others: &[&TestRedis]) {
    let store = RedisBuckets::connect(&options(url, false), Metrics::noop()).expect("good options");
    let bus = RedisBus::connect(&options(url, false)).expect("good options");
    let told = eventually("a reason", PATIENT, async || match store.health().await {
        BucketsHealth::Down(why) if why.starts_with("not spoken to in plain text: ") => Ok(why),
        other => anyhow::bail!("{other:?}"),
    });
    let why = told.await.expect("a reason");
    assert!(why.contains(BEYOND) && why.contains("begin with rediss") && why.contains("allow_plaintext"), "{why}");
    assert!(!why.contains("hunter2"), "{why}");
    let told = store.decide(one("tk_a"), tokio::time::Instant::now()).await;
    assert!(!is_allowed(&told), "{told:?}");
    // The second attempt has failed as the first did.
    for _ in 0..2 {
        let heard = tokio::time::timeout(PATIENT, bus.next()).await.expect("something is heard");
        assert!(matches!(heard, Heard::Parted), "{heard:?}");
    }
    for other in others {
        assert!(!heard_a_password(other).await, "{}", other.address());
    }
}

/// Decisions are made, and `others` have been shown the password.
async fn is_used(options: &Options, others: &[&TestRedis]) {
    let store = joined(options).await;
    // Sixteen tags lie on all masters.
    for number in 0..64 {
        let told = ask(&store, one(&format!("tk_{number}"))).await;
        assert!(is_allowed(&told), "{told:?}");
    }
    for other in others {
        assert!(heard_a_password(other).await, "{}", other.address());
    }
}

#[tokio::test]
async fn members_of_a_cluster_beyond_loopback_are_told_nothing_unless_the_network_is_trusted() {
    let named = RedisOptions::default().user(NODE).line(&format!("cluster-announce-hostname {BEYOND}"));
    let cluster = TestRedisCluster::with(3, &named.line("cluster-preferred-endpoint-type hostname")).await.expect("a cluster");
    let url = format!("redis-cluster://node:hunter2@{}", cluster.node(0).expect("a node").address());
    let others = [cluster.node(1).expect("a node"), cluster.node(2).expect("a node")];
    is_refused(&url, &others).await;
    is_used(&options(&url, true), &others).await;
}

#[tokio::test]
async fn a_master_beyond_loopback_is_told_nothing_unless_the_network_is_trusted() {
    let (master, sentinel) = watched(BEYOND).await;
    is_refused(&sentinel_url(&sentinel), &[&master]).await;
    is_used(&options(&sentinel_url(&sentinel), true), &[&master]).await;
}

/// A master, and a sentinel that knows it by this address.
async fn watched(address: &str) -> (TestRedis, TestRedis) {
    let master = TestRedis::with(RedisOptions::default().user(NODE)).await.expect("redis starts");
    let (_, port) = master.address().rsplit_once(':').expect("an address");
    let watching = RedisOptions::default().sentinel().user(NODE).line(&format!("sentinel monitor main {address} {port} 1"));
    let sentinel = TestRedis::with(watching).await.expect("a sentinel");
    (master, sentinel)
}

fn sentinel_url(sentinel: &TestRedis) -> String {
    format!("redis-sentinel://node:hunter2@{}/0?sentinelServiceName=main", sentinel.address())
}

#[tokio::test]
async fn who_is_named_on_this_machine_is_used_without_a_word() {
    let cluster = TestRedisCluster::start(3).await.expect("a cluster");
    let (master, sentinel) = watched("127.0.0.1").await;
    for (url, others) in [(cluster.url(), &[][..]), (sentinel_url(&sentinel), &[&master][..])] {
        is_used(&options(&url, false), others).await;
    }
}
