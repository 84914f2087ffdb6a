//! Postgres gone while nodes serve.

use std::time::Duration;

use serde_json::json;
use sqlx::Connection;
use tollgate_testkit::{Fleet, FleetBuilder, TestDatabase, TestPostgres, TestRedis};

use super::{BACK_WITHIN, PERIOD, SOON, remaining, until};
use crate::support::{Api, Cluster, NewKey, in_the_end};

/// A call of the control plane takes at most this long in an outage; the target is 2 s.
const REFUSED_WITHIN: Duration = Duration::from_secs(10);

/// Nodes that wait for Postgres as long as they do by default.
fn fleet() -> FleetBuilder {
    Fleet::builder(2).without("TOLLGATE_POSTGRES__LOOKUP_TIMEOUT").without("TOLLGATE_POSTGRES__ACQUIRE_TIMEOUT")
}

async fn refuses_changes(admin: &Api, key: &NewKey) {
    let calls = [
        admin.post("/v1/keys", &json!({"name": "n"})),
        admin.patch(&key.path(), &json!({"name": "n"})),
        admin.post(&format!("{}/revoke", key.path()), &json!({})),
        admin.put("/v1/owners/acme", &json!({"rate_limit": {"burst": 1, "per_seconds": 1}})),
    ];
    for call in calls {
        tokio::time::timeout(REFUSED_WITHIN, call.send()).await.expect("refused in time").expect(503);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_postgres_cached_keys_go_on_and_nothing_is_guessed() {
    let postgres = TestPostgres::start().await.unwrap();
    let database = TestDatabase::migrated_in(&postgres).await.unwrap();
    let cluster = Cluster::of(fleet().postgres(database.url())).await;
    let (cached, unseen) = (cluster.limited_key(50, PERIOD).await, cluster.limited_key(50, PERIOD).await);
    let unsigned = cluster.key(json!({"kind": "unsigned"})).await;
    for node in 0..2 {
        let api = cluster.node(node).with(&cached.api_key);
        in_the_end(|| api.get("/v1/authorize")).await.expect(200);
        in_the_end(|| cluster.admin_of(node).get("/v1/keys")).await.expect(200);
    }
    for is_frozen in [false, true] {
        if is_frozen { postgres.stop() } else { postgres.kill() }.unwrap();
        for node in 0..2 {
            cluster.node(node).with(&cached.api_key).authorize("").await.expect(200);
            for key in [&unseen, &unsigned] {
                cluster.node(node).with(&key.api_key).authorize("").await.expect(503);
            }
        }
        refuses_changes(&cluster.admin(), &cached).await;
        cluster.node(0).with(&cached.api_key).authorize("").await.expect(200);
        if is_frozen {
            postgres.cont().unwrap();
        } else {
            postgres.start_again().await.unwrap();
        }
        until("changes are made again", BACK_WITHIN, async || {
            Ok(cluster.admin().patch(&unseen.path(), &json!({"name": format!("{is_frozen}")})).send().await.status == 200)
        })
        .await;
        // Read by nobody before: not in memory for the second round.
        let fresh = cluster.limited_key(1, PERIOD).await;
        for node in 0..2 {
            until("keys are looked up again", SOON, async || Ok(cluster.node(node).with(&fresh.api_key).authorize("").await.status != 503))
                .await;
        }
    }
    assert_eq!(cluster.node(0).with(&cached.api_key).peek().await.remaining, Some(50 - 8), "charged by every answer");
    for key in [&unseen, &unsigned] {
        let api = cluster.node(1).with(&key.api_key);
        in_the_end(|| api.get("/v1/authorize")).await.expect(200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_held_open_on_the_log_holds_up_changes_alone() {
    let cluster = Cluster::start(2).await;
    let (cached, unseen) = (cluster.limited_key(50, PERIOD).await, cluster.limited_key(50, PERIOD).await);
    cluster.node(1).with(&cached.api_key).authorize("").await.expect(200);
    let mut connection = cluster.fleet.database.as_ref().unwrap().connection().await.unwrap();
    let mut held = connection.begin().await.unwrap();
    sqlx::query("select * from change_head for update").execute(&mut *held).await.unwrap();
    refuses_changes(&cluster.admin(), &cached).await;
    for key in [&cached, &unseen] {
        cluster.node(1).with(&key.api_key).authorize("").await.expect(200);
    }
    held.rollback().await.unwrap();
    cached.patch(&cluster.admin(), json!({"name": "after"})).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_outlive_both_stores() {
    let (postgres, redis) = (TestPostgres::start().await.unwrap(), TestRedis::start().await.unwrap());
    let database = TestDatabase::migrated_in(&postgres).await.unwrap();
    let cluster = Cluster::of(fleet().postgres(database.url()).redis(redis.url())).await;
    let (key, revoked) = (cluster.limited_key(50, PERIOD).await, cluster.limited_key(50, PERIOD).await);
    for api in cluster.each(&key.api_key).into_iter().chain(cluster.each(&revoked.api_key)) {
        in_the_end(|| api.get("/v1/authorize")).await.expect(200);
    }
    revoked.revoke(&cluster.admin()).await;
    postgres.kill().unwrap();
    redis.kill().unwrap();
    for api in cluster.each(&key.api_key) {
        api.authorize("").await.expect(503);
    }
    // Redis has forgotten its fences, and the log cannot say what they were: nobody is admitted.
    redis.start_again().await.unwrap();
    for api in cluster.each(&key.api_key).into_iter().chain(cluster.each(&revoked.api_key)) {
        assert!(matches!(api.authorize("").await.status, 401 | 503), "admitted by rules that nobody vouches for");
    }
    postgres.start_again().await.unwrap();
    for (api, revoked) in cluster.each(&key.api_key).iter().zip(cluster.each(&revoked.api_key)) {
        assert!(remaining(api, BACK_WITHIN).await >= 49, "a new state");
        in_the_end(|| api.get("/v1/authorize")).await.expect(200);
        in_the_end(|| revoked.get("/v1/authorize")).await.expect(401);
    }
}
