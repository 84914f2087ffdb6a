//! `POST /v1/limit`: anything that has a name.

use serde_json::{Value, json};

use crate::site::{Answer, Site};

fn named(id: &str, burst: u64) -> Value {
    json!({"namespace": "login", "id": id, "rate_limit": {"burst": burst, "per_seconds": 10}})
}

async fn limit(site: &Site, api_key: &str, body: &Value) -> Answer {
    site.post("/v1/limit").bearer(api_key).json(body).send().await
}

#[tokio::test]
async fn things_are_limited_each_by_itself_and_the_caller_by_his_key() {
    let site = Site::start().await;
    let caller = site.key(json!({"scopes": ["limit:write"], "rate_limit": {"burst": 4, "per_seconds": 60}})).await;
    let first = limit(&site, &caller, &named("ann", 1)).await;
    assert_eq!((first.status, &first.json()["verdict"], &first.json()["remaining"]), (200, &json!("allowed"), &json!(0)));
    assert_eq!(first.header("ratelimit"), r#""key";r=3;t=15"#, "the headers are of the caller's key");
    let second = limit(&site, &caller, &named("ann", 1)).await;
    assert_eq!((second.status, &second.json()["verdict"], &second.json()["retry_after_ms"]), (200, &json!("limited"), &json!(10_000)));
    assert_eq!(limit(&site, &caller, &named("bob", 1)).await.json()["verdict"], "allowed");
    assert_eq!(limit(&site, &caller, &named("eve", 1)).await.json()["verdict"], "allowed");
    let spent = limit(&site, &caller, &named("dan", 1)).await;
    assert_eq!((spent.refusal(), spent.header("retry-after")), ((429, "quota-exceeded".to_owned()), "15"));
}

#[tokio::test]
async fn a_peek_asks_and_costs_and_ranges_are_checked() {
    let site = Site::start().await;
    let mut peek = named("ann", 2);
    peek["peek"] = json!(true);
    assert_eq!(limit(&site, &site.admin, &peek).await.json()["remaining"], 2);
    assert_eq!(limit(&site, &site.admin, &peek).await.json()["remaining"], 2);
    for (field, value, pointer) in [
        ("cost", json!(0), "/cost"),
        ("cost", json!(1_000_000_001_u64), "/cost"),
        ("namespace", json!("A"), "/namespace"),
        ("id", json!(""), "/id"),
        ("rate_limit", json!({"burst": 0, "per_seconds": 1}), "/rate_limit/burst"),
        ("rate_limit", json!({"burst": 1, "per_seconds": 2_678_401}), "/rate_limit/per_seconds"),
        ("rate_limit", json!({"burst": "1", "per_seconds": 1}), "/rate_limit/burst"),
        ("extra", json!(1), "/extra"),
    ] {
        let mut body = named("ann", 2);
        body[field] = value;
        let answer = limit(&site, &site.admin, &body).await;
        assert_eq!((answer.refusal().0, answer.problem().pointer.as_deref()), (422, Some(pointer)), "{body}");
    }
    let mut above = named("ann", 2);
    above["cost"] = json!(3);
    assert_eq!(limit(&site, &site.admin, &above).await.status, 422);
}

#[tokio::test]
async fn needs_its_scope() {
    let site = Site::start().await;
    let without = site.key(json!({"scopes": ["keys:read"]})).await;
    assert_eq!(limit(&site, &without, &named("ann", 1)).await.refusal(), (403, "scope-missing".to_owned()));
    assert_eq!(site.post("/v1/limit").json(&named("ann", 1)).send().await.refusal(), (401, "unauthenticated".to_owned()));
}
