//! Each right of one tenant against each thing of another, and of the operators.

use serde_json::{Value, json};

use crate::support::{Api, Cluster, NewKey, in_the_end};

/// A key as operators see it, but for its last use, which is told when it is.
async fn shown(cluster: &Cluster, key: &NewKey) -> Value {
    let mut record = cluster.admin().get(&key.path()).send().await.expect(200).json();
    record.as_object_mut().unwrap().remove("last_used_at").unwrap();
    record
}

/// Everything that can be tried on somebody else's key.
async fn expect_out_of_reach(api: &Api, key: &NewKey) {
    let path = key.path();
    assert_eq!(api.get(&path).send().await.refusal(), (404, "not-found".into()));
    for body in [json!({"name": "mine"}), json!({"scopes": []}), json!({"rate_limit": {"burst": 1, "per_seconds": 1}}), json!({})] {
        assert_eq!(api.patch(&path, &body).send().await.refusal(), (404, "not-found".into()), "{body}");
    }
    let generation = key.record["generation"].to_string();
    let call = api.patch(&path, &json!({"name": "mine"})).header("if-match", &format!("\"{generation}\""));
    assert_eq!(call.send().await.status, 404);
    let call = api.patch(&path, &json!({"name": "mine"})).header("if-match", "\"1\"");
    assert_eq!(call.send().await.status, 404, "not even the generation is told");
    for call in ["revoke", "rotate", "suspend", "resume", "reset"] {
        let answer = api.post(&format!("{path}/{call}"), &json!({})).send().await;
        assert_eq!(answer.refusal(), (404, "not-found".into()), "{call}");
    }
}

#[tokio::test]
async fn a_tenant_reaches_nothing_of_another_tenant_or_of_the_operators() {
    let cluster = Cluster::start(1).await;
    for owner in ["a", "b"] {
        cluster.limit_owner(owner, json!({"burst": 100_000, "per_seconds": 60})).await;
    }
    let theirs = cluster.key(json!({"owner": "b", "scopes": ["x"]})).await;
    let operators = cluster.key(json!({"scopes": ["x"]})).await;
    for scopes in [json!(["keys:read", "keys:write", "usage:read", "events:read", "health:read"]), json!(["admin"])] {
        let tenant = cluster.key(json!({"owner": "a", "scopes": scopes})).await;
        let api = cluster.node(0).with(&tenant.api_key);
        for key in [&theirs, &operators] {
            let before = shown(&cluster, key).await;
            expect_out_of_reach(&api, key).await;
            expect_watches_own_alone(&api, key).await;
            assert_eq!(shown(&cluster, key).await, before, "nothing changed");
            cluster.node(0).with(&key.api_key).authorize("scope=x").await.expect(200);
        }
        expect_owners_closed(&api).await;
        expect_lists_own_alone(&api).await;
        expect_makes_own_alone(&api).await;
    }
    let owner = cluster.admin().get("/v1/owners/b").send().await.expect(200).json();
    assert_eq!(owner["rate_limit"], json!({"burst": 100_000, "per_seconds": 60}));
}

async fn expect_owners_closed(api: &Api) {
    assert_eq!(api.get("/v1/owners/b").send().await.refusal(), (404, "not-found".into()));
    api.get("/v1/owners/a").send().await.expect(200);
    assert_eq!(api.post("/v1/owners/b/revoke-keys", &json!({})).send().await.refusal(), (404, "not-found".into()));
    for owner in ["a", "b", "new"] {
        let answer = api.put(&format!("/v1/owners/{owner}"), &json!({"rate_limit": null})).send().await;
        assert_eq!(answer.refusal(), (403, "scope-missing".into()), "{owner}");
    }
}

async fn expect_lists_own_alone(api: &Api) {
    for query in ["", "?page_size=1000", "?status=active", "?owner=a"] {
        let page = api.get(&format!("/v1/keys{query}")).send().await.expect(200).json();
        let keys = page["keys"].as_array().unwrap();
        assert!(!keys.is_empty() && keys.iter().all(|key| key["owner"] == "a"), "{query}: {page}");
    }
    let page = api.get("/v1/keys?owner=b").send().await.expect(200).json();
    assert_eq!(page, json!({"keys": [], "next_cursor": null}));
}

/// What is told of the use of keys, of changes and of nodes.
async fn expect_watches_own_alone(api: &Api, theirs: &NewKey) {
    assert_eq!(api.get(&format!("{}/usage", theirs.path())).send().await.refusal(), (404, "not-found".into()));
    let page = api.get("/v1/audit?page_size=1000").send().await.expect(200).json();
    let entries = page["entries"].as_array().unwrap();
    assert!(!entries.is_empty() && entries.iter().all(|entry| entry["owner"] == "a"), "{page}");
    for query in ["owner=b".to_owned(), format!("key_id={}", theirs.key_id)] {
        let page = api.get(&format!("/v1/audit?{query}")).send().await.expect(200).json();
        assert_eq!(page["entries"], json!([]), "{query}");
    }
    let top = in_the_end(|| api.get("/v1/usage/top?owner=b")).await.expect(200).json();
    assert_eq!((&top["keys"], &top["limited"]), (&json!([]), &json!(0)));
    assert_eq!(api.get("/v1/nodes").send().await.refusal(), (403, "forbidden".into()));
    let health = api.get("/health/full").send().await.expect(200).json();
    assert_eq!(health["figures"]["unlimited_keys"], json!([]));
}

async fn expect_makes_own_alone(api: &Api) {
    let answer = api.post("/v1/keys", &json!({"name": "n", "owner": "b"})).send().await;
    assert_eq!((answer.refusal(), answer.problem().pointer), ((403, "forbidden".into()), Some("/owner".into())));
    let made = NewKey::make(api, json!({"owner": null})).await;
    assert_eq!(made.record["owner"], "a");
}

#[tokio::test]
async fn nobody_grants_a_scope_that_he_lacks() {
    let cluster = Cluster::start(1).await;
    for owner in [json!("a"), json!(null)] {
        let grantor = cluster.key(json!({"owner": owner, "scopes": ["keys:read", "keys:write", "x"]})).await;
        let api = cluster.node(0).with(&grantor.api_key);
        for scope in ["admin", "y", "limit:write"] {
            let answer = api.post("/v1/keys", &json!({"name": "n", "scopes": ["x", scope]})).send().await;
            assert_eq!((answer.refusal(), answer.problem().pointer), ((403, "forbidden".into()), Some("/scopes".into())));
            assert!(answer.problem().detail.ends_with(scope), "{}", answer.text());
            let answer = api.patch(&grantor.path(), &json!({"scopes": ["keys:write", scope]})).send().await;
            assert_eq!(answer.refusal(), (403, "forbidden".into()), "not to himself either");
        }
        let made = NewKey::make(&api, json!({"scopes": ["x"]})).await;
        assert_eq!(made.record["scopes"], json!(["x"]));
    }
}

#[tokio::test]
async fn each_call_demands_its_scope() {
    let cluster = Cluster::start(1).await;
    let key = cluster.key(json!({})).await;
    let limit = json!({"namespace": "a", "id": "b", "rate_limit": {"burst": 1, "per_seconds": 1}});
    for scope in ["keys:read", "keys:write", "owners:write", "limit:write", "health:read", "usage:read", "none"] {
        let own = cluster.key(json!({"scopes": [scope]})).await;
        let api = cluster.node(0).with(&own.api_key);
        for (needed, good, call) in [
            ("keys:read", 200, api.get("/v1/keys")),
            ("keys:read", 200, api.get(&key.path())),
            ("keys:read", 404, api.get("/v1/owners/none")),
            ("keys:write", 201, api.post("/v1/keys", &json!({"name": "n"}))),
            ("keys:write", 200, api.patch(&key.path(), &json!({}))),
            ("keys:write", 404, api.post("/v1/keys/none/revoke", &json!({}))),
            ("keys:write", 404, api.post("/v1/keys/none/rotate", &json!({}))),
            ("keys:write", 404, api.post("/v1/keys/none/suspend", &json!({}))),
            ("keys:write", 404, api.post("/v1/keys/none/resume", &json!({}))),
            ("keys:write", 404, api.post("/v1/keys/none/reset", &json!({}))),
            ("keys:write", 404, api.post("/v1/owners/none/revoke-keys", &json!({}))),
            ("owners:write", 200, api.put("/v1/owners/acme", &json!({"rate_limit": null}))),
            ("limit:write", 200, api.post("/v1/limit", &limit)),
            ("health:read", 200, api.get("/health/full")),
        ] {
            let answer = call.send().await;
            if scope == needed {
                assert_eq!(answer.status, good, "{scope}: {}", answer.text());
            } else {
                assert_eq!(answer.refusal(), (403, "scope-missing".into()), "{scope} for {needed}");
                assert!(answer.problem().detail.contains(needed), "{}", answer.text());
            }
        }
        for target in [format!("{}/usage", key.path()), "/v1/usage/top".to_owned()] {
            let answer = in_the_end(|| api.get(&target)).await;
            if scope == "usage:read" {
                assert_eq!(answer.status, 200, "{scope}: {}", answer.text());
            } else {
                assert_eq!(answer.refusal(), (403, "scope-missing".into()), "{scope} for {target}");
                assert!(answer.problem().detail.contains("usage:read"), "{}", answer.text());
            }
        }
    }
}

#[tokio::test]
async fn named_things_of_tenants_are_apart() {
    let cluster = Cluster::start(1).await;
    let body = json!({"namespace": "users", "id": "7", "rate_limit": {"burst": 1, "per_seconds": 86_400}});
    let mut verdicts = Vec::new();
    for owner in [json!("a"), json!("b"), json!(null), json!("a")] {
        let key = cluster.key(json!({"owner": owner, "scopes": ["limit:write"]})).await;
        verdicts.push(cluster.node(0).with(&key.api_key).post("/v1/limit", &body).send().await.check().code);
    }
    assert_eq!(verdicts, ["allowed", "allowed", "allowed", "limited"], "another key of a is the same tenant");
}
