//! Refusals of the gate, as clients are told them.

use reqwest::Response;
use serde_json::json;
use tollgate_testkit::Gateway;

use super::site::{Site, client, patient};

fn header<'a>(answer: &'a Response, name: &str) -> &'a str {
    assert!(answer.headers().get_all(name).iter().count() <= 1, "{name}: {answer:?}");
    answer.headers().get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
}

/// What every refusal has: one request id, a problem, nothing that is kept.
async fn assert_refused(what: &str, status: u16, answer: Response) {
    assert_eq!(answer.status(), status, "{what}: {answer:?}");
    assert_eq!(header(&answer, "content-type"), "application/problem+json", "{what}: {answer:?}");
    assert!(!header(&answer, "x-request-id").is_empty(), "{what}: {answer:?}");
    assert_eq!(header(&answer, "cache-control"), "no-store", "{what}: {answer:?}");
    let problem: serde_json::Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
    assert_eq!(problem["status"], status, "{what}: {problem}");
    assert!(!problem["title"].as_str().unwrap().is_empty(), "{what}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_nobody_is_401_everywhere() {
    let site = Site::start().await;
    let (key, revoked) = (site.key().await, site.key().await);
    revoked.revoke(site.admin()).await;
    let wrong = [
        String::new(),
        "Bearer".into(),
        "Bearer nobody:guess".into(),
        format!("Bearer {}x", key.api_key),
        format!("Bearer {}", key.api_key.replace(':', ";")),
        format!("Bearer {}", revoked.api_key),
        "Negotiate abc".into(),
    ];
    for recipe in &site.recipes {
        for credential in &wrong {
            let what = format!("{}, {credential:?}", recipe.gateway().name());
            let call = client(recipe).get("/orders");
            let call = if credential.is_empty() { call } else { call.header("authorization", credential) };
            let answer = call.open().await;
            assert!(header(&answer, "www-authenticate").contains("Bearer"), "{what}: {answer:?}");
            assert!(!answer.headers().contains_key("ratelimit"), "{what}: {answer:?}");
            assert_refused(&what, 401, answer).await;
        }
        let twice = client(recipe).with(&key.api_key).get("/orders").header("x-api-key", &key.api_key).open().await;
        assert_refused(recipe.gateway().name(), 400, twice).await;
    }
    assert!(site.app.take().is_empty(), "the app was asked");
    assert_eq!(site.spent(&key).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limited_stays_429_and_says_when_to_come_back() {
    let site = Site::start().await;
    for recipe in &site.recipes {
        let name = recipe.gateway().name();
        let key = site.key_of(json!({"rate_limit": {"burst": 1, "per_seconds": 600}})).await;
        assert_eq!(client(recipe).with(&key.api_key).get("/").open().await.status(), 200, "{name}");
        for _ in 0..2 {
            let answer = client(recipe).with(&key.api_key).get("/").open().await;
            let retry_after: u64 = header(&answer, "retry-after").parse().unwrap();
            assert!((1..=600).contains(&retry_after), "{name}: {answer:?}");
            assert_eq!(header(&answer, "ratelimit-policy"), "\"key\";q=1;w=600", "{name}: {answer:?}");
            assert!(header(&answer, "ratelimit").starts_with("\"key\";r=0;t="), "{name}: {answer:?}");
            assert_refused(name, 429, answer).await;
        }
        assert_eq!(site.app.take().len(), 1, "{name}");
    }
}

/// With a node before the real one that is gone, and that nginx does not learn to leave alone.
fn after_a_node_that_is_gone(gateway: Gateway, text: &str) -> String {
    let text = patient(gateway, text);
    if gateway == Gateway::Nginx { text.replace("# A line for each node.", "server 127.0.0.1:1 max_fails=0;") } else { text }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_node_says_after_one_that_is_gone_stays_what_it_is() {
    let site = Site::changed(|node| node, after_a_node_that_is_gone).await;
    let recipe = site.recipes.iter().find(|recipe| recipe.gateway() == Gateway::Nginx).unwrap();
    let (key, bare) = (site.key_of(json!({"rate_limit": {"burst": 1, "per_seconds": 600}})).await, site.bare_key().await);
    assert_eq!(client(recipe).with(&key.api_key).get("/").open().await.status(), 200);
    // Nodes take turns at being the first who is asked.
    for _ in 0..4 {
        let unknown = client(recipe).get("/").open().await;
        assert!(header(&unknown, "www-authenticate").contains("Bearer"), "{unknown:?}");
        assert_refused("without a credential", 401, unknown).await;
        let limited = client(recipe).with(&key.api_key).get("/").open().await;
        assert!(!header(&limited, "retry-after").is_empty(), "{limited:?}");
        assert_refused("limited", 429, limited).await;
        assert_eq!(client(recipe).with(&bare.api_key).get("/").open().await.status(), 200);
    }
    assert!(recipe.log_tail().contains("127.0.0.1:1/"), "the one that is gone was never asked: {}", recipe.log_tail());
    assert_eq!((site.app.take().len(), site.spent(&bare).await), (5, 4));
}

/// Demands a scope for everything, as the page on gateways says.
fn with_a_scope(gateway: Gateway, text: &str) -> String {
    let text = patient(gateway, text);
    if gateway == Gateway::Envoy {
        let append = "- append: { header: { key: x-tollgate-scope, value: orders:read }, append_action: OVERWRITE_IF_EXISTS_OR_ADD }";
        text.replacen("- remove: forwarded", &format!("- remove: forwarded\n                          {append}"), 1)
    } else {
        let (uri, query) = match gateway {
            Gateway::Nginx => ("http://tollgate/v1/authorize", "?scope=orders:read"),
            Gateway::Caddy => ("uri /v1/authorize?", "scope=orders:read"),
            _ => ("80/v1/authorize", "?scope=orders:read"),
        };
        text.replace(uri, &format!("{uri}{query}"))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_scope_stays_403() {
    let site = Site::changed(|node| node.env("TOLLGATE_FORWARD_AUTH__SCOPE_HEADER", "x-tollgate-scope"), with_a_scope).await;
    let (key, bare) = (site.key().await, site.bare_key().await);
    for recipe in &site.recipes {
        let name = recipe.gateway().name();
        assert_eq!(client(recipe).with(&key.api_key).get("/").open().await.status(), 200, "{name}");
        // Whatever the client says of scopes.
        let call =
            client(recipe).with(&bare.api_key).get("/?scope=").header("x-tollgate-scope", "").header("x-tollgate-scopes", "orders:read");
        let answer = call.open().await;
        assert!(!answer.headers().contains_key("retry-after") && !answer.headers().contains_key("ratelimit"), "{name}: {answer:?}");
        assert_refused(name, 403, answer).await;
        assert_eq!(site.app.take().len(), 1, "{name}");
    }
    assert_eq!(site.spent(&bare).await, 0);
}
