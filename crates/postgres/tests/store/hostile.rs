//! Texts that would be something else if they were ever part of a statement.

use serde_json::{Map, Value, json};
use tollgate_gate::{
    ports::{ChangeContext, ChangeKind, CreateGuard, KeyDraft, KeyListQuery, KeyStore, KeyStoreError},
    record::KeyRecord,
};

use crate::support::{NOW_MS, OTHER_PHC, PHC, draft, fixture, hash, revoke};

const TEXTS: [&str; 14] = [
    "'; drop table keys; --",
    "\"; drop table keys; --",
    "' or '1'='1",
    "$1",
    "$$; drop table keys; $$",
    "\\'; drop table keys; --",
    "%_\\%",
    "null",
    "{}",
    "{\"a\",\"b\"}",
    "/* */ -- \u{7f}",
    "\u{202e}gnp.exe \u{feff}",
    "🔑 Ω≈ç√ ﷽",
    "line\r\nfeed\ttab",
];

#[tokio::test]
async fn any_text_is_stored_as_it_is() {
    let fixture = fixture().await;
    let mut witness = fixture.database.connection().await.expect("a connection");
    for text in TEXTS {
        let context =
            ChangeContext { actor: text.to_owned(), request_id: text.to_owned(), action: "keys.test", now_ms: NOW_MS, once: None };
        let metadata: Map<String, Value> = json!({ text: text, "in": [text] }).as_object().expect("an object").clone();
        let plain = draft(Some("acme"));
        let wanted = KeyDraft { record: KeyRecord { name: text.to_owned(), metadata, ..plain.record }, ..plain };
        let made = fixture.store.create(wanted, CreateGuard::None, context.clone()).await.expect("made").expect("no guard");
        assert_eq!(made.name, text);
        let changed = fixture.store.change(made.key_id.clone(), None, ChangeKind::Revoked, revoke(text), context).await.expect("revoked");
        let found = fixture.store.find(made.key_id).await.expect("an answer").expect("there").key;
        assert_eq!(found, changed.record);
        assert_eq!(found.revoked.and_then(|revoked| revoked.reason).as_deref(), Some(text));
        let sql = "select actor, request_id, detail #>> '{reason,to}' from audit where position = $1";
        let row = sqlx::query_as(sql).bind(i64::try_from(found.generation).expect("small"));
        let audited: (String, String, String) = row.fetch_one(&mut witness).await.expect("a row");
        assert_eq!(audited, (text.to_owned(), text.to_owned(), text.to_owned()));
    }
    let listed = fixture
        .store
        .list(KeyListQuery { owner: None, status: None, revoked_since_ms: None, after: None, count_max: 1000, now_ms: NOW_MS })
        .await;
    assert_eq!(listed.expect("a page").len(), TEXTS.len());
}

#[tokio::test]
async fn a_text_that_postgres_cannot_hold_is_refused_and_not_repeated() {
    let fixture = fixture().await;
    let context =
        |actor: &str| ChangeContext { actor: actor.to_owned(), request_id: String::new(), action: "keys.test", now_ms: NOW_MS, once: None };
    let refused = fixture.store.create(draft(None), CreateGuard::None, context("sesame\0")).await.expect_err("NUL");
    assert!(matches!(refused, KeyStoreError::Refused(_)), "{refused:?}");
    assert!(!format!("{refused:?}").contains("sesame"), "{refused:?}");
}

#[tokio::test]
async fn the_audit_log_and_errors_hold_no_hash_and_no_metadata() {
    let fixture = fixture().await;
    let plain = draft(None);
    let secret: Map<String, Value> = json!({ "sesame": "sesame" }).as_object().expect("an object").clone();
    let wanted = KeyDraft { record: KeyRecord { metadata: secret.clone(), ..plain.record }, ..plain };
    let made = fixture.store.create(wanted, CreateGuard::None, crate::support::context()).await.expect("made").expect("no guard");
    let rotate = Box::new(|key: &KeyRecord| {
        let metadata = Map::new();
        Ok(Some(KeyRecord {
            secrets: key.secrets.clone().rotated(hash(OTHER_PHC), key.kind, NOW_MS, NOW_MS + 1000),
            metadata,
            ..key.clone()
        }))
    });
    crate::support::change(&fixture.store, &made.key_id, ChangeKind::Rotated, rotate).await.expect("rotated");
    let too_long = Box::new(|key: &KeyRecord| Ok(Some(KeyRecord { name: "x".repeat(200), ..key.clone() })));
    let error = crate::support::change(&fixture.store, &made.key_id, ChangeKind::Updated, too_long).await.expect_err("too long");
    let mut witness = fixture.database.connection().await.expect("a connection");
    let logs: String =
        sqlx::query_scalar("select jsonb_agg(audit)::text || (select jsonb_agg(change_log)::text from change_log) from audit")
            .fetch_one(&mut witness)
            .await
            .expect("rows");
    for text in [logs.clone(), format!("{error:?} {error}"), format!("{:?}", fixture.store)] {
        assert!(!text.contains("argon2") && !text.contains("sesame") && !text.contains(PHC), "{text}");
    }
    assert!(logs.contains("\"secret\": \"changed\"") && logs.contains("\"metadata\": \"changed\""), "{logs}");
}
