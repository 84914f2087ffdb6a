//! Fences that outlive their buckets, and changes that could not be fenced.

use std::time::Duration;

use serde_json::json;
use tollgate_testkit::{Fault, Fleet, Node, Proxy, TestRedis};

use super::{SOON, until};
use crate::support::{Api, Cluster, NewKey, metric};

/// Nodes read the change log every 2 s; five times that.
const BY_THE_LOG: Duration = Duration::from_secs(10);

async fn micros(redis: &TestRedis) -> u64 {
    let (seconds, micros): (u64, u64) = redis::from_redis_value(redis.command(&["time"]).await.unwrap()).unwrap();
    seconds * 1_000_000 + micros
}

/// Waits until a bucket that was spent before now, of 1 per 1 s, is full again.
async fn until_refilled(redis: &TestRedis) {
    let spent_at = micros(redis).await;
    until("the bucket is full", SOON, async || Ok(micros(redis).await > spent_at + 1_100_000)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fences_outlive_a_bucket_of_one_second() {
    let redis = TestRedis::start().await.unwrap();
    let slow = Fleet::builder(2).redis(redis.url()).env("TOLLGATE_CHANGE_LOG__POLL_INTERVAL", "1m");
    let cluster = Cluster::of(slow).await;
    let of_a_second = json!({"rate_limit": {"burst": 1, "per_seconds": 1}, "scopes": ["reports"]});
    let (revoked, narrowed) = (cluster.key(of_a_second.clone()).await, cluster.key(of_a_second).await);
    for key in [&revoked, &narrowed] {
        cluster.node(1).with(&key.api_key).authorize("scope=reports").await.expect(200);
    }
    revoked.revoke(&cluster.admin()).await;
    narrowed.patch(&cluster.admin(), json!({"scopes": []})).await;
    until_refilled(&redis).await;
    // A decision under the new rules writes the bucket, which then is over before the fence.
    cluster.node(0).with(&narrowed.api_key).authorize("").await.expect(200);
    until_refilled(&redis).await;
    // Node 1 has both in memory as they were.
    cluster.node(1).with(&revoked.api_key).authorize("").await.expect(401);
    cluster.node(1).with(&narrowed.api_key).authorize("scope=reports").await.expect(403);
}

/// A node like the others whose Redis is reached through the proxy, and who gives it up soon.
async fn node_through(cluster: &Cluster, redis: &TestRedis, proxy: &Proxy) -> Node {
    let builder = cluster.fleet.builder.clone().env("TOLLGATE_REDIS__DECISION_TIMEOUT", "200ms");
    builder.env("TOLLGATE_REDIS__URL", redis.url_through(proxy.addr())).start().await.unwrap()
}

async fn change(admin: &Api, key: &NewKey, revoke: bool) {
    let call =
        if revoke { admin.post(&format!("{}/revoke", key.path()), &json!({})) } else { admin.patch(&key.path(), &json!({"scopes": []})) };
    let answer = tokio::time::timeout(Duration::from_secs(5), call.send()).await.expect("answered in time").expect(200);
    assert_eq!(answer.json()["propagated"], false, "{}", answer.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_without_its_fence_holds_by_the_log() {
    let redis = TestRedis::start().await.unwrap();
    let cluster = Cluster::of(Fleet::builder(2).redis(redis.url())).await;
    let proxy = Proxy::start(redis.address()).await.unwrap();
    let alone = node_through(&cluster, &redis, &proxy).await;
    let admin = Api::of(&alone).with(&cluster.fleet.admin_key);
    for fault in [Fault::Cut, Fault::BlackHole] {
        let scoped = json!({"rate_limit": null, "scopes": ["reports"]});
        let (revoked, narrowed) = (cluster.key(scoped.clone()).await, cluster.key(scoped).await);
        for api in cluster.each(&revoked.api_key).into_iter().chain(cluster.each(&narrowed.api_key)) {
            api.authorize("scope=reports").await.expect(200);
        }
        proxy.set(fault);
        change(&admin, &revoked, true).await;
        change(&admin, &narrowed, false).await;
        for node in 0..2 {
            let status = async |key: &NewKey| cluster.node(node).with(&key.api_key).authorize("scope=reports").await.status;
            until("the revocation holds", BY_THE_LOG, async || Ok(status(&revoked).await == 401)).await;
            until("the lost scope holds", BY_THE_LOG, async || Ok(status(&narrowed).await == 403)).await;
        }
        proxy.mend();
        // Its own Redis is back: it decides by it again and knows of both.
        let own = Api::of(&alone);
        until("the node is back", SOON, async || Ok(own.with(&narrowed.api_key).authorize("").await.status == 200)).await;
        own.with(&revoked.api_key).authorize("").await.expect(401);
    }
}

/// What has no answer from its Redis, and is decided by the node's own share, follows the log all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_cut_off_from_redis_hears_of_a_revocation_by_the_log() {
    let redis = TestRedis::start().await.unwrap();
    let cluster = Cluster::of(Fleet::builder(1).redis(redis.url()).env("TOLLGATE_OUTAGE__MODE", "local")).await;
    let proxy = Proxy::start(redis.address()).await.unwrap();
    let alone = node_through(&cluster, &redis, &proxy).await;
    for fault in [Fault::Cut, Fault::BlackHole] {
        let key = cluster.key(json!({"rate_limit": {"burst": 1_000_000, "per_seconds": 60}})).await;
        let own = Api::of(&alone).with(&key.api_key);
        own.authorize("").await.expect(200);
        proxy.set(fault);
        own.authorize("").await.expect(200);
        assert_eq!(metric(&alone, "tollgate_outage_mode").await, 1, "it decides by itself");
        key.revoke(&cluster.admin()).await;
        until("the revocation holds", BY_THE_LOG, async || Ok(own.authorize("").await.status == 401)).await;
        proxy.mend();
        let admin = Api::of(&alone).with(&cluster.fleet.admin_key);
        until("its Redis is back", SOON, async || {
            admin.authorize("").await;
            Ok(metric(&alone, "tollgate_outage_mode").await == 0)
        })
        .await;
    }
}
