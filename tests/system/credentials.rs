//! Credentials that are missing, wrong, malformed or doubled.

use serde_json::json;
use tollgate_testkit::{Fleet, eventually};

use super::authorize::base64;
use crate::support::{Answer, Cluster, Wire};

/// All that an answer tells, but for the time and the id of its request.
fn told(answer: &Answer) -> serde_json::Value {
    let mut problem = answer.json();
    problem["request_id"] = json!("");
    let headers = answer.headers.iter().filter(|(name, _)| !["date", "x-request-id", "content-length"].contains(&name.as_str()));
    let headers = headers.map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()));
    problem["headers"] = json!(headers.collect::<Vec<_>>());
    problem
}

/// Header lines that name nobody. All of them get the same answer.
async fn nobody(cluster: &Cluster) -> Vec<Vec<String>> {
    let (key, other) = (cluster.limited_key(10, 60).await, cluster.limited_key(10, 60).await);
    let unsigned = cluster.key(json!({"kind": "unsigned"})).await;
    let revoked = cluster.key(json!({})).await;
    revoked.revoke(&cluster.admin()).await;
    let (suspended, rotated) = (cluster.key(json!({})).await, cluster.key(json!({"kind": "unsigned"})).await);
    for (key, action, body) in [(&suspended, "suspend", json!({})), (&rotated, "rotate", json!({"grace_seconds": 0}))] {
        cluster.admin().post(&format!("{}/{action}", key.path()), &body).send().await.expect(200);
    }
    let foreign = Fleet::start(0).await.unwrap().admin_key;
    let (id, secret) = key.api_key.split_once(':').unwrap();
    let (other_id, other_secret) = other.api_key.split_once(':').unwrap();
    let (unsigned_id, unsigned_secret) = unsigned.api_key.split_once(':').unwrap();
    let texts = [
        String::new(),
        "x".into(),
        ":".into(),
        id.into(),
        secret.into(),
        format!("{id}:"),
        format!(":{secret}"),
        format!("{id}:{other_secret}"),
        format!("{other_id}:{secret}"),
        format!("{id}:{unsigned_secret}"),
        format!("{unsigned_id}:{secret}"),
        format!("{id}:{secret}0"),
        format!("{id}:{}", &secret[..secret.len() - 1]),
        format!("{id}:{}", secret.to_uppercase()),
        format!("{}:{secret}", id.to_uppercase()),
        format!("{id} {secret}"),
        format!("{id}::{secret}"),
        format!("{id}:hunter2"),
        format!("mine:{secret}"),
        format!("{id}:{}", "a".repeat(300)),
        foreign,
        revoked.api_key,
        suspended.api_key,
        rotated.api_key,
    ];
    let mut lines: Vec<Vec<String>> = vec![vec![]];
    for text in &texts {
        lines.push(vec![format!("authorization: Bearer {text}")]);
        lines.push(vec![format!("x-api-key: {text}")]);
        lines.push(vec![format!("authorization: Basic {}", base64(text))]);
    }
    for scheme in ["Digest", "Negotiate", "Bearer:", "ApiKey", "Basic"] {
        lines.push(vec![format!("authorization: {scheme} {}", key.api_key)]);
    }
    lines.push(vec![format!("authorization: {}", key.api_key)]);
    lines.push(vec![format!("authorization: Basic {}=", base64(&key.api_key))]);
    lines
}

#[tokio::test]
async fn who_is_nobody_gets_one_and_the_same_401() {
    let cluster = Cluster::start(1).await;
    let address = cluster.fleet.node(0).unwrap().address();
    let bare = Wire::ask(address, "GET /v1/authorize", &[], "").await;
    assert_eq!(bare.refusal(), (401, "unauthenticated".into()));
    for lines in nobody(&cluster).await {
        for request in ["GET /v1/authorize", "GET /v1/keys"] {
            let answer = Wire::ask(address, request, &lines, "").await;
            assert_eq!(answer.status, 401, "{request} {lines:?}: {}", answer.text());
            let (mut told, mut expected) = (told(&answer), told(&bare));
            (told["instance"], expected["instance"]) = (json!(""), json!(""));
            assert_eq!(told, expected, "{lines:?}");
        }
    }
    // The rightful are not disturbed by any of this.
    cluster.admin().authorize("").await.expect(200);
}

#[tokio::test]
async fn an_expired_key_gets_the_same_401() {
    let cluster = Cluster::start(1).await;
    // It must lie in the future when the node has come to the call.
    let end = time::OffsetDateTime::now_utc() + std::time::Duration::from_secs(5);
    let end = end.format(&time::format_description::well_known::Rfc3339).unwrap();
    let key = cluster.key(json!({"expires_at": end})).await;
    let api = cluster.node(0).with(&key.api_key);
    let refused = eventually("the key's end", std::time::Duration::from_mins(1), async || {
        let answer = api.authorize("").await;
        anyhow::ensure!(answer.status == 401, "still {}", answer.status);
        Ok(answer)
    });
    let bare = api.without_key().authorize("").await;
    assert_eq!(told(&refused.await.unwrap()), told(&bare));
    assert_eq!(cluster.admin().get(&key.path()).send().await.json()["status"], "expired");
}

#[tokio::test]
async fn more_than_one_credential_is_400_even_if_all_are_good() {
    let cluster = Cluster::start(1).await;
    let address = cluster.fleet.node(0).unwrap().address();
    let good = &cluster.limited_key(10, 60).await.api_key;
    let (bearer, own) = (format!("authorization: Bearer {good}"), format!("x-api-key: {good}"));
    for lines in [
        vec![bearer.clone(), bearer.clone()],
        vec![own.clone(), own.clone()],
        vec![bearer.clone(), own.clone()],
        vec![format!("{bearer}, Bearer {good}")],
        vec![format!("{own},{good}")],
        vec![bearer.clone(), "x-api-key: x".into()],
        vec!["authorization: Basic x".into(), own.clone()],
    ] {
        for request in ["GET /v1/authorize", "POST /v1/check", "GET /v1/keys", "GET /v1/authorize/x"] {
            let answer = Wire::ask(address, request, &lines, "").await;
            assert_eq!(answer.refusal(), (400, "duplicate-credential".into()), "{request} {lines:?}");
        }
    }
    let lines = [bearer, "content-type: application/json".into()];
    let body = json!({ "api_key": good }).to_string();
    assert_eq!(Wire::ask(address, "POST /v1/check", &lines, &body).await.refusal(), (400, "duplicate-credential".into()));
    assert_eq!(Wire::ask(address, "POST /v1/check", &lines[1..], &body).await.check().remaining, Some(9));
}

#[tokio::test]
async fn credentials_where_others_could_read_them_are_400() {
    let cluster = Cluster::start(1).await;
    let address = cluster.fleet.node(0).unwrap().address();
    let good = &cluster.limited_key(10, 60).await.api_key;
    for query in [format!("api_key={good}"), format!("key={good}"), format!("x={good}"), "access_token=x".into(), "API-KEY=x".into()] {
        for target in ["/v1/authorize", "/v1/check", "/v1/keys"] {
            let method = if target == "/v1/check" { "POST" } else { "GET" };
            let answer = Wire::ask(address, &format!("{method} {target}?{query}"), &[], "").await;
            assert_eq!(answer.refusal(), (400, "credential-in-query".into()), "{target}?{query}");
        }
    }
    for line in [format!("x_api_key: {good}"), format!("X.Api.Key: {good}"), "x_tollgate_key_id: x".into(), "x-api-key: ä:ö".into()] {
        let answer = Wire::ask(address, "GET /v1/authorize", std::slice::from_ref(&line), "").await;
        assert_eq!(answer.refusal(), (400, "malformed-header".into()), "{line}");
    }
}
