//! `POST /v1/check`: verdicts as data.

use serde_json::{Value, json};

use crate::site::{Answer, Site};

async fn check(site: &Site, body: Value) -> Answer {
    site.post("/v1/check").json(&body).send().await
}

fn verdict(answer: &Answer) -> (String, String) {
    assert_eq!(answer.status, 200, "{}", answer.body);
    let answer = answer.json();
    let word = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
    (word("verdict"), word("code"))
}

fn words(verdict: &str, code: &str) -> (String, String) {
    (verdict.to_owned(), code.to_owned())
}

#[tokio::test]
async fn tells_every_figure() {
    let site = Site::start().await;
    let api_key = site.key(json!({"owner": "acme", "rate_limit": {"burst": 3, "per_seconds": 10}})).await;
    let key_id = api_key.split(':').next().expect("an id");
    let allowed = check(&site, json!({"api_key": api_key, "cost": 2})).await;
    assert_eq!(
        allowed.json(),
        json!({
            "verdict": "allowed", "code": "allowed", "key_id": key_id, "owner": "acme",
            "remaining": 1, "retry_after_ms": 0, "reset_after_ms": 6667,
            "limits": [{"name": "key", "burst": 3, "per_seconds": 10, "remaining": 1, "retry_after_ms": 0, "reset_after_ms": 6667}],
        })
    );
    assert_eq!(allowed.header("ratelimit"), r#""key";r=1;t=7"#);
    let limited = check(&site, json!({"api_key": api_key, "cost": 2})).await;
    assert_eq!(verdict(&limited), words("limited", "limited"));
    let told = limited.json();
    assert_eq!((&told["limit"], &told["remaining"], &told["retry_after_ms"]), (&json!("key"), &json!(1), &json!(3334)));
    assert_eq!(limited.header("ratelimit"), r#""key";r=1;t=7"#);
}

#[tokio::test]
async fn a_peek_charges_nothing() {
    let site = Site::start().await;
    let api_key = site.key(json!({"rate_limit": {"burst": 1, "per_seconds": 10}})).await;
    for _ in 0..3 {
        let peek = check(&site, json!({"api_key": api_key, "peek": true})).await;
        assert_eq!((verdict(&peek), peek.json()["remaining"].clone()), (words("allowed", "allowed"), json!(1)));
    }
    assert_eq!(verdict(&check(&site, json!({"api_key": api_key})).await), words("allowed", "allowed"));
    assert_eq!(verdict(&check(&site, json!({"api_key": api_key, "peek": true})).await), words("limited", "limited"));
}

#[tokio::test]
async fn denials_are_data_too() {
    let site = Site::start().await;
    let api_key = site.key(json!({"scopes": ["a"]})).await;
    for body in [json!({}), json!({"api_key": "nonsense"}), json!({"api_key": ""}), json!({"api_key": format!("{api_key}\u{e9}")})] {
        let denied = check(&site, body).await;
        assert_eq!(verdict(&denied), words("denied", "unauthenticated"));
        assert!(!denied.headers.contains_key("ratelimit") && denied.json()["key_id"].is_null());
    }
    let lacking = check(&site, json!({"api_key": api_key, "scope": "b"})).await;
    assert_eq!(verdict(&lacking), words("denied", "scope_missing"));
    assert!(!lacking.headers.contains_key("ratelimit") && lacking.json()["remaining"].is_null());
}

#[tokio::test]
async fn the_callers_own_credential_serves_where_the_body_names_none() {
    let site = Site::start().await;
    let api_key = site.key(json!({"rate_limit": {"burst": 5, "per_seconds": 10}})).await;
    let own = site.post("/v1/check").bearer(&api_key).json(&json!({"cost": 4})).send().await;
    assert_eq!((verdict(&own), own.json()["remaining"].clone()), (words("allowed", "allowed"), json!(1)));
    assert_eq!(verdict(&site.post("/v1/check").bearer(&api_key).send().await), words("allowed", "allowed"));
    let both = site.post("/v1/check").bearer(&api_key).json(&json!({"api_key": api_key})).send().await;
    assert_eq!(both.refusal(), (400, "duplicate-credential".to_owned()));
    let both = site.post("/v1/check").header("x-api-key", "nonsense").json(&json!({"api_key": api_key})).send().await;
    assert_eq!(both.refusal(), (400, "duplicate-credential".to_owned()));
}

#[tokio::test]
async fn costs_that_can_never_be_are_422() {
    let site = Site::start().await;
    let api_key = site.key(json!({"rate_limit": {"burst": 5, "per_seconds": 10}})).await;
    for cost in [json!(0), json!(-1), json!(1.5), json!("1"), json!(1_000_000_001_u64), json!(u64::MAX), json!(true), json!([1])] {
        let answer = check(&site, json!({"api_key": api_key, "cost": cost})).await;
        assert_eq!(answer.refusal(), (422, "invalid-field".to_owned()), "{cost}");
        let problem = answer.problem();
        assert_eq!(
            (problem.pointer.as_deref(), problem.detail.as_str()),
            (Some("/cost"), "cost must be a whole number from 1 to 1000000000")
        );
    }
    let above = check(&site, json!({"api_key": api_key, "cost": 6})).await;
    assert_eq!((above.refusal(), above.problem().pointer), ((422, "cost-exceeds-burst".to_owned()), Some("/cost".to_owned())));
    let scope = check(&site, json!({"api_key": api_key, "scope": "A"})).await;
    assert_eq!((scope.status, scope.problem().pointer), (422, Some("/scope".to_owned())));
}
