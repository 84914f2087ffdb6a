//! Keys: made, found, changed, and kept apart by tenant.

use serde_json::json;
use tollgate_gate::{
    config::{ConfigError, ConfigErrorKind},
    ports::{ChangeKind, CreateGuard, KeyDraft, KeyStore, KeyStoreError},
    record::KeyRecord,
};
use tollgate_keys::{KeyId, Lifecycle, PreviousHash, Scopes, SecretHashes, SecretKind, Status};
use tollgate_limits::RateLimits;

use crate::support::{
    NOW_MS, OTHER_PHC, PHC, change, context, context_at, create, draft, fixture, hash, limits, owner, position, rename, revoke,
};

fn everything_set() -> KeyDraft {
    let plain = draft(Some("acme"));
    let record = KeyRecord {
        name: "Zoë’s \"key\" 🔑".to_owned(),
        kind: SecretKind::Unsigned,
        secrets: SecretHashes {
            current: hash(PHC),
            previous: Some(PreviousHash { hash: hash(OTHER_PHC), kind: SecretKind::Unsigned, valid_until_ms: NOW_MS + 5 }),
        },
        scopes: Scopes::parse(["keys:read", "admin", "app.thing"]).expect("scopes"),
        limits: limits(&[("second", 10, 1), ("day", 10_000, 86_400)]),
        lifecycle: Lifecycle { status: Status::Suspended, expires_at_ms: Some(NOW_MS + 9) },
        metadata: json!({"a": [1, 2.5, null, 1e300], "é": "\u{0}\u{1}\\", "": {}}).as_object().expect("an object").clone(),
        ..plain.record
    };
    KeyDraft { record, ..plain }
}

#[tokio::test]
async fn a_key_is_found_as_it_was_made() {
    let fixture = fixture().await;
    for draft in [
        draft(None),
        everything_set(),
        KeyDraft { record: KeyRecord { limits: RateLimits::unlimited(), ..draft(None).record }, ..draft(None) },
    ] {
        let made = create(&fixture.store, draft.clone()).await;
        let found = fixture.store.find(made.key_id.clone()).await.expect("an answer").expect("there");
        assert_eq!(found.key, made);
        let as_asked =
            KeyRecord { key_id: made.key_id.clone(), generation: made.generation, created_at_ms: made.created_at_ms, ..draft.record };
        assert_eq!(made, as_asked);
        assert_eq!(found.owner.is_some(), made.owner.is_some());
        assert_eq!(made.generation, position(&fixture.store).await);
        assert_eq!(made.key_id.unix_ms(), Some(made.created_at_ms));
    }
}

#[tokio::test]
async fn an_unknown_key_is_not_found() {
    let fixture = fixture().await;
    let nobody = KeyId::from_parts(NOW_MS, [7; 10]);
    assert!(fixture.store.find(nobody.clone()).await.expect("an answer").is_none());
    let changed = change(&fixture.store, &nobody, ChangeKind::Updated, rename("x")).await;
    assert!(matches!(changed, Err(KeyStoreError::NotFound)), "{changed:?}");
}

#[tokio::test]
async fn an_import_keeps_its_id_and_comes_once() {
    let fixture = fixture().await;
    let mut import = draft(None);
    import.own_id = true;
    import.record.kind = SecretKind::Imported;
    for id in ["legacy-Key_1.b", "tk_01j00000000000000000000000"] {
        import.record.key_id = KeyId::parse(id).expect("an id");
        assert_eq!(create(&fixture.store, import.clone()).await.key_id.as_str(), id);
        let before = position(&fixture.store).await;
        let again = fixture.store.create(import.clone(), CreateGuard::None, context()).await;
        assert!(matches!(again, Err(KeyStoreError::Exists(_))), "{again:?}");
        assert_eq!(position(&fixture.store).await, before);
    }
}

#[tokio::test]
async fn a_change_is_what_the_edit_says_and_no_more() {
    let fixture = fixture().await;
    let made = create(&fixture.store, everything_set()).await;
    let other = create(&fixture.store, draft(Some("acme"))).await;
    let moved = other.key_id.clone();
    let greedy = Box::new(move |key: &KeyRecord| {
        let name = "new".to_owned();
        Ok(Some(KeyRecord { name, key_id: moved, owner: None, created_at_ms: 1, generation: 77, ..key.clone() }))
    });
    let changed = change(&fixture.store, &made.key_id, ChangeKind::Updated, greedy).await.expect("changed");
    assert!(changed.changed);
    assert_eq!(changed.record, KeyRecord { name: "new".to_owned(), generation: 3, ..made.clone() });
    assert_eq!(fixture.store.find(made.key_id).await.expect("an answer").expect("there").key, changed.record);
    assert_eq!(fixture.store.find(other.key_id.clone()).await.expect("an answer").expect("there").key, other);
}

#[tokio::test]
async fn every_rule_of_a_key_can_change() {
    let fixture = fixture().await;
    let made = create(&fixture.store, draft(Some("acme"))).await;
    let wanted = KeyRecord {
        owner: made.owner.clone(),
        key_id: made.key_id.clone(),
        created_at_ms: made.created_at_ms,
        generation: 2,
        kind: made.kind,
        ..everything_set().record
    };
    let edited = wanted.clone();
    let changed = change(&fixture.store, &made.key_id, ChangeKind::Updated, Box::new(move |_| Ok(Some(edited)))).await.expect("changed");
    assert_eq!(changed.record, wanted);
    assert_eq!(fixture.store.find(made.key_id).await.expect("an answer").expect("there").key, wanted);
}

#[tokio::test]
async fn a_revoke_is_once_and_a_repeated_one_is_no_change() {
    let fixture = fixture().await;
    let made = create(&fixture.store, draft(None)).await;
    let first = change(&fixture.store, &made.key_id, ChangeKind::Revoked, revoke("leaked")).await.expect("revoked");
    assert!(first.changed && first.record.generation == 2, "{first:?}");
    let again = change(&fixture.store, &made.key_id, ChangeKind::Revoked, revoke("another reason")).await.expect("no change");
    assert!(!again.changed);
    assert_eq!(again.record, first.record);
    assert_eq!(position(&fixture.store).await, 2);
}

#[tokio::test]
async fn a_refused_edit_changes_nothing() {
    let fixture = fixture().await;
    let made = create(&fixture.store, draft(None)).await;
    let refusal = ConfigError { kind: ConfigErrorKind::Conflict, pointer: String::new(), detail: "revoked keys stay".to_owned() };
    let edit_refusal = refusal.clone();
    let refused = change(&fixture.store, &made.key_id, ChangeKind::Updated, Box::new(move |_| Err(edit_refusal))).await;
    assert!(matches!(&refused, Err(KeyStoreError::Refused(error)) if *error == refusal), "{refused:?}");
    assert_eq!(fixture.store.find(made.key_id.clone()).await.expect("an answer").expect("there").key, made);
    assert_eq!(position(&fixture.store).await, 1);
}

#[tokio::test]
async fn a_tenant_changes_none_but_his_own() {
    let fixture = fixture().await;
    let of_a = create(&fixture.store, draft(Some("a"))).await;
    let of_b = create(&fixture.store, draft(Some("b"))).await;
    let of_nobody = create(&fixture.store, draft(None)).await;
    for (tenant, key, allowed) in
        [("a", &of_a, true), ("a", &of_b, false), ("a", &of_nobody, false), ("b", &of_a, false), ("c", &of_a, false)]
    {
        let changed = fixture.store.change(key.key_id.clone(), Some(owner(tenant)), ChangeKind::Updated, rename("taken"), context()).await;
        match changed {
            Ok(changed) => assert!(allowed && changed.changed, "{tenant} changed {:?}", key.owner),
            Err(error) => assert!(!allowed && matches!(error, KeyStoreError::NotFound), "{tenant} {:?}: {error}", key.owner),
        }
    }
    assert_eq!(position(&fixture.store).await, 4);
    assert_eq!(fixture.store.find(of_b.key_id.clone()).await.expect("an answer").expect("there").key, of_b);
}

#[tokio::test]
async fn the_database_refuses_what_the_gate_should_have() {
    let fixture = fixture().await;
    let plain = || draft(Some("acme")).record;
    let metadata = json!({ "a": "x".repeat(4096 - 7) }).as_object().expect("an object").clone();
    let fits = json!({ "a": "x".repeat(4096 - 8) });
    assert_eq!(fits.to_string().len(), 4096);
    let bad = [
        ("/name", KeyRecord { name: "x".repeat(129), ..plain() }),
        ("/name", KeyRecord { name: String::new(), ..plain() }),
        ("/scopes", KeyRecord { scopes: Scopes::parse(["owners:write"]).expect("scopes"), ..plain() }),
        ("/metadata", KeyRecord { metadata, ..plain() }),
        ("", KeyRecord { name: "nul \0".to_owned(), ..plain() }),
        ("", KeyRecord { lifecycle: Lifecycle { status: Status::Revoked, expires_at_ms: None }, ..plain() }),
    ];
    for (pointer, record) in bad {
        let refused = fixture.store.create(KeyDraft { record, ..draft(None) }, CreateGuard::None, context()).await;
        assert!(matches!(&refused, Err(KeyStoreError::Refused(error)) if error.pointer == pointer), "{pointer}: {refused:?}");
    }
    assert_eq!(position(&fixture.store).await, 0);
    let record = KeyRecord { metadata: fits.as_object().expect("an object").clone(), name: "é".repeat(128), ..plain() };
    assert_eq!(create(&fixture.store, KeyDraft { record, ..draft(None) }).await.generation, 1);
}

#[tokio::test]
async fn ids_and_times_go_on_where_the_clock_does_not() {
    let fixture = fixture().await;
    let mut last: Option<KeyRecord> = None;
    for now_ms in [NOW_MS, NOW_MS, NOW_MS - 3_600_000, 0, NOW_MS + 1_000] {
        let made = fixture.store.create(draft(None), CreateGuard::None, context_at(now_ms)).await.expect("made").expect("no guard");
        if let Some(last) = last {
            assert!(made.key_id > last.key_id && made.created_at_ms > last.created_at_ms, "{made:?} after {last:?}");
        }
        last = Some(made);
    }
    assert_eq!(last.map(|key| key.created_at_ms), Some(NOW_MS + 1_000));
}
