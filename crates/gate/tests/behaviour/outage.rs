//! What is answered while the bucket store does not.

use std::{num::NonZeroU32, time::Duration};

use tollgate_gate::{
    OutageMode,
    config::KeyRules,
    ports::{BucketError, Outcome},
};

use crate::support::{Ask, Outcomes, Script, World, limits, rules};

async fn world(mode: OutageMode, nodes: u32) -> World {
    let nodes = NonZeroU32::new(nodes).expect("at least one");
    World::with(|options| (options.outage.mode, options.outage.nodes_min) = (mode, nodes)).await
}

fn mode_metric(world: &World) -> u64 {
    world.node.metric("tollgate_outage_mode")
}

#[tokio::test(start_paused = true)]
async fn open_lets_everybody_pass() {
    let world = world(OutageMode::Open, 1).await;
    let key = world.used_key(KeyRules { limits: limits(1, 60), ..rules() }).await;
    world.node.check(&key).await.limited();
    world.buckets.go_down();
    for _ in 0..10 {
        assert!(world.node.check(&key).await.allowed().standings.is_empty());
    }
    assert_eq!(mode_metric(&world), 2);
}

#[tokio::test(start_paused = true)]
async fn closed_lets_nobody_pass_and_says_that_it_cannot_know() {
    let world = world(OutageMode::Closed, 1).await;
    let key = world.used_key(rules()).await;
    world.buckets.go_down();
    assert!(world.node.check(&key).await.unavailable().contains("cannot be reached"));
    assert_eq!(mode_metric(&world), 3);
}

#[tokio::test(start_paused = true)]
async fn local_holds_this_nodes_share_and_keeps_it_from_outage_to_outage() {
    let world = world(OutageMode::Local, 3).await;
    let key = world.used_key(KeyRules { limits: limits(10, 60), ..rules() }).await;
    for _ in 0..2 {
        world.buckets.go_down();
        assert_eq!(futures_allowed(&world, &key).await.0, 3, "a third of ten, rounded down");
        world.come_back().await;
        world.node.check(&key).await.allowed();
        world.buckets.go_down();
        assert_eq!(futures_allowed(&world, &key).await.0, 0, "the second outage begins where the first one ended");
        world.come_back().await;
        // Refills at a third of the rate.
        world.clock.advance_ms(60_000);
        tokio::time::advance(Duration::from_mins(1)).await;
        world.node.turn().await;
        world.node.check(&key).await.allowed();
    }
    assert_eq!(world.node.metric("tollgate_decisions_total{verdict=\"allowed\",source=\"local\"}"), 6);
}

/// How many pass before one is limited.
async fn futures_allowed(world: &World, key: &tollgate_gate::request::SharedKey) -> (u32, tollgate_gate::verdict::Passed) {
    for count in 0..100 {
        match world.node.check(key).await {
            Ok(tollgate_gate::verdict::Verdict::Allowed(_)) => {}
            other => return (count, other.limited()),
        }
    }
    panic!("nothing limits")
}

#[tokio::test(start_paused = true)]
async fn what_is_above_the_share_cannot_be_known() {
    let world = world(OutageMode::Local, 3).await;
    let (wide, narrow) = (
        world.used_key(KeyRules { limits: limits(10, 60), ..rules() }).await,
        world.used_key(KeyRules { limits: limits(2, 60), ..rules() }).await,
    );
    world.buckets.go_down();
    world.node.ask(&wide, Ask::cost(3)).await.allowed();
    assert!(world.node.ask(&wide, Ask::cost(4)).await.unavailable().contains("above this node's share"));
    assert!(world.node.check(&narrow).await.unavailable().contains("less than one token"));
}

#[tokio::test(start_paused = true)]
async fn operators_are_always_decided_locally() {
    for mode in [OutageMode::Open, OutageMode::Closed, OutageMode::Local] {
        let world = world(mode, 1).await;
        let key = world.used_key(KeyRules { limits: limits(2, 60), ..rules() }).await;
        world.buckets.go_down();
        for _ in 0..2 {
            world.node.ask(&key, Ask::control()).await.allowed();
        }
        world.node.ask(&key, Ask::control()).await.limited();
    }
}

#[tokio::test(start_paused = true)]
async fn every_way_not_to_answer_is_an_outage_and_nothing_is_sent_again() {
    let world = world(OutageMode::Closed, 1).await;
    let key = world.used_key(rules()).await;
    let errors = [
        BucketError::Deadline,
        BucketError::Unreachable("no route".into()),
        BucketError::QueueFull,
        BucketError::Unusable("another change log".into()),
    ];
    for error in errors {
        let asked = world.buckets.asked();
        world.buckets.script([Script::Tell(Err(error.clone()))]);
        assert_eq!(world.node.check(&key).await.unavailable(), error.to_string());
        assert_eq!(world.buckets.asked(), asked + 1, "a charge whose answer was lost is never sent again");
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_stops_answers_nobody() {
    let world = world(OutageMode::Closed, 1).await;
    let key = world.used_key(rules()).await;
    drop(world.buckets.tell_later());
    assert!(world.node.check(&key).await.unavailable().contains("stopped"));
}

#[tokio::test(start_paused = true)]
async fn a_broken_bucket_concerns_its_own_decision_alone() {
    let world = world(OutageMode::Closed, 1).await;
    let key = world.used_key(rules()).await;
    world.buckets.tell([Outcome::Broken]);
    assert!(world.node.check(&key).await.unavailable().contains("cannot be read or written"));
    assert_eq!(mode_metric(&world), 0, "no outage");
    world.node.check(&key).await.allowed();
    // An operator with a broken bucket can still act.
    world.buckets.tell([Outcome::Broken]);
    world.node.ask(&key, Ask::control()).await.allowed();
}

#[tokio::test(start_paused = true)]
async fn an_outage_begins_once_and_ends_with_the_first_answer() {
    let world = world(OutageMode::Local, 1).await;
    let key = world.used_key(rules()).await;
    assert_eq!(mode_metric(&world), 0);
    world.buckets.go_down();
    for _ in 0..3 {
        world.node.check(&key).await.allowed();
        assert_eq!(mode_metric(&world), 1);
    }
    let redis = "tollgate_decisions_total{verdict=\"allowed\",source=\"redis\"}";
    assert_eq!(world.node.metric(redis), 1);
    world.come_back().await;
    world.node.check(&key).await.allowed();
    assert_eq!((mode_metric(&world), world.node.metric(redis)), (0, 2));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_starts_in_an_outage_decides_locally_and_recovers() {
    let world = World::cold(|_| {});
    let key = world.key(KeyRules { limits: limits(2, 60), ..rules() }).await;
    world.buckets.go_down();
    world.node.check(&key).await.allowed();
    world.node.check(&key).await.allowed();
    world.node.check(&key).await.limited();
    let readiness = world.node.gate.readiness();
    assert!(!readiness.ready && readiness.reason.expect("a reason").contains("no route"));
    world.buckets.set_down(None);
    world.node.turn().await;
    assert!(world.node.gate.readiness().ready);
    world.node.check(&key).await.allowed();
    assert_eq!(mode_metric(&world), 0);
}

#[tokio::test(start_paused = true)]
async fn a_key_changed_in_an_outage_goes_by_its_new_rules_here() {
    let world = world(OutageMode::Local, 1).await;
    let key = world.used_key(rules()).await;
    world.buckets.go_down();
    world.node.check(&key).await.allowed();
    let admin = crate::support::operator(None, &["admin"]);
    let body = serde_json::from_str("{}").expect("a body");
    let revoked = world.node.gate.revoke_key(&admin, key.key_id.as_str(), body).await.expect("revoked");
    assert_eq!(revoked.propagated, Some(false));
    world.node.check(&key).await.unauthenticated();
}

#[tokio::test(start_paused = true)]
async fn a_keys_own_mode_goes_before_the_deployments() {
    let modes = [OutageMode::Open, OutageMode::Closed, OutageMode::Local];
    for (deployment, own) in modes.into_iter().flat_map(|deployment| modes.map(|own| (deployment, own))) {
        let world = world(deployment, 1).await;
        let key = world.used_key(KeyRules { limits: limits(2, 60), outage_mode: Some(own), ..rules() }).await;
        let plain = world.used_key(KeyRules { limits: limits(2, 60), ..rules() }).await;
        world.buckets.go_down();
        for (key, mode) in [(&key, own), (&plain, deployment)] {
            let mut allowed = 0;
            for _ in 0..5 {
                allowed += u32::from(matches!(world.node.check(key).await, Ok(tollgate_gate::verdict::Verdict::Allowed(_))));
            }
            let expected = match mode {
                OutageMode::Open => 5,
                OutageMode::Closed => 0,
                OutageMode::Local => 2,
            };
            assert_eq!(allowed, expected, "{deployment:?}, of its own {own:?}");
        }
        // Whatever the key's mode: an operator is decided locally.
        assert!(world.node.ask(&key, Ask::control()).await.is_ok());
    }
}

/// T38: Redis may or may not have charged, and nobody can say. Every second answer comes, so that
/// the node never gives up asking.
#[tokio::test(start_paused = true)]
async fn of_ten_thousand_lost_answers_no_more_are_admitted_than_the_share_allows() {
    let world = world(OutageMode::Local, 2).await;
    let key = world.used_key(KeyRules { limits: limits(15_000, 2_678_400), ..rules() }).await;
    let asked = world.buckets.asked();
    let (mut by_store, mut by_share) = (0, 0);
    for nth in 1..=10_000 {
        by_store += u32::from(is_allowed(&world, &key).await);
        world.buckets.script([Script::Tell(Err(BucketError::Deadline))]);
        by_share += u32::from(is_allowed(&world, &key).await);
        assert_eq!(world.buckets.asked(), asked + 2 * nth, "once for each request");
    }
    assert_eq!((by_store, by_share), (10_000, 7_500), "half of the burst, whatever became of the charges");
}

async fn is_allowed(world: &World, key: &tollgate_gate::request::SharedKey) -> bool {
    matches!(world.node.check(key).await, Ok(tollgate_gate::verdict::Verdict::Allowed(_)))
}
