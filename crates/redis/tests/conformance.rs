//! The contract of every bucket store, kept by this one.

use std::sync::Arc;

use tollgate_gate::ports::{BucketStore, LogId};
use tollgate_redis::{Options, RedisBuckets};
use tollgate_telemetry::Metrics;
use tollgate_testkit::{TestRedis, TestRedisCluster, conformance, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn keeps_the_contract_of_buckets() {
    let redis = TestRedis::start().await.expect("redis starts");
    let store = RedisBuckets::connect(&Options::new(redis.url()), Metrics::noop()).expect("good options");
    let connected = async || {
        anyhow::ensure!(store.connection_count() > 1, "not connected");
        Ok(())
    };
    eventually("connections", std::time::Duration::from_secs(10), connected).await.expect("redis answers");
    let store: Arc<dyn BucketStore> = Arc::new(store);
    conformance::buckets::all(&store).await;
}

/// T36: the same over three masters, where a call that touched two slots would be refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn keeps_the_contract_of_buckets_on_a_cluster() {
    let redis = TestRedisCluster::start(3).await.expect("a cluster");
    let store = Arc::new(RedisBuckets::connect(&Options::new(redis.url()), Metrics::noop()).expect("good options"));
    let log = LogId("0123456789abcdef".into());
    eventually("the buckets are joined", std::time::Duration::from_secs(30), async || Ok(store.join(log.clone()).await?))
        .await
        .expect("redis answers");
    let store: Arc<dyn BucketStore> = store;
    conformance::buckets::all_joined(&store).await;
    for node in redis.nodes() {
        let stats: String = redis::from_redis_value(node.command(&["info", "errorstats"]).await.expect("an answer")).expect("a text");
        assert!(!stats.contains("errorstat_CROSSSLOT"), "{stats}");
    }
}
