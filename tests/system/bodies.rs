//! Bodies that are too large, no JSON, of the wrong type, with unknown or duplicate fields.

use serde_json::json;

use crate::support::{Answer, Cluster, Wire};

const JSON: &str = "application/json";

async fn create(cluster: &Cluster, content_type: &str, body: impl Into<Vec<u8>>) -> Answer {
    let call = cluster.admin().call(reqwest::Method::POST, "/v1/keys");
    call.body(content_type, body).send().await
}

#[tokio::test]
async fn a_body_beyond_the_bound_is_413() {
    let cluster = Cluster::start(1).await;
    let name = |length: usize| format!("{{\"name\":\"n\",\"metadata\":{{\"a\":\"{}\"}}}}", "x".repeat(length));
    assert_eq!(create(&cluster, JSON, name(64 * 1024)).await.refusal(), (413, "body-too-large".into()));
    assert_eq!(create(&cluster, JSON, name(5000)).await.problem().pointer.as_deref(), Some("/metadata"));
    create(&cluster, JSON, name(4000)).await.expect(201);
    // Announced and never sent.
    let mut wire = Wire::open(cluster.fleet.node(0).unwrap().address()).await;
    let head = format!("POST /v1/check HTTP/1.1\r\nhost: t\r\nx-api-key: {}\r\ncontent-type: {JSON}\r\n", cluster.fleet.admin_key);
    wire.send(head + "content-length: 99999999999\r\n\r\n").await;
    assert_eq!(wire.answer("/v1/check").await.refusal(), (413, "body-too-large".into()));
}

#[tokio::test]
async fn what_is_no_json_is_400_and_names_no_value() {
    let cluster = Cluster::start(1).await;
    for body in ["", " ", "{", "name=n", "{\"name\":\"n\"} {}", "{\"name\":'n'}", "{name:1}", "\u{feff}{\"name\":\"n\"}", "NaN"] {
        let answer = create(&cluster, JSON, body).await;
        assert_eq!(answer.refusal(), (400, "malformed-body".into()), "{body:.40}");
    }
    let deep = format!("{{\"name\":\"n\",\"metadata\":{{\"a\":{}1{}}}}}", "[".repeat(5000), "]".repeat(5000));
    assert!([400, 422].contains(&create(&cluster, JSON, deep).await.status), "nested too deep");
    assert_eq!(create(&cluster, JSON, b"{\"name\":\"\xff\"}".to_vec()).await.refusal(), (400, "malformed-body".into()));
}

#[tokio::test]
async fn another_content_type_is_415() {
    let cluster = Cluster::start(1).await;
    let body = "{\"name\":\"n\"}";
    for kind in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", "application/problem+json", "json", ""] {
        let answer = create(&cluster, kind, body).await;
        assert_eq!(answer.refusal(), (415, "unsupported-media-type".into()), "{kind:?}");
    }
    for kind in ["application/json", "application/json; charset=utf-8", "Application/JSON"] {
        create(&cluster, kind, body).await.expect(201);
    }
    let call = cluster.admin().call(reqwest::Method::POST, "/v1/keys").body(JSON, body).header("content-type", "text/plain");
    assert_eq!(call.send().await.status, 415);
}

#[tokio::test]
async fn a_wrong_field_is_422_and_pointed_at() {
    let cluster = Cluster::start(1).await;
    for (body, pointer) in [
        ("{}", "/name"),
        ("{\"name\":1}", "/name"),
        ("{\"name\":\"\"}", "/name"),
        ("{\"name\":\"a\\u0000b\"}", "/name"),
        ("{\"name\":null}", "/name"),
        ("{\"name\":\"n\",\"nam\":1}", "/nam"),
        ("{\"name\":\"n\",\"Scopes\":[]}", "/Scopes"),
        ("{\"name\":\"n\",\"name\":\"n\"}", "/name"),
        ("{\"name\":\"n\",\"owner\":\"A\"}", "/owner"),
        ("{\"name\":\"n\",\"owner\":\"../b\"}", "/owner"),
        ("{\"name\":\"n\",\"scopes\":\"admin\"}", "/scopes"),
        ("{\"name\":\"n\",\"scopes\":[\"ok\",\"not ok\"]}", "/scopes/1"),
        ("{\"name\":\"n\",\"scopes\":[\"a\",\"b\",7]}", "/scopes/2"),
        ("{\"name\":\"n\",\"expires_at\":\"tomorrow\"}", "/expires_at"),
        ("{\"name\":\"n\",\"expires_at\":\"2001-01-01T00:00:00Z\"}", "/expires_at"),
        ("{\"name\":\"n\",\"metadata\":[]}", "/metadata"),
        ("{\"name\":\"n\",\"kind\":\"imported\"}", "/kind"),
        ("{\"name\":\"n\",\"rate_limit\":{\"burst\":0,\"per_seconds\":1}}", "/rate_limit/burst"),
        ("{\"name\":\"n\",\"rate_limit\":{\"burst\":1,\"per_seconds\":2678401}}", "/rate_limit/per_seconds"),
        ("{\"name\":\"n\",\"rate_limit\":{\"burst\":1,\"per_seconds\":1,\"x\":1}}", "/rate_limit/x"),
        ("{\"name\":\"n\",\"rate_limit\":{\"burst\":1,\"burst\":1,\"per_seconds\":1}}", "/rate_limit/burst"),
        ("{\"name\":\"n\",\"rate_limit\":[{\"name\":\"a\",\"burst\":1,\"per_seconds\":0}]}", "/rate_limit/0/per_seconds"),
        ("{\"name\":\"n\",\"rate_limit\":{\"burst\":1}}", "/rate_limit/per_seconds"),
    ] {
        let answer = create(&cluster, JSON, body).await;
        assert_eq!(answer.refusal(), (422, "invalid-field".into()), "{body}");
        assert_eq!(answer.problem().pointer.as_deref(), Some(pointer), "{body}");
    }
    let problem = create(&cluster, JSON, "{\"name\":\"n\",\"rate_limit\":{\"burst\":0,\"per_seconds\":1}}").await.problem();
    assert!(problem.detail.contains("1 to 1000000000"), "{}", problem.detail);
    assert_eq!(cluster.admin().get("/v1/keys").send().await.json()["keys"].as_array().unwrap().len(), 1, "no key was made");
}

#[tokio::test]
async fn a_secret_in_the_wrong_field_is_not_repeated() {
    let cluster = Cluster::start(1).await;
    let secret = &cluster.fleet.admin_key;
    // Whether a problem holds a secret is looked at with every answer.
    for body in [json!({"name": "n", "kind": secret}), json!({"name": "n", "expires_at": secret}), json!({"name": "n", "owner": secret})] {
        create(&cluster, JSON, body.to_string()).await.expect(422);
    }
    create(&cluster, JSON, format!("{{\"name\":\"n\",\"rate_limit\":\"{secret}\"}}")).await.expect(422);
    assert!(!cluster.fleet.node(0).unwrap().process().stderr().contains("tks_"), "nor in the log");
}

#[tokio::test]
async fn unknown_places_and_methods_are_named() {
    let cluster = Cluster::start(1).await;
    for path in ["/", "/v1", "/v2/keys", "/v1/keys/", "/v1/keys/a/b", "/metrics", "/v1/owners", "/v1/keys/%ff"] {
        let status = cluster.admin().get(path).send().await.status;
        assert_eq!(status, 404, "{path}");
    }
    for (method, path) in
        [("DELETE", "/v1/keys"), ("PUT", "/v1/keys"), ("GET", "/v1/check"), ("POST", "/health/live"), ("POST", "/v1/owners/a")]
    {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let answer = cluster.admin().call(method, path).send().await;
        assert_eq!(answer.refusal(), (405, "method-not-allowed".into()), "{path}");
        assert!(!answer.header("allow").is_empty(), "{path}");
    }
}
