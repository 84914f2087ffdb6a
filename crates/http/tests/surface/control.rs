//! The control plane: entered by the gate, with a scope, and charged.

use axum::http::Method;
use serde_json::{Value, json};

use crate::site::Site;

#[tokio::test]
async fn a_key_lives_its_life() {
    let site = Site::start().await;
    let made =
        site.post("/v1/keys").bearer(&site.admin).json(&json!({"name": "n", "rate_limit": {"burst": 5, "per_seconds": 60}})).send().await;
    let key = made.json();
    let (key_id, api_key) = (key["key_id"].as_str().expect("an id"), key["api_key"].as_str().expect("an api key"));
    let path = format!("/v1/keys/{key_id}");
    assert_eq!((made.status, made.header("location")), (201, path.as_str()));
    let read = site.get(&path).bearer(&site.admin).send().await;
    let generation = read.json()["generation"].as_u64().expect("a generation");
    assert_eq!((read.status, read.header("etag").to_owned(), made.header("etag")), (200, format!("\"{generation}\""), read.header("etag")));
    assert!(read.json().get("api_key").is_none());

    let change = |etag: &str, body: Value| site.call(Method::PATCH, &path).bearer(&site.admin).header("if-match", etag).json(&body);
    let patched = change(read.header("etag"), json!({"rate_limit": {"burst": 7, "per_seconds": 60}})).send().await;
    assert_eq!((patched.status, &patched.json()["rate_limit"]["burst"], &patched.json()["propagated"]), (200, &json!(7), &json!(true)));
    assert_eq!(change(read.header("etag"), json!({"name": "m"})).send().await.refusal(), (412, "generation-mismatch".to_owned()));
    assert_eq!(change("*", json!({"name": "m"})).send().await.status, 200);
    for bad in ["x", "\"1", "\"\"", "\"1\", \"2\"", "W/\"1\"", "-1"] {
        assert_eq!(change(bad, json!({"name": "m"})).send().await.refusal(), (400, "malformed-header".to_owned()), "{bad}");
    }

    assert_eq!(site.get("/v1/authorize").bearer(api_key).send().await.header("ratelimit-policy"), r#""key";q=7;w=60"#);
    let revoke = site.post(&format!("{path}/revoke")).bearer(&site.admin).json(&json!({"reason": "leaked"})).send().await;
    assert_eq!((revoke.status, &revoke.json()["status"]), (200, &json!("revoked")));
    assert_eq!(site.get("/v1/authorize").bearer(api_key).send().await.status, 401);
    assert_eq!(site.post(&format!("{path}/revoke")).bearer(&site.admin).send().await.status, 200, "once more is no change");
    assert_eq!(change("*", json!({"name": "x"})).send().await.refusal(), (409, "conflict".to_owned()));
}

#[tokio::test]
async fn the_audit_log_shows_each_what_concerns_him() {
    let site = Site::start().await;
    let made = |owner: Value, scopes: Value| site.make(json!({"name": "n", "owner": owner, "scopes": scopes}));
    let (own, _) = (made(json!("acme"), json!(["events:read"])).await, made(json!("other"), json!([])).await);
    let tenant = own["api_key"].as_str().expect("an api key").to_owned();
    let key_id = own["key_id"].as_str().expect("an id");
    let read = async |api_key: &str, query: &str| {
        let answer = site.get(&format!("/v1/audit{query}")).bearer(api_key).send().await;
        assert_eq!(answer.status, 200, "{query}");
        answer.json()
    };
    let all = read(&site.admin, "").await;
    let entry = &all["entries"][0];
    assert_eq!((&entry["action"], &entry["owner"]), (&json!("keys.create"), &json!("other")), "newest first: {all}");
    assert!(entry["at"].as_str().is_some_and(|at| at.ends_with('Z')) && entry["request_id"].is_string(), "{entry}");
    for query in ["", "?owner=acme", &format!("?key_id={key_id}")] {
        let seen = read(&tenant, query).await;
        assert_eq!(seen["entries"].as_array().map(Vec::len), Some(1), "{query}: {seen}");
        assert_eq!(seen["entries"][0]["key_id"], json!(key_id));
    }
    assert_eq!(read(&tenant, "?owner=other").await, json!({"entries": [], "next_cursor": null}));
    let page = read(&site.admin, "?page_size=1").await;
    let next = read(&site.admin, &format!("?page_size=1&cursor={}", page["next_cursor"].as_str().expect("more"))).await;
    assert_eq!(next["entries"][0], all["entries"][1]);
    assert!(!all.to_string().contains("tks_") && !all.to_string().contains("argon2"), "{all}");
    for bad in ["?page_size=0", "?cursor=x", "?owner=A%20b", "?key_id=tk_x", "?what=1", "?key_id=tk_a:b"] {
        let answer = site.get(&format!("/v1/audit{bad}")).bearer(&site.admin).send().await;
        assert!(matches!(answer.status, 400 | 422), "{bad}: {}", answer.status);
    }
    let writer = made(Value::Null, json!(["keys:write"])).await;
    let refused = site.get("/v1/audit").bearer(writer["api_key"].as_str().expect("an api key")).send().await;
    assert_eq!(refused.refusal(), (403, "scope-missing".to_owned()));
}

#[tokio::test]
async fn a_named_making_or_rotation_acts_once() {
    let site = Site::start().await;
    let post = |path: &str, name: &str, body: Value| site.post(path).bearer(&site.admin).header("idempotency-key", name).json(&body);
    let made = post("/v1/keys", "a", json!({"name": "n"})).send().await;
    let again = post("/v1/keys", "a", json!({"name": "n"})).send().await;
    assert_eq!((made.status, made.json().get("replayed"), again.status), (201, None, 200));
    let (made, again) = (made.json(), again.json());
    assert_eq!((&again["key_id"], &again["api_key"], &again["replayed"]), (&made["key_id"], &Value::Null, &json!(true)));
    assert_eq!(post("/v1/keys", "a", json!({"name": "m"})).send().await.refusal(), (422, "invalid-field".to_owned()));
    let path = format!("/v1/keys/{}/rotate", made["key_id"].as_str().expect("an id"));
    let rotated = post(&path, "b", json!({})).send().await.json();
    let again = post(&path, "b", json!({})).send().await;
    assert_eq!((again.status, &again.json()["generation"], &again.json()["replayed"]), (200, &rotated["generation"], &json!(true)));
    for bad in ["", "a b", &"x".repeat(256)] {
        assert_eq!(post("/v1/keys", bad, json!({"name": "n"})).send().await.refusal(), (400, "malformed-header".to_owned()), "{bad:?}");
    }
    let twice = post("/v1/keys", "c", json!({"name": "n"})).header("idempotency-key", "c").send().await;
    assert_eq!(twice.refusal(), (400, "malformed-header".to_owned()));
}

#[tokio::test]
async fn every_call_needs_its_scope_and_nothing_more() {
    let site = Site::start().await;
    let target = site.make(json!({"name": "t"})).await["key_id"].as_str().expect("an id").to_owned();
    let calls = |scope: &str| -> Vec<(Method, String, Option<Value>)> {
        match scope {
            "keys:read" => vec![
                (Method::GET, "/v1/keys".to_owned(), None),
                (Method::GET, format!("/v1/keys/{target}"), None),
                (Method::GET, "/v1/owners/acme".to_owned(), None),
            ],
            "keys:write" => vec![
                (Method::POST, "/v1/keys".to_owned(), Some(json!({"name": "n"}))),
                (Method::PATCH, format!("/v1/keys/{target}"), Some(json!({"name": "n"}))),
                (Method::POST, format!("/v1/keys/{target}/revoke"), None),
            ],
            "owners:write" => vec![(Method::PUT, "/v1/owners/acme".to_owned(), Some(json!({"rate_limit": null})))],
            _ => vec![(Method::GET, "/health/full".to_owned(), None)],
        }
    };
    let scopes = ["owners:write", "keys:read", "keys:write", "health:read"];
    for held in scopes {
        let api_key = site.key(json!({"scopes": [held]})).await;
        for scope in scopes {
            for (method, path, body) in calls(scope) {
                let call = site.call(method.clone(), &path).bearer(&api_key);
                let answer = if let Some(body) = &body { call.json(body) } else { call }.send().await;
                if held == scope {
                    assert!(answer.status < 300, "{held} on {method} {path}: {}", answer.body);
                } else {
                    assert_eq!(answer.refusal(), (403, "scope-missing".to_owned()), "{held} on {method} {path}");
                }
            }
        }
    }
}

#[tokio::test]
async fn operators_are_limited_by_the_same_gate() {
    let site = Site::start().await;
    let api_key = site.key(json!({"scopes": ["keys:read"], "rate_limit": {"burst": 1, "per_seconds": 60}})).await;
    let first = site.get("/v1/keys").bearer(&api_key).send().await;
    assert_eq!((first.status, first.header("ratelimit")), (200, r#""key";r=0;t=60"#));
    let second = site.get("/v1/keys").bearer(&api_key).send().await;
    assert_eq!((second.refusal(), second.header("retry-after")), ((429, "quota-exceeded".to_owned()), "60"));
}

#[tokio::test]
async fn privileges_are_403_and_other_tenants_are_404() {
    let site = Site::start().await;
    let tenant = site.key(json!({"owner": "acme", "scopes": ["keys:read", "keys:write"]})).await;
    let other = site.make(json!({"name": "o", "owner": "rival"})).await["key_id"].as_str().expect("an id").to_owned();
    let make = |body: Value| site.post("/v1/keys").bearer(&tenant).json(&body);
    let unlimited = make(json!({"name": "n", "rate_limit": null})).send().await;
    assert_eq!(unlimited.refusal(), (403, "forbidden".to_owned()));
    assert!(!unlimited.headers.contains_key("ratelimit"));
    assert_eq!(make(json!({"name": "n", "scopes": ["usage:read"]})).send().await.refusal(), (403, "forbidden".to_owned()));
    assert_eq!(make(json!({"name": "n", "scopes": ["keys:read"]})).send().await.json()["owner"], "acme");
    assert_eq!(site.get(&format!("/v1/keys/{other}")).bearer(&tenant).send().await.refusal(), (404, "not-found".to_owned()));
    assert_eq!(site.post(&format!("/v1/keys/{other}/revoke")).bearer(&tenant).send().await.status, 404);
    assert_eq!(site.get("/v1/owners/rival").bearer(&tenant).send().await.status, 404);
}

#[tokio::test]
async fn listings_go_page_by_page() {
    let site = Site::start().await;
    for number in 0..5 {
        site.make(json!({"name": format!("k{number}"), "owner": "acme"})).await;
    }
    let mut names = Vec::new();
    let mut path = "/v1/keys?owner=acme&status=active&page_size=2".to_owned();
    loop {
        let page = site.get(&path).bearer(&site.admin).send().await.json();
        names.extend(page["keys"].as_array().expect("keys").iter().map(|key| key["name"].as_str().expect("a name").to_owned()));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/v1/keys?owner=acme&status=active&page_size=2&cursor={cursor}");
    }
    assert_eq!(names, ["k0", "k1", "k2", "k3", "k4"]);
    for bad in ["page_size=0", "page_size=1001", "page_size=-1", "status=gone", "status=", "x=1", "owner=a&owner=a", "page_size=1.5"] {
        let answer = site.get(&format!("/v1/keys?{bad}")).bearer(&site.admin).send().await;
        assert_eq!(answer.refusal(), (400, "invalid-parameter".to_owned()), "{bad}");
    }
}

#[tokio::test]
async fn owners_have_limits() {
    let site = Site::start().await;
    let put = |body: Value| site.call(Method::PUT, "/v1/owners/acme").bearer(&site.admin).json(&body);
    assert_eq!(site.get("/v1/owners/acme").bearer(&site.admin).send().await.status, 404);
    let set = put(json!({"rate_limit": {"burst": 9, "per_seconds": 1}})).send().await;
    assert_eq!((set.status, &set.json()["propagated"]), (200, &json!(true)));
    let read = site.get("/v1/owners/acme").bearer(&site.admin).send().await.json();
    assert_eq!(read["rate_limit"], json!({"burst": 9, "per_seconds": 1}));
    assert_eq!(put(json!({})).send().await.problem().pointer.as_deref(), Some("/rate_limit"));
    assert!(put(json!({"rate_limit": null})).send().await.json()["rate_limit"].is_null());
}
