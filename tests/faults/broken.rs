//! Single buckets that cannot be read, and a Redis that takes no more writes.

use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;
use tollgate_testkit::{Fleet, TestRedis};

use super::{BACK_WITHIN, PERIOD, tally::Tally, until};
use crate::support::{Cluster, Load, NewKey};

const KEYS: usize = 64;
const BURST: u64 = 8;

/// The name of a key's record, as Redis itself lists it.
async fn record(cluster: &Cluster, redis: &TestRedis, key: &NewKey) -> String {
    let pattern = format!("{}{{s??}}k:{}", cluster.fleet.prefix, key.key_id);
    let names: Vec<String> = redis::from_redis_value(redis.command(&["keys", &pattern]).await.unwrap()).unwrap();
    assert_eq!(names.len(), 1, "{pattern}: {names:?}");
    names[0].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_buckets_concern_nobody_else() {
    let redis = TestRedis::start().await.unwrap();
    let cluster = Cluster::of(Fleet::builder(3).redis(redis.url())).await;
    let mut keys = Vec::new();
    for _ in 0..KEYS {
        keys.push(cluster.limited_key(BURST, PERIOD).await);
    }
    let mut warm = JoinSet::new();
    for key in &keys {
        for api in cluster.each(&key.api_key) {
            warm.spawn(async move { api.authorize("").await.expect(200) });
        }
    }
    warm.join_all().await;
    let (garbage, list) = (record(&cluster, &redis, &keys[0]).await, record(&cluster, &redis, &keys[1]).await);
    redis.command(&["set", &garbage, "garbage"]).await.unwrap();
    redis.command(&["del", &list]).await.unwrap();
    redis.command(&["lpush", &list, "1"]).await.unwrap();

    let mut firing = JoinSet::new();
    for (number, key) in keys.iter().enumerate() {
        // All at once, so that nodes ask for the broken ones and others in one call.
        let api = cluster.node(number % 3).with(&key.api_key);
        firing.spawn(async move { (number, Load::on(vec![api]).connections(2).fire(12).await) });
    }
    for (number, shots) in firing.join_all().await {
        let tally = Tally::of(&shots);
        let expected = match number {
            0 | 1 => Tally { attempts: 12, unavailable: 12, ..Tally::default() },
            _ => Tally { attempts: 12, admitted: BURST - 3, limited: 12 - (BURST - 3), ..Tally::default() },
        };
        assert_eq!(tally, expected, "key {number}");
    }
    // A change of the key raises a fence, which replaces what cannot be read.
    for key in &keys[..2] {
        key.patch(&cluster.admin(), json!({"name": "mended"})).await;
        for api in cluster.each(&key.api_key) {
            api.authorize("").await.expect(200);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_redis_stops_charges_alone() {
    let redis = TestRedis::start().await.unwrap();
    let cluster = Cluster::of(Fleet::builder(2).redis(redis.url())).await;
    let (charged, exhausted) = (cluster.limited_key(100, PERIOD).await, cluster.limited_key(1, PERIOD).await);
    let (unlimited, revoked) = (cluster.key(json!({"rate_limit": null})).await, cluster.key(json!({"rate_limit": null})).await);
    for key in [&charged, &exhausted, &unlimited, &revoked] {
        cluster.node(0).with(&key.api_key).authorize("").await.expect(200);
    }
    revoked.revoke(&cluster.admin()).await;
    redis.command(&["config", "set", "maxmemory", "1"]).await.unwrap();
    for api in cluster.each(&charged.api_key) {
        let tally = Tally::of(&Load::on(vec![api]).connections(8).fire(20).await);
        assert_eq!(tally.unavailable, 20, "{tally:?}");
    }
    for node in 0..2 {
        let ask = async |key: &NewKey| cluster.node(node).with(&key.api_key).authorize("").await.status;
        assert_eq!((ask(&exhausted).await, ask(&unlimited).await, ask(&revoked).await), (429, 200, 401), "node {node}");
        assert_eq!(cluster.node(node).with(&charged.api_key).peek().await.remaining, Some(99), "a peek writes nothing");
    }
    let path = charged.path();
    let change = cluster.admin().patch(&path, &json!({"name": "other"})).send();
    let answer = tokio::time::timeout(Duration::from_secs(5), change).await.unwrap().expect(200);
    assert_eq!(answer.json()["propagated"], false, "a fence is a write");

    redis.command(&["config", "set", "maxmemory", "0"]).await.unwrap();
    for api in cluster.each(&charged.api_key) {
        until("charged again", BACK_WITHIN, async || Ok(api.authorize("").await.status == 200)).await;
    }
}
