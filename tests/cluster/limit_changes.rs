//! A changed limit keeps the debt in tokens.

use std::time::Instant;

use serde_json::{Value, json};

use super::MONTH;
use crate::support::{Cluster, NewKey};

fn limit(burst: u64, per_seconds: u64) -> Value {
    json!({"burst": burst, "per_seconds": per_seconds})
}

async fn key(cluster: &Cluster, rate_limit: Value) -> NewKey {
    cluster.key(json!({ "rate_limit": rate_limit })).await
}

#[tokio::test]
async fn one_a_month_spent_then_a_thousand_a_minute_leaves_999() {
    let cluster = Cluster::start(3).await;
    let key = key(&cluster, limit(1, MONTH)).await;
    let each = cluster.each(&key.api_key);
    each[0].authorize("").await.expect(200);
    each[1].authorize("").await.expect(429);
    key.patch(&cluster.admin_of(2), json!({"rate_limit": limit(1000, 60)})).await;
    // Converted by this very decision: what comes back is what comes while it is on its way, one each 60 ms.
    let asked = Instant::now();
    let remaining = each[1].peek().await.remaining.unwrap();
    let back = u64::try_from(asked.elapsed().as_millis() / 60).unwrap();
    assert!((999..=999 + back).contains(&remaining), "{remaining}, of which {back} may have come back");
    each[0].authorize("cost=900").await.expect(200);
}

#[tokio::test]
async fn a_thousand_a_minute_exhausted_then_a_thousand_a_month_stays_empty() {
    let cluster = Cluster::start(3).await;
    let key = key(&cluster, limit(1000, 60)).await;
    let each = cluster.each(&key.api_key);
    each[0].authorize("cost=1000").await.expect(200);
    key.patch(&cluster.admin_of(1), json!({"rate_limit": limit(1000, MONTH)})).await;
    // What came back under the old limit until now: 17 a second.
    let standing = each[2].peek().await;
    assert_eq!(standing.limits[0].per_seconds, MONTH, "the new limit holds");
    assert!(standing.remaining.unwrap() < 200, "tokens for nothing: {standing:?}");
    each[1].authorize("cost=200").await.expect(429);
}

#[tokio::test]
async fn of_a_hundred_half_spent_then_a_thousand_leaves_950() {
    let cluster = Cluster::start(3).await;
    let key = key(&cluster, limit(100, MONTH)).await;
    let each = cluster.each(&key.api_key);
    each[0].authorize("cost=50").await.expect(200);
    for api in &each {
        assert_eq!(api.peek().await.remaining, Some(50));
    }
    key.patch(&cluster.admin(), json!({"rate_limit": limit(1000, MONTH)})).await;
    for api in &each {
        assert_eq!(api.peek().await.remaining, Some(950));
    }
}

#[tokio::test]
async fn a_debt_above_the_new_burst_is_the_new_burst() {
    let cluster = Cluster::start(3).await;
    let key = key(&cluster, limit(1000, MONTH)).await;
    let each = cluster.each(&key.api_key);
    each[0].authorize("cost=900").await.expect(200);
    key.patch(&cluster.admin(), json!({"rate_limit": limit(10, MONTH)})).await;
    for api in &each {
        assert_eq!(api.peek().await.remaining, Some(0));
        api.authorize("").await.expect(429);
    }
    key.patch(&cluster.admin_of(1), json!({"rate_limit": limit(1000, MONTH)})).await;
    for api in &each {
        assert_eq!(api.peek().await.remaining, Some(990), "what was beyond the burst of 10 is forgiven");
    }
}

#[tokio::test]
async fn an_owners_changed_limit_keeps_its_debt_too() {
    let cluster = Cluster::start(3).await;
    cluster.limit_owner("acme", limit(100, MONTH)).await;
    let key = cluster.key(json!({"owner": "acme", "rate_limit": limit(1_000_000, MONTH)})).await;
    let each = cluster.each(&key.api_key);
    each[0].authorize("cost=50").await.expect(200);
    cluster.limit_owner("acme", limit(1000, MONTH)).await;
    for api in &each {
        let answer = api.peek().await;
        assert_eq!(answer.limits[1].remaining, 950, "{answer:?}");
    }
}
