//! What a node finds out about the servers it speaks to.

#![allow(clippy::expect_used, reason = "tests fail by panicking")]

#[path = "support/store.rs"]
mod store;

use store::{PATIENT, ask, is_allowed, joined, one, started};
use tollgate_gate::ports::{BucketError, BucketStore, BucketsHealth, Outcome, StoreLook};
use tollgate_redis::{Options, RedisBuckets};
use tollgate_testkit::{RedisOptions, TestRedis, TestRedisCluster, eventually};

async fn look(store: &RedisBuckets) -> StoreLook {
    store.look().await.expect("redis answers")
}

#[tokio::test]
async fn another_policy_is_told_and_told_no_more_once_it_is_mended() {
    let (redis, store) = started().await;
    assert_eq!(look(&store).await.eviction, None, "redis keeps all by default");
    redis.command(&["config", "set", "maxmemory-policy", "volatile-lru"]).await.expect("set");
    let why = look(&store).await.eviction.expect("told");
    assert!(why.contains("volatile-lru") && why.contains(redis.address()), "{why}");
    redis.command(&["config", "set", "maxmemory-policy", "noeviction"]).await.expect("set");
    let mended = look(&store).await;
    assert_eq!((mended.eviction, mended.unseen, mended.clocks_us.len()), (None, None, 1));
}

#[tokio::test]
async fn keys_that_were_dropped_between_two_looks_are_told() {
    let (redis, store) = started().await;
    assert_eq!(look(&store).await.eviction, None);
    redis.command(&["set", "filling", &"x".repeat(100_000)]).await.expect("set");
    for (name, value) in [("maxmemory-policy", "allkeys-random"), ("maxmemory", "1")] {
        redis.command(&["config", "set", name, value]).await.expect("set");
    }
    let dropped = async || {
        let count: u64 = redis.info("stats", "evicted_keys").await?.parse()?;
        anyhow::ensure!(count > 0, "none yet");
        Ok(())
    };
    eventually("a key is dropped", PATIENT, dropped).await.expect("dropped");
    for (name, value) in [("maxmemory", "0"), ("maxmemory-policy", "noeviction")] {
        redis.command(&["config", "set", name, value]).await.expect("set");
    }
    let why = look(&store).await.eviction.expect("told, though the policy is good by now");
    assert!(why.contains("dropped"), "{why}");
}

#[tokio::test]
async fn a_server_that_became_a_replica_decides_nothing_until_it_is_a_master_again() {
    let (redis, store) = started().await;
    let other = TestRedis::start().await.expect("redis starts");
    look(&store).await;
    let connections = store.connection_count();
    let (host, port) = other.address().split_once(':').expect("an address");
    redis.command(&["replicaof", host, port]).await.expect("obeyed");
    assert!(matches!(store.look().await, Err(BucketError::Unusable(why)) if why.contains("slave")));
    assert!(store.connection_count() > connections, "what the gate holds of its state is distrusted");
    let refused = async || {
        let told = store.join(store::log()).await;
        anyhow::ensure!(matches!(&told, Err(BucketError::Unusable(why)) if why.contains("master")), "{told:?}");
        Ok(())
    };
    eventually("it is not joined", PATIENT, refused).await.expect("refused");
    assert!(matches!(store.health().await, BucketsHealth::Down(why) if why.contains(redis.address())));
    redis.command(&["replicaof", "no", "one"]).await.expect("obeyed");
    store::rejoin(&store).await;
    assert_eq!(look(&store).await.eviction, None);
    assert!(is_allowed(&ask(&store, one("after")).await));
}

/// Nothing else tells: the connection stands, and the state id has come over from the other one.
#[tokio::test]
async fn a_server_that_was_a_replica_in_between_is_distrusted() {
    let (redis, store) = started().await;
    let other = TestRedis::start().await.expect("redis starts");
    look(&store).await;
    look(&store).await;
    let connections = store.connection_count();
    let (host, port) = other.address().split_once(':').expect("an address");
    redis.command(&["replicaof", host, port]).await.expect("obeyed");
    redis.command(&["replicaof", "no", "one"]).await.expect("obeyed");
    assert_eq!(store.connection_count(), connections, "no connection was lost");
    look(&store).await;
    assert!(store.connection_count() > connections);
    let connections = store.connection_count();
    look(&store).await;
    assert_eq!(store.connection_count(), connections, "once");
}

#[tokio::test]
async fn a_loss_is_counted() {
    let (redis, store) = started().await;
    assert_eq!(store.losses(), 0);
    redis.command(&["flushall"]).await.expect("flushed");
    assert!(matches!(ask(&store, one("a")).await, Ok(Outcome::Lost)));
    store::rejoin(&store).await;
    assert_eq!(store.losses(), 1);
    store::rejoin(&store).await;
    assert_eq!(store.losses(), 1);
}

#[tokio::test]
async fn a_user_who_may_not_ask_is_told_what_to_allow_and_goes_on() {
    let line = include_str!("../../../deploy/redis/tollgate.acl").trim();
    let roles = line.replacen("+info ", "", 1);
    let blind = roles.replacen("+role ", "", 1);
    for (line, sees_role) in [(blind, false), (roles, true)] {
        let redis = TestRedis::with(RedisOptions::default().user(&format!("{line} >leaf"))).await.expect("redis takes the line");
        let store = joined(&Options::new(redis.url_as("tollgate", "leaf"))).await;
        let told = look(&store).await;
        assert!(told.unseen.is_some_and(|why| why.contains("+info") && why.contains(redis.address())), "{line}");
        assert!(told.eviction.is_none() && is_allowed(&ask(&store, one("a")).await));
        redis.command(&["replicaof", "127.0.0.1", "1"]).await.expect("obeyed");
        assert_eq!(store.look().await.is_err(), sees_role, "{line}");
    }
}

#[tokio::test]
async fn every_master_of_a_cluster_is_looked_at() {
    let cluster = TestRedisCluster::start(3).await.expect("a cluster");
    let store = joined(&Options::new(cluster.url())).await;
    assert_eq!(look(&store).await.clocks_us.len(), 3);
    for node in cluster.nodes() {
        node.command(&["config", "set", "maxmemory-policy", "allkeys-lfu"]).await.expect("set");
        assert!(look(&store).await.eviction.is_some_and(|why| why.contains(node.address())), "{}", node.address());
        node.command(&["config", "set", "maxmemory-policy", "noeviction"]).await.expect("set");
    }
    assert_eq!(look(&store).await.eviction, None);
}
