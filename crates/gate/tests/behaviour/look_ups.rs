//! Look-ups in the key store: once for all who want to know the same, and not again in vain.

use std::{sync::Arc, time::Duration};

use tollgate_gate::{request::SharedKey, verdict::Unauthenticated};
use tollgate_keys::{ApiKey, KeyId, Secret, SecretHashes, SecretKind};

use crate::support::{Outcomes, World, rules};

/// A key as it was elsewhere, and its record here.
async fn elsewhere(world: &World, key_id: &str) -> (SharedKey, tollgate_gate::record::KeyRecord) {
    let like = world.key(rules()).await;
    let secret = Secret::parse("a-secret-of-theirs").expect("a secret");
    let hash = tollgate_keys::hash_secret(&crate::support::options().hashing.params, &secret).expect("hashed");
    let key_id = KeyId::parse(key_id).expect("an id");
    let mut record = world.keys.record(&like.key_id);
    (record.key_id, record.kind, record.secrets) = (key_id.clone(), SecretKind::Imported, SecretHashes::only(hash));
    (Arc::new(ApiKey { key_id, secret }), record)
}

async fn at_once(
    world: &World,
    key: &SharedKey,
    count: usize,
) -> Vec<Result<tollgate_gate::verdict::Verdict, tollgate_gate::verdict::GateError>> {
    let asked = (0..count).map(|_| {
        let (node, key) = (world.node.clone(), key.clone());
        tokio::spawn(async move { node.check(&key).await })
    });
    let mut answers = Vec::new();
    for one in asked.collect::<Vec<_>>() {
        answers.push(one.await.expect("no panic"));
    }
    answers
}

/// T6
#[tokio::test(start_paused = true)]
async fn a_thousand_first_uses_at_once_are_one_read() {
    let world = World::new().await;
    let key = world.key(rules()).await;
    at_once(&world, &key, 1000).await.into_iter().for_each(|answer| drop(answer.allowed()));
    assert_eq!((world.keys.finds(), world.node.hashes()), (1, 1));
}

/// One read for who began, and one for all who came after that had begun: a key may have been made
/// in between.
#[tokio::test(start_paused = true)]
async fn a_thousand_uses_of_no_key_are_two_reads_at_most() {
    let world = World::new().await;
    let key = world.key(rules()).await;
    world.keys.remove(&key.key_id);
    for answer in at_once(&world, &key, 1000).await {
        assert_eq!(answer.unauthenticated(), Unauthenticated::Unknown);
    }
    assert!((1..=2).contains(&world.keys.finds()), "{} reads", world.keys.finds());
}

#[tokio::test(start_paused = true)]
async fn a_key_made_while_it_is_looked_up_in_vain_is_good_for_who_came_later() {
    let world = World::new().await;
    let key = world.key(rules()).await;
    let record = world.keys.record(&key.key_id);
    world.keys.remove(&key.key_id);
    let mut held = world.keys.hold_find();
    let ask = || {
        let (node, key) = (world.node.clone(), key.clone());
        tokio::spawn(async move { node.check(&key).await })
    };
    let early = ask();
    held.reached().await;
    world.keys.put(record);
    let later = ask();
    tokio::task::yield_now().await;
    held.release();
    assert_eq!(early.await.expect("no panic").unauthenticated(), Unauthenticated::Unknown);
    later.await.expect("no panic").allowed();
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_down_is_asked_once_by_a_crowd() {
    let world = World::new().await;
    let key = world.key(rules()).await;
    world.keys.set_down(true);
    for answer in at_once(&world, &key, 100).await {
        assert!(answer.unavailable().contains("key store"));
    }
    assert!(world.keys.finds() <= 2, "by who began, and by one for all who came after: {}", world.keys.finds());
    world.keys.set_down(false);
    world.node.check(&key).await.allowed();
}

/// T5
#[tokio::test(start_paused = true)]
async fn an_id_looked_up_in_vain_is_remembered_until_its_key_is_made() {
    let world = World::new().await;
    let (key, record) = elsewhere(&world, "their-key-1").await;
    for _ in 0..5 {
        assert_eq!(world.node.check(&key).await.unauthenticated(), Unauthenticated::Unknown);
    }
    assert_eq!(world.keys.finds(), 1, "asked once");
    world.keys.import(record);
    world.node.turn().await;
    world.node.check(&key).await.allowed();
    assert_eq!(world.keys.finds(), 2);
}

/// The read is over after this node has heard of the key that it has missed.
#[tokio::test(start_paused = true)]
async fn a_read_overtaken_by_the_news_is_not_remembered() {
    let world = World::new().await;
    let (key, record) = elsewhere(&world, "their-key-2").await;
    let mut held = world.keys.hold_find();
    let slow = tokio::spawn({
        let (node, key) = (world.node.clone(), key.clone());
        async move { node.check(&key).await }
    });
    held.reached().await;
    world.keys.import(record);
    world.node.turn().await;
    held.release();
    assert_eq!(slow.await.expect("no panic").unauthenticated(), Unauthenticated::Unknown);
    world.node.check(&key).await.allowed();
}

#[tokio::test(start_paused = true)]
async fn more_than_may_wait_are_told_so_at_once() {
    let world = World::with(|options| (options.lookups_max, options.lookups.waiting_max) = (1, 3)).await;
    let mut keys = Vec::new();
    for _ in 0..5 {
        keys.push(world.key(rules()).await);
    }
    let mut held = world.keys.hold_find();
    let ask = |key: &SharedKey| {
        let (node, key) = (world.node.clone(), key.clone());
        tokio::spawn(async move { node.check(&key).await })
    };
    let first = ask(&keys[0]);
    held.reached().await;
    let waiting = [ask(&keys[1]), ask(&keys[2])];
    tokio::time::advance(Duration::from_millis(1)).await;
    assert!(world.node.check(&keys[3]).await.unavailable().contains("wait"));
    assert_eq!(world.keys.finds(), 1, "one at a time");
    held.release();
    first.await.expect("no panic").allowed();
    for one in waiting {
        one.await.expect("no panic").allowed();
    }
    world.node.check(&keys[3]).await.allowed();
}
