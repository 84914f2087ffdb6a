//! The wire to Postgres broken in every way, and both stores gone.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;
use tollgate_testkit::{Fault, Fleet, Proxy, TestDatabase, TestPostgres, TestRedis};

use super::{BACK_WITHIN, PERIOD, SOON, until};
use crate::support::{Cluster, NewKey};

/// A request in an outage is answered in this time; the longest wait, for a look-up, is 1 s.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);
/// How long cached keys go on with both stores gone, in these tests.
const GRACE: Duration = Duration::from_secs(12);

/// A wire to the shared Postgres, and the URL of a database behind it.
async fn wire() -> (Proxy, TestDatabase, String) {
    let postgres = TestPostgres::shared().await.unwrap();
    let database = TestDatabase::migrated().await.unwrap();
    let proxy = Proxy::start(postgres.address()).await.unwrap();
    let url = database.url().replace(postgres.address(), &proxy.addr().to_string());
    assert_ne!(url, database.url());
    (proxy, database, url)
}

async fn asked(cluster: &Cluster, node: usize, key: &NewKey) -> u16 {
    let api = cluster.node(node).with(&key.api_key);
    tokio::time::timeout(ANSWERED_WITHIN, api.authorize("")).await.expect("answered in time").status
}

/// Cached keys go on; what must be looked up, and changes, cannot be answered for now.
async fn is_an_outage(cluster: &Cluster, cached: &NewKey, strangers: &[&NewKey]) {
    for node in 0..2 {
        assert_eq!(asked(cluster, node, cached).await, 200, "node {node}");
        for key in strangers {
            assert_eq!(asked(cluster, node, key).await, 503, "node {node}: never 401");
        }
    }
    let change = cluster.admin().patch(&cached.path(), &json!({"name": "n"})).send();
    let refused = tokio::time::timeout(ANSWERED_WITHIN, change).await.expect("refused in time").expect(503);
    assert!(!refused.header("retry-after").is_empty());
}

async fn is_over(cluster: &Cluster) {
    until("changes are made again", SOON, async || {
        Ok(cluster.admin().post("/v1/keys", &json!({"name": "after"})).send().await.status == 201)
    })
    .await;
    let fresh = cluster.limited_key(1000, PERIOD).await;
    for node in 0..2 {
        until("keys are looked up again", SOON, async || Ok(asked(cluster, node, &fresh).await == 200)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_wire_to_postgres_stops_look_ups_and_changes_alone() {
    let (proxy, _database, url) = wire().await;
    let fleet = Fleet::builder(2).postgres(url).without("TOLLGATE_POSTGRES__LOOKUP_TIMEOUT");
    let cluster = Cluster::of(fleet.without("TOLLGATE_POSTGRES__ACQUIRE_TIMEOUT")).await;
    let (cached, unseen) = (cluster.limited_key(1000, PERIOD).await, cluster.limited_key(1000, PERIOD).await);
    let unsigned = cluster.key(json!({"kind": "unsigned"})).await;
    for node in 0..2 {
        until("it is looked up", SOON, async || Ok(asked(&cluster, node, &cached).await == 200)).await;
        until("keys are told", SOON, async || Ok(cluster.admin_of(node).get("/v1/keys").send().await.status == 200)).await;
    }
    for fault in [Fault::Cut, Fault::BlackHole] {
        proxy.set(fault);
        is_an_outage(&cluster, &cached, &[&unseen, &unsigned]).await;
        proxy.mend();
        is_over(&cluster).await;
    }
    // Slow is not gone: what comes in time is used, and nothing is guessed about what does not.
    for fault in [Fault::Delay(Duration::from_millis(30)), Fault::Throttle(64 * 1024)] {
        proxy.set(fault);
        for node in 0..2 {
            assert_eq!(asked(&cluster, node, &cached).await, 200, "{fault:?}");
            for key in [&unseen, &unsigned] {
                let status = asked(&cluster, node, key).await;
                assert!(matches!(status, 200 | 503), "{fault:?}: {status}");
            }
        }
        let made = cluster.admin().post("/v1/keys", &json!({"name": "slowly"})).send().await.status;
        assert!(matches!(made, 201 | 503), "{fault:?}: {made}");
        proxy.mend();
        is_over(&cluster).await;
    }
    for node in 0..2 {
        for key in [&cached, &unseen, &unsigned] {
            until("all is as before", SOON, async || Ok(asked(&cluster, node, key).await == 200)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_both_stores_gone_cached_keys_go_on_for_the_grace_and_then_nobody() {
    let (to_postgres, _database, url) = wire().await;
    let redis = TestRedis::start().await.unwrap();
    let to_redis = Proxy::start(redis.address()).await.unwrap();
    let fleet = Fleet::builder(2).postgres(url).redis(redis.url_through(to_redis.addr())).without("TOLLGATE_OUTAGE__MODE");
    let fleet = fleet.env("TOLLGATE_OUTAGE__STALE_GRACE", format!("{}s", GRACE.as_secs()));
    let cluster = Cluster::of(fleet.env("TOLLGATE_REDIS__DECISION_TIMEOUT", "500ms")).await;
    let (key, unseen) = (cluster.limited_key(1_000_000, PERIOD).await, cluster.limited_key(1000, PERIOD).await);
    for node in 0..2 {
        assert_eq!(asked(&cluster, node, &key).await, 200);
    }
    let gone = Instant::now();
    to_postgres.set(Fault::BlackHole);
    to_redis.set(Fault::BlackHole);
    for node in 0..2 {
        let status = asked(&cluster, node, &key).await;
        // A machine that stood still for the whole grace proves nothing.
        assert!(status == 200 || gone.elapsed() > GRACE / 2, "node {node}: {status} after {:?}", gone.elapsed());
    }
    for node in 0..2 {
        until("the grace is over", SOON, async || {
            let (status, elapsed) = (asked(&cluster, node, &key).await, gone.elapsed());
            assert!(matches!(status, 200 | 503), "{status}");
            // The log was read at most a poll before both went.
            assert!(status == 200 || elapsed > GRACE / 2, "the grace has ended after {elapsed:?}");
            Ok(status == 503)
        })
        .await;
        for key in [&key, &unseen] {
            assert_eq!(asked(&cluster, node, key).await, 503, "nobody vouches for anything");
        }
    }
    assert!(gone.elapsed() > GRACE / 2);
    // Without Redis alone the log vouches for what is cached.
    to_postgres.mend();
    for node in 0..2 {
        until("cached keys go on", SOON, async || Ok(asked(&cluster, node, &key).await == 200)).await;
    }
    to_redis.mend();
    for api in cluster.each(&key.api_key) {
        until("exact again", BACK_WITHIN, async || {
            let answer = api.post("/v1/check", &json!({"peek": true})).send().await;
            // A node that decides by itself has half of it, and what it admits is in no bucket of Redis.
            Ok(answer.status == 200 && answer.check().remaining.is_some_and(|left| left > 1_000_000 - 100))
        })
        .await;
    }
    assert_eq!(asked(&cluster, 0, &unseen).await, 200);
}
