//! Pages of keys.

use tollgate_api::KeyStatus;
use tollgate_gate::{
    ports::{ChangeKind, KeyDraft, KeyListQuery, KeyStore},
    record::KeyRecord,
};
use tollgate_keys::{KeyId, Lifecycle, Status};
use tollgate_postgres::PostgresKeys;

use crate::support::{NOW_MS, change, create, draft, fixture, owner, revoke};

fn all() -> KeyListQuery {
    KeyListQuery { owner: None, status: None, revoked_since_ms: None, after: None, count_max: 1000, now_ms: NOW_MS }
}

async fn ids(store: &PostgresKeys, query: KeyListQuery) -> Vec<KeyId> {
    store.list(query).await.expect("a page").into_iter().map(|key| key.key_id).collect()
}

#[tokio::test]
async fn pages_join_to_the_whole_in_order_of_ids() {
    let fixture = fixture().await;
    let mut of_a = Vec::new();
    for place in 0..25 {
        let made = create(&fixture.store, draft(Some(if place % 2 == 0 { "a" } else { "b" }))).await;
        of_a.extend((place % 2 == 0).then_some(made.key_id));
    }
    for page_size in [1, 6, 7, 13, 14] {
        let (mut joined, mut after) = (Vec::new(), None);
        loop {
            let page = ids(&fixture.store, KeyListQuery { owner: Some(owner("a")), after, count_max: page_size, ..all() }).await;
            assert!(page.len() <= page_size as usize);
            let Some(last) = page.last().cloned() else { break };
            joined.extend(page);
            after = Some(last);
        }
        assert_eq!(joined, of_a, "pages of {page_size}");
    }
    assert_eq!(ids(&fixture.store, all()).await.len(), 25);
    assert_eq!(ids(&fixture.store, KeyListQuery { owner: Some(owner("c")), ..all() }).await, []);
    assert_eq!(ids(&fixture.store, KeyListQuery { count_max: 0, ..all() }).await.len(), 1, "at least one");
}

#[tokio::test]
async fn each_key_is_in_the_list_of_its_status_alone() {
    let fixture = fixture().await;
    let with = |status, expires_at_ms| {
        let plain = draft(None);
        KeyDraft { record: KeyRecord { lifecycle: Lifecycle { status, expires_at_ms }, ..plain.record }, ..plain }
    };
    let mut expected = Vec::new();
    for (status, end, listed) in [
        (Status::Active, None, KeyStatus::Active),
        (Status::Active, Some(NOW_MS + 1), KeyStatus::Active),
        (Status::Active, Some(NOW_MS), KeyStatus::Expired),
        (Status::Active, Some(NOW_MS - 1), KeyStatus::Expired),
        (Status::Suspended, None, KeyStatus::Suspended),
        (Status::Suspended, Some(NOW_MS + 1), KeyStatus::Suspended),
        (Status::Suspended, Some(NOW_MS), KeyStatus::Expired),
    ] {
        expected.push((listed, create(&fixture.store, with(status, end)).await.key_id));
    }
    let revoked = create(&fixture.store, with(Status::Active, Some(NOW_MS - 1))).await.key_id;
    change(&fixture.store, &revoked, ChangeKind::Revoked, revoke("over")).await.expect("revoked");
    expected.push((KeyStatus::Revoked, revoked));
    for status in [KeyStatus::Active, KeyStatus::Suspended, KeyStatus::Expired, KeyStatus::Revoked] {
        let listed = ids(&fixture.store, KeyListQuery { status: Some(status), ..all() }).await;
        let wanted: Vec<_> = expected.iter().filter(|(of, _)| *of == status).map(|(_, id)| id.clone()).collect();
        assert_eq!(listed, wanted, "{status:?}");
    }
}
