//! Reading the audit log.

use tollgate_gate::{
    ports::{AuditQuery, AuditRow, ChangeContext, ChangeKind, CreateGuard, KeyEdit, KeyStore},
    record::KeyRecord,
};
use tollgate_limits::RateLimits;

use super::draft::{NOW_MS, at, draft, made, owner, position};

fn everything() -> AuditQuery {
    AuditQuery { owner: None, key_id: None, before: None, count_max: 1000 }
}

async fn read(store: &dyn KeyStore, query: AuditQuery) -> Vec<AuditRow> {
    store.audit(query).await.expect("a store that works").rows
}

/// Every change is there with its caller and request, newest first; filters and pages hold.
pub async fn the_audit_log_tells_who_changed_what(store: &dyn KeyStore) {
    let (owner, stranger) = (owner(), made(store, draft(None)).await);
    let context = ChangeContext { actor: "tk_auditor".to_owned(), request_id: "req-audit".to_owned(), action: "keys.create", ..at(NOW_MS) };
    let key = store.create(draft(Some(&owner)), CreateGuard::None, context.clone()).await.expect("made").expect("no guard");
    let rename: KeyEdit = Box::new(|record| Ok(Some(KeyRecord { name: "renamed".to_owned(), ..record.clone() })));
    let context = ChangeContext { action: "keys.update", ..context };
    let changed = store.change(key.key_id.clone(), None, ChangeKind::Updated, rename, context.clone()).await.expect("changed").record;
    let context = ChangeContext { action: "owners.put", ..context };
    let rules = store.put_owner(owner.clone(), RateLimits::unlimited(), context).await.expect("put").rules;
    let of_owner = read(store, AuditQuery { owner: Some(owner.clone()), ..everything() }).await;
    let told: Vec<_> = of_owner.iter().map(|row| (row.position, row.action.as_str(), row.key_id.as_deref())).collect();
    let id = Some(key.key_id.as_str());
    let newest_first =
        [(rules.generation, "owners.put", None), (changed.generation, "keys.update", id), (key.generation, "keys.create", id)];
    assert_eq!(told, newest_first);
    assert!(
        of_owner
            .iter()
            .all(|row| row.actor == "tk_auditor" && row.request_id == "req-audit" && row.owner.as_deref() == Some(owner.as_str()))
    );
    assert_eq!(of_owner.last().map(|row| row.at_ms), Some(key.created_at_ms));
    assert!(!format!("{of_owner:?}").contains("argon2"), "{of_owner:?}");
    let of_key = read(store, AuditQuery { key_id: Some(key.key_id.clone()), ..everything() }).await;
    assert_eq!(of_key, of_owner.get(1..).unwrap_or_default());
    let of_both = read(store, AuditQuery { key_id: Some(stranger.key_id), owner: Some(owner), ..everything() }).await;
    assert_eq!(of_both, []);
}

/// Pages join to the whole, whatever their size.
pub async fn the_audit_log_is_read_in_pages(store: &dyn KeyStore) {
    for _ in 0..5 {
        made(store, draft(None)).await;
    }
    let head = position(store).await;
    let whole: Vec<u64> = read(store, everything()).await.iter().map(|row| row.position).take(5).collect();
    assert_eq!(whole, (head - 4..=head).rev().collect::<Vec<_>>());
    for size in [1, 2, 5] {
        let (mut paged, mut before) = (Vec::new(), None);
        while paged.len() < 5 {
            let page = store.audit(AuditQuery { before, count_max: size, ..everything() }).await.expect("read");
            assert!(page.rows.len() <= size as usize && page.next_before.is_some(), "{page:?}");
            paged.extend(page.rows.iter().map(|row| row.position));
            before = page.next_before;
        }
        paged.truncate(5);
        assert_eq!(paged, whole, "{size} at a time");
    }
    let first = store.audit(AuditQuery { before: Some(2), ..everything() }).await.expect("read");
    assert_eq!((first.rows.len(), first.next_before), (1, None));
}
