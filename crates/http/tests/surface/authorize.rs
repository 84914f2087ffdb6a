//! `/v1/authorize`: what gateways see.

use std::time::Duration;

use axum::http::{HeaderName, Method};
use http_body_util::BodyExt as _;
use serde_json::json;
use tollgate_settings::RateLimitHeaders;

use crate::site::Site;

fn id_of(api_key: &str) -> &str {
    api_key.split(':').next().expect("a key id")
}

#[tokio::test]
async fn allowed_is_200_without_a_body_and_with_every_identity_header() {
    let site = Site::start().await;
    let plain = site.key(json!({"rate_limit": {"burst": 10, "per_seconds": 60}})).await;
    for method in
        [Method::GET, Method::POST, Method::DELETE, Method::OPTIONS, Method::HEAD, Method::from_bytes(b"PURGE").expect("a method")]
    {
        let answer = site.call(method, "/v1/authorize").bearer(&plain).header("x-tollgate-owner", "mallory").send().await;
        assert_eq!((answer.status, answer.body.as_str()), (200, ""));
        assert_eq!(answer.header("x-tollgate-key-id"), id_of(&plain));
        for empty in ["x-tollgate-owner", "x-tollgate-scopes"] {
            assert!(answer.headers.contains_key(empty) && answer.header(empty).is_empty(), "{empty}");
        }
    }
    let owned = site.key(json!({"owner": "acme", "scopes": ["orders:write", "a"]})).await;
    let answer = site.get("/v1/authorize").bearer(&owned).send().await;
    assert_eq!((answer.header("x-tollgate-owner"), answer.header("x-tollgate-scopes")), ("acme", "a orders:write"));
}

#[tokio::test]
async fn headers_tell_how_the_limits_stand() {
    let site = Site::start().await;
    let api_key = site.key(json!({"owner": "acme", "rate_limit": {"burst": 10, "per_seconds": 60}})).await;
    let owner = site.call(Method::PUT, "/v1/owners/acme").bearer(&site.admin);
    assert_eq!(owner.json(&json!({"rate_limit": {"burst": 7, "per_seconds": 7}})).send().await.status, 200);
    let answer = site.get("/v1/authorize?cost=3").bearer(&api_key).send().await;
    assert_eq!(answer.header("ratelimit-policy"), r#""key";q=10;w=60, "owner";q=7;w=7"#);
    assert_eq!(answer.header("ratelimit"), r#""key";r=7;t=18, "owner";r=4;t=3"#);
    let listed = site
        .key(json!({"rate_limit": [{"name": "day", "burst": 9, "per_seconds": 86400}, {"name": "s", "burst": 2, "per_seconds": 1}]}))
        .await;
    let answer = site.get("/v1/authorize").bearer(&listed).send().await;
    assert_eq!(answer.header("ratelimit"), r#""day";r=8;t=9600, "s";r=1;t=1"#);
    let unlimited = site.get("/v1/authorize").bearer(&site.admin).send().await;
    assert!(!unlimited.headers.contains_key("ratelimit") && !unlimited.headers.contains_key("ratelimit-policy"));
}

#[tokio::test]
async fn limited_is_429_until_exactly_the_promised_second() {
    let site = Site::start().await;
    let api_key = site.key(json!({"rate_limit": {"burst": 3, "per_seconds": 10}})).await;
    for _ in 0..3 {
        assert_eq!(site.get("/v1/authorize").bearer(&api_key).send().await.status, 200);
    }
    let answer = site.get("/v1/authorize").bearer(&api_key).send().await;
    assert_eq!(answer.refusal(), (429, "quota-exceeded".to_owned()));
    assert_eq!(answer.problem().kind, "https://iana.org/assignments/http-problem-types#quota-exceeded");
    assert_eq!((answer.header("retry-after"), answer.header("ratelimit")), ("4", r#""key";r=0;t=10"#));
    let body = answer.json();
    assert_eq!((&body["violated-policies"], &body["retry_after_ms"]), (&json!(["key"]), &json!(3334)));
    site.pass(Duration::from_micros(3_333_333));
    assert_eq!(site.get("/v1/authorize").bearer(&api_key).send().await.status, 429, "a third of a microsecond too early");
    site.pass(Duration::from_secs(4) - Duration::from_micros(3_333_333));
    assert_eq!(site.get("/v1/authorize").bearer(&api_key).send().await.status, 200);
}

#[tokio::test]
async fn the_owners_limit_is_named_when_it_refuses_and_the_key_is_not_charged() {
    let site = Site::start().await;
    let api_key = site.key(json!({"owner": "acme", "rate_limit": {"burst": 10, "per_seconds": 60}})).await;
    let owner = site.call(Method::PUT, "/v1/owners/acme").bearer(&site.admin);
    owner.json(&json!({"rate_limit": [{"name": "hour", "burst": 1, "per_seconds": 3600}]})).send().await;
    assert_eq!(site.get("/v1/authorize").bearer(&api_key).send().await.status, 200);
    let answer = site.get("/v1/authorize").bearer(&api_key).send().await;
    assert_eq!((answer.status, answer.header("retry-after")), (429, "3600"));
    assert_eq!(answer.problem().violated_policies, ["owner.hour"]);
    assert_eq!(answer.header("ratelimit"), r#""key";r=9;t=6, "owner.hour";r=0;t=3600"#);
}

#[tokio::test]
async fn limited_can_be_told_as_403_for_gateways_that_know_no_429() {
    let site = Site::start().await;
    let api_key = site.key(json!({"rate_limit": {"burst": 1, "per_seconds": 10}})).await;
    let ask = |query| site.get(query).bearer(&api_key);
    assert_eq!(ask("/v1/authorize?limited_status=403").send().await.status, 200);
    let told_as = ask("/v1/authorize?limited_status=403").send().await;
    assert_eq!(told_as.refusal(), (403, "quota-exceeded".to_owned()));
    assert_eq!((told_as.header("retry-after"), told_as.header("ratelimit")), ("10", r#""key";r=0;t=10"#));
    assert_eq!(ask("/v1/authorize?limited_status=429").send().await.status, 429);
}

#[tokio::test]
async fn a_scope_is_demanded_and_its_lack_charges_nothing() {
    let site = Site::start().await;
    let api_key = site.key(json!({"scopes": ["orders:read"], "rate_limit": {"burst": 2, "per_seconds": 60}})).await;
    for _ in 0..3 {
        let denied = site.get("/v1/authorize?scope=orders:write").bearer(&api_key).send().await;
        assert_eq!(denied.refusal(), (403, "scope-missing".to_owned()));
        assert!(!denied.headers.contains_key("ratelimit") && !denied.headers.contains_key("retry-after"));
    }
    let answer = site.get("/v1/authorize?scope=orders%3Aread").bearer(&api_key).send().await;
    assert_eq!((answer.status, answer.header("ratelimit")), (200, r#""key";r=1;t=30"#));
}

#[tokio::test]
async fn bad_costs_and_parameters_are_400_and_charge_nothing() {
    let site = Site::start().await;
    let api_key = site.key(json!({"rate_limit": {"burst": 5, "per_seconds": 60}})).await;
    for query in [
        "cost=0",
        "cost=-1",
        "cost=1.5",
        "cost=1e3",
        "cost=",
        "cost",
        "cost=%201",
        "cost=+1",
        "cost=0x1",
        "cost=1000000001",
        "cost=99999999999999999999999",
        "cost=one",
        "cost=1&cost=1",
        "cost=1&cost=2",
        "cost=1&%63ost=1",
        "scope=",
        "scope=A",
        "scope=a%20b",
        "scope=a&scope=a",
        "limited_status=200",
        "limited_status=401",
        "limited_status=",
        "Cost=1",
        "peek=true",
        "x=1",
        "cost=1&x",
        "cost=%",
        "cost=%00",
        "cost=%ff",
        "=1",
    ] {
        let answer = site.get(&format!("/v1/authorize?{query}")).bearer(&api_key).send().await;
        assert_eq!(answer.refusal(), (400, "invalid-parameter".to_owned()), "{query}");
    }
    let answer = site.get("/v1/authorize?cost=0").bearer(&api_key).send().await;
    assert_eq!(answer.problem().detail, "cost must be a whole number from 1 to 1000000000");
    assert_eq!(site.get("/v1/authorize?cost=6").bearer(&api_key).send().await.refusal(), (422, "cost-exceeds-burst".to_owned()));
    let answer = site.get("/v1/authorize?cost=005&").bearer(&api_key).send().await;
    assert_eq!((answer.status, answer.header("ratelimit")), (200, r#""key";r=0;t=60"#), "nothing was charged before");
}

#[tokio::test]
async fn behind_an_appended_path_the_query_means_nothing() {
    let site = Site::start().await;
    let api_key = site.key(json!({"rate_limit": {"burst": 10, "per_seconds": 60}})).await;
    for path in ["/v1/authorize/", "/v1/authorize/a", "/v1/authorize/a/b%2fc/", "/v1/authorize/v1/keys"] {
        let call = site.get(&format!("{path}?cost=7&cost=8&token=x&limited_status=403&scope=none")).bearer(&api_key);
        let answer = call.header("x-cost", "5").send().await;
        assert_eq!(answer.status, 200, "{path}");
    }
    let answer = site.get("/v1/authorize").bearer(&api_key).send().await;
    assert_eq!(answer.header("ratelimit"), r#""key";r=5;t=30"#, "five requests of one token each");
}

#[tokio::test]
async fn headers_that_the_settings_name_carry_cost_and_scope() {
    let site = Site::with(|options| {
        options.cost_header = Some(HeaderName::from_static("x-cost"));
        options.scope_header = Some(HeaderName::from_static("x-scope"));
    })
    .await;
    let api_key = site.key(json!({"scopes": ["a"], "rate_limit": {"burst": 10, "per_seconds": 60}})).await;
    let ask = |headers: &'static [(&'static str, &'static str)]| {
        headers.iter().fold(site.get("/v1/authorize/x").bearer(&api_key), |call, (name, value)| call.header(name, value))
    };
    let answer = ask(&[("x-cost", "4"), ("x-scope", "a")]).send().await;
    assert_eq!((answer.status, answer.header("ratelimit")), (200, r#""key";r=6;t=24"#));
    assert_eq!(ask(&[("x-scope", "b")]).send().await.refusal().0, 403);
    assert_eq!(ask(&[("x-cost", "11")]).send().await.refusal().0, 422);
    for bad in [&[("x-cost", "0")][..], &[("x-cost", "")], &[("x-cost", "1, 1")], &[("x-cost", "1"), ("x-cost", "1")], &[("x-scope", "A")]]
    {
        assert_eq!(ask(bad).send().await.status, 400, "{bad:?}");
    }
    let own = site.get("/v1/authorize").bearer(&api_key).header("x-cost", "9").send().await;
    assert_eq!(own.header("ratelimit"), r#""key";r=5;t=30"#, "without an appended path the query alone counts");
}

#[tokio::test]
async fn rate_limit_headers_can_be_legacy_or_off() {
    for (mode, draft11, legacy) in [
        (RateLimitHeaders::Draft11, true, false),
        (RateLimitHeaders::Legacy, false, true),
        (RateLimitHeaders::Both, true, true),
        (RateLimitHeaders::Off, false, false),
    ] {
        let site = Site::with(|options| options.ratelimit_headers = mode).await;
        let api_key = site.key(json!({"rate_limit": {"burst": 1, "per_seconds": 60}})).await;
        for status in [200, 429] {
            let answer = site.get("/v1/authorize").bearer(&api_key).send().await;
            assert_eq!(answer.status, status);
            assert_eq!(answer.header("ratelimit"), if draft11 { r#""key";r=0;t=60"# } else { "" });
            assert_eq!(answer.header("x-ratelimit-reset"), if legacy { "60" } else { "" });
        }
    }
}

#[tokio::test]
async fn a_refused_head_tells_the_length_of_a_body_that_it_has_not() {
    let site = Site::start().await;
    let ask = |method: &str, path: &str| {
        let request = axum::http::Request::builder().method(method).uri(path).body(axum::body::Body::empty());
        site.surface.of_peer([192, 0, 2, 1].into()).answer(request.expect("a request"))
    };
    for (path, status) in [("/v1/authorize", 401), ("/v1/authorize/orders", 401), ("/v1/keys", 401), ("/nowhere", 404)] {
        let (get, head) = (ask("GET", path).await.expect("infallible"), ask("HEAD", path).await.expect("infallible"));
        let body_of_get = get.into_body().collect().await.expect("a body").to_bytes();
        assert_eq!((head.status().as_u16(), &head.headers()["content-length"]), (status, &body_of_get.len().into()), "{path}");
        assert!(head.into_body().collect().await.expect("a body").to_bytes().is_empty(), "{path}");
    }
}

#[tokio::test]
async fn a_decision_takes_little_memory_while_it_is_under_way() {
    let site = Site::start().await;
    let request = axum::http::Request::get("/v1/authorize").body(axum::body::Body::empty()).expect("a request");
    let answering = site.surface.of_peer([192, 0, 2, 1].into()).answer(request);
    // Each connection holds one; what a decision rarely needs is in boxes of its own.
    assert!(size_of_val(&answering) <= 2304, "{} bytes", size_of_val(&answering));
}
