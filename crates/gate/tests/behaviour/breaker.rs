//! Nobody waits for a bucket store that is known to be gone, and it is noticed when it is back.

use std::{num::NonZeroU32, time::Duration};

use tollgate_gate::{
    OutageMode,
    config::KeyRules,
    ports::{BucketError, Outcome},
};
use tollgate_keys::Scopes;

use crate::support::{Ask, Outcomes, Script, World, limits, rules};

const FAILURES_MAX: usize = 3;

async fn closed() -> World {
    World::with(|options| {
        options.outage.mode = OutageMode::Closed;
        options.outage.failures_max = NonZeroU32::new(3).expect("some");
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_known_to_be_gone_is_not_asked() {
    let world = closed().await;
    let key = world.used_key(rules()).await;
    let asked = world.buckets.asked();
    world.buckets.set_down(Some(BucketError::Deadline));
    for _ in 0..100 {
        world.node.check(&key).await.unavailable();
    }
    assert_eq!(world.buckets.asked() - asked, FAILURES_MAX);
    assert!(world.node.check(&key).await.unavailable().contains("not asked before it does"));
    // Nor is a refusal confirmed there: the record is read again instead.
    let finds = world.keys.finds();
    world.node.ask(&key, Ask::scope("a")).await.denied();
    assert_eq!((world.buckets.asked() - asked, world.keys.finds() - finds), (FAILURES_MAX, 1));
}

#[tokio::test(start_paused = true)]
async fn a_probe_charges_nothing_and_closes_it() {
    let world = closed().await;
    let key = world.used_key(KeyRules { limits: limits(10, 60), ..rules() }).await;
    world.buckets.go_down();
    for _ in 0..FAILURES_MAX {
        world.node.check(&key).await.unavailable();
    }
    let asked = world.buckets.asked();
    world.node.turn().await;
    world.node.check(&key).await.unavailable();
    assert_eq!(world.buckets.asked(), asked, "still gone, still not asked");
    world.come_back().await;
    let passed = world.node.check(&key).await.allowed();
    assert_eq!((world.buckets.asked(), passed.standings[0].standing.remaining), (asked + 1, 8), "two charges, and no other");
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_is_noticed_and_left_within_a_second() {
    let world = closed().await;
    let key = world.used_key(rules()).await;
    let gate = world.node.gate.clone();
    let loops = tokio::spawn(async move { gate.run().await });
    world.buckets.go_down();
    for _ in 0..FAILURES_MAX {
        world.node.check(&key).await.unavailable();
    }
    tokio::time::sleep(Duration::from_secs(30)).await;
    world.node.check(&key).await.unavailable();
    let health = world.node.gate.readiness().components;
    assert!(health.iter().any(|component| component.reason.is_some()), "{health:?}");
    world.buckets.set_down(None);
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.node.check(&key).await.allowed();
    loops.abort();
}

#[tokio::test(start_paused = true)]
async fn what_says_nothing_of_the_store_does_not_open_it() {
    let world = closed().await;
    let key = world.used_key(rules()).await;
    let asked = world.buckets.asked();
    for _ in 0..10 {
        world.buckets.script([Script::Tell(Err(BucketError::QueueFull)), Script::Tell(Ok(Outcome::Broken))]);
        world.node.check(&key).await.unavailable();
        world.node.check(&key).await.unavailable();
    }
    world.node.check(&key).await.allowed();
    assert_eq!(world.buckets.asked() - asked, 21);
}

#[tokio::test(start_paused = true)]
async fn a_failure_now_and_then_does_not_open_it() {
    let world = closed().await;
    let key = world.used_key(rules()).await;
    for _ in 0..10 {
        world.buckets.script([Script::Tell(Err(BucketError::Deadline)), Script::Tell(Err(BucketError::Deadline))]);
        world.node.check(&key).await.unavailable();
        world.node.check(&key).await.unavailable();
        world.node.check(&key).await.allowed();
    }
}

/// The log is the only one left who can say that a record is still true; then nobody is.
#[tokio::test(start_paused = true)]
async fn with_both_stores_gone_cached_keys_go_on_for_the_grace_alone() {
    let world = World::with(|options| options.outage.stale_grace = Duration::from_secs(20)).await;
    let (key, operator) = (world.used_key(rules()).await, world.used_key(KeyRules { scopes: Scopes::none(), ..rules() }).await);
    let gate = world.node.gate.clone();
    let loops = tokio::spawn(async move { gate.run().await });
    tokio::time::sleep(Duration::from_secs(3)).await;
    world.buckets.go_down();
    tokio::time::sleep(Duration::from_mins(5)).await;
    world.node.check(&key).await.allowed();
    world.keys.set_down(true);
    tokio::time::sleep(Duration::from_secs(15)).await;
    world.node.check(&key).await.allowed();
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert!(world.node.check(&key).await.unavailable().contains("outage.stale_grace"));
    world.node.ask(&operator, Ask::control()).await.unavailable();
    world.keys.set_down(false);
    tokio::time::sleep(Duration::from_secs(3)).await;
    world.node.check(&key).await.allowed();
    loops.abort();
}

/// A connection that was made anew and not taken up again sends no decision, so no failure tells
/// that the store has gone too.
#[tokio::test(start_paused = true)]
async fn the_grace_holds_where_the_stores_go_before_the_link_is_taken_up_again() {
    let world = World::with(|options| options.outage.stale_grace = Duration::from_secs(20)).await;
    let key = world.used_key(rules()).await;
    let gate = world.node.gate.clone();
    let loops = tokio::spawn(async move { gate.run().await });
    tokio::time::sleep(Duration::from_secs(3)).await;
    world.buckets.fail_over();
    world.keys.set_down(true);
    // While Redis answers nobody can say which fences it has lost.
    world.node.check(&key).await.unavailable();
    world.buckets.go_down();
    world.node.check(&key).await.allowed();
    tokio::time::sleep(Duration::from_secs(21)).await;
    assert!(world.node.check(&key).await.unavailable().contains("outage.stale_grace"));
    loops.abort();
}
