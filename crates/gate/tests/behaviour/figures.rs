//! What the metrics say of decisions.

use tollgate_gate::{DecisionSource, config::KeyRules};

use crate::support::{Ask, Outcomes, World, limits, rules};

#[tokio::test(start_paused = true)]
async fn throttled_counts_refusals_by_a_limit_and_nothing_else() {
    let world = World::new().await;
    let key = world.used_key(KeyRules { limits: limits(3, 60), ..rules() }).await;
    let (mut limited, mut peeks) = (0, 0);
    for round in 0..20 {
        let peek = round % 3 == 0;
        let ask = if peek { Ask::peek() } else { Ask::default() };
        if matches!(world.node.ask(&key, ask).await, Ok(tollgate_gate::verdict::Verdict::Limited(_))) {
            *(if peek { &mut peeks } else { &mut limited }) += 1;
        }
    }
    world.node.ask(&key, Ask::scope("a")).await.denied();
    world.node.ask(&key, Ask::cost(4)).await.denied();
    assert!(limited > 0 && peeks > 0, "{limited} limited, {peeks} peeks");
    assert_eq!(world.node.throttled(), limited);
    assert_eq!(world.node.metric("tollgate_decisions_total{verdict=\"limited\",source=\"redis\"}"), limited + peeks);
    assert_eq!(world.node.metric("tollgate_decisions_total{verdict=\"denied\",source=\"local\"}"), 2);
    assert_eq!(world.node.metric("tollgate_decision_duration_seconds_count"), 23);
    let stranger = world.key(rules()).await;
    world.keys.remove(&stranger.key_id);
    world.node.ask(&stranger, Ask::default()).await.unauthenticated();
    assert_eq!(world.node.metric("tollgate_decision_duration_seconds_count"), 23, "nobody was verified");
}

#[tokio::test(start_paused = true)]
async fn an_embedded_node_says_that_it_decides_itself() {
    let world = World::with(|options| options.source = DecisionSource::Local).await;
    world.used_key(rules()).await;
    assert_eq!(world.node.metric("tollgate_decisions_total{verdict=\"allowed\",source=\"local\"}"), 1);
    let components = world.node.gate.readiness().components;
    assert_eq!(
        components.iter().map(|component| component.component).collect::<Vec<_>>(),
        [tollgate_api::Component::KeyFile, tollgate_api::Component::BloomFilter, tollgate_api::Component::Argon2Pool]
    );
}

#[tokio::test(start_paused = true)]
async fn look_ups_are_counted_by_what_they_found() {
    let world = World::new().await;
    let (found, absent) = (world.used_key(rules()).await, world.key(rules()).await);
    world.keys.remove(&absent.key_id);
    world.node.check(&absent).await.unauthenticated();
    world.keys.set_down(true);
    world.node.check(&absent).await.unavailable();
    world.node.check(&found).await.allowed();
    for (outcome, count) in [("found", 1), ("absent", 1), ("unavailable", 1)] {
        assert_eq!(world.node.metric(&format!("tollgate_postgres_lookups_total{{outcome=\"{outcome}\"}}")), count, "{outcome}");
    }
}
