//! Costs that are zero, negative, no whole numbers, huge, or above the burst.

use serde_json::{Value, json};

use crate::support::Cluster;

#[tokio::test]
async fn a_cost_out_of_range_is_refused_everywhere_and_charges_nothing() {
    let cluster = Cluster::start(1).await;
    let key = cluster.key(json!({"scopes": ["limit:write"], "rate_limit": {"burst": 1_000_000, "per_seconds": 86_400}})).await;
    let api = cluster.node(0).with(&key.api_key);
    let before = api.peek().await.remaining.unwrap();
    for text in ["0", "-1", "1.0", "1e3", "+1", "0x1", "NaN", "", " 1", "1000000001", "9223372036854775808", "18446744073709551616", "１"]
    {
        let answer = api.authorize(&format!("cost={text}")).await;
        assert_eq!(answer.refusal(), (400, "invalid-parameter".into()), "{text:?}");
        assert!(answer.problem().detail.contains("cost") || text == "１", "{}", answer.text());
    }
    for text in ["0", "-1", "1.0", "1e3", "\"1\"", "true", "[1]", "1000000001", "9223372036854775808", "1e400"] {
        let check = format!("{{\"cost\":{text}}}");
        let limit = format!("{{\"namespace\":\"a\",\"id\":\"b\",\"rate_limit\":{{\"burst\":5,\"per_seconds\":5}},\"cost\":{text}}}");
        for (path, body) in [("/v1/check", check), ("/v1/limit", limit)] {
            let answer = api.call(reqwest::Method::POST, path).body("application/json", body).send().await;
            // Beyond what JSON numbers can hold, it is no JSON.
            let expected = if text == "1e400" { (400, "malformed-body".into()) } else { (422, "invalid-field".into()) };
            assert_eq!(answer.refusal(), expected, "{path} {text}: {}", answer.text());
            assert!(expected.0 == 400 || answer.problem().pointer.as_deref() == Some("/cost"), "{}", answer.text());
        }
    }
    // `/v1/limit` costs its caller a token, whatever comes of it.
    let calls_of_limit = 10;
    let after = api.peek().await.remaining.unwrap();
    assert!((before - calls_of_limit..=before).contains(&after), "{before} became {after}");
}

#[tokio::test]
async fn a_cost_above_any_burst_of_the_decision_can_never_pass() {
    let cluster = Cluster::start(1).await;
    cluster.limit_owner("acme", json!({"burst": 3, "per_seconds": 86_400})).await;
    let key = |body: Value| cluster.key(body);
    let small = key(json!({"rate_limit": {"burst": 7, "per_seconds": 86_400}})).await;
    let owned = key(json!({"owner": "acme", "rate_limit": {"burst": 100, "per_seconds": 86_400}})).await;
    let unlimited = key(json!({"rate_limit": null})).await;
    for (key, fits) in [(&small, 7), (&owned, 3)] {
        let api = cluster.node(0).with(&key.api_key);
        for cost in [fits + 1, 1_000_000_000] {
            let answer = api.authorize(&format!("cost={cost}")).await;
            assert_eq!(answer.refusal(), (422, "cost-exceeds-burst".into()));
            assert!(answer.problem().detail.contains(&fits.to_string()), "{}", answer.text());
            let answer = api.post("/v1/check", &json!({"cost": cost})).send().await;
            assert_eq!((answer.refusal(), answer.problem().pointer), ((422, "cost-exceeds-burst".into()), Some("/cost".into())));
        }
        api.authorize(&format!("cost={fits}")).await.expect(200);
    }
    cluster.node(0).with(&unlimited.api_key).authorize("cost=1000000000").await.expect(200);
}
