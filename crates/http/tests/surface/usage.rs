//! Usage over HTTP.

use std::time::Duration;

use serde_json::{Value, json};
use tollgate_testkit::eventually;

use crate::site::Site;

/// What a call answers once it answers so.
async fn until(site: &Site, target: &str, api_key: &str, is_it: impl Fn(&Value) -> bool) -> Value {
    let told = eventually(target, Duration::from_secs(30), async || {
        let told = site.get(target).bearer(api_key).send().await.json();
        anyhow::ensure!(is_it(&told), "{told}");
        Ok(told)
    });
    told.await.expect("soon")
}

fn text<'a>(made: &'a Value, name: &str) -> &'a str {
    made[name].as_str().expect("a text")
}

#[tokio::test]
async fn a_key_is_told_with_totals_and_a_series_and_the_most_limited_come_first() {
    let site = Site::start().await;
    let rate_limit = json!({"burst": 3, "per_seconds": 86_400});
    let flooded = site.make(json!({"name": "n", "owner": "acme", "rate_limit": rate_limit})).await;
    let other = site.make(json!({"name": "n", "rate_limit": rate_limit})).await;
    for (made, times) in [(&flooded, 8), (&other, 4)] {
        for _ in 0..times {
            site.get("/v1/authorize").bearer(text(made, "api_key")).send().await;
        }
    }
    let target = format!("/v1/keys/{}/usage", text(&flooded, "key_id"));
    let usage = until(&site, &target, &site.admin, |usage| usage["windows"]["day"]["limited"] == 5).await;
    assert_eq!((&usage["owner"], &usage["step"]), (&json!("acme"), &json!("minute")));
    for window in ["hour", "day"] {
        let counts = ["allowed", "limited", "denied", "cost"].map(|name| usage["windows"][window][name].as_u64().expect("a count"));
        assert_eq!(counts, [3, 5, 0, 3], "{window}");
    }
    let series = usage["series"].as_array().expect("a series");
    assert_eq!((series.len(), series.iter().filter_map(|point| point["limited"].as_u64()).sum::<u64>()), (60, 5));
    let by_hour = site.get(&format!("{target}?step=hour")).bearer(&site.admin).send().await.json();
    assert_eq!(by_hour["series"].as_array().map(Vec::len), Some(24));
    let top = until(&site, "/v1/usage/top?window=day&count=1", &site.admin, |top| top["limited"] == 6).await;
    assert_eq!(top["keys"].as_array().map(Vec::len), Some(1));
    let first = &top["keys"][0];
    assert_eq!((text(first, "key_id"), text(first, "owner")), (text(&flooded, "key_id"), "acme"));
    assert_eq!((&first["limited_at_least"], &first["limited_at_most"]), (&json!(5), &json!(5)));
    assert_eq!((&top["others_limited_at_most"], &top["complete"]), (&json!(1), &json!(true)));
}

#[tokio::test]
async fn tenants_see_their_own_keys_alone() {
    let site = Site::start().await;
    let rate_limit = json!({"burst": 1, "per_seconds": 86_400});
    let theirs = site.make(json!({"name": "n", "owner": "b", "rate_limit": rate_limit})).await;
    for _ in 0..3 {
        site.get("/v1/authorize").bearer(text(&theirs, "api_key")).send().await;
    }
    let path = |made: &Value| format!("/v1/keys/{}/usage", text(made, "key_id"));
    until(&site, "/v1/usage/top", &site.admin, |top| top["limited"] == 2).await;
    let tenant = site.make(json!({"name": "n", "owner": "a", "scopes": ["usage:read"]})).await;
    let get = |target: String| site.get(&target).bearer(text(&tenant, "api_key")).send();
    assert_eq!(get(path(&theirs)).await.refusal(), (404, "not-found".to_owned()));
    assert_eq!(get(path(&tenant)).await.status, 200);
    for target in ["/v1/usage/top", "/v1/usage/top?owner=b", "/v1/usage/top?window=day"] {
        let top = get(target.to_owned()).await.json();
        assert_eq!((&top["limited"], &top["keys"], &top["others_limited_at_most"]), (&json!(0), &json!([]), &json!(0)), "{target}");
    }
    let blind = site.make(json!({"name": "n", "scopes": ["keys:read"]})).await;
    for target in [path(&theirs), "/v1/usage/top".to_owned()] {
        let refused = site.get(&target).bearer(text(&blind, "api_key")).send().await;
        assert_eq!(refused.refusal(), (403, "scope-missing".to_owned()), "{target}");
    }
}

#[tokio::test]
async fn what_cannot_be_asked_for_is_400() {
    let site = Site::start().await;
    let usage = format!("/v1/keys/{}/usage", text(&site.make(json!({"name": "n"})).await, "key_id"));
    for target in [
        format!("{usage}?step=day"),
        format!("{usage}?window=day"),
        "/v1/usage/top?count=0".to_owned(),
        "/v1/usage/top?count=101".to_owned(),
        "/v1/usage/top?window=minute".to_owned(),
        "/v1/usage/top?step=hour".to_owned(),
    ] {
        let refused = site.get(&target).bearer(&site.admin).send().await;
        assert_eq!(refused.refusal(), (400, "invalid-parameter".to_owned()), "{target}");
    }
    let refused = site.get("/v1/usage/top?owner=A").bearer(&site.admin).send().await;
    assert_eq!(refused.refusal(), (422, "invalid-field".to_owned()));
    assert_eq!(site.get("/v1/keys/none/usage").bearer(&site.admin).send().await.status, 404);
}
