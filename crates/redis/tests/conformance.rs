//! The contract of every bucket store, kept by this one.

use std::sync::Arc;

use tollgate_gate::ports::BucketStore;
use tollgate_redis::{Options, RedisBuckets};
use tollgate_telemetry::Metrics;
use tollgate_testkit::{TestRedis, conformance, eventually};

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
