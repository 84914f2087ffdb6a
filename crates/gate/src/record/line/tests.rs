use serde_json::json;
use tollgate_keys::OwnerName;
use tollgate_limits::{LimitName, RateLimit, RateLimits};

use super::*;
use crate::{
    config::ConfigError,
    record::{KeyRecord, OwnerRecord, OwnerRules},
};

const HASH: &str = "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$AAECAwQFBgcICQoLDA0ODw";

fn line(json: &Value) -> Result<RecordLine, serde_json::Error> {
    serde_json::from_value(json.clone())
}

fn record(json: &Value) -> Result<KeyRecord, ConfigError> {
    match line(json).expect("a line of the right form") {
        RecordLine::Key(key) => KeyRecord::try_from(*key),
        RecordLine::Owner(_) => panic!("a key was written"),
    }
}

fn small() -> Value {
    json!({
        "type": "key", "key_id": "tk_01arz3ndektsv4rrffq69g5fav", "name": "batch", "kind": "signed", "hash": HASH,
        "rate_limit": null, "status": "active", "created_at_ms": 5, "generation": 7,
    })
}

fn full() -> Value {
    json!({
        "type": "key", "key_id": "legacy.1", "owner": "acme", "name": "Änne", "kind": "imported", "hash": HASH,
        "previous": {"hash": HASH, "until_ms": 9}, "scopes": ["a:b", "keys:read"],
        "rate_limit": [{"name": "day", "burst": 10, "per_seconds": 86400}], "status": "revoked", "expires_at_ms": 8,
        "created_at_ms": 5, "revoked": {"at_ms": 6, "reason": "leaked"}, "metadata": {"n": 1, "big": u64::MAX}, "generation": 7,
    })
}

fn with(pointer: &str, value: Value) -> Value {
    let mut json = full();
    *json.pointer_mut(pointer).expect("a field") = value;
    json
}

#[test]
fn a_key_is_the_same_after_a_round_trip() {
    for json in [small(), full()] {
        let key = record(&json).expect("a good key");
        let written = serde_json::to_value(RecordLine::Key(Box::new(KeyLine::from(&key)))).expect("json");
        assert_eq!(written, json);
        assert_eq!(record(&written), Ok(key));
    }
}

#[test]
fn a_line_is_one_line() {
    let key = record(&with("/name", json!("a \u{2028} b"))).expect("a good key");
    let text = serde_json::to_string(&RecordLine::Key(Box::new(KeyLine::from(&key)))).expect("json");
    assert!(!text.contains('\n'));
    assert!(text.starts_with(r#"{"type":"key","key_id":"#), "{text}");
}

#[test]
fn an_owner_is_the_same_after_a_round_trip() {
    let name = LimitName::new(OWNER_LIMIT_NAME).expect("a name");
    let limits = RateLimits::one(name, RateLimit::new(5, 60).expect("a limit"));
    let owner = OwnerRecord { owner: OwnerName::parse("acme").expect("a name"), rules: OwnerRules { limits, generation: 3 } };
    let text = serde_json::to_string(&RecordLine::Owner(OwnerLine::from(&owner))).expect("json");
    assert_eq!(text, r#"{"type":"owner","owner":"acme","rate_limit":{"burst":5,"per_seconds":60},"generation":3}"#);
    let RecordLine::Owner(read) = serde_json::from_str(&text).expect("a line") else { panic!("an owner was written") };
    assert_eq!(OwnerRecord::try_from(read), Ok(owner));
}

#[test]
fn bad_values_are_refused_with_their_field() {
    for (at, value, pointer) in [
        ("/key_id", json!("tk_x"), "/key_id"),
        ("/key_id", json!(""), "/key_id"),
        ("/owner", json!("Acme"), "/owner"),
        ("/name", json!(""), "/name"),
        ("/name", json!("a\nb"), "/name"),
        ("/name", json!("x".repeat(129)), "/name"),
        ("/hash", json!("hunter2"), "/hash"),
        ("/previous/hash", json!("hunter2"), "/previous/hash"),
        ("/scopes/1", json!("No"), "/scopes/1"),
        ("/rate_limit/0/burst", json!(0), "/rate_limit/0/burst"),
        ("/rate_limit/0/name", json!("Day"), "/rate_limit/0/name"),
        ("/rate_limit", json!([]), "/rate_limit"),
        ("/status", json!("active"), "/revoked"),
        ("/revoked", json!(null), "/revoked"),
        ("/revoked/reason", json!("x".repeat(257)), "/revoked/reason"),
        ("/metadata/n", json!("x".repeat(4096)), "/metadata"),
    ] {
        let error = record(&with(at, value)).expect_err(at);
        assert_eq!(error.pointer, pointer);
        assert!(!error.detail.contains("hunter2"), "a hash is not told");
    }
}

#[test]
fn bad_forms_are_refused() {
    let mut unknown = small();
    unknown["colour"] = json!("red");
    let mut silent = small();
    silent.as_object_mut().expect("an object").remove("rate_limit");
    for bad in [unknown, silent, with("/generation", json!(-1)), with("/status", json!("expired")), with("/type", json!("thing"))] {
        assert!(line(&bad).is_err(), "{bad}");
    }
}

#[test]
fn debug_tells_no_hash() {
    let text = format!("{:?}", line(&full()).expect("a line"));
    assert!(!text.contains("argon2") && text.contains("[redacted]"), "{text}");
}
