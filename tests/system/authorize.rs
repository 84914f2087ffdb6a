//! `/v1/authorize`, as gateways and clients use it.

use reqwest::Method;
use serde_json::json;
use tollgate_testkit::Fleet;

use crate::support::{Answer, Cluster};

fn expect_identity(answer: &Answer, key_id: &str) {
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.body.is_empty(), "no body");
    assert_eq!(answer.header("x-tollgate-key-id"), key_id);
    assert_eq!(answer.header("x-tollgate-owner"), "acme");
    assert_eq!(answer.header("x-tollgate-scopes"), "orders:read orders:write");
    assert!(answer.header("ratelimit-policy").starts_with("\"key\";q=1000;w=60"));
}

#[tokio::test]
async fn every_method_and_every_way_to_show_a_key_is_answered_alike() {
    let cluster = Cluster::start(1).await;
    let body = json!({"owner": "acme", "scopes": ["orders:read", "orders:write"], "rate_limit": {"burst": 1000, "per_seconds": 60}});
    let key = cluster.key(body).await;
    let (id, secret) = key.api_key.split_once(':').unwrap();
    let basic = base64(&key.api_key);
    let shown = [
        ("authorization", format!("Bearer {}", key.api_key)),
        ("authorization", format!("bearer  {}", key.api_key)),
        ("authorization", format!("Basic {basic}")),
        ("authorization", format!("BASIC {}", basic.trim_end_matches('='))),
        ("x-api-key", format!("{id}:{secret}")),
    ];
    for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PURGE"] {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        for (name, value) in &shown {
            for target in ["/v1/authorize", "/v1/authorize?cost=1&scope=orders:read"] {
                let call = cluster.node(0).call(method.clone(), target).header(name, value);
                expect_identity(&call.send().await, &key.key_id);
            }
        }
    }
    // A body is none of its business.
    let call = cluster.node(0).with(&key.api_key).post("/v1/authorize", &json!({"cost": 1000}));
    expect_identity(&call.send().await, &key.key_id);
}

#[tokio::test]
async fn headers_that_name_the_caller_are_there_even_if_empty() {
    let cluster = Cluster::start(1).await;
    let key = cluster.limited_key(5, 60).await;
    let call = cluster.node(0).with(&key.api_key).get("/v1/authorize").header("x-tollgate-owner", "root");
    let answer = call.send().await.expect(200);
    for (name, value) in [("x-tollgate-key-id", key.key_id.as_str()), ("x-tollgate-owner", ""), ("x-tollgate-scopes", "")] {
        assert_eq!(answer.headers.get_all(name).iter().collect::<Vec<_>>(), [value], "{name}");
    }
}

#[tokio::test]
async fn a_path_that_a_gateway_appends_means_nothing() {
    let cluster = Cluster::start(1).await;
    let key = cluster.limited_key(100, 86_400).await;
    let api = cluster.node(0).with(&key.api_key);
    for (count, rest) in ["", "orders", "a/b/c", "v1/keys", "x%2fy?cost=50&cost=60&api_key=x", "?scope=none", "ü"].into_iter().enumerate()
    {
        let answer = api.get(&format!("/v1/authorize/{rest}")).send().await.expect(200);
        let left = 100 - 1 - count;
        assert!(answer.header("ratelimit").starts_with(&format!("\"key\";r={left};")), "{rest}: {:?}", answer.headers);
    }
}

#[tokio::test]
async fn cost_and_scope_come_from_headers_that_settings_name() {
    let fleet = Fleet::builder(1).env("TOLLGATE_FORWARD_AUTH__COST_HEADER", "x-cost").env("TOLLGATE_FORWARD_AUTH__SCOPE_HEADER", "x-scope");
    let cluster = Cluster::of(fleet).await;
    let key = cluster.key(json!({"scopes": ["a"], "rate_limit": {"burst": 100, "per_seconds": 86_400}})).await;
    let call = |cost: &str, scope: &str| {
        let call = cluster.node(0).with(&key.api_key).get("/v1/authorize/orders");
        call.header("x-cost", cost).header("x-scope", scope)
    };
    assert!(call("40", "a").send().await.expect(200).header("ratelimit").starts_with("\"key\";r=60;"));
    assert_eq!(call("1", "b").send().await.refusal(), (403, "scope-missing".into()));
    assert_eq!(call("101", "a").send().await.refusal(), (422, "cost-exceeds-burst".into()));
    for bad in ["0", "-1", "1.5", "x", ""] {
        assert_eq!(call(bad, "a").send().await.status, 400, "{bad:?}");
    }
    assert_eq!(call("1", "a").header("x-cost", "1").send().await.refusal(), (400, "malformed-header".into()));
    // Without anything appended the query says it, and those headers nothing.
    let call = cluster.node(0).with(&key.api_key).get("/v1/authorize").header("x-cost", "50");
    assert!(call.send().await.expect(200).header("ratelimit").starts_with("\"key\";r=59;"));
}

#[tokio::test]
async fn a_sane_request_id_comes_back_and_another_is_replaced() {
    let cluster = Cluster::start(1).await;
    let api = cluster.admin();
    for id in ["1", "order-7/retry:2", &"~".repeat(128)] {
        api.get("/v1/authorize").request_id(id).send().await.expect(200);
        api.get("/v1/keys/none").request_id(id).send().await.expect(404);
        api.without_key().get("/v1/authorize").request_id(id).send().await.expect(401);
        api.get("/nowhere").request_id(id).send().await.expect(404);
    }
    let mut made = std::collections::HashSet::new();
    for id in ["", "a b", "é", &"a".repeat(129)] {
        let answer = api.get("/v1/authorize").header("x-request-id", id).send().await.expect(200);
        assert!(answer.header("x-request-id") != id && made.insert(answer.header("x-request-id").to_owned()), "{id}");
    }
}

/// Standard base64 with padding.
pub(crate) fn base64(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for group in text.as_bytes().chunks(3) {
        let bits = (0..3).fold(0_usize, |bits, place| bits << 8 | usize::from(group.get(place).copied().unwrap_or(0)));
        for place in 0..4 {
            let digit = char::from(DIGITS[bits >> (18 - 6 * place) & 63]);
            out.push(if place > group.len() { '=' } else { digit });
        }
    }
    out
}
