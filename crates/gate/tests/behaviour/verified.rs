//! A secret is hashed once; a key is read once.

use std::time::Duration;

use tollgate_gate::ports::ChangeKind;

use crate::support::{Outcomes, World, limits, rules};

#[tokio::test(start_paused = true)]
async fn the_second_request_reads_nothing_and_hashes_nothing() {
    let world = World::new().await;
    let key = world.key(rules()).await;
    let passed = world.node.check(&key).await.allowed();
    assert_eq!((world.keys.finds(), world.node.hashes()), (1, 1));
    assert_eq!((&passed.identity.key_id, passed.standings.len()), (&key.key_id, 1));
    for _ in 0..10 {
        world.node.check(&key).await.allowed();
    }
    assert_eq!((world.keys.finds(), world.node.hashes()), (1, 1));
    assert_eq!((world.node.auth("verified"), world.node.auth("cached")), (1, 10));
}

/// No hash is done before all have read: the one thread that hashes is kept busy until then.
#[test]
fn a_crowd_of_first_uses_costs_one_hash_and_few_reads() {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().start_paused(true).max_blocking_threads(1).build().expect("a runtime");
    runtime.block_on(async {
        let world = World::new().await;
        let key = world.key(rules()).await;
        let (begin, begins) = std::sync::mpsc::channel();
        let busy = tokio::task::spawn_blocking(move || begins.recv());
        let ask = |_| {
            let (node, key) = (world.node.clone(), key.clone());
            tokio::spawn(async move { node.check(&key).await })
        };
        let crowd: Vec<_> = (0..1000).map(ask).collect();
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert!((1..=4).contains(&world.keys.finds()), "{} reads", world.keys.finds());
        begin.send(()).expect("somebody waits");
        busy.await.expect("no panic").expect("was told");
        for one in crowd {
            one.await.expect("no panic").allowed();
        }
        assert_eq!((world.node.hashes(), world.buckets.asked()), (1, 1000));
        assert!((1..=4).contains(&world.keys.finds()), "{} reads", world.keys.finds());
    });
}

#[tokio::test(start_paused = true)]
async fn keys_are_apart() {
    let world = World::new().await;
    let (one, other) = (world.used_key(rules()).await, world.used_key(rules()).await);
    assert_eq!(world.node.hashes(), 2);
    let mixed = tollgate_keys::ApiKey::from_parts(one.key_id.as_str(), other.secret.expose()).expect("well formed");
    assert_eq!(world.node.check(&mixed.into()).await.unauthenticated(), tollgate_gate::verdict::Unauthenticated::BadSignature);
}

#[tokio::test(start_paused = true)]
async fn an_entry_lives_from_the_start_of_its_read() {
    let patient = Duration::from_hours(1);
    let world = World::with(|options| (options.cache.age_max, options.lookup_timeout) = (Duration::from_secs(100), patient)).await;
    let key = world.key(rules()).await;
    let mut held = world.keys.hold_find();
    let first = tokio::spawn({
        let (node, key) = (world.node.clone(), key.clone());
        async move { node.check(&key).await }
    });
    held.reached().await;
    tokio::time::advance(Duration::from_mins(1)).await;
    held.release();
    first.await.expect("no panic").allowed();
    tokio::time::advance(Duration::from_millis(39_990)).await;
    world.node.check(&key).await.allowed();
    assert_eq!(world.keys.finds(), 1, "99.99 s old");
    tokio::time::advance(Duration::from_millis(10)).await;
    world.node.check(&key).await.allowed();
    assert_eq!((world.keys.finds(), world.node.hashes()), (2, 1), "100 s old: read again, but not hashed");
}

#[tokio::test(start_paused = true)]
async fn what_was_verified_outlives_the_age_of_its_rules() {
    let world = World::with(|options| options.cache.age_max = Duration::from_secs(100)).await;
    let key = world.used_key(rules()).await;
    for _ in 0..3 {
        tokio::time::advance(Duration::from_secs(200)).await;
        world.node.turn().await;
    }
    world.node.check(&key).await.allowed();
    assert_eq!((world.keys.finds(), world.node.hashes()), (2, 1), "read again, but not hashed");
}

#[tokio::test(start_paused = true)]
async fn a_full_cache_holds_no_more_and_forgets_none_it_uses() {
    let world = World::with(|options| options.cache.count_max = 2).await;
    let (one, two, three) = (world.used_key(rules()).await, world.used_key(rules()).await, world.used_key(rules()).await);
    assert_eq!(world.keys.finds(), 3);
    for key in [&one, &two] {
        world.node.check(key).await.allowed();
    }
    assert_eq!(world.keys.finds(), 3, "two are held");
    world.node.check(&three).await.allowed();
    assert_eq!(world.keys.finds(), 4, "the third is not");
    // A newer reading of a key that is held takes the place of the older.
    let other = world.other_node().await;
    other.gate.patch_key(&crate::support::operator(None, &["admin"]), one.key_id.as_str(), None, patch_of_name()).await.expect("patched");
    for _ in 0..3 {
        world.node.check(&one).await.allowed();
    }
    assert_eq!(world.keys.finds(), 5, "read again once");
    // A sweep makes room.
    world.node.turn().await;
    world.node.check(&three).await.allowed();
    let finds = world.keys.finds();
    world.node.check(&three).await.allowed();
    assert_eq!(world.keys.finds(), finds, "now the third is held");
}

#[tokio::test(start_paused = true)]
async fn a_changed_rule_costs_a_read_but_no_hash() {
    let world = World::new().await;
    let owner = tollgate_keys::OwnerName::parse("acme").expect("an owner");
    let key = world.used_key(tollgate_gate::config::KeyRules { owner: Some(owner.clone()), ..rules() }).await;
    world.keys.edit(&key.key_id, ChangeKind::Updated, |record| record.limits = limits(7, 60));
    world.node.turn().await;
    assert_eq!(world.node.check(&key).await.allowed().standings[0].named.limit.burst(), 7);
    world.keys.edit_owner(&owner, limits(3, 60));
    world.node.turn().await;
    assert_eq!(world.node.check(&key).await.allowed().standings[1].named.limit.burst(), 3);
    assert_eq!((world.keys.finds(), world.node.hashes()), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn the_log_of_a_change_that_was_read_already_costs_no_read() {
    let world = World::new().await;
    let owner = tollgate_keys::OwnerName::parse("acme").expect("an owner");
    world.keys.edit_owner(&owner, limits(3, 60));
    let key = world.used_key(tollgate_gate::config::KeyRules { owner: Some(owner), ..rules() }).await;
    world.node.turn().await;
    world.node.check(&key).await.allowed();
    assert_eq!(world.keys.finds(), 1, "its owner's limit and its own creation came by in the log");
}

fn patch_of_name() -> tollgate_api::PatchKeyBody {
    serde_json::from_value(serde_json::json!({ "name": "other" })).expect("a patch")
}
