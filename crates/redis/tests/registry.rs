//! The registry of nodes, and probes of what does not answer.

#![allow(clippy::expect_used, reason = "tests fail by panicking")]

use std::time::Duration;

use tollgate_gate::ports::{BucketStore, NodeId, NodeRegistry};
use tollgate_redis::{Options, RedisBuckets};
use tollgate_telemetry::Metrics;
use tollgate_testkit::{RedisOptions, TestRedis, eventually};

const LONG: Option<Duration> = Some(Duration::from_mins(1));
const SHORT: Option<Duration> = Some(Duration::from_millis(50));
const SOON: Duration = Duration::from_secs(30);

/// Under the least rights that a node needs.
async fn started() -> (TestRedis, RedisBuckets) {
    let acl = include_str!("../../../deploy/redis/tollgate.acl").trim();
    let options = RedisOptions::default().user(&format!("{acl} >leaf"));
    let redis = TestRedis::with(options).await.expect("redis starts");
    let store = RedisBuckets::connect(&Options::new(redis.url_as("tollgate", "leaf")), Metrics::noop()).expect("good options");
    let up = eventually("a probe is answered", SOON, async || Ok(store.probe(0).await?));
    up.await.expect("redis answers");
    (redis, store)
}

async fn live(store: &RedisBuckets, me: u128, ttl: Option<Duration>) -> Vec<u128> {
    let mut live: Vec<u128> = store.beat(NodeId(me), ttl).await.expect("redis answers").into_iter().map(|node| node.0).collect();
    live.sort_unstable();
    live
}

#[tokio::test]
async fn nodes_see_each_other_until_they_leave_or_are_forgotten() {
    let (redis, store) = started().await;
    assert_eq!(live(&store, 1, LONG).await, [1]);
    assert_eq!(live(&store, 2, LONG).await, [1, 2]);
    assert_eq!(live(&store, u128::MAX, SHORT).await, [1, 2, u128::MAX]);
    let forgotten = eventually("it is forgotten", SOON, async || {
        let live = live(&store, 1, LONG).await;
        anyhow::ensure!(live == [1, 2], "{live:?}");
        Ok(())
    });
    forgotten.await.expect("within the bound");
    assert_eq!(live(&store, 2, None).await, [1], "it has left");
    assert_eq!(live(&store, 1, None).await, [] as [u128; 0]);
    let gone = eventually("nothing is left", SOON, async || {
        anyhow::ensure!(redis.command(&["exists", "tg:{s00}nodes"]).await? == redis::Value::Int(0), "still there");
        Ok(())
    });
    gone.await.expect("the key expires with the last node");
}

#[tokio::test]
async fn what_nodes_tell_of_themselves_is_there_until_it_is_over() {
    let (redis, store) = started().await;
    let told = async |nodes: &[u128]| store.told(nodes.iter().copied().map(NodeId).collect()).await.expect("redis answers");
    assert!(told(&[]).await.is_empty());
    store.tell(NodeId(1), "one".to_owned(), Duration::from_mins(1)).await.expect("redis answers");
    store.tell(NodeId(u128::MAX), "last".to_owned(), Duration::from_millis(50)).await.expect("redis answers");
    assert_eq!(told(&[2, 1]).await, [None, Some("one".to_owned())]);
    store.tell(NodeId(1), "another".to_owned(), Duration::from_mins(1)).await.expect("redis answers");
    let over = eventually("it is over", SOON, async || {
        anyhow::ensure!(told(&[1, u128::MAX]).await == [Some("another".to_owned()), None], "still there");
        Ok(())
    });
    over.await.expect("within the bound");
    redis.command(&["lpush", &format!("tg:{{s00}}node:{:032x}", 3), "a"]).await.expect("redis answers");
    assert_eq!(told(&[3]).await, [None], "what is no text is none");
}

#[tokio::test]
async fn what_is_no_registry_is_replaced() {
    let (redis, store) = started().await;
    for spoil in [&["set", "tg:{s00}nodes", "garbage"][..], &["lpush", "tg:{s00}nodes", "a"]] {
        redis.command(&["del", "tg:{s00}nodes"]).await.expect("redis answers");
        redis.command(spoil).await.expect("redis answers");
        assert_eq!(live(&store, 1, LONG).await, [1]);
        assert_eq!(live(&store, 2, LONG).await, [1, 2]);
    }
}

#[tokio::test]
async fn a_probe_fails_while_redis_is_frozen_and_charges_nothing() {
    let (redis, store) = started().await;
    let before = redis.info("commandstats", "cmdstat_evalsha").await.ok();
    redis.stop().expect("frozen");
    let silent = tokio::time::timeout(Duration::from_millis(200), store.probe(0)).await;
    assert!(!matches!(silent, Ok(Ok(()))), "{silent:?}");
    redis.cont().expect("goes on");
    let up = eventually("a probe is answered", SOON, async || Ok(store.probe(0).await?));
    up.await.expect("redis answers");
    assert_eq!(redis.info("commandstats", "cmdstat_evalsha").await.ok(), before, "no script was run");
}
