use super::*;
use tollgate_api::RateLimitFields;
use tollgate_keys::KeyId;

const NOW_MS: u64 = 1_800_000_000_000;

fn service() -> ConfigService {
    ConfigService::new(&RateLimitSpec::One(RateLimitFields { burst: 1000, per_seconds: 60 })).expect("a good default")
}

fn identity(owner: Option<&str>, scopes: &[&str]) -> Identity {
    Identity {
        key_id: KeyId::from_parts(1, [0; 10]),
        owner: owner.map(|owner| OwnerName::parse(owner).expect("an owner")),
        scopes: Scopes::parse(scopes.iter().copied()).expect("scopes"),
        generation: 0,
    }
}

fn body(json: &str) -> CreateKeyBody {
    serde_json::from_str(json).expect("a body")
}

fn refused(creator: &Identity, json: &str) -> (ConfigErrorKind, String) {
    let error = service().create_key(creator, body(json), NOW_MS).expect_err(json);
    (error.kind, error.pointer)
}

#[test]
fn a_key_without_a_limit_gets_the_default_and_null_means_unlimited() {
    let admin = identity(None, &["admin"]);
    let made = |json: &str| service().create_key(&admin, body(json), NOW_MS).expect("good rules").limits;
    assert_eq!(made(r#"{"name":"a"}"#).burst_min(), Some(1000));
    assert!(made(r#"{"name":"a","rate_limit":null}"#).is_unlimited());
    assert_eq!(made(r#"{"name":"a","rate_limit":{"burst":7,"per_seconds":1}}"#).burst_min(), Some(7));
}

#[test]
fn each_bad_field_is_named() {
    let admin = identity(None, &["admin"]);
    let long = "x".repeat(129);
    for (json, pointer) in [
        (r#"{"name":""}"#.to_owned(), "/name"),
        (format!(r#"{{"name":"{long}"}}"#), "/name"),
        (r#"{"name":"a\u0000"}"#.to_owned(), "/name"),
        (r#"{"name":"a","owner":"No"}"#.to_owned(), "/owner"),
        (r#"{"name":"a","scopes":["ok","No"]}"#.to_owned(), "/scopes/1"),
        (r#"{"name":"a","rate_limit":{"burst":0,"per_seconds":1}}"#.to_owned(), "/rate_limit/burst"),
        (r#"{"name":"a","rate_limit":{"burst":1,"per_seconds":2678401}}"#.to_owned(), "/rate_limit/per_seconds"),
        (r#"{"name":"a","rate_limit":[]}"#.to_owned(), "/rate_limit"),
        (r#"{"name":"a","rate_limit":[{"name":"owner","burst":1,"per_seconds":1}]}"#.to_owned(), "/rate_limit/0/name"),
        (r#"{"name":"a","expires_at":"2020-01-01T00:00:00Z"}"#.to_owned(), "/expires_at"),
        (format!(r#"{{"name":"a","metadata":{{"a":"{}"}}}}"#, "x".repeat(4096)), "/metadata"),
    ] {
        assert_eq!(refused(&admin, &json), (ConfigErrorKind::Invalid, pointer.to_owned()), "{json}");
    }
}

#[test]
fn nobody_grants_a_scope_that_he_lacks() {
    let writer = identity(None, &["keys:write", "app:read"]);
    assert_eq!(refused(&writer, r#"{"name":"a","scopes":["app:read","app:write"]}"#), (ConfigErrorKind::Forbidden, "/scopes".to_owned()));
    assert_eq!(refused(&writer, r#"{"name":"a","scopes":["admin"]}"#).0, ConfigErrorKind::Forbidden);
    assert!(service().create_key(&writer, body(r#"{"name":"a","scopes":["app:read"]}"#), NOW_MS).is_ok());
}

#[test]
fn a_tenant_makes_keys_for_himself_alone_and_none_unlimited() {
    let tenant = identity(Some("acme"), &["admin"]);
    assert_eq!(refused(&tenant, r#"{"name":"a","owner":"other"}"#), (ConfigErrorKind::Forbidden, "/owner".to_owned()));
    assert_eq!(refused(&tenant, r#"{"name":"a","rate_limit":null}"#), (ConfigErrorKind::Forbidden, "/rate_limit".to_owned()));
    assert_eq!(refused(&tenant, r#"{"name":"a","scopes":["owners:write"]}"#).0, ConfigErrorKind::Forbidden);
    let made = service().create_key(&tenant, body(r#"{"name":"a"}"#), NOW_MS).expect("good rules");
    assert_eq!(made.owner, tenant.owner);
    let operator = identity(None, &["admin"]);
    assert_eq!(refused(&operator, r#"{"name":"a","owner":"acme","scopes":["owners:write"]}"#).0, ConfigErrorKind::Invalid);
}

#[test]
fn a_mode_of_its_own_in_an_outage_is_an_operators_privilege() {
    let (tenant, writer, operator) =
        (identity(Some("acme"), &["admin"]), identity(None, &["keys:write"]), identity(None, &["keys:write", "owners:write"]));
    for json in [r#"{"name":"a","outage_mode":"open"}"#, r#"{"name":"a","outage_mode":"closed"}"#] {
        for caller in [&tenant, &writer] {
            assert_eq!(refused(caller, json), (ConfigErrorKind::Forbidden, "/outage_mode".to_owned()), "{json}");
        }
    }
    let made = |json| service().create_key(&operator, body(json), NOW_MS).expect("good rules").outage_mode;
    assert_eq!(made(r#"{"name":"a","outage_mode":"open"}"#), Some(OutageMode::Open));
    assert_eq!(made(r#"{"name":"a"}"#), None);
    let patched = |editor: &Identity, json: &str| {
        let body = serde_json::from_str(json).expect("a body");
        service().patch_key(editor, body, NOW_MS).map(|changes| changes.outage_mode).map_err(|error| error.pointer)
    };
    assert_eq!(patched(&operator, r#"{"outage_mode":"local"}"#), Ok(Some(Some(OutageMode::Local))));
    assert_eq!(patched(&operator, r#"{"outage_mode":null}"#), Ok(Some(None)));
    assert_eq!(patched(&tenant, "{}"), Ok(None));
    assert_eq!(patched(&tenant, r#"{"outage_mode":null}"#), Err("/outage_mode".to_owned()), "it may be closed for a reason");
    assert!(serde_json::from_str::<CreateKeyBody>(r#"{"name":"a","outage_mode":"Open"}"#).is_err());
}

#[test]
fn a_changed_scope_must_be_held_by_the_key_or_its_editor() {
    let parse = |list: &[&str]| Scopes::parse(list.iter().copied()).expect("scopes");
    let editor = identity(None, &["keys:write"]);
    let has = parse(&["a", "b"]);
    assert!(ConfigService::may_change_scopes(&editor, None, &has, &parse(&["a"])).is_ok(), "taking one away");
    assert!(ConfigService::may_change_scopes(&editor, None, &has, &parse(&["a", "c"])).is_err(), "adding one he lacks");
}

#[test]
fn a_named_decision_is_checked_field_by_field() {
    let check = |json: &str| service().named_decision(serde_json::from_str(json).expect("a body")).map_err(|error| error.pointer);
    let limit = r#""rate_limit":{"burst":1,"per_seconds":1}"#;
    assert!(check(&format!(r#"{{"namespace":"login","id":"1.2.3.4",{limit}}}"#)).is_ok());
    assert_eq!(check(&format!(r#"{{"namespace":"No","id":"a",{limit}}}"#)).expect_err("refused"), "/namespace");
    assert_eq!(check(&format!(r#"{{"namespace":"a","id":"",{limit}}}"#)).expect_err("refused"), "/id");
    assert_eq!(check(&format!(r#"{{"namespace":"a","id":"{}",{limit}}}"#, "x".repeat(257))).expect_err("refused"), "/id");
    assert_eq!(check(&format!(r#"{{"namespace":"a","id":"a","cost":0,{limit}}}"#)).expect_err("refused"), "/cost");
    assert_eq!(check(r#"{"namespace":"a","id":"a","rate_limit":{"burst":0,"per_seconds":1}}"#).expect_err("refused"), "/rate_limit/burst");
}
