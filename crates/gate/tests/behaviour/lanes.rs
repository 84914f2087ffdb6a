//! A bucket store that hangs as it is joined, and one whose parts stand for themselves.

use std::time::Duration;

use tokio::time::Instant;
use tollgate_gate::request::SharedKey;

use crate::support::{Outcomes, World, limits, options, rules};

const LANES: usize = 4;

/// Lets the loops run until dropped.
struct Running(tokio::task::JoinHandle<()>);

impl Running {
    fn of(world: &World) -> Self {
        let gate = world.node.gate.clone();
        Self(tokio::spawn(async move { gate.run().await }))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn a_join_that_hangs_keeps_no_request_waiting_for_longer_than_a_decision() {
    let world = World::new().await;
    let key = world.used_key(rules()).await;
    let _running = Running::of(&world);
    world.buckets.hang_joins(true);
    for _ in 0..40 {
        // The gate's own loop waits for it, whoever else comes by.
        world.buckets.fail_over();
        tokio::time::sleep(Duration::from_millis(210)).await;
        let asked = Instant::now();
        world.node.check(&key).await.allowed();
        let bound = options().decision_timeout + Duration::from_millis(30);
        assert!(asked.elapsed() <= bound, "{:?}", asked.elapsed());
        assert_eq!(world.node.metric("tollgate_outage_mode"), 1, "an outage of the buckets, not of the keys");
    }
    world.buckets.hang_joins(false);
    tokio::time::sleep(Duration::from_secs(6)).await;
    world.node.check(&key).await.allowed();
    assert_eq!(world.node.metric("tollgate_outage_mode"), 0);
}

async fn key_in_each_lane(world: &World) -> Vec<SharedKey> {
    let mut keys: Vec<Option<SharedKey>> = vec![None; LANES];
    while keys.iter().any(Option::is_none) {
        let mut rules = rules();
        rules.limits = limits(1000, 86_400);
        let key = world.key(rules).await;
        let lane = key.key_id.as_str().bytes().map(usize::from).sum::<usize>() % LANES;
        keys[lane] = Some(key);
    }
    keys.into_iter().flatten().collect()
}

#[tokio::test(start_paused = true)]
async fn a_part_that_is_silent_concerns_its_own_decisions_alone() {
    let world = World::in_lanes(LANES, |_| {});
    world.node.turn().await;
    let keys = key_in_each_lane(&world).await;
    let _running = Running::of(&world);
    for key in &keys {
        world.node.check(key).await.allowed();
    }
    let by_redis = || world.node.metric("tollgate_decisions_total{verdict=\"allowed\",source=\"redis\"}");
    let by_node = || world.node.metric("tollgate_decisions_total{verdict=\"allowed\",source=\"local\"}");
    world.buckets.silence(2, true);
    world.buckets.fail_over();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = (by_redis(), by_node());
    for round in 0..50 {
        if round % 10 == 0 {
            // A connection is made anew now and then, as long as one part cannot be reached.
            world.buckets.fail_over();
        }
        for (lane, key) in keys.iter().enumerate() {
            let asked = Instant::now();
            world.node.check(key).await.allowed();
            assert!(asked.elapsed() <= Duration::from_millis(80), "lane {lane}: {:?}", asked.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!((by_redis() - before.0, by_node() - before.1), (150, 50), "the others are decided as ever");
    // It answers again: exact within a second, and nobody else noticed.
    world.buckets.silence(2, false);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = (by_redis(), by_node());
    for key in &keys {
        world.node.check(key).await.allowed();
    }
    assert_eq!((by_redis() - before.0, by_node() - before.1), (4, 0));
}
