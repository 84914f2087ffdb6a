//! Guard rails: when they are on, what they say, and when they are off again.

use std::time::Duration;

use tollgate_api::{Component, ComponentState};
use tollgate_gate::{Clock, ports::StoreLook};

use crate::support::{Node, Outcomes, World, rules};

/// Why a guard rail is on, as health and metric agree.
fn reason(node: &Node, rail: Component, name: &str) -> Option<String> {
    let components = node.gate.readiness().components;
    let found = components.into_iter().find(|one| one.component == rail);
    assert_eq!(node.metric(&format!("tollgate_health_state{{component=\"{name}\"}}")), u64::from(found.is_some()), "{name}");
    found.map(|one| {
        assert_eq!(one.state, ComponentState::Degraded);
        one.reason.expect("a reason")
    })
}

fn eviction(node: &Node) -> Option<String> {
    reason(node, Component::RedisEviction, "redis_eviction")
}

async fn later(node: &Node, time: Duration) {
    tokio::time::advance(time).await;
    node.turn().await;
}

#[tokio::test(start_paused = true)]
async fn a_store_that_drops_what_it_holds_is_told_until_a_look_finds_it_mended() {
    let world = World::new().await;
    assert_eq!(eviction(&world.node), None);
    world.buckets.says(StoreLook { eviction: Some("it drops".into()), unseen: Some("blind".into()), ..StoreLook::default() });
    world.node.turn().await;
    assert_eq!(eviction(&world.node).as_deref(), Some("it drops"));
    assert!(world.node.gate.readiness().ready, "requests are answered");
    world.buckets.go_down();
    world.buckets.says(StoreLook::default());
    world.node.turn().await;
    assert!(eviction(&world.node).is_some(), "nobody knows better meanwhile");
    world.come_back().await;
    assert_eq!(eviction(&world.node), None);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_does_not_let_itself_be_looked_at_is_told_and_used() {
    let world = World::new().await;
    world.buckets.says(StoreLook { unseen: Some("allow it +info".into()), ..StoreLook::default() });
    world.node.turn().await;
    assert_eq!(eviction(&world.node).as_deref(), Some("allow it +info"));
    let key = world.key(rules()).await;
    world.node.check(&key).await.allowed();
}

#[tokio::test(start_paused = true)]
async fn a_lost_state_is_told_for_five_minutes() {
    let world = World::new().await;
    let lost = || reason(&world.node, Component::RedisStateLost, "redis_state_lost");
    let key = world.used_key(rules()).await;
    assert_eq!(lost(), None, "the first state is none that was lost");
    world.buckets.lose_state();
    world.node.check(&key).await.allowed();
    world.node.turn().await;
    assert!(lost().is_some_and(|why| why.contains("began full again")));
    later(&world.node, Duration::from_secs(290)).await;
    assert!(lost().is_some());
    later(&world.node, Duration::from_secs(10)).await;
    assert_eq!(lost(), None);
}

#[tokio::test(start_paused = true)]
async fn a_clock_far_from_the_stores_is_told() {
    let world = World::new().await;
    let skew = || reason(&world.node, Component::ClockSkew, "clock_skew");
    let now_us = world.clock.unix_ms() * 1000;
    world.buckets.says(StoreLook { clocks_us: vec![now_us], ..StoreLook::default() });
    world.node.turn().await;
    assert_eq!(skew(), None);
    world.buckets.says(StoreLook { clocks_us: vec![now_us + 60_000_000], ..StoreLook::default() });
    world.node.turn().await;
    assert!(skew().is_some_and(|why| why.contains("behind")));
}
