//! Receipts in a real Redis, read and spoiled by another client library.

#![allow(clippy::expect_used, reason = "tests fail by panicking")]

#[path = "support/store.rs"]
mod store;

use std::time::Duration;

use store::{PATIENT, joined, names, started};
use tokio::time::Instant;
use tollgate_gate::ports::{ReceiptName, ReceiptStore, StoredReceipts};
use tollgate_redis::{Options, RedisBuckets};
use tollgate_testkit::TestRedisCluster;

const TTL: Duration = Duration::from_secs(1000);

fn receipt_name(key_id: &str, fingerprint: u64) -> ReceiptName {
    ReceiptName { key_id: key_id.into(), fingerprint }
}

async fn find(store: &RedisBuckets, wanted: &[&ReceiptName]) -> StoredReceipts {
    let wanted = wanted.iter().map(|name| (*name).clone()).collect();
    store.find(wanted, Instant::now() + PATIENT).await.expect("redis answers")
}

async fn leave(store: &RedisBuckets, name: &ReceiptName, receipt: [u8; 32]) {
    store.leave(name.clone(), receipt, TTL, Instant::now() + PATIENT).await.expect("redis answers");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receipt_is_found_as_it_was_left_and_has_an_end() {
    let (redis, store) = started().await;
    let (current, previous, other) = (receipt_name("tk_a", 1), receipt_name("tk_a", 2), receipt_name("tk_b", 1));
    assert_eq!(find(&store, &[&current, &previous]).await, [None, None]);
    leave(&store, &current, [7; 32]).await;
    assert_eq!(find(&store, &[&previous, &current]).await, [None, Some([7; 32].as_slice().into())]);
    assert_eq!(find(&store, &[&other]).await, [None]);
    let mut witness = redis.connection().await.expect("redis answers");
    let left_ms: i64 = redis::cmd("PTTL").arg(names().receipt(&current).to_vec()).query_async(&mut witness).await.expect("redis answers");
    assert!((1..=1_000_000).contains(&left_ms), "{left_ms}");
    leave(&store, &current, [8; 32]).await;
    assert_eq!(find(&store, &[&current]).await, [Some([8; 32].as_slice().into())], "the newer one");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_lies_in_its_place_is_no_error() {
    let (redis, store) = started().await;
    let (spoiled, good) = (receipt_name("tk_a", 1), receipt_name("tk_a", 2));
    leave(&store, &good, [7; 32]).await;
    let mut witness = redis.connection().await.expect("redis answers");
    let key = names().receipt(&spoiled).to_vec();
    let () = redis::cmd("RPUSH").arg(&key).arg("x").query_async(&mut witness).await.expect("redis answers");
    assert_eq!(find(&store, &[&spoiled, &good]).await, [None, Some([7; 32].as_slice().into())]);
    leave(&store, &spoiled, [9; 32]).await;
    assert_eq!(find(&store, &[&spoiled]).await, [Some([9; 32].as_slice().into())], "it is replaced");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_gone_is_an_error_in_time() {
    let (redis, store) = started().await;
    drop(redis);
    let started = Instant::now();
    let told = store.find(vec![receipt_name("tk_a", 1)], started + Duration::from_millis(50)).await;
    assert!(told.is_err() && started.elapsed() < Duration::from_secs(2), "{told:?} after {:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn receipts_lie_on_any_master_of_a_cluster() {
    let cluster = TestRedisCluster::start(3).await.expect("a cluster");
    let store = joined(&Options::new(cluster.url())).await;
    for number in 0..32 {
        let name = receipt_name(&format!("tk_{number}"), number);
        leave(&store, &name, [u8::try_from(number).expect("small"); 32]).await;
        assert!(find(&store, &[&name, &receipt_name(&name.key_id, u64::MAX)]).await.first().expect("two answers").is_some());
    }
}
