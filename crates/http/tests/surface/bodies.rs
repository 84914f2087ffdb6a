//! Bodies: size, type, JSON, fields.

use std::time::Duration;

use axum::{body::Body, http::Method};
use bytes::Bytes;
use http_body_util::channel::Channel;
use serde_json::json;
use tollgate_http::HttpOptions;

use crate::site::Site;

#[tokio::test]
async fn the_content_type_must_be_json() {
    let site = Site::start().await;
    let body = r#"{"name":"n"}"#;
    for bad in
        ["text/plain", "", "application/x-www-form-urlencoded", "application/jsonp", "application/problem+json", "text/json", "json", ";"]
    {
        let answer = site.post("/v1/keys").bearer(&site.admin).text(bad, body).send().await;
        assert_eq!(answer.refusal(), (415, "unsupported-media-type".to_owned()), "{bad:?}");
    }
    let twice =
        site.post("/v1/keys").bearer(&site.admin).text("application/json", body).header("content-type", "application/json").send().await;
    assert_eq!(twice.status, 415);
    let none = site.post("/v1/keys").bearer(&site.admin).body(Body::from(body)).send().await;
    assert_eq!(none.status, 415);
    for good in ["application/json", "Application/JSON; charset=utf-8", "application/json ;x=y"] {
        assert_eq!(site.post("/v1/keys").bearer(&site.admin).text(good, body).send().await.status, 201, "{good:?}");
    }
}

#[tokio::test]
async fn a_body_has_a_largest_size_told_or_not() {
    let site = Site::with(|options| options.body_bytes_max = 100).await;
    let of_size = |size: usize| format!(r#"{{"name":"{}"}}"#, "n".repeat(size - 11));
    let ask = |body: Body, length: Option<usize>| {
        let call = site.post("/v1/keys").bearer(&site.admin).header("content-type", "application/json").body(body);
        if let Some(length) = length { call.header("content-length", length.to_string()) } else { call }
    };
    assert_eq!(ask(Body::from(of_size(100)), Some(100)).send().await.status, 201);
    assert_eq!(ask(Body::from(of_size(101)), Some(101)).send().await.refusal(), (413, "body-too-large".to_owned()));
    let (mut sender, body) = Channel::<Bytes, std::io::Error>::new(1);
    let sent = tokio::spawn(async move {
        for chunk in of_size(101).as_bytes().chunks(10) {
            // The reader may have seen enough.
            let Ok(()) = sender.send_data(Bytes::copy_from_slice(chunk)).await else { return };
        }
    });
    assert_eq!(ask(Body::new(body), None).send().await.refusal(), (413, "body-too-large".to_owned()));
    sent.await.expect("a sender that ends");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_ends_is_408() {
    let site = Site::with(|options| options.request_timeout = HttpOptions::default().request_timeout * 10).await;
    // The data plane has no deadline of its own around the body's.
    let (mut sender, body) = Channel::<Bytes, std::io::Error>::new(1);
    sender.send_data(Bytes::from_static(b"{")).await.expect("a reader");
    let slow = site.post("/v1/check").header("content-type", "application/json").body(Body::new(body)).send();
    assert_eq!(tokio::time::timeout(Duration::from_hours(1), slow).await.expect("an end").refusal(), (408, "body-too-slow".to_owned()));
    drop(sender);
}

/// Asks for a key with a scope, of which all but the first byte comes later: not before `meanwhile` is over.
async fn asked_slowly(site: &Site, api_key: &str, meanwhile: impl Future<Output = ()>) -> u16 {
    let (mut sender, body) = Channel::<Bytes, std::io::Error>::new(1);
    sender.send_data(Bytes::from_static(b"{")).await.expect("room");
    let call = site.post("/v1/keys").bearer(api_key).header("content-type", "application/json").body(Body::new(body)).send();
    let rest = async {
        // Nothing else is going on then: the call has been let in.
        tokio::time::sleep(Duration::from_millis(300)).await;
        meanwhile.await;
        sender.send_data(Bytes::from_static(br#""name":"late","scopes":["events:read"]}"#)).await.expect("a reader");
        drop(sender);
    };
    tokio::join!(call, rest).0.status
}

#[tokio::test(start_paused = true)]
async fn a_right_that_is_lost_while_the_body_is_on_its_way_is_lost() {
    let site = Site::start().await;
    let fields = json!({"scopes": ["keys:write", "events:read"], "rate_limit": {"burst": 1, "per_seconds": 2_678_400}});
    let key = async || site.key(fields.clone()).await;
    let path = |api_key: &str| format!("/v1/keys/{}", api_key.split(':').next().expect("an id"));
    assert_eq!(asked_slowly(&site, &key().await, async {}).await, 201, "its only token has paid for this");
    let stolen = key().await;
    let revoke = async {
        assert_eq!(site.post(&format!("{}/revoke", path(&stolen))).bearer(&site.admin).send().await.status, 200);
    };
    assert_eq!(asked_slowly(&site, &stolen, revoke).await, 401);
    let narrowed = key().await;
    let narrow = async {
        let call = site.call(Method::PATCH, &path(&narrowed)).bearer(&site.admin);
        assert_eq!(call.json(&json!({"scopes": ["keys:write"]})).send().await.status, 200);
    };
    assert_eq!(asked_slowly(&site, &narrowed, narrow).await, 403, "nobody gives what he has no more");
}

#[tokio::test]
async fn what_is_not_json_is_400_and_wrong_fields_are_422() {
    let site = Site::start().await;
    let ask = |text: &str| site.post("/v1/keys").bearer(&site.admin).text("application/json", text);
    for bad in ["", "{", "nonsense", "{\"name\":\"n\"}x", "{\"name\":\"\\ud800\"}", "{\"name\":'n'}", "{\"name\":01}"] {
        assert_eq!(ask(bad).send().await.refusal(), (400, "malformed-body".to_owned()), "{bad:?}");
    }
    for (bad, pointer) in [
        ("[]", ""),
        ("null", ""),
        ("{}", "/name"),
        (r#"{"name":""}"#, "/name"),
        (r#"{"name":"n","name":"m"}"#, "/name"),
        (r#"{"name":"n","nam":"m"}"#, "/nam"),
        (r#"{"name":"n","rate_limit":{"burst":0,"per_seconds":1}}"#, "/rate_limit/burst"),
        (r#"{"name":"n","rate_limit":{"burst":1000000001,"per_seconds":1}}"#, "/rate_limit/burst"),
        (r#"{"name":"n","rate_limit":{"burst":1,"per_seconds":0}}"#, "/rate_limit/per_seconds"),
        (r#"{"name":"n","rate_limit":{"burst":1.0,"per_seconds":1}}"#, "/rate_limit/burst"),
        (r#"{"name":"n","rate_limit":{"burst":1,"per_seconds":1,"per_minute":1}}"#, "/rate_limit/per_minute"),
        (r#"{"name":"n","rate_limit":{"burst":1,"per_seconds":1,"burst":2}}"#, "/rate_limit/burst"),
        (r#"{"name":"n","scopes":["A"]}"#, "/scopes/0"),
        (r#"{"name":"n","owner":"A"}"#, "/owner"),
        (r#"{"name":"n","expires_at":"tomorrow"}"#, "/expires_at"),
        (r#"{"name":"n","kind":"imported"}"#, "/kind"),
    ] {
        let answer = ask(bad).send().await;
        assert_eq!(answer.refusal(), (422, "invalid-field".to_owned()), "{bad}");
        assert_eq!(answer.problem().pointer.as_deref(), Some(pointer), "{bad}");
    }
    let problem = ask(r#"{"name":"n","rate_limit":{"burst":-1,"per_seconds":1}}"#).send().await.problem();
    assert_eq!(problem.detail, "burst must be a whole number from 1 to 1000000000");
}

#[tokio::test]
async fn nobody_learns_about_fields_before_he_is_let_in() {
    let site = Site::start().await;
    let call = |method, path| site.call(method, path).text("application/json", "nonsense");
    for (method, path) in [
        (Method::POST, "/v1/keys"),
        (Method::PATCH, "/v1/keys/tk_x"),
        (Method::POST, "/v1/keys/tk_x/revoke"),
        (Method::PUT, "/v1/owners/acme"),
        (Method::POST, "/v1/limit"),
    ] {
        assert_eq!(call(method, path).send().await.status, 401, "{path}");
    }
    let bodiless = site.key(json!({"scopes": ["keys:write"]})).await;
    assert_eq!(
        site.post("/v1/keys/tk_x/revoke").bearer(&bodiless).send().await.status,
        404,
        "a body may be left out where nothing is needed"
    );
}

#[tokio::test]
async fn an_array_of_values_is_no_object() {
    let site = Site::start().await;
    for bad in [r#"["name"]"#, r#" ["name"]"#, "\"name\"", "1", "null", r#"[{"name":"n"}]"#] {
        let answer = site.post("/v1/keys").bearer(&site.admin).text("application/json", bad).send().await;
        assert_eq!(answer.refusal(), (422, "invalid-field".to_owned()), "{bad}");
    }
}
