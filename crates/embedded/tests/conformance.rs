//! The stores of one node keep the contracts that Redis and Postgres keep.

use std::{sync::Arc, time::Duration};

use tollgate_embedded::{KeyFile, KeyFileRetention, MemoryBuckets, MemoryBucketsBounds, anchored_clock};
use tollgate_gate::ports::{BucketStore, KeyStore};
use tollgate_testkit::conformance;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn buckets_keep_the_contract() {
    let bounds = MemoryBucketsBounds { subjects_max: 100_000, fence_ttl: Duration::from_mins(70) };
    let store: Arc<dyn BucketStore> = Arc::new(MemoryBuckets::new(bounds, anchored_clock()));
    conformance::buckets::all(&store).await;
    assert!(format!("{store:?}").contains("MemoryBuckets"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn keys_keep_the_contract() {
    let folder = tempfile::tempdir().expect("a folder");
    let store: Arc<dyn KeyStore> = Arc::new(KeyFile::open(folder.path(), KeyFileRetention::default()).expect("a key file"));
    conformance::keys::all(&store).await;
    assert!(format!("{store:?}").contains("keys.redb"));
}
