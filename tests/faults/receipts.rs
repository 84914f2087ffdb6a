//! All nodes restarted at once: with receipts nothing is hashed, without them nobody is refused.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::json;
use tokio::task::JoinSet;
use tollgate_testkit::{Fleet, TestRedis, eventually};

use super::SOON;
use crate::support::{Answer, Api, Cluster, NewKey, metric};

const HASHES: &str = "tollgate_argon2_duration_seconds_count";
const GUNNERS: usize = 64;
/// Changes are made one after the other: more would only wait.
const MAKERS: usize = 4;

/// Makes so many keys, every second one unsigned.
async fn make(cluster: &Cluster, count: usize) -> Vec<NewKey> {
    let (next, made) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
    let mut makers = JoinSet::new();
    for _ in 0..MAKERS {
        let (admin, next, made) = (cluster.admin(), Arc::clone(&next), Arc::clone(&made));
        makers.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return;
                }
                let kind = if number % 2 == 0 { "signed" } else { "unsigned" };
                let key = NewKey::make(&admin, json!({ "kind": kind })).await;
                made.lock().expect("no maker panics").push(key);
            }
        });
    }
    makers.join_all().await;
    std::mem::take(&mut *made.lock().expect("no maker panics"))
}

/// Shows every key to every node at once, again and again until it is let in; all other answers.
async fn show_all(apis: &[Api], keys: &[NewKey]) -> Vec<Answer> {
    let shown: Vec<Api> = keys.iter().flat_map(|key| apis.iter().map(|api| api.with(&key.api_key))).collect();
    let (shown, next) = (Arc::new(shown), Arc::new(AtomicUsize::new(0)));
    let mut gunners = JoinSet::new();
    for _ in 0..GUNNERS {
        let (shown, next) = (Arc::clone(&shown), Arc::clone(&next));
        gunners.spawn(async move {
            let others = Mutex::new(Vec::new());
            while let Some(api) = shown.get(next.fetch_add(1, Ordering::Relaxed)) {
                let let_in = eventually("a key gets through", SOON, async || {
                    let answer = api.authorize("").await;
                    if answer.status != 200 {
                        others.lock().expect("one at a time").push(answer);
                        anyhow::bail!("not yet");
                    }
                    Ok(())
                });
                let_in.await.unwrap();
            }
            others.into_inner().expect("nobody panics")
        });
    }
    gunners.join_all().await.into_iter().flatten().collect()
}

async fn restart_all(cluster: &mut Cluster) {
    for node in &cluster.fleet.nodes {
        node.kill().unwrap();
    }
    let mut starting = Vec::new();
    for node in &mut cluster.fleet.nodes {
        starting.push(node.start_again());
    }
    for started in starting {
        started.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_that_restarts_hashes_nothing_and_refuses_nobody() {
    // Keys are shown to a node that may not have heard of them yet.
    let mut cluster = Cluster::of(Fleet::builder(2).env("TOLLGATE_LOOKUP__BUDGET__BURST", "1000")).await;
    let keys = make(&cluster, 300).await;
    let apis = [cluster.node(0), cluster.node(1)];
    assert!(show_all(&apis, &keys).await.is_empty());
    restart_all(&mut cluster).await;
    assert!(show_all(&apis, &keys).await.is_empty(), "every key was let in at once");
    for node in &cluster.fleet.nodes {
        assert_eq!(metric(node, HASHES).await, 0, "a receipt was there for every key");
        assert_eq!(metric(node, "api_auth_total{outcome=\"verified\"}").await, 300);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_redis_emptied_too_what_cannot_wait_is_503_and_every_key_gets_through() {
    let redis = TestRedis::start().await.unwrap();
    // A hash takes about 50 times as long as elsewhere in the tests, and hardly any may wait for it.
    let slow = Fleet::builder(2).redis(redis.url()).env("TOLLGATE_ARGON2__MEMORY_KIB", "4096").env("TOLLGATE_ARGON2__THREADS", "1");
    let tight = slow.env("TOLLGATE_ARGON2__QUEUE_MAX", "4").env("TOLLGATE_ARGON2__WAIT_MAX", "50ms");
    let mut cluster = Cluster::of(tight).await;
    let keys = make_patiently(&cluster, 100).await;
    redis.command(&["FLUSHALL"]).await.unwrap();
    restart_all(&mut cluster).await;
    let apis = [cluster.node(0), cluster.node(1)];
    let others = show_all(&apis, &keys).await;
    assert!(!others.is_empty(), "the queue was never full: this proves nothing");
    for answer in &others {
        // What it tells of Retry-After is checked with every answer.
        assert_eq!(answer.status, 503, "{}", answer.text());
    }
    let hashes = cluster.counted(HASHES).await;
    assert!((100..=200).contains(&hashes), "{hashes}: each key once and node, or less, as there are receipts again");
    assert_eq!(cluster.counted("tollgate_argon2_queue_depth").await, 0);
    // What was hashed left a receipt.
    restart_all(&mut cluster).await;
    assert!(show_all(&apis, &keys).await.is_empty());
    assert_eq!(cluster.counted(HASHES).await, 0);
}

/// One after the other: new secrets have a short queue as well.
async fn make_patiently(cluster: &Cluster, count: usize) -> Vec<NewKey> {
    let mut keys = Vec::new();
    for _ in 0..count {
        keys.push(cluster.key(json!({})).await);
    }
    keys
}

/// A wait for it is no way around it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_revoked_while_all_are_down_is_refused() {
    let mut cluster = Cluster::start(2).await;
    let key = cluster.key(json!({})).await;
    cluster.node(1).with(&key.api_key).authorize("").await.expect(200);
    key.revoke(&cluster.admin()).await;
    restart_all(&mut cluster).await;
    for api in cluster.each(&key.api_key) {
        api.authorize("").await.expect(401);
    }
    tokio::time::timeout(Duration::from_secs(30), cluster.admin().authorize("")).await.expect("an answer").expect(200);
}
