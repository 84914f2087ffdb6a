//! Limits on things without a key.

use tollgate_gate::{
    NamedDecision,
    ports::{Outcome, SubjectKind},
    verdict::{Denial, Identity, Verdict},
};

use crate::support::{Outcomes, World, operator};

fn thing(world: &World, namespace: &str, id: &str, burst: u64) -> NamedDecision {
    let body = serde_json::json!({ "namespace": namespace, "id": id, "rate_limit": { "burst": burst, "per_seconds": 60 } });
    world.node.gate.named_decision(serde_json::from_value(body).expect("a body")).expect("a good thing")
}

fn tenant(owner: Option<&str>) -> Identity {
    operator(owner, &["limit:write"]).identity
}

#[tokio::test(start_paused = true)]
async fn a_thing_has_its_own_bucket_in_each_tenant_and_namespace() {
    let world = World::new().await;
    let places = [(None, "ips"), (None, "users"), (Some("acme"), "ips"), (Some("other"), "ips")];
    for (owner, namespace) in places {
        for _ in 0..2 {
            world.node.gate.decide_named(&tenant(owner), thing(&world, namespace, "10.0.0.1", 2)).await.allowed();
        }
        let limited = world.node.gate.decide_named(&tenant(owner), thing(&world, namespace, "10.0.0.1", 2)).await.limited();
        assert_eq!((limited.standings[0].kind, limited.standings[0].named.name.as_str()), (SubjectKind::Named, "limit"));
    }
    assert_eq!(world.node.throttled(), 4);
    let decisions = world.buckets.decisions();
    assert!(decisions.iter().all(|decision| decision.subjects.first.generation == 0 && decision.subjects.owner.is_none()));
}

#[tokio::test(start_paused = true)]
async fn a_cost_above_the_burst_can_never_pass_and_asks_nobody() {
    let world = World::new().await;
    let costly = |cost| NamedDecision { cost: tollgate_limits::Cost::new(cost).expect("a cost"), ..thing(&world, "ips", "a", 5) };
    world.node.gate.decide_named(&tenant(None), costly(5)).await.allowed();
    let denial = world.node.gate.decide_named(&tenant(None), costly(6)).await.denied();
    assert!(matches!(denial, Denial::CostExceedsBurst { limit, .. } if limit.burst() == 5));
    assert_eq!((world.buckets.asked(), world.node.metric("tollgate_decisions_total{verdict=\"denied\",source=\"local\"}")), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_peek_at_a_thing_charges_nothing_and_is_not_counted_as_throttled() {
    let world = World::new().await;
    world.node.gate.decide_named(&tenant(None), thing(&world, "ips", "a", 1)).await.allowed();
    for _ in 0..3 {
        let peek = NamedDecision { peek: true, ..thing(&world, "ips", "a", 1) };
        world.node.gate.decide_named(&tenant(None), peek).await.limited();
    }
    assert_eq!(world.node.throttled(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_lost_state_is_taken_up_and_a_fence_on_a_thing_is_no_verdict() {
    let world = World::new().await;
    world.buckets.lose_state();
    world.node.gate.decide_named(&tenant(None), thing(&world, "ips", "a", 1)).await.allowed();
    world.buckets.tell([Outcome::Stale, Outcome::Revoked]);
    for _ in 0..2 {
        world.node.gate.decide_named(&tenant(None), thing(&world, "ips", "a", 1)).await.unavailable();
    }
    assert!(matches!(world.node.gate.decide_named(&tenant(None), thing(&world, "ips", "a", 1)).await, Ok(Verdict::Limited(_))));
}
