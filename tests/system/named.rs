//! `/v1/check` and `/v1/limit`: verdicts as data.

use serde_json::{Value, json};
use tollgate_api::VerdictName;

use crate::support::{Api, Cluster};

const DAY: u64 = 86_400;

async fn limiter(cluster: &Cluster) -> Api {
    let key = cluster.key(json!({"scopes": ["limit:write"], "rate_limit": {"burst": 1000, "per_seconds": 60}})).await;
    cluster.node(0).with(&key.api_key)
}

#[tokio::test]
async fn a_check_tells_verdict_code_and_standing() {
    let cluster = Cluster::start(1).await;
    cluster.limit_owner("acme", json!({"burst": 100, "per_seconds": DAY})).await;
    let key = cluster.key(json!({"owner": "acme", "scopes": ["a"], "rate_limit": {"burst": 5, "per_seconds": DAY}})).await;
    let api = cluster.node(0).with(&key.api_key);
    let answer = api.post("/v1/check", &json!({"cost": 4, "scope": "a"})).send().await;
    assert!(answer.header("ratelimit").starts_with("\"key\";r=1;"));
    let allowed = answer.check();
    assert_eq!((allowed.verdict, allowed.code.as_str(), allowed.remaining), (VerdictName::Allowed, "allowed", Some(1)));
    assert_eq!((allowed.key_id.as_deref(), allowed.owner.as_deref()), (Some(key.key_id.as_str()), Some("acme")));
    assert_eq!((allowed.retry_after_ms, allowed.limit), (Some(0), None));
    let limited = api.post("/v1/check", &json!({"cost": 2})).send().await.check();
    assert_eq!((limited.verdict, limited.code.as_str(), limited.limit.as_deref()), (VerdictName::Limited, "limited", Some("key")));
    let fifth_of_day = DAY * 1000 / 5;
    assert!((fifth_of_day - 60_000..=fifth_of_day).contains(&limited.retry_after_ms.unwrap()), "{limited:?}");
    let denied = api.post("/v1/check", &json!({"scope": "b"})).send().await;
    assert!(!denied.tells_limits());
    let denied = denied.check();
    assert_eq!((denied.verdict, denied.code.as_str(), denied.remaining), (VerdictName::Denied, "scope_missing", None));
}

#[tokio::test]
async fn a_check_of_a_key_in_the_body_is_data_whoever_it_is() {
    let cluster = Cluster::start(1).await;
    let key = cluster.limited_key(2, DAY).await;
    let ask = async |body: Value| cluster.node(0).post("/v1/check", &body).send().await.check();
    assert_eq!(ask(json!({"api_key": key.api_key})).await.remaining, Some(1));
    assert_eq!(ask(json!({"api_key": key.api_key, "peek": true, "cost": 2})).await.verdict, VerdictName::Limited);
    assert_eq!(ask(json!({"api_key": key.api_key})).await.remaining, Some(0));
    for text in ["", "x", "tk_1:tks_2", &key.key_id, &format!("{}x", key.api_key)] {
        let answer = ask(json!({"api_key": text})).await;
        assert_eq!((answer.verdict, answer.code.as_str(), answer.key_id), (VerdictName::Denied, "unauthenticated", None), "{text}");
    }
    assert_eq!(ask(json!({})).await.code, "unauthenticated");
}

#[tokio::test]
async fn anything_that_has_a_name_can_be_limited() {
    let cluster = Cluster::start(1).await;
    let api = limiter(&cluster).await;
    let ask = async |id: &str, more: Value| {
        let mut body = json!({"namespace": "ip", "id": id, "rate_limit": {"burst": 3, "per_seconds": DAY}});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        api.post("/v1/limit", &body).send().await.check()
    };
    assert_eq!(ask("10.0.0.1", json!({"peek": true})).await.remaining, Some(3));
    assert_eq!(ask("10.0.0.1", json!({"cost": 2})).await.remaining, Some(1));
    let limited = ask("10.0.0.1", json!({"cost": 2})).await;
    assert_eq!((limited.verdict, limited.remaining, limited.limit.as_deref()), (VerdictName::Limited, Some(1), Some("limit")));
    assert_eq!(ask("10.0.0.2", json!({})).await.remaining, Some(2), "another thing");
    let other = json!({"namespace": "user", "id": "10.0.0.1", "rate_limit": {"burst": 3, "per_seconds": DAY}});
    assert_eq!(api.post("/v1/limit", &other).send().await.check().remaining, Some(2), "another namespace");
    // The limit comes with the call: another one keeps the debt.
    let raised = ask("10.0.0.1", json!({"rate_limit": {"burst": 10, "per_seconds": DAY}, "peek": true})).await;
    assert_eq!(raised.remaining, Some(8));
}

#[tokio::test]
async fn a_bad_name_limit_or_cost_is_422_and_pointed_at() {
    let cluster = Cluster::start(1).await;
    let api = limiter(&cluster).await;
    let good = json!({"namespace": "a", "id": "b", "rate_limit": {"burst": 3, "per_seconds": 60}});
    for (field, value, pointer) in [
        ("namespace", json!("A"), "/namespace"),
        ("namespace", json!(""), "/namespace"),
        ("namespace", json!("a".repeat(65)), "/namespace"),
        ("id", json!(""), "/id"),
        ("id", json!("a\u{7}"), "/id"),
        ("id", json!(7), "/id"),
        ("id", json!("x".repeat(100_000 / 2)), "/id"),
        ("rate_limit", json!(null), "/rate_limit"),
        ("rate_limit", json!([]), "/rate_limit"),
        ("rate_limit", json!({"burst": 0, "per_seconds": 1}), "/rate_limit/burst"),
        ("cost", json!(0), "/cost"),
        ("peek", json!("yes"), "/peek"),
        ("api_key", json!("x"), "/api_key"),
    ] {
        let mut body = good.clone();
        body[field] = value.clone();
        let answer = api.post("/v1/limit", &body).send().await;
        assert_eq!((answer.status, answer.problem().pointer.as_deref()), (422, Some(pointer)), "{field} {value:.60}: {}", answer.text());
    }
    let mut body = good.clone();
    body["cost"] = json!(4);
    assert_eq!(api.post("/v1/limit", &body).send().await.refusal(), (422, "cost-exceeds-burst".into()));
    assert_eq!(cluster.node(0).post("/v1/limit", &good).send().await.status, 401);
    assert_eq!(api.post("/v1/limit", &good).send().await.check().remaining, Some(2), "nothing was charged");
}
