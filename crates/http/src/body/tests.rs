use tollgate_api::{CreateKeyBody, LimitBody, PutOwnerBody};

use super::*;

/// What becomes of a body: the pointer and detail of a 422, or the kind of another failure.
fn refusal<T: DeserializeOwned>(body: &str) -> (String, String) {
    match read::<T>(body.as_bytes()) {
        Err(Failure::InvalidField { pointer, detail }) => (pointer, detail),
        Err(Failure::MalformedBody { detail }) => ("400".to_owned(), detail.to_owned()),
        Err(other) => panic!("{body} became {other:?}"),
        Ok(_) => panic!("{body} was taken"),
    }
}

const BURST: &str = "burst must be a whole number from 1 to 1000000000";
const PER_SECONDS: &str = "per_seconds must be a whole number from 1 to 2678400";

#[test]
fn a_wrong_field_is_named_with_its_range() {
    for (body, pointer, detail) in [
        (r#"{"name":"n","rate_limit":{"burst":-1,"per_seconds":1}}"#, "/rate_limit/burst", BURST),
        (r#"{"name":"n","rate_limit":{"burst":1.5,"per_seconds":1}}"#, "/rate_limit/burst", BURST),
        (r#"{"name":"n","rate_limit":{"burst":"1","per_seconds":1}}"#, "/rate_limit/burst", BURST),
        (r#"{"name":"n","rate_limit":{"burst":1e99,"per_seconds":1}}"#, "/rate_limit/burst", BURST),
        (r#"{"name":"n","rate_limit":{"per_seconds":1}}"#, "/rate_limit/burst", BURST),
        (r#"{"name":"n","rate_limit":{"burst":1,"per_seconds":null}}"#, "/rate_limit/per_seconds", PER_SECONDS),
        (r#"{"name":"n","rate_limit":{"burst":1,"burst":1,"per_seconds":1}}"#, "/rate_limit/burst", "duplicate field"),
        (r#"{"name":"n","rate_limit":{"burst":1,"per_seconds":1,"x":1}}"#, "/rate_limit/x", "unknown field"),
        (r#"{"name":"n","rate_limit":[{"name":"a","burst":1,"per_seconds":"x"}]}"#, "/rate_limit/0/per_seconds", PER_SECONDS),
        (r#"{"name":"n","rate_limit":[{"burst":1,"per_seconds":1}]}"#, "/rate_limit/0/name", "missing field"),
        (r#"{"name":5}"#, "/name", "expected a string"),
        ("{}", "/name", "missing field"),
        (r#"{"name":"n","name":"n"}"#, "/name", "duplicate field"),
        (r#"{"name":"n","a~b/c":1}"#, "/a~0b~1c", "unknown field"),
        (r#"{"name":"n","scopes":["a",1]}"#, "/scopes/1", "expected a string"),
        (r#"{"name":"n","kind":"x"}"#, "/kind", "expected one of `signed`, `unsigned`, `imported`"),
        ("[]", "", "the body must be a JSON object"),
        ("5", "", "the body must be a JSON object"),
    ] {
        let (found_pointer, found_detail) = refusal::<CreateKeyBody>(body);
        assert_eq!(found_pointer, pointer, "{body}");
        assert!(found_detail.starts_with(detail), "{body}: {found_detail}");
    }
}

#[test]
fn what_is_not_json_is_malformed_whatever_else_is_wrong_with_it() {
    for body in [
        "",
        "{",
        "x",
        "{\"name\":}",
        "{\"name\":5",
        "{\"name\":\"n\"}}",
        "{\"name\":\"n\"} x",
        "\u{feff}{}",
        "{'name':1}",
        "{\"name\":\"\n\"}",
    ] {
        assert_eq!(refusal::<CreateKeyBody>(body).0, "400", "{body:?}");
    }
}

#[test]
fn owners_and_limits_tell_as_much() {
    assert_eq!(refusal::<PutOwnerBody>("{}"), ("/rate_limit".to_owned(), "missing field".to_owned()));
    let limit = r#"{"namespace":"n","id":"i","rate_limit":{"burst":1,"per_seconds":1},"cost":"#;
    for cost in ["-1", "\"1\"", "1.0", "1e3", "18446744073709551616", "true", "[]"] {
        let (pointer, detail) = refusal::<LimitBody>(&format!("{limit}{cost}}}"));
        assert_eq!((pointer.as_str(), detail.as_str()), ("/cost", "cost must be a whole number from 1 to 1000000000"), "{cost}");
    }
}

#[test]
fn values_are_never_repeated() {
    for body in [
        r#"{"name":["tks_canary"]}"#,
        r#"{"name":"n","scopes":"tks_canary, expected tks_canary"}"#,
        r#"{"name":"n","expires_at":"tks_canary"}"#,
        r#"{"name":"n","rate_limit":"tks_canary"}"#,
        r#"{"name":"n","kind":"tks_canary"}"#,
        r#"{"name":"n","metadata":"tks_canary"}"#,
    ] {
        let (pointer, detail) = refusal::<CreateKeyBody>(body);
        assert!(!format!("{pointer}{detail}").contains("canary"), "{body}: {pointer} {detail}");
    }
}
