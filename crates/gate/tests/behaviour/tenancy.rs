//! What each right of one tenant is worth on another's objects: nothing. And nobody hands out
//! what he has not.

use serde_json::{Value, json};
use tollgate_gate::{
    config::{ConfigErrorKind, KeyRules},
    control::{ControlError, ListKeys, Operator},
    ports::KeyStoreError,
    verdict::Denial,
};
use tollgate_keys::{OwnerName, Scope, Scopes};

use crate::support::{Ask, Outcomes, World, operator, rules};

fn body<T: serde::de::DeserializeOwned>(json: Value) -> T {
    serde_json::from_value(json).expect("a body")
}

fn of(owner: &str) -> KeyRules {
    KeyRules { owner: Some(OwnerName::parse(owner).expect("an owner")), ..rules() }
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, ControlError>) -> (ConfigErrorKind, String) {
    match result {
        Err(ControlError::Refused(error)) => (error.kind, error.pointer),
        other => panic!("not refused: {other:?}"),
    }
}

const FORBIDDEN: ConfigErrorKind = ConfigErrorKind::Forbidden;

#[tokio::test(start_paused = true)]
async fn no_right_of_a_tenant_reaches_anothers_objects() {
    let world = World::new().await;
    let (own, others, nobodys) = (world.key(of("a")).await, world.key(of("b")).await, world.key(rules()).await);
    world.keys.edit_owner(&OwnerName::parse("b").expect("an owner"), crate::support::limits(5, 60));
    let gate = &world.node.gate;
    for right in Scope::BUILT_IN {
        let tenant = operator(Some("a"), &[right.as_str()]);
        for foreign in [&others, &nobodys] {
            let (id, before) = (foreign.key_id.as_str(), world.keys.record(&foreign.key_id));
            assert_eq!(gate.key(&tenant, id).await, Err(ControlError::NotFound), "{right}");
            assert_eq!(gate.patch_key(&tenant, id, None, body(json!({ "name": "mine" }))).await, Err(ControlError::NotFound), "{right}");
            assert_eq!(gate.patch_key(&tenant, id, Some(7), body(json!({}))).await, Err(ControlError::NotFound), "not even its generation");
            assert_eq!(gate.revoke_key(&tenant, id, body(json!({}))).await, Err(ControlError::NotFound), "{right}");
            assert_eq!(gate.rotate_key(&tenant, id, body(json!({}))).await, Err(ControlError::NotFound), "{right}");
            assert_eq!(gate.suspend_key(&tenant, id).await, Err(ControlError::NotFound), "{right}");
            assert_eq!(gate.resume_key(&tenant, id).await, Err(ControlError::NotFound), "{right}");
            assert_eq!(gate.reset_key(&tenant, id).await, Err(ControlError::NotFound), "{right}");
            assert_eq!(world.keys.record(&foreign.key_id), before);
        }
        assert_eq!(gate.owner(&tenant, "b").await, Err(ControlError::NotFound), "{right}");
        assert_eq!(gate.revoke_keys_of(&tenant, "b", body(json!({}))).await, Err(ControlError::NotFound), "{right}");
        assert_eq!(world.node.hashes(), 0, "no secret is made for what is not his");
        let listed = |owner: Option<&str>| gate.list_keys(&tenant, ListKeys { owner: owner.map(str::to_owned), ..ListKeys::default() });
        let ids: Vec<_> = listed(None).await.expect("his own").keys.into_iter().map(|key| key.key_id).collect();
        assert_eq!(ids, [own.key_id.to_string()], "{right}");
        assert!(listed(Some("b")).await.expect("none").keys.is_empty(), "{right}");
        assert_eq!(refused(gate.create_key(&tenant, body(json!({ "name": "n", "owner": "b" }))).await), (FORBIDDEN, "/owner".to_owned()));
    }
    assert!(world.buckets.fences().is_empty(), "nothing was raised for what was not found");
    let tenant = operator(Some("a"), &["admin"]);
    gate.key(&tenant, own.key_id.as_str()).await.expect("his own");
    gate.owner(&tenant, "a").await.expect("himself");
    let made = gate.create_key(&tenant, body(json!({ "name": "n" }))).await.expect("made");
    assert_eq!(made.key.owner.as_deref(), Some("a"), "where he names no owner it is his");
}

#[tokio::test(start_paused = true)]
async fn no_tenant_has_owners_write_not_even_as_admin() {
    let world = World::new().await;
    let key = world.key(KeyRules { scopes: Scopes::parse(["admin", "owners:write"]).expect("scopes"), ..of("a") }).await;
    let denial = world.node.ask(&key, Ask::scope("owners:write")).await.denied();
    assert!(matches!(denial, Denial::ScopeMissing { .. }));
    world.node.ask(&key, Ask::scope("keys:write")).await.allowed();
    let operators = world.key(KeyRules { scopes: Scopes::parse(["admin"]).expect("scopes"), ..rules() }).await;
    world.node.ask(&operators, Ask::scope("owners:write")).await.allowed();
}

#[tokio::test(start_paused = true)]
async fn nobody_grants_a_scope_that_he_lacks() {
    let world = World::new().await;
    let gate = &world.node.gate;
    let create = |who: Operator, scopes: Value| async move { gate.create_key(&who, body(json!({ "name": "n", "scopes": scopes }))).await };
    let writer = || operator(None, &["keys:write", "orders:read"]);
    create(writer(), json!(["orders:read"])).await.expect("he has it");
    for lacking in ["admin", "keys:read", "owners:write", "orders:write"] {
        assert_eq!(refused(create(writer(), json!(["orders:read", lacking])).await), (FORBIDDEN, "/scopes".to_owned()));
        assert_eq!(refused(create(operator(Some("a"), &["keys:write"]), json!([lacking])).await).0, FORBIDDEN);
    }
    create(operator(None, &["admin"]), json!(["admin", "owners:write", "anything"])).await.expect("an admin has all");
    create(operator(Some("a"), &["admin"]), json!(["admin", "anything"])).await.expect("within his own");
    assert_eq!(refused(create(operator(Some("a"), &["admin"]), json!(["owners:write"])).await).0, FORBIDDEN);
}

#[tokio::test(start_paused = true)]
async fn a_change_grants_no_more_than_a_new_key_would() {
    let world = World::new().await;
    let gate = &world.node.gate;
    let key = world.key(KeyRules { scopes: Scopes::parse(["admin"]).expect("scopes"), ..of("a") }).await;
    let patch = |who: Operator, change: Value| {
        let key = &key;
        async move { gate.patch_key(&who, key.key_id.as_str(), None, body(change)).await }
    };
    let writer = || operator(Some("a"), &["keys:write"]);
    patch(writer(), json!({ "name": "x" })).await.expect("a name");
    patch(writer(), json!({ "scopes": ["admin", "keys:write"] })).await.expect("what the key has, and what he has");
    patch(writer(), json!({ "scopes": ["keys:write"] })).await.expect("less");
    assert_eq!(refused(patch(writer(), json!({ "scopes": ["admin"] })).await), (FORBIDDEN, "/scopes".to_owned()), "gone is gone");
    let to_tenant = patch(operator(None, &["admin"]), json!({ "scopes": ["owners:write"] })).await;
    assert_eq!(refused(to_tenant), (ConfigErrorKind::Invalid, "/scopes".to_owned()), "no key with an owner holds it");
}

#[tokio::test(start_paused = true)]
async fn an_unlimited_key_needs_owners_write() {
    let world = World::new().await;
    let gate = &world.node.gate;
    let key = world.key(of("a")).await;
    for who in [operator(None, &["keys:write"]), operator(Some("a"), &["admin"]), operator(Some("a"), &["keys:write", "owners:write"])] {
        let made = gate.create_key(&who, body(json!({ "name": "n", "rate_limit": null }))).await;
        assert_eq!(refused(made), (FORBIDDEN, "/rate_limit".to_owned()));
        let patched = gate.patch_key(&who, key.key_id.as_str(), None, body(json!({ "rate_limit": null }))).await;
        assert_eq!(refused(patched), (FORBIDDEN, "/rate_limit".to_owned()));
    }
    for who in [operator(None, &["keys:write", "owners:write"]), operator(None, &["admin"])] {
        let made = gate.create_key(&who, body(json!({ "name": "n", "rate_limit": null }))).await.expect("made");
        assert_eq!(made.key.rate_limit, None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_change_leaves_no_trace() {
    let world = World::new().await;
    let position = world.keys.position();
    let made = world.node.gate.create_key(&operator(None, &["keys:write"]), body(json!({ "name": "n", "scopes": ["admin"] }))).await;
    assert!(matches!(made, Err(ControlError::Refused(_))));
    assert_eq!((world.keys.position(), world.node.hashes()), (position, 0), "nothing is written, nothing is hashed");
    assert_eq!(ControlError::from(KeyStoreError::NotFound), ControlError::NotFound);
}

/// Who rotates a key is told its new secret.
#[tokio::test(start_paused = true)]
async fn nobody_rotates_a_key_that_may_do_more_than_he_may() {
    let world = World::new().await;
    let admins = world.key(KeyRules { scopes: Scopes::parse(["admin"]).expect("a scope"), ..rules() }).await;
    let (id, before) = (admins.key_id.as_str(), world.keys.record(&admins.key_id));
    let gate = &world.node.gate;
    let writer = operator(None, &["keys:write", "keys:read", "owners:write"]);
    let rotation = || body(json!({ "grace_seconds": 0 }));
    assert_eq!(refused(gate.rotate_key(&writer, id, rotation()).await), (FORBIDDEN, "/scopes".to_owned()));
    assert_eq!(world.keys.record(&admins.key_id), before);
    gate.rotate_key(&operator(None, &["admin"]), id, rotation()).await.expect("an admin may");
}
