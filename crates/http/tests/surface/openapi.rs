//! The document is true: routes, methods, answers, types.

mod examples;
mod told;

use std::{collections::BTreeSet, path::Path};

use axum::http::Method;
use serde_json::Value;

use crate::site::{Answer, Site};

const WHAT_TO_DO: &str = "the routes and the document differ. A new route needs an Operation in crates/http/src/openapi/operations/ \
    (its answers, and the statuses of its problems), the types of its bodies in crates/http/src/openapi/schemas/, and an example of each \
    type in crates/http/tests/surface/openapi/examples.rs; a route that is gone loses them";

pub(crate) async fn document(site: &Site) -> Value {
    let answer = site.get("/openapi.json").send().await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"));
    answer.json()
}

/// The paths of every `.route("…"` and of every `const PATH` under `src`, but for those of the listener of metrics.
fn routes(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            routes(&path, found);
        } else if path.file_name().is_none_or(|name| name != "metrics_page.rs") {
            let text = std::fs::read_to_string(&path).expect("a text");
            let quoted = |rest: &'_ str| Some(rest.trim_start().strip_prefix('"')?.split('"').next()?.to_owned());
            let marks = [".route(", "const PATH: &str ="];
            let literals: Vec<String> = marks.iter().flat_map(|mark| text.split(mark).skip(1).filter_map(quoted)).collect();
            // The router cannot say in one route that a rest may be empty.
            found.extend(literals.into_iter().filter(|path| path != "/v1/authorize/").map(|path| path.replace("{*", "{")));
        }
    }
}

fn methods(path: &Value) -> BTreeSet<String> {
    path.as_object().expect("methods").keys().map(|method| method.to_uppercase()).collect()
}

#[tokio::test]
async fn every_route_is_in_the_document_and_the_other_way_round() {
    let site = Site::start().await;
    let mut routed = BTreeSet::new();
    routes(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut routed);
    let document = document(&site).await;
    let told: BTreeSet<String> = document["paths"].as_object().expect("paths").keys().cloned().collect();
    assert!(routed.len() > 15, "{routed:?}");
    let missing: Vec<_> = routed.difference(&told).collect();
    let gone: Vec<_> = told.difference(&routed).collect();
    assert!(missing.is_empty() && gone.is_empty(), "not in the document: {missing:?}; no route: {gone:?}; {WHAT_TO_DO}");
}

#[tokio::test]
async fn every_path_has_the_methods_that_the_document_says() {
    let site = Site::start().await;
    let document = document(&site).await;
    for (path, told) in document["paths"].as_object().expect("paths") {
        let path = path.replace(['{', '}'], "");
        let odd = site.call(Method::from_bytes(b"FROB").expect("a method"), &path).send().await;
        let told = methods(told);
        if odd.status == 405 {
            let mut allowed: BTreeSet<String> = odd.header("allow").split(',').map(str::to_owned).collect();
            // Whatever can be got can be asked for its headers alone.
            assert_eq!(allowed.remove("HEAD"), allowed.contains("GET"), "{path}");
            assert_eq!(allowed, told, "{path}: {WHAT_TO_DO}");
        } else {
            assert_eq!(odd.status, 401, "{path} takes any method");
            assert!(told.len() == 8, "{path} takes any method, and the document names {told:?}: {WHAT_TO_DO}");
        }
    }
}

/// Status, type and headers of an answer are documented, and its body is what the document says.
fn check(document: &Value, operation: &Value, answer: &Answer, what: &str) {
    let resolve = |value: &Value| match value["$ref"].as_str() {
        Some(reference) => document.pointer(reference.trim_start_matches('#')).expect("a component").clone(),
        None => value.clone(),
    };
    let told = &operation["responses"][answer.status.to_string()];
    assert!(told.is_object(), "{what} answers {}, and the document says nothing of it", answer.status);
    let told = resolve(told);
    let headers = told["headers"].as_object().expect("headers");
    for (name, header) in headers {
        assert!(resolve(header)["required"] != true || answer.headers.contains_key(name.as_str()), "{what} {}: no {name}", answer.status);
    }
    for name in answer.headers.keys().filter(|name| *name != "content-type" && *name != "content-length") {
        let known = headers.keys().any(|known| known.eq_ignore_ascii_case(name.as_str()));
        let of_every_page = ["x-content-type-options", "referrer-policy"].contains(&name.as_str());
        assert!(known || of_every_page, "{what} {}: {name} is not in the document", answer.status);
    }
    let Some(content) = told["content"].as_object() else {
        assert_eq!(answer.body, "", "{what}");
        return;
    };
    let schema = &content[answer.header("content-type")]["schema"];
    if answer.header("content-type").contains("json") {
        told::valid(document, schema, &answer.json()).unwrap_or_else(|why| panic!("{what} {}: {why}", answer.status));
    }
}

#[tokio::test]
async fn whoever_shows_no_key_or_a_wrong_one_is_answered_as_the_document_says() {
    let site = Site::start().await;
    let document = document(&site).await;
    let mut open = Vec::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            let target = path.replace(['{', '}'], "");
            let method: Method = method.to_uppercase().parse().expect("a method");
            if method == Method::HEAD {
                continue; // An answer like that to GET, without its body.
            }
            let what = format!("{method} {path}");
            let call = |header: (&str, &str)| site.call(method.clone(), &target).header(header.0, header.1).send();
            for header in [("accept", "*/*"), ("authorization", "Bearer nobody:knows"), ("x_api_key", "odd")] {
                let answer = call(header).await;
                if answer.status < 400 && header.0 == "accept" && operation["security"] == serde_json::json!([]) {
                    open.push(path.clone());
                }
                check(&document, operation, &answer, &what);
            }
        }
    }
    assert_eq!(open, ["/docs", "/health/live", "/health/ready", "/openapi.json"]);
}

#[tokio::test]
async fn the_life_of_a_key_is_answered_as_the_document_says() {
    let site = Site::start().await;
    let document = document(&site).await;
    let made = site.make(serde_json::json!({"name": "n", "owner": "acme", "rate_limit": {"burst": 2, "per_seconds": 60}})).await;
    let (key_id, api_key) = (made["key_id"].as_str().expect("an id"), made["api_key"].as_str().expect("an api key"));
    let mut seen = BTreeSet::new();
    let calls = [
        ("post", "/v1/keys", serde_json::json!({"name": "m"}), 201),
        ("post", "/v1/keys", serde_json::json!({"name": ""}), 422),
        ("get", "/v1/keys", Value::Null, 200),
        ("get", "/v1/audit", Value::Null, 200),
        ("get", "/v1/keys/{key_id}/usage", Value::Null, 200),
        ("get", "/v1/usage/top", Value::Null, 200),
        ("get", "/health/full", Value::Null, 200),
        ("get", "/v1/owners/{owner}", Value::Null, 200),
        ("put", "/v1/owners/{owner}", serde_json::json!({"rate_limit": null}), 200),
        ("get", "/v1/keys/{key_id}", Value::Null, 200),
        ("patch", "/v1/keys/{key_id}", serde_json::json!({"name": "x"}), 200),
        ("post", "/v1/keys/{key_id}/suspend", Value::Null, 200),
        ("post", "/v1/keys/{key_id}/resume", serde_json::json!({}), 200),
        ("post", "/v1/keys/{key_id}/reset", Value::Null, 200),
        ("post", "/v1/check", serde_json::json!({"api_key": api_key}), 200),
        ("post", "/v1/check", serde_json::json!({"api_key": api_key, "cost": 3}), 422),
        ("post", "/v1/limit", serde_json::json!({"namespace": "n", "id": "i", "rate_limit": {"burst": 1, "per_seconds": 1}}), 200),
        ("post", "/v1/keys/{key_id}/rotate", serde_json::json!({"grace_seconds": 0}), 200),
        ("post", "/v1/keys/{key_id}/revoke", serde_json::json!({"reason": "left"}), 200),
        ("post", "/v1/keys/{key_id}/rotate", Value::Null, 409),
        ("post", "/v1/owners/{owner}/revoke-keys", Value::Null, 200),
    ];
    for (method, path, body, status) in calls {
        let target = path.replace("{key_id}", key_id).replace("{owner}", "acme");
        let call = site.call(method.to_uppercase().parse().expect("a method"), &target);
        // A check in whose body there is a key is made without another.
        let call = if path == "/v1/check" { call } else { call.bearer(&site.admin) };
        let answer = if body.is_null() { call } else { call.json(&body) }.send().await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.body);
        check(&document, &document["paths"][path][method], &answer, &format!("{method} {path}"));
        seen.insert((path, method));
    }
    assert_eq!(seen.len(), 18);
}

#[tokio::test]
async fn the_page_is_for_anybody_and_may_do_nothing() {
    let site = Site::start().await;
    let page = site.get("/docs").send().await;
    assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
    assert!(page.header("content-security-policy").starts_with("default-src 'none'; style-src 'sha256-"));
    assert_eq!((page.header("x-content-type-options"), page.header("referrer-policy")), ("nosniff", "no-referrer"));
    assert!(page.body.contains("Tollgate 1.2.3") && page.body.contains("POST /v1/keys/{key_id}/rotate"));
    let document = document(&site).await;
    assert_eq!((&document["openapi"], &document["info"]["version"]), (&"3.1.0".into(), &"1.2.3".into()));
}
