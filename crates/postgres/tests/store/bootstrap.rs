//! The first administrator: exactly one, whoever comes at once.

use std::sync::Arc;

use tollgate_gate::{
    ports::{ChangeKind, CreateGuard, KeyDraft, KeyStore},
    record::KeyRecord,
};
use tollgate_keys::{Lifecycle, Scopes, Status};

use crate::support::{NOW_MS, change, context, create, draft, fixture, position, revoke};

fn admin(owner: Option<&str>, lifecycle: Lifecycle) -> KeyDraft {
    let plain = draft(owner);
    KeyDraft { record: KeyRecord { scopes: Scopes::parse(["admin"]).expect("scopes"), lifecycle, ..plain.record }, ..plain }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_bootstraps_at_once_one_makes_a_key() {
    let fixture = fixture().await;
    let attempts: Vec<_> = (0..8)
        .map(|_| {
            let store = Arc::clone(&fixture.store);
            tokio::spawn(async move { store.create(admin(None, Lifecycle::active(None)), CreateGuard::NoAdminYet, context()).await })
        })
        .collect();
    let mut made = 0;
    for attempt in attempts {
        made += usize::from(attempt.await.expect("an attempt").expect("an answer").is_some());
    }
    assert_eq!(made, 1);
    assert_eq!(position(&fixture.store).await, 1, "the others left no trace");
}

#[tokio::test]
async fn only_a_usable_administrator_without_owner_counts() {
    let fixture = fixture().await;
    let expired = Lifecycle::active(Some(NOW_MS));
    let suspended = Lifecycle { status: Status::Suspended, expires_at_ms: None };
    for useless in [admin(Some("acme"), Lifecycle::active(None)), admin(None, expired), admin(None, suspended), draft(None)] {
        create(&fixture.store, useless).await;
    }
    let revoked = create(&fixture.store, admin(None, Lifecycle::active(None))).await;
    change(&fixture.store, &revoked.key_id, ChangeKind::Revoked, revoke("lost")).await.expect("revoked");
    let bootstrap = || fixture.store.create(admin(None, Lifecycle::active(None)), CreateGuard::NoAdminYet, context());
    assert!(bootstrap().await.expect("an answer").is_some());
    assert!(bootstrap().await.expect("an answer").is_none());
}
