//! What a client is told when it is limited, and that it is true.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;
use tollgate_testkit::eventually;

use crate::support::{Cluster, Load};

#[tokio::test]
async fn a_429_says_which_limit_and_when_to_come_back() {
    let cluster = Cluster::start(1).await;
    cluster.limit_owner("acme", json!({"burst": 1000, "per_seconds": 100_000})).await;
    let key = cluster.key(json!({"owner": "acme", "rate_limit": {"burst": 2, "per_seconds": 7200}})).await;
    let api = cluster.node(0).with(&key.api_key);
    let allowed = api.authorize("cost=2").await.expect(200);
    assert_eq!(allowed.header("ratelimit-policy"), "\"key\";q=2;w=7200, \"owner\";q=1000;w=100000");
    assert_eq!(allowed.header("ratelimit"), "\"key\";r=0;t=7200, \"owner\";r=998;t=200");
    assert!(!allowed.headers.contains_key("retry-after"));
    let refused = api.authorize("").await.expect(429);
    assert_eq!(refused.header("ratelimit-policy"), allowed.header("ratelimit-policy"));
    assert!(refused.header("ratelimit").starts_with("\"key\";r=0;t=7"), "{:?}", refused.headers);
    let seconds: u64 = refused.header("retry-after").parse().unwrap();
    assert!((3500..=3600).contains(&seconds), "half of the period: {seconds}");
    let problem = refused.problem();
    assert_eq!(problem.kind, "https://iana.org/assignments/http-problem-types#quota-exceeded");
    assert_eq!((problem.status, problem.instance.as_str()), (429, "/v1/authorize"));
    assert_eq!(refused.json()["violated-policies"], json!(["key"]));
    assert_eq!(problem.retry_after_ms.unwrap().div_ceil(1000), seconds);
}

#[tokio::test]
async fn the_counter_moves_by_the_number_of_429s() {
    let cluster = Cluster::start(3).await;
    let key = cluster.limited_key(40, 86_400).await;
    let before = cluster.counted("api_rate_limit_throttled_total").await;
    let shots = Load::on(cluster.each(&key.api_key)).costs(&[1, 2]).fire(200).await;
    let refused = shots.iter().filter(|shot| shot.answer.status == 429).count();
    assert!(refused >= 100, "{refused}");
    let api = cluster.node(1).with(&key.api_key);
    // Told as 403, or as data: throttled all the same. Denied, unreadable or only asked: not.
    api.authorize("limited_status=403").await.expect(403);
    api.post("/v1/check", &json!({})).send().await.expect(200);
    api.authorize("scope=none").await.expect(403);
    api.authorize("cost=0").await.expect(400);
    api.peek().await;
    api.without_key().authorize("").await.expect(401);
    let after = cluster.counted("api_rate_limit_throttled_total").await;
    assert_eq!(after - before, u64::try_from(refused).unwrap() + 2);
}

#[tokio::test]
async fn who_waits_as_told_is_allowed_and_nobody_earlier() {
    let cluster = Cluster::start(3).await;
    // One token each five seconds: time enough to be refused before one is back.
    let key = cluster.limited_key(2, 10).await;
    let each = cluster.each(&key.api_key);
    for api in &each {
        api.peek().await;
    }
    each[0].authorize("cost=2").await.expect(200);
    let asked = Instant::now();
    let refused = each[1].authorize("").await.expect(429);
    let promised = Instant::now() + Duration::from_secs(refused.header("retry-after").parse().unwrap());
    let exact = asked + Duration::from_millis(refused.problem().retry_after_ms.unwrap().saturating_sub(1));
    // Refused until the exact instant, by every node.
    let passed = eventually("the promised token", Duration::from_mins(1), async || {
        let answer = each[2].authorize("").await;
        anyhow::ensure!(answer.status == 200, "still {}", answer.status);
        Ok(Instant::now())
    });
    assert!(passed.await.unwrap() >= exact, "a token before its time");
    // The other token is there five seconds later; from the promised instant on one try is enough.
    let refused = each[0].authorize("cost=2").await.expect(429);
    let promised = promised.max(Instant::now() + Duration::from_secs(refused.header("retry-after").parse().unwrap()));
    tokio::time::sleep_until(promised).await;
    each[1].authorize("cost=2").await.expect(200);
}

#[tokio::test]
async fn a_gateway_that_knows_only_403_is_told_so() {
    let cluster = Cluster::start(1).await;
    let key = cluster.limited_key(1, 86_400).await;
    let api = cluster.node(0).with(&key.api_key);
    api.authorize("limited_status=403").await.expect(200);
    let refused = api.authorize("limited_status=403").await;
    assert_eq!(refused.refusal(), (403, "quota-exceeded".into()));
    assert!(!refused.header("retry-after").is_empty());
    assert_eq!(api.authorize("limited_status=429").await.status, 429);
    assert_eq!(api.authorize("limited_status=418").await.refusal(), (400, "invalid-parameter".into()));
}
