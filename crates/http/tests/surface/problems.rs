//! Problems word for word, paths that are not there, health, request ids.

use axum::http::Method;
use serde_json::json;

use crate::site::Site;

#[tokio::test]
async fn problems_are_fixed_word_for_word() {
    let site = Site::start().await;
    let api_key = site.key(json!({"rate_limit": {"burst": 1, "per_seconds": 2}})).await;
    let ask = |path: &str| site.get(path).header("x-request-id", "r1");
    assert_eq!(
        ask("/v1/authorize?scope=x").send().await.body,
        r#"{"type":"urn:tollgate:problem:unauthenticated","title":"Not authenticated","status":401,"detail":"send a valid api key as \"Authorization: Bearer key_id:secret\"","instance":"/v1/authorize","request_id":"r1"}"#
    );
    assert_eq!(
        ask("/v1/authorize?scope=x").bearer(&api_key).send().await.body,
        r#"{"type":"urn:tollgate:problem:scope-missing","title":"Scope missing","status":403,"detail":"this call needs a key with scope x","instance":"/v1/authorize","request_id":"r1"}"#
    );
    assert_eq!(
        ask("/v1/authorize?cost=2").bearer(&api_key).send().await.body,
        r#"{"type":"urn:tollgate:problem:cost-exceeds-burst","title":"Cost exceeds burst","status":422,"detail":"the cost is above the burst of 1 and can never pass","instance":"/v1/authorize","request_id":"r1","pointer":"/cost"}"#
    );
    assert_eq!(ask("/v1/authorize").bearer(&api_key).send().await.status, 200);
    assert_eq!(
        ask("/v1/authorize").bearer(&api_key).send().await.body,
        r#"{"type":"https://iana.org/assignments/http-problem-types#quota-exceeded","title":"Rate limited","status":429,"detail":"limit \"key\" is spent; try again in 2 s","instance":"/v1/authorize","request_id":"r1","violated-policies":["key"],"retry_after_ms":2000}"#
    );
    assert_eq!(
        ask("/v1/none?api_key=x").send().await.body,
        r#"{"type":"urn:tollgate:problem:not-found","title":"Not found","status":404,"detail":"there is nothing here, or nothing that this key may see","instance":"/v1/none","request_id":"r1"}"#
    );
}

#[tokio::test]
async fn unknown_paths_and_methods_are_problems() {
    let site = Site::start().await;
    for path in
        ["/", "/v1", "/v1/authorized", "/v1/keys/", "/v1/keys/a/b", "/v1/check/x", "/metrics", "/health", "//v1/keys", "/v1/keys/%ff"]
    {
        let answer = site.get(path).bearer(&site.admin).send().await;
        assert_eq!(answer.refusal(), (404, "not-found".to_owned()), "{path}");
    }
    for (method, path, allow) in [
        (Method::GET, "/v1/check", "POST"),
        (Method::DELETE, "/v1/limit", "POST"),
        (Method::PUT, "/v1/keys", "POST,GET,HEAD"),
        (Method::DELETE, "/v1/keys/tk_x", "GET,HEAD,PATCH"),
        (Method::GET, "/v1/keys/tk_x/revoke", "POST"),
        (Method::POST, "/health/live", "GET,HEAD"),
    ] {
        let answer = site.call(method, path).send().await;
        assert_eq!((answer.refusal(), answer.header("allow")), ((405, "method-not-allowed".to_owned()), allow), "{path}");
    }
}

#[tokio::test]
async fn request_ids_are_taken_if_sane_and_made_otherwise() {
    let site = Site::start().await;
    for path in ["/v1/authorize", "/health/live", "/none", "/v1/keys"] {
        assert_eq!(site.get(path).header("x-request-id", "my-id/1").send().await.header("x-request-id"), "my-id/1");
        for bad in ["", "a b", "a\tb", &"a".repeat(129)] {
            let id = site.get(path).header("x-request-id", bad).send().await.header("x-request-id").to_owned();
            assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{bad:?} on {path} became {id}");
        }
    }
}

#[tokio::test]
async fn health_is_told_to_whom_it_concerns() {
    let site = Site::start().await;
    assert_eq!(site.get("/health/live").send().await.status, 200);
    let ready = site.get("/health/ready?x=1").send().await;
    assert_eq!((ready.status, &ready.json()["ready"]), (200, &json!(true)));
    assert_eq!(site.get("/health/full").send().await.status, 401);
    let full = site.get("/health/full").bearer(&site.admin).send().await;
    assert_eq!(
        (full.status, &full.json()["node"], &full.json()["version"], &full.json()["ready"]),
        (200, &json!("node-a"), &json!("1.2.3"), &json!(true))
    );
    site.gate.start_draining();
    let draining = site.get("/health/ready").send().await;
    assert_eq!((draining.status, &draining.json()["ready"], draining.header("retry-after")), (503, &json!(false), "1"));
    assert_eq!(site.get("/health/live").send().await.status, 200);
}

#[tokio::test]
async fn the_metrics_page_is_a_surface_of_its_own() {
    let surface = tollgate_http::metrics_surface(|| "a_total 1\n".to_owned());
    let ask = |path: &str| {
        let request = axum::http::Request::get(path).body(axum::body::Body::empty()).expect("a request");
        surface.of_peer([127, 0, 0, 1].into()).answer(request)
    };
    let page = ask("/metrics").await.expect("infallible");
    assert_eq!(
        (page.status().as_u16(), &page.headers()["content-type"]),
        (200, &"text/plain; version=0.0.4; charset=utf-8".parse().expect("a value"))
    );
    assert_eq!(ask("/v1/keys").await.expect("infallible").status().as_u16(), 404);
}
