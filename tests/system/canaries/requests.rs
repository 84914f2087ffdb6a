//! Canaries in requests, by the byte: where they belong, and wherever else somebody may put them.

use std::{net::SocketAddr, time::Duration};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::super::authorize::base64;
use super::{Cage, DECOY};
use crate::support::over_http2;

/// Longer than anybody takes who answers at all.
const PATIENCE: Duration = Duration::from_secs(30);
const JSON: &str = "content-type: application/json";

/// Sends a request and gives all that comes back, to the end of the connection.
async fn told(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // Whoever refuses early may have closed already, and then a reset ends what is read.
    stream.write_all(request).await.ok();
    let mut seen = Vec::new();
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut seen)).await.expect("an end").ok();
    String::from_utf8_lossy(&seen).into_owned()
}

/// One request of HTTP/1.1; its connection ends with it.
fn request(line: &str, headers: &[&str], body: &str) -> Vec<u8> {
    let headers = headers.iter().fold(String::new(), |lines, header| lines + header + "\r\n");
    let length = body.len();
    format!("{line} HTTP/1.1\r\nhost: t\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n{body}").into_bytes()
}

const GET: &str = "GET /v1/authorize";

/// Requests that show an api key, well and badly.
fn showing(api_key: &str) -> Vec<Vec<u8>> {
    let (bearer, own) = (format!("authorization: Bearer {api_key}"), format!("x-api-key: {api_key}"));
    let basic = format!("authorization: Basic {}", base64(api_key));
    let mut all = Vec::new();
    for header in [&bearer, &own, &basic] {
        for line in
            [GET, "GET /v1/authorize?cost=1000000000", "GET /v1/authorize?scope=none", "GET /v1/keys", "GET /v1/none", "PUT /v1/keys"]
        {
            all.push(request(line, &[header], ""));
        }
        all.push(request(GET, &[&format!("{header}x")], ""));
        all.push(request(GET, &[header, header], ""));
        all.push(request("POST /v1/check", &[header, JSON], "{\"scope\":"));
    }
    all.push(format!("{api_key}\r\n\r\n").into_bytes());
    all.push(format!("GET /v1/authorize HTTP/9.9\r\n{bearer}\r\n\r\n").into_bytes());
    all.into_iter().chain(in_headers(api_key)).chain(in_lines(api_key)).chain(in_bodies(api_key)).collect()
}

/// In headers that are none for it, and in too many.
fn in_headers(api_key: &str) -> Vec<Vec<u8>> {
    let (key_id, secret) = api_key.split_once(':').expect("key_id:secret");
    let (bearer, own) = (format!("authorization: Bearer {api_key}"), format!("x-api-key: {api_key}"));
    let mut all = Vec::new();
    for headers in [
        vec![&*bearer, &*own],
        vec![&*format!("{bearer}, Bearer {api_key}")],
        vec![&*format!("x_api_key: {api_key}")],
        vec![&*format!("{bearer}\t")],
        vec![&*format!("{bearer}é")],
        vec![&*format!("authorization: Digest {api_key}")],
        vec![&*format!("authorization: {api_key}")],
        vec![&*format!("authorization: Bearer {secret}")],
        vec![&*format!("cookie: key={api_key}")],
        vec![&*format!("x-request-id: {key_id}:tks_{secret}"), &*bearer],
        vec![&*format!("x-forwarded-for: {api_key}"), &*bearer],
        vec![&*format!("if-match: {api_key}"), &*bearer],
        vec![&*format!("{bearer}{}", "x".repeat(40_000))],
        vec![&*format!("{bearer}\0")],
        vec![&*format!("no colon {api_key}")],
    ] {
        all.push(request(GET, &headers, ""));
    }
    all
}

/// In the first line.
fn in_lines(api_key: &str) -> Vec<Vec<u8>> {
    let (_, secret) = api_key.split_once(':').expect("key_id:secret");
    let (bearer, encoded) = (format!("authorization: Bearer {api_key}"), api_key.replace(':', "%3A"));
    let mut all = Vec::new();
    for line in [
        format!("GET /v1/authorize?api_key={api_key}"),
        format!("GET /v1/authorize?cost={encoded}"),
        format!("GET /v1/authorize?{encoded}=1"),
        format!("GET /v1/keys/{api_key}"),
        format!("GET /v1/keys/{encoded}"),
        format!("POST /v1/keys/{encoded}/revoke"),
        format!("GET http://{api_key}@t/v1/authorize"),
        format!("{secret} /v1/authorize"),
    ] {
        all.push(request(&line, &[&bearer], ""));
    }
    all
}

/// In bodies, of a good form and of others.
fn in_bodies(api_key: &str) -> Vec<Vec<u8>> {
    let (bearer, in_body) = (format!("authorization: Bearer {api_key}"), json!({ "api_key": api_key }).to_string());
    let mut all = Vec::new();
    for body in [
        in_body.clone(),
        format!("{in_body}{in_body}"),
        in_body.replace("\"}", "x\"}"),
        in_body.replace("api_key", "api_kee"),
        in_body.replace('}', ""),
        json!({ "cost": api_key }).to_string(),
        json!({ "scope": api_key }).to_string(),
        json!({ "peek": api_key }).to_string(),
        json!([api_key]).to_string(),
        json!(api_key).to_string(),
    ] {
        all.push(request("POST /v1/check", &[JSON], &body));
        all.push(request("POST /v1/check", &[JSON, &bearer], &body));
        all.push(request("POST /v1/check", &["content-type: text/plain"], &body));
    }
    all
}

/// Shows every api key in every way, over both versions of HTTP.
pub(super) async fn with_every_credential(cage: &mut Cage) {
    let address = cage.cluster.fleet.node(0).unwrap().address();
    let mut answers = 0;
    for api_key in cage.api_keys() {
        for request in showing(&api_key) {
            let answer = told(address, &request).await;
            answers += usize::from(!answer.is_empty());
            cage.heard.hear("answers", answer);
        }
        let fields = |name: &str, value: &str| {
            let of = |name: &str, value: &str| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
            [(":method", "GET"), (":scheme", "http"), (":path", "/v1/authorize"), (":authority", "t"), (name, value)]
                .map(|(name, value)| of(name, value))
        };
        for (name, value) in
            [("authorization", format!("Bearer {api_key}")), ("x-api-key", api_key.clone()), ("x-api-key", format!("{api_key}x"))]
        {
            cage.heard.hear("answers", format!("{:?}", over_http2(address, &fields(name, &value)).await));
        }
    }
    assert!(answers > 400, "{answers} answers");
}

/// Bodies that hold an api key in every field that there is.
fn bodies(api_key: &str) -> Vec<(&'static str, Value)> {
    let limit = json!({"burst": 1, "per_seconds": 1});
    vec![
        ("POST /v1/keys", json!({"name": "n", "owner": api_key})),
        ("POST /v1/keys", json!({"name": "n", "kind": api_key})),
        ("POST /v1/keys", json!({"name": "n", "scopes": [api_key]})),
        ("POST /v1/keys", json!({"name": "n", "rate_limit": api_key})),
        ("POST /v1/keys", json!({"name": "n", "rate_limit": {"burst": api_key, "per_seconds": 1}})),
        ("POST /v1/keys", json!({"name": "n", "expires_at": api_key})),
        ("POST /v1/keys", json!({"name": "n", "metadata": api_key})),
        ("POST /v1/keys", json!({"name": [api_key]})),
        ("PATCH /v1/keys/customer-7", json!({"scopes": [api_key]})),
        ("PATCH /v1/keys/customer-7", json!({"outage_mode": api_key})),
        ("POST /v1/keys/customer-7/revoke", json!({"reason": [api_key]})),
        ("POST /v1/keys/customer-7/rotate", json!({"grace_seconds": api_key})),
        ("PUT /v1/owners/acme", json!({"rate_limit": api_key})),
        ("POST /v1/limit", json!({"namespace": api_key, "id": "b", "rate_limit": limit})),
        ("POST /v1/limit", json!({"namespace": "a", "id": "b", "rate_limit": api_key})),
    ]
}

/// Makes every call of the control plane, well and with a secret in each field.
pub(super) async fn of_every_call(cage: &mut Cage) {
    let address = cage.cluster.fleet.node(0).unwrap().address();
    let admin = format!("authorization: Bearer {}", cage.cluster.fleet.admin_key);
    let decoy = format!("x-request-id: {DECOY}");
    for api_key in cage.api_keys() {
        for (line, body) in bodies(&api_key) {
            cage.heard.hear("answers", told(address, &request(line, &[&admin, JSON], &body.to_string())).await);
        }
    }
    let (key, rotated) = (cage.keys.plain.path(), cage.keys.rotated.path());
    let mut good = 0;
    for (line, body) in [
        ("GET /v1/keys".to_owned(), ""),
        (format!("GET {key}"), ""),
        (format!("GET {rotated}"), ""),
        ("GET /v1/keys/customer-7".to_owned(), ""),
        (format!("PATCH {key}"), "{\"name\":\"other\"}"),
        (format!("POST {key}/suspend"), ""),
        (format!("POST {key}/resume"), ""),
        (format!("POST {key}/reset"), ""),
        (format!("GET {key}/usage"), ""),
        ("GET /v1/usage/top".to_owned(), ""),
        ("PUT /v1/owners/acme".to_owned(), "{\"rate_limit\":{\"burst\":9000,\"per_seconds\":60}}"),
        ("GET /v1/owners/acme".to_owned(), ""),
        ("GET /v1/audit".to_owned(), ""),
        ("GET /v1/nodes".to_owned(), ""),
        ("GET /health/live".to_owned(), ""),
        ("GET /health/ready".to_owned(), ""),
        ("GET /health/full".to_owned(), ""),
        ("GET /openapi.json".to_owned(), ""),
        ("GET /docs".to_owned(), ""),
        ("POST /v1/keys/customer-7/revoke".to_owned(), "{\"reason\":\"leaked\"}"),
        ("POST /v1/owners/acme/revoke-keys".to_owned(), ""),
    ] {
        let headers: &[&str] = if body.is_empty() { &[&admin, &decoy] } else { &[&admin, &decoy, JSON] };
        let answer = told(address, &request(&line, headers, body)).await;
        // Reading what nodes share is given up after a second, which a busy machine may take.
        let is_shared = line.contains("usage") || line.contains("nodes");
        assert!(answer.starts_with("HTTP/1.1 200") || (is_shared && answer.starts_with("HTTP/1.1 503")), "{line}: {answer}");
        good += 1;
        cage.heard.hear("answers", answer);
    }
    assert!(good > 20);
    // The stream of all changes so far, to the first that is not there yet.
    let stream = cage.cluster.admin().get("/v1/events").header("last-event-id", "L0").open().await;
    let mut stream = stream;
    let mut seen = String::new();
    while !(seen.contains(DECOY) && seen.contains("\"revoked\"")) {
        let chunk = tokio::time::timeout(PATIENCE, stream.chunk()).await.expect("something is sent").unwrap().expect("more");
        seen.push_str(&String::from_utf8_lossy(&chunk));
    }
    cage.heard.hear("answers", seen);
}
