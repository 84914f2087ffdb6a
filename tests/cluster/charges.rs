//! All buckets of a decision or none, and the one that refused is named.

use serde_json::json;
use tollgate_api::{CheckAnswer, VerdictName};

use crate::support::{Api, Cluster, Load, NewKey, admitted};

const DAY: u64 = 86_400;

/// What is left of each limit, by name.
fn left(answer: &CheckAnswer) -> Vec<(&str, u64)> {
    answer.limits.iter().map(|limit| (limit.name.as_str(), limit.remaining)).collect()
}

async fn owned_key(cluster: &Cluster, owner: &str, burst: u64) -> NewKey {
    cluster.key(json!({"owner": owner, "rate_limit": {"burst": burst, "per_seconds": DAY}})).await
}

/// Expects that one more request is refused by this limit alone, on every node and in every form.
async fn expect_refused_by(each: &[Api], limit: &str) {
    for api in each {
        let answer = api.authorize("").await.expect(429);
        let policies = answer.problem().violated_policies;
        assert_eq!(policies, [limit]);
        let check = api.post("/v1/check", &json!({})).send().await.check();
        assert_eq!((check.verdict, check.limit.as_deref()), (VerdictName::Limited, Some(limit)));
    }
}

#[tokio::test]
async fn a_refusal_by_the_owner_charges_no_key() {
    let cluster = Cluster::start(3).await;
    cluster.limit_owner("acme", json!({"burst": 10, "per_seconds": DAY})).await;
    let (one, two) = (owned_key(&cluster, "acme", 50).await, owned_key(&cluster, "acme", 50).await);
    let shots = Load::on(cluster.each(&one.api_key)).fire(200).await;
    assert_eq!(admitted(&shots), 10);
    let each = cluster.each(&two.api_key);
    let refused = Load::on(each.clone()).fire(100).await;
    assert_eq!(admitted(&refused), 0);
    expect_refused_by(&each, "owner").await;
    assert_eq!(left(&each[0].peek().await), [("key", 50), ("owner", 0)]);
    assert_eq!(left(&cluster.node(1).with(&one.api_key).peek().await), [("key", 40), ("owner", 0)]);
}

#[tokio::test]
async fn a_refusal_by_the_key_charges_no_owner() {
    let cluster = Cluster::start(3).await;
    cluster.limit_owner("acme", json!({"burst": 100, "per_seconds": DAY})).await;
    let (one, two) = (owned_key(&cluster, "acme", 5).await, owned_key(&cluster, "acme", 50).await);
    let each = cluster.each(&one.api_key);
    assert_eq!(admitted(&Load::on(each.clone()).fire(200).await), 5);
    expect_refused_by(&each, "key").await;
    assert_eq!(left(&each[2].peek().await), [("key", 0), ("owner", 95)]);
    // The owner's other key still has all that is left.
    assert_eq!(admitted(&Load::on(cluster.each(&two.api_key)).fire(120).await), 50);
    assert_eq!(left(&each[1].peek().await), [("key", 0), ("owner", 45)]);
}

#[tokio::test]
async fn of_several_limits_the_one_that_refuses_is_named_and_none_is_charged() {
    let cluster = Cluster::start(3).await;
    let limit = |name: &str, burst: u64| json!({"name": name, "burst": burst, "per_seconds": DAY});
    cluster.limit_owner("acme", json!([limit("a", 90), limit("b", 80)])).await;
    let rules = json!([limit("second", 50), limit("minute", 20), limit("hour", 60), limit("day", 70)]);
    let key = cluster.key(json!({"owner": "acme", "rate_limit": rules})).await;
    let each = cluster.each(&key.api_key);
    assert_eq!(admitted(&Load::on(each.clone()).fire(150).await), 20);
    expect_refused_by(&each, "minute").await;
    let standing = each[0].peek().await;
    let expected = [("second", 30), ("minute", 0), ("hour", 40), ("day", 50), ("owner.a", 70), ("owner.b", 60)];
    assert_eq!(left(&standing), expected);
    assert_eq!(standing.remaining, Some(0));
}

#[tokio::test]
async fn a_peek_charges_nothing() {
    let cluster = Cluster::start(3).await;
    let key = cluster.limited_key(30, DAY).await;
    let each = cluster.each(&key.api_key);
    let mut peeks = tokio::task::JoinSet::new();
    for number in 0..150 {
        let api = each[number % each.len()].clone();
        peeks.spawn(async move { api.peek().await });
    }
    for answer in peeks.join_all().await {
        assert_eq!((answer.verdict, answer.remaining, answer.reset_after_ms), (VerdictName::Allowed, Some(30), Some(0)));
    }
    assert_eq!(admitted(&Load::on(each.clone()).fire(100).await), 30);
    for api in &each {
        let answer = api.peek().await;
        assert_eq!((answer.verdict, answer.remaining), (VerdictName::Limited, Some(0)));
    }
}

#[tokio::test]
async fn who_is_denied_or_unreadable_charges_nothing() {
    let cluster = Cluster::start(3).await;
    let key = cluster.key(json!({"scopes": ["a"], "rate_limit": {"burst": 9, "per_seconds": DAY}})).await;
    let each = cluster.each(&key.api_key);
    assert_eq!(each[0].peek().await.remaining, Some(9));
    let wrong = mistyped(&key.api_key);
    for api in &each {
        assert_eq!(api.authorize("scope=b").await.refusal(), (403, "scope-missing".into()));
        assert_eq!(api.authorize("cost=10").await.refusal(), (422, "cost-exceeds-burst".into()));
        assert_eq!(api.authorize("cost=0").await.refusal(), (400, "invalid-parameter".into()));
        assert_eq!(api.with(&wrong).authorize("").await.refusal(), (401, "unauthenticated".into()));
        assert_eq!(api.post("/v1/check", &json!({"scope": "b"})).send().await.check().verdict, VerdictName::Denied);
        api.post("/v1/check", &json!({"cost": 10})).send().await.expect(422);
        assert_eq!(api.peek().await.remaining, Some(9));
    }
    assert_eq!(admitted(&Load::on(each).fire(80).await), 9);
}

/// The same key id with the secret of another.
fn mistyped(api_key: &str) -> String {
    let (rest, last) = api_key.split_at(api_key.len() - 1);
    format!("{rest}{}", if last == "0" { '1' } else { '0' })
}
