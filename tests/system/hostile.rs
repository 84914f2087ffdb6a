//! T19: texts that would be something else if they were ever part of a statement, a script, a path or a header, in
//! every field of every call.

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::Row as _;

use crate::support::{Answer, Api, Cluster, in_the_end};

const TEXTS: [&str; 26] = [
    "'; drop table keys; --",
    "\"; drop table keys; --",
    "' or '1'='1",
    "1; select pg_sleep(30)",
    "$1",
    "$$; drop table keys; $$",
    "\\'; truncate audit; --",
    "%' like '%",
    "%_\\%",
    "null",
    "{}",
    "{s00}",
    "}{s00}tg:",
    "redis.call('FLUSHALL')",
    "*\r\n$8\r\nFLUSHALL\r\n",
    "a\0b",
    "\u{0}",
    "line\r\nx-injected: 1",
    "../../etc/passwd",
    "..%2f..%2f",
    "${jndi:ldap://127.0.0.1/a}",
    "{{7*7}}",
    "<script>alert(1)</script>",
    "\u{202e}gnp.exe \u{feff}",
    "🔑 Ω≈ç√ ﷽",
    "-1",
];

/// Every byte that could mean anything in a URL, encoded.
fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// All texts that are tried, also one that is longer than anything may be.
fn texts() -> Vec<String> {
    TEXTS.iter().map(|text| (*text).to_owned()).chain(["'".repeat(5000)]).collect()
}

/// Refused for what it is, or done; never a failure of the machinery.
#[track_caller]
fn expect_judged(answer: &Answer, what: &str, text: &str) {
    assert!(answer.status < 500, "{what} with {text:.60?}: {} {}", answer.status, answer.text());
}

/// Makes a key with the text in each field, and reads back what was taken.
async fn in_fields_of_a_new_key(admin: &Api, text: &str) -> usize {
    let metadata = json!({ text: text, "in": [text, {"deeper": text}] });
    let mut taken = 0;
    for (field, value) in [
        ("name", json!(text)),
        ("owner", json!(text)),
        ("scopes", json!([text])),
        ("kind", json!(text)),
        ("expires_at", json!(text)),
        ("outage_mode", json!(text)),
        ("metadata", metadata),
        ("rate_limit", json!([{"name": text, "burst": 1, "per_seconds": 1}])),
        ("rate_limit", json!({"burst": text, "per_seconds": 1})),
        (text, json!(text)),
    ] {
        let mut body = json!({"name": "n", "scopes": ["a"]});
        body[field] = value.clone();
        let answer = admin.post("/v1/keys", &body).send().await;
        expect_judged(&answer, field, text);
        if answer.status == 201 {
            let made = answer.json();
            let path = format!("/v1/keys/{}", made["key_id"].as_str().unwrap());
            let shown = admin.get(&path).send().await.expect(200).json();
            assert_eq!(shown[field], value, "{field} is stored as it was sent");
            let listed = admin.get(&format!("/v1/keys?owner={}", encoded(text))).send().await;
            expect_judged(&listed, "list by owner", text);
            taken += 1;
        }
    }
    taken
}

/// The text in each field of what there is already.
async fn in_fields_of_changes(admin: &Api, path: &str, text: &str) -> usize {
    let mut taken = 0;
    for (field, value) in
        [("name", json!(text)), ("metadata", json!({ text: text })), ("scopes", json!([text])), ("expires_at", json!(text))]
    {
        let answer = admin.patch(path, &json!({ field: value })).send().await;
        expect_judged(&answer, field, text);
        if answer.status == 200 {
            assert_eq!(admin.get(path).send().await.expect(200).json()[field], value, "{field} is stored as it was sent");
            taken += 1;
        }
    }
    for (what, body) in [
        ("rotate", json!({"grace_seconds": text})),
        ("rotate", json!({"kind": text})),
        ("suspend", json!(text)),
        ("reset", json!({ text: text })),
    ] {
        expect_judged(&admin.post(&format!("{path}/{what}"), &body).send().await, what, text);
    }
    let put = admin.put(&format!("/v1/owners/{}", encoded(text)), &json!({"rate_limit": {"burst": 1, "per_seconds": 1}})).send().await;
    expect_judged(&put, "an owner", text);
    let revoked = admin.post(&format!("/v1/owners/{}/revoke-keys", encoded(text)), &json!({"reason": text})).send().await;
    expect_judged(&revoked, "revoke-keys", text);
    taken
}

/// The text as a parameter, a part of a path and a header.
async fn around_bodies(api: &Api, text: &str) {
    let word = encoded(text);
    for target in [
        format!("/v1/keys/{word}"),
        format!("/v1/keys/{word}/usage"),
        format!("/v1/keys?owner={word}"),
        format!("/v1/keys?status={word}"),
        format!("/v1/keys?cursor={word}"),
        format!("/v1/keys?page_size={word}"),
        format!("/v1/keys?{word}={word}"),
        format!("/v1/owners/{word}"),
        format!("/v1/audit?owner={word}"),
        format!("/v1/audit?key_id={word}"),
        format!("/v1/audit?cursor={word}"),
        format!("/v1/usage/top?owner={word}"),
        format!("/v1/usage/top?window={word}"),
        format!("/v1/authorize?cost={word}"),
        format!("/v1/authorize?scope={word}"),
        format!("/v1/authorize/{word}"),
        format!("/{word}"),
    ] {
        // A target that is longer than a header may be is refused by HTTP itself.
        if target.len() < 4096 {
            let is_counted = target.contains("/usage");
            let answer = if is_counted { in_the_end(|| api.get(&target)).await } else { api.get(&target).send().await };
            expect_judged(&answer, &target, text);
        }
    }
    let limit = json!({"burst": 5, "per_seconds": 60});
    for (target, body) in [
        ("/v1/limit", json!({"namespace": text, "id": "b", "rate_limit": limit})),
        ("/v1/limit", json!({"namespace": "a", "id": text, "rate_limit": limit})),
        ("/v1/limit", json!({"namespace": "a", "id": "b", "rate_limit": [{"name": text, "burst": 5, "per_seconds": 60}]})),
        ("/v1/check", json!({"scope": text})),
        ("/v1/check", json!({"cost": text})),
        ("/v1/check", json!({ text: text })),
    ] {
        expect_judged(&api.post(target, &body).send().await, target, text);
    }
    // What no header can hold is not tried: a client cannot send it, and nodes refuse it unread.
    if reqwest::header::HeaderValue::from_bytes(text.as_bytes()).is_ok() && text.len() < 4096 {
        for name in ["idempotency-key", "if-match", "last-event-id", "x-request-id", "x-forwarded-for", "forwarded", "x-api-key"] {
            let call = api.without_key().call(Method::POST, "/v1/keys/nobody/rotate").json(&json!({}));
            expect_judged(&call.header(name, text).send().await, name, text);
        }
        let made = api.post("/v1/keys", &json!({"name": "n"})).header("idempotency-key", text).send().await;
        expect_judged(&made, "idempotency-key", text);
    }
}

#[tokio::test]
async fn hostile_texts_in_every_field_are_refused_or_kept_as_they_are() {
    let cluster = Cluster::start(1).await;
    let witness = cluster.limited_key(10, 2_678_400).await;
    cluster.node(0).with(&witness.api_key).authorize("cost=3").await.expect(200);
    let before = cluster.admin().get(&witness.path()).send().await.expect(200).json();
    let (admin, changed) = (cluster.admin(), cluster.key(json!({})).await);
    let mut taken = 0;
    for text in texts() {
        taken += in_fields_of_a_new_key(&admin, &text).await;
        taken += in_fields_of_changes(&admin, &changed.path(), &text).await;
        around_bodies(&admin, &text).await;
        let revoked = cluster.key(json!({})).await;
        let answer = admin.post(&format!("{}/revoke", revoked.path()), &json!({ "reason": text })).send().await;
        expect_judged(&answer, "reason", &text);
    }
    assert!(taken > 60, "most of them are good names: {taken}");
    // Nobody else has noticed anything.
    let mut after = cluster.admin().get(&witness.path()).send().await.expect(200).json();
    after["last_used_at"] = before["last_used_at"].clone();
    assert_eq!(after, before);
    assert_eq!(cluster.node(0).with(&witness.api_key).peek().await.remaining, Some(7));
    let mut connection = cluster.fleet.database.as_ref().unwrap().connection().await.unwrap();
    let row = sqlx::query("select (select count(*) from keys), (select count(*) from audit), (select position from change_head)");
    let row = row.fetch_one(&mut connection).await.unwrap();
    let (keys, audited, position): (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
    assert!(keys > 30 && audited == position, "{keys} keys, {audited} changes audited of {position}");
}

/// A list of what was made is text in JSON, whatever is in it.
#[tokio::test]
async fn what_was_stored_is_told_as_text() {
    let cluster = Cluster::start(1).await;
    let mut named = Vec::new();
    for text in texts() {
        let answer = cluster.admin().post("/v1/keys", &json!({ "name": text })).send().await;
        if answer.status == 201 {
            named.push(Value::from(text));
        }
    }
    let answer = cluster.admin().get("/v1/keys?page_size=1000").send().await.expect(200);
    assert_eq!(answer.header("content-type"), "application/json");
    let keys = answer.json()["keys"].as_array().unwrap().clone();
    for name in named {
        assert!(keys.iter().any(|key| key["name"] == name), "{name}");
    }
}
