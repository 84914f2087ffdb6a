//! An unlimited key is an operator's privilege.

use serde_json::{Value, json};

use crate::support::{Api, Cluster, NewKey};

async fn key_with(cluster: &Cluster, scopes: &[&str], owner: Option<&str>) -> Api {
    let key = cluster.key(json!({"scopes": scopes, "owner": owner, "rate_limit": {"burst": 1000, "per_seconds": 60}})).await;
    cluster.node(0).with(&key.api_key)
}

async fn expect_forbidden(api: &Api, key: &NewKey) {
    for answer in [
        api.post("/v1/keys", &json!({"name": "n", "rate_limit": null})).send().await,
        api.patch(&key.path(), &json!({"rate_limit": null})).send().await,
    ] {
        assert_eq!(answer.refusal(), (403, "forbidden".into()));
        assert_eq!(answer.problem().pointer.as_deref(), Some("/rate_limit"));
    }
    assert_eq!(api.put("/v1/owners/acme", &json!({"rate_limit": null})).send().await.status, 403);
}

#[tokio::test]
async fn only_who_may_write_owners_makes_a_key_unlimited() {
    let cluster = Cluster::start(1).await;
    cluster.limit_owner("acme", json!({"burst": 9, "per_seconds": 60})).await;
    let victim = cluster.key(json!({"owner": "acme", "rate_limit": {"burst": 5, "per_seconds": 60}})).await;
    for api in [
        key_with(&cluster, &["keys:read", "keys:write"], None).await,
        key_with(&cluster, &["keys:read", "keys:write"], Some("acme")).await,
        key_with(&cluster, &["admin"], Some("acme")).await,
    ] {
        expect_forbidden(&api, &victim).await;
    }
    let shown = cluster.admin().get(&victim.path()).send().await.expect(200).json();
    assert_eq!((&shown["rate_limit"], &shown["generation"]), (&victim.record["rate_limit"], &victim.record["generation"]));
    assert_eq!(cluster.admin().get("/v1/owners/acme").send().await.json()["rate_limit"], json!({"burst": 9, "per_seconds": 60}));
    let allowed = key_with(&cluster, &["keys:write", "owners:write"], None).await;
    let made = NewKey::make(&allowed, json!({"rate_limit": null})).await;
    assert_eq!(made.record["rate_limit"], Value::Null);
    let answer = cluster.node(0).with(&made.api_key).authorize("cost=1000000000").await.expect(200);
    assert!(!answer.tells_limits());
}

#[tokio::test]
async fn no_key_of_an_owner_holds_owners_write() {
    let cluster = Cluster::start(1).await;
    let answer = cluster.admin().post("/v1/keys", &json!({"name": "n", "owner": "acme", "scopes": ["owners:write"]})).send().await;
    assert_eq!(answer.refusal(), (422, "invalid-field".into()));
    let key = cluster.key(json!({"owner": "acme", "scopes": ["admin"]})).await;
    let answer = cluster.admin().patch(&key.path(), &json!({"scopes": ["owners:write"]})).send().await;
    assert_eq!((answer.refusal(), answer.problem().pointer), ((422, "invalid-field".into()), Some("/scopes".into())));
    let own = cluster.node(0).with(&key.api_key);
    assert_eq!(own.authorize("scope=owners:write").await.refusal(), (403, "scope-missing".into()));
    assert_eq!(own.authorize("scope=keys:write").await.status, 200);
}
