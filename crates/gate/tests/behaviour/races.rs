//! A read that is under way while its key changes: rules that it has missed are never kept.

use tollgate_gate::{config::KeyRules, ports::ChangeKind, request::SharedKey};
use tollgate_keys::OwnerName;

use crate::support::{Node, Outcomes, World, limits, rules};

/// Has a request read `key`, and before the read answers does `meanwhile`. The store has no fence
/// to tell on it, so the request itself passes; the next one must read again.
async fn reads_while(world: &World, key: &SharedKey, meanwhile: impl AsyncFnOnce()) -> usize {
    let mut held = world.keys.hold_find();
    let slow = tokio::spawn({
        let (node, key) = (world.node.clone(), key.clone());
        async move { node.check(&key).await }
    });
    held.reached().await;
    meanwhile().await;
    held.release();
    slow.await.expect("no panic").allowed();
    let finds = world.keys.finds();
    world.node.check(key).await.allowed();
    world.keys.finds() - finds
}

/// What the log says, without what follows from it for the bucket store.
async fn follow(node: &Node, world: &World) {
    world.buckets.go_down();
    node.turn().await;
    world.buckets.set_down(None);
}

#[tokio::test(start_paused = true)]
async fn a_change_of_the_key_applied_meanwhile() {
    let world = World::new().await;
    let key = world.key(rules()).await;
    world.node.turn().await;
    let again = reads_while(&world, &key, async || {
        world.keys.edit(&key.key_id, ChangeKind::Updated, |record| record.limits = limits(7, 60));
        follow(&world.node, &world).await;
    });
    assert_eq!(again.await, 1);
    assert_eq!(world.node.check(&key).await.allowed().standings[0].named.limit.burst(), 7);
}

#[tokio::test(start_paused = true)]
async fn a_change_of_its_owner_applied_meanwhile() {
    let world = World::new().await;
    let owner = OwnerName::parse("acme").expect("an owner");
    let key = world.key(KeyRules { owner: Some(owner.clone()), ..rules() }).await;
    world.node.turn().await;
    let again = reads_while(&world, &key, async || {
        world.keys.edit_owner(&owner, limits(3, 60));
        follow(&world.node, &world).await;
    });
    assert_eq!(again.await, 1);
    assert_eq!(world.node.check(&key).await.allowed().standings.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_change_of_another_key_or_owner_is_none_of_its_business() {
    let world = World::new().await;
    let (key, other) = (world.key(rules()).await, world.key(rules()).await);
    world.node.turn().await;
    let again = reads_while(&world, &key, async || {
        world.keys.edit(&other.key_id, ChangeKind::Updated, |record| record.limits = limits(7, 60));
        world.keys.edit_owner(&OwnerName::parse("acme").expect("an owner"), limits(3, 60));
        follow(&world.node, &world).await;
    });
    assert_eq!(again.await, 0, "kept");
}

/// As that which made the key: its holder's first use may be on its way while other nodes hear of it.
#[tokio::test(start_paused = true)]
async fn a_change_that_the_read_has_seen_is_no_news() {
    let world = World::new().await;
    let owner = OwnerName::parse("acme").expect("an owner");
    let (first, key) = (world.key(rules()).await, world.key(KeyRules { owner: Some(owner.clone()), ..rules() }).await);
    assert_eq!(reads_while(&world, &first, async || follow(&world.node, &world).await).await, 0, "made");
    world.keys.edit(&key.key_id, ChangeKind::Updated, |record| record.limits = limits(7, 60));
    world.keys.edit_owner(&owner, limits(5, 60));
    assert_eq!(reads_while(&world, &key, async || follow(&world.node, &world).await).await, 0, "changed, and its owner");
    let bursts: Vec<_> = world.node.check(&key).await.allowed().standings.iter().map(|standing| standing.named.limit.burst()).collect();
    assert_eq!(bursts, [7, 5]);
}

#[tokio::test(start_paused = true)]
async fn more_changes_than_are_remembered() {
    let world = World::with(|options| options.follow.page_size = 1000).await;
    let (key, other) = (world.key(rules()).await, world.key(rules()).await);
    world.node.turn().await;
    let again = reads_while(&world, &key, async || {
        for _ in 0..5000 {
            world.keys.edit(&other.key_id, ChangeKind::Updated, |_| {});
        }
        follow(&world.node, &world).await;
    });
    assert_eq!(again.await, 1, "nobody can say any more whether it changed");
}

#[tokio::test(start_paused = true)]
async fn another_log_with_the_same_position() {
    let world = World::new().await;
    let key = world.key(rules()).await;
    world.node.turn().await;
    let again = reads_while(&world, &key, async || {
        let position = world.keys.position();
        world.keys.become_log("second log", position);
        follow(&world.node, &world).await;
    });
    assert_eq!(again.await, 1);
}

/// Two reads of one key never overtake each other, because there are no two at a time.
#[tokio::test(start_paused = true)]
async fn who_comes_while_a_key_is_read_waits_for_that_read() {
    let world = World::new().await;
    let key = world.key(rules()).await;
    let mut held = world.keys.hold_find();
    let ask = || {
        let (node, key) = (world.node.clone(), key.clone());
        tokio::spawn(async move { node.check(&key).await })
    };
    let first = ask();
    held.reached().await;
    let others: Vec<_> = (0..10).map(|_| ask()).collect();
    tokio::task::yield_now().await;
    assert_eq!(world.keys.finds(), 1);
    held.release();
    first.await.expect("no panic").allowed();
    for other in others {
        other.await.expect("no panic").allowed();
    }
    assert_eq!((world.keys.finds(), world.node.hashes()), (1, 1));
}
