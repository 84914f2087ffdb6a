//! Suspended, resumed, reset, revoked with all of an owner's, last used; kinds on their way out.

use std::time::Duration;

use serde_json::{Value, json};
use tollgate_testkit::{Fleet, eventually};

use crate::support::{Api, Cluster, NewKey};

const DAY: u64 = 86_400;

async fn step(admin: &Api, key: &NewKey, step: &str) -> Value {
    admin.post(&format!("{}/{step}", key.path()), &json!({})).send().await.expect(200).json()
}

#[tokio::test]
async fn a_key_is_suspended_resumed_and_reset_on_every_node_at_once() {
    let cluster = Cluster::of(Fleet::builder(2).env("TOLLGATE_CHANGE_LOG__POLL_INTERVAL", "1m")).await;
    let key = cluster.key(json!({"owner": "acme", "rate_limit": {"burst": 4, "per_seconds": DAY}})).await;
    let each = cluster.each(&key.api_key);
    for api in &each {
        api.authorize("").await.expect(200);
    }
    assert_eq!(step(&cluster.admin(), &key, "suspend").await["status"], "suspended");
    for api in &each {
        assert_eq!(api.authorize("").await.refusal(), (401, "unauthenticated".into()));
    }
    assert_eq!(step(&cluster.admin_of(1), &key, "resume").await["status"], "active");
    for api in &each {
        api.authorize("").await.expect(200);
    }
    each[0].authorize("").await.expect(429);
    let reset = step(&cluster.admin_of(1), &key, "reset").await;
    assert_eq!(reset["propagated"], true);
    for api in each.iter().chain(&each) {
        api.authorize("").await.expect(200);
    }
    each[1].authorize("").await.expect(429);
}

#[tokio::test]
async fn all_keys_of_an_owner_are_revoked_by_one_call() {
    let cluster = Cluster::of(Fleet::builder(2).env("TOLLGATE_CHANGE_LOG__POLL_INTERVAL", "1m")).await;
    let mut keys = Vec::new();
    for _ in 0..12 {
        keys.push(cluster.key(json!({"owner": "acme"})).await);
    }
    let other = cluster.key(json!({"owner": "other"})).await;
    for key in &keys {
        for api in cluster.each(&key.api_key) {
            api.authorize("").await.expect(200);
        }
    }
    let call = || cluster.admin().post("/v1/owners/acme/revoke-keys", &json!({"reason": "breach"})).send();
    assert_eq!(call().await.expect(200).json(), json!({"owner": "acme", "revoked": 12, "propagated": true}));
    for key in &keys {
        for api in cluster.each(&key.api_key) {
            api.authorize("").await.expect(401);
        }
        let shown = cluster.admin().get(&key.path()).send().await.expect(200).json();
        assert_eq!((&shown["status"], &shown["revoke_reason"]), (&json!("revoked"), &json!("breach")));
    }
    cluster.node(1).with(&other.api_key).authorize("").await.expect(200);
    assert_eq!(call().await.expect(200).json()["revoked"], 0);
    assert_eq!(cluster.admin().post("/v1/owners/none/revoke-keys", &json!({})).send().await.refusal(), (404, "not-found".into()));
}

#[tokio::test]
async fn what_the_new_calls_do_not_know_is_refused() {
    let cluster = Cluster::start(1).await;
    let (admin, key) = (cluster.admin(), cluster.key(json!({})).await);
    for (call, body, pointer) in [
        ("rotate", json!({"grace_seconds": 604_801}), "/grace_seconds"),
        ("rotate", json!({"grace_seconds": -1}), "/grace_seconds"),
        ("rotate", json!({"grace_seconds": 1.5}), "/grace_seconds"),
        ("rotate", json!({"grace": 1}), "/grace"),
        ("rotate", json!({"kind": "imported"}), "/kind"),
        ("suspend", json!({"reason": "x"}), "/reason"),
        ("resume", json!({"x": 1}), "/x"),
        ("reset", json!({"x": 1}), "/x"),
    ] {
        let answer = admin.post(&format!("{}/{call}", key.path()), &body).send().await;
        assert_eq!((answer.refusal(), answer.problem().pointer), ((422, "invalid-field".into()), Some(pointer.into())), "{call} {body}");
    }
    key.revoke(&admin).await;
    for call in ["rotate", "suspend", "resume", "reset"] {
        let answer = admin.post(&format!("{}/{call}", key.path()), &json!({})).send().await;
        assert_eq!(answer.refusal(), (409, "conflict".into()), "{call}");
    }
}

#[tokio::test]
async fn a_last_use_is_shown_and_outlives_its_node() {
    let cluster = Cluster::of(Fleet::builder(1).env("TOLLGATE_KEYS__LAST_USED_INTERVAL", "1s")).await;
    let (key, late) = (cluster.key(json!({})).await, cluster.key(json!({})).await);
    assert_eq!(key.record["last_used_at"], Value::Null);
    cluster.node(0).with(&key.api_key).authorize("").await.expect(200);
    let shown = async |key: &NewKey| cluster.admin().get(&key.path()).send().await.expect(200).json()["last_used_at"].clone();
    let told = eventually("a last use", Duration::from_secs(30), async || {
        let told = shown(&key).await;
        anyhow::ensure!(told.is_string(), "none yet");
        Ok(told)
    });
    assert!(told.await.unwrap().is_string());
    cluster.node(0).with(&late.api_key).authorize("").await.expect(200);
    let node = &cluster.fleet.nodes[0];
    node.stop().await.unwrap();
    let database = cluster.fleet.database.as_ref().expect("a database of its own");
    let pool = sqlx::PgPool::connect(database.url()).await.unwrap();
    let used: Option<i64> =
        sqlx::query_scalar("select last_used_at_ms from keys where key_id = $1").bind(&late.key_id).fetch_one(&pool).await.unwrap();
    assert!(used.is_some(), "written before the node ended");
}

#[tokio::test]
async fn a_kind_on_its_way_out_is_warned_of_and_then_refused() {
    let fleet = |end: &str| Fleet::builder(1).env("TOLLGATE_KEYS__DEPRECATED__UNSIGNED", end);
    let cluster = Cluster::of(fleet("2099-12-31T00:00:00Z")).await;
    let (old, good) =
        (cluster.key(json!({"kind": "unsigned", "rate_limit": {"burst": 2, "per_seconds": DAY}})).await, cluster.key(json!({})).await);
    let api = cluster.node(0).with(&old.api_key);
    let warned = |answer: &crate::support::Answer| (answer.header("warning").to_owned(), answer.header("sunset").to_owned());
    let expected = "299 tollgate \"keys of kind unsigned are deprecated and refused from 2099-12-31T00:00:00Z on: rotate this key\"";
    let expected = (expected.to_owned(), "Thu, 31 Dec 2099 00:00:00 GMT".to_owned());
    assert_eq!(warned(&api.authorize("").await.expect(200)), expected);
    assert_eq!(warned(&api.post("/v1/check", &json!({})).send().await.expect(200)), expected);
    assert_eq!(warned(&api.authorize("").await.expect(429)), expected);
    assert_eq!(warned(&cluster.node(0).with(&good.api_key).authorize("").await.expect(200)), (String::new(), String::new()));
    assert!(cluster.counted("tollgate_key_uses_total{kind=\"unsigned\"}").await >= 3);
    let over = Cluster::of(fleet("2020-01-01T00:00:00Z")).await;
    let key = over.key(json!({"kind": "unsigned"})).await;
    assert_eq!(over.node(0).with(&key.api_key).authorize("").await.refusal(), (401, "unauthenticated".into()));
    let signed = over.admin().post(&format!("{}/rotate", key.path()), &json!({"kind": "signed"})).send().await.expect(200).json();
    over.node(0).with(signed["api_key"].as_str().unwrap()).authorize("").await.expect(200);
}
