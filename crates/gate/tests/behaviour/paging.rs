//! Listings: every key once, in order, whatever the size of the page.

use tollgate_api::KeyStatus;
use tollgate_gate::{
    Clock,
    config::ConfigErrorKind,
    control::{ControlError, ListKeys, PAGE_SIZE_MAX},
    record::KeyRecord,
};
use tollgate_keys::{KeyId, OwnerName, Status};

use crate::support::{World, operator, rules};

/// So many keys: every third one is of `acme`, every fifth one is suspended.
async fn world(count: u16) -> World {
    let world = World::new().await;
    let key = world.key(rules()).await;
    let record = world.keys.record(&key.key_id);
    world.keys.remove(&key.key_id);
    for number in 0..count {
        let mut entropy = [0; 10];
        entropy[..2].copy_from_slice(&number.to_be_bytes());
        let mut copy = KeyRecord { key_id: KeyId::from_parts(world.clock.unix_ms(), entropy), ..record.clone() };
        copy.owner = (number % 3 == 0).then(|| OwnerName::parse("acme").expect("an owner"));
        copy.lifecycle.status = if number % 5 == 0 { Status::Suspended } else { Status::Active };
        world.keys.put(copy);
    }
    world
}

/// The ids of all pages, and how many pages there were.
async fn all(world: &World, owner: Option<&str>, query: ListKeys) -> (Vec<String>, usize) {
    let (mut ids, mut pages, mut cursor) = (Vec::new(), 0, None);
    loop {
        let page = world.node.gate.list_keys(&operator(owner, &["admin"]), ListKeys { cursor, ..query.clone() }).await.expect("a page");
        pages += 1;
        ids.extend(page.keys.into_iter().map(|key| key.key_id));
        cursor = page.next_cursor;
        if cursor.is_none() {
            return (ids, pages);
        }
    }
}

fn sized(page_size: u32) -> ListKeys {
    ListKeys { page_size: Some(page_size), ..ListKeys::default() }
}

#[tokio::test(start_paused = true)]
async fn every_page_size_lists_every_key_once_and_no_page_is_empty() {
    let world = world(12).await;
    for (page_size, pages) in [(1, 12), (5, 3), (6, 2), (11, 2), (12, 1), (13, 1), (PAGE_SIZE_MAX, 1)] {
        let (ids, count) = all(&world, None, sized(page_size)).await;
        assert_eq!((ids.len(), count), (12, pages), "pages of {page_size}");
        assert!(ids.is_sorted());
    }
}

#[tokio::test(start_paused = true)]
async fn the_largest_page_does_not_end_the_listing() {
    let world = world(2100).await;
    let (ids, pages) = all(&world, None, sized(PAGE_SIZE_MAX)).await;
    assert_eq!((ids.len(), pages), (2100, 3));
    assert_eq!(all(&world, None, ListKeys::default()).await.1, 21, "100 where nothing is said");
}

#[tokio::test(start_paused = true)]
async fn filters_hold_over_pages_and_a_tenant_sees_his_own() {
    let world = world(30).await;
    let acme = ListKeys { owner: Some("acme".to_owned()), ..sized(3) };
    let (asked, of_tenant) = (all(&world, None, acme.clone()).await, all(&world, Some("acme"), sized(3)).await);
    assert_eq!((asked.0.len(), &asked.0), (10, &of_tenant.0));
    assert!(all(&world, Some("other"), acme).await.0.is_empty());
    let suspended = ListKeys { status: Some(KeyStatus::Suspended), ..sized(2) };
    assert_eq!(all(&world, None, suspended.clone()).await.0.len(), 6);
    assert_eq!(all(&world, Some("acme"), suspended).await.0.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_cursor_goes_on_where_keys_come_and_go() {
    let world = world(6).await;
    let admin = operator(None, &["admin"]);
    let page = world.node.gate.list_keys(&admin, sized(3)).await.expect("a page");
    let cursor = page.next_cursor.expect("more");
    world.keys.remove(&KeyId::parse(&cursor).expect("an id"));
    let rest = world.node.gate.list_keys(&admin, ListKeys { cursor: Some(cursor), ..sized(3) }).await.expect("a page");
    assert_eq!((rest.keys.len(), rest.next_cursor), (3, None));
}

#[tokio::test(start_paused = true)]
async fn what_is_no_query_is_refused_by_its_field() {
    let world = world(1).await;
    let text = |text: &str| Some(text.to_owned());
    for (query, pointer) in [
        (sized(0), "/page_size"),
        (sized(PAGE_SIZE_MAX + 1), "/page_size"),
        (ListKeys { cursor: text("tk_x"), ..ListKeys::default() }, "/cursor"),
        (ListKeys { owner: text("Not A Name"), ..ListKeys::default() }, "/owner"),
    ] {
        match world.node.gate.list_keys(&operator(None, &["admin"]), query).await {
            Err(ControlError::Refused(error)) => assert_eq!((error.kind, error.pointer.as_str()), (ConfigErrorKind::Invalid, pointer)),
            other => panic!("{other:?}"),
        }
    }
}
