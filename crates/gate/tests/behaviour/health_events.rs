//! Who hears of changes of health, and how often.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;
use tollgate_api::{BusEvent, Component, ComponentState, HealthChanged, HealthTold};
use tollgate_gate::{
    HealthEvents, TurnTold,
    ports::{ChangeKind, StoreLook},
};
use tollgate_keys::KeyId;
use tollgate_limits::RateLimits;

use crate::support::{RunningFleet, limits, mint, rules};

/// Twice the interval at which the log is read, and more.
const SOON: Duration = Duration::from_secs(5);

/// Everything that waits to be heard.
async fn heard(events: &mut HealthEvents) -> Vec<Arc<HealthChanged>> {
    let mut all = Vec::new();
    while let Ok(told) = tokio::time::timeout(Duration::from_millis(1), events.next()).await {
        match told.expect("the gate lives") {
            TurnTold::Changed(changed) => all.push(changed),
            TurnTold::Missed(count) => panic!("{count} were missed"),
        }
    }
    all
}

type Change = (Component, ComponentState, ComponentState);

fn states(events: &[Arc<HealthChanged>]) -> Vec<Change> {
    events.iter().map(|event| (event.component, event.from, event.to)).collect()
}

fn on_and_off(component: Component, bad: ComponentState) -> Vec<Change> {
    vec![(component, ComponentState::Ok, bad), (component, bad, ComponentState::Ok)]
}

/// Nodes that look often, and a listener at each.
async fn listened(count: usize) -> (RunningFleet, Vec<HealthEvents>) {
    let fleet = RunningFleet::with(count, |options| options.look_interval = Duration::from_secs(1)).await;
    sleep(SOON).await;
    let listeners = fleet.members.iter().map(|member| member.node.gate.health_events()).collect();
    (fleet, listeners)
}

fn told_over_the_bus(fleet: &RunningFleet) -> Vec<HealthTold> {
    let health = |(_, event)| if let BusEvent::HealthChanged(told) = event { Some(told) } else { None };
    fleet.hub.said().into_iter().filter_map(health).collect()
}

#[tokio::test(start_paused = true)]
async fn a_condition_of_the_fleet_is_two_events_on_every_stream_and_none_on_the_bus() {
    let (fleet, mut listeners) = listened(3).await;
    let eviction = StoreLook { eviction: Some("it drops".into()), ..StoreLook::default() };
    for look in [eviction, StoreLook::default()] {
        for member in &fleet.members {
            member.buckets.says(look.clone());
        }
        sleep(SOON).await;
    }
    for events in &mut listeners {
        let heard = heard(events).await;
        assert_eq!(states(&heard), on_and_off(Component::RedisEviction, ComponentState::Degraded));
        assert_eq!((&*heard[0].reason, heard[0].node.as_deref()), ("it drops", None), "each node finds it itself");
    }
    assert_eq!(told_over_the_bus(&fleet), []);
}

#[tokio::test(start_paused = true)]
async fn a_condition_of_one_node_is_two_events_on_every_stream_with_its_name() {
    let (fleet, mut listeners) = listened(3).await;
    for _ in 0..10 {
        fleet.node(1).gate.note_untrusted_forwarder([192, 0, 2, 1].into());
        sleep(Duration::from_secs(1)).await;
    }
    sleep(Duration::from_secs(400)).await;
    for events in &mut listeners {
        let heard = heard(events).await;
        assert_eq!(states(&heard), on_and_off(Component::UntrustedForwarder, ComponentState::Degraded));
        assert!(heard.iter().all(|event| event.node.as_deref() == Some("here")), "{heard:?}");
    }
    assert_eq!(told_over_the_bus(&fleet).len(), 2);
    let others = [0, 2].map(|place| fleet.node(place).gate.health_report().guard_rails);
    let on = others.iter().flatten().filter(|rail| rail.component == Component::UntrustedForwarder && rail.since.is_some());
    assert_eq!(on.count(), 2, "the others know of their own rail, which was never on");
    assert_eq!(fleet.node(0).metric("tollgate_health_state{component=\"untrusted_forwarder\"}"), 0);
}

#[tokio::test(start_paused = true)]
async fn however_many_unlimited_keys_come_and_go_the_guard_rail_does_not_flap() {
    let (fleet, mut listeners) = listened(2).await;
    let mut ids: Vec<KeyId> = Vec::new();
    for _ in 0..20 {
        ids.push(mint(&*fleet.keys, rules()).await.key_id.clone());
    }
    let set = |key_id: &KeyId, is_limited: bool| {
        let now = if is_limited { limits(10, 60) } else { RateLimits::unlimited() };
        fleet.keys.edit(key_id, ChangeKind::Updated, move |record| record.limits = now);
    };
    let count = |count: usize| {
        let figures = [0, 1].map(|node| fleet.node(node).gate.health_report().figures.unlimited_keys.len());
        assert_eq!(figures, [count; 2]);
    };
    set(&ids[0], false);
    sleep(SOON).await;
    count(1);
    // At no instant is there none, whichever keys they are.
    for turn in 1..ids.len() {
        set(&ids[turn], false);
        set(&ids[turn - 1], true);
        if turn % 3 == 0 {
            sleep(SOON).await;
            count(1);
        }
    }
    for key_id in &ids {
        set(key_id, false);
    }
    sleep(SOON).await;
    count(20);
    for key_id in &ids {
        set(key_id, true);
    }
    sleep(SOON).await;
    count(0);
    for events in &mut listeners {
        let heard = heard(events).await;
        assert_eq!(states(&heard), on_and_off(Component::UnlimitedKeys, ComponentState::Degraded));
        assert!(heard[0].reason.starts_with("1 key has") && heard[0].node.is_none(), "{heard:?}");
    }
    assert_eq!(told_over_the_bus(&fleet), []);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_goes_and_comes_back_is_told_once_each() {
    let (fleet, mut listeners) = listened(1).await;
    fleet.members[0].buckets.go_down();
    sleep(SOON * 5).await;
    let report = fleet.node(0).gate.health_report();
    let redis = report.components.iter().find(|one| one.component == Component::Redis).expect("a part");
    assert!(redis.state == ComponentState::Down && redis.reason.is_some() && redis.since.is_some(), "{redis:?}");
    fleet.members[0].buckets.set_down(None);
    sleep(SOON * 5).await;
    assert_eq!(states(&heard(&mut listeners[0]).await), on_and_off(Component::Redis, ComponentState::Down));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_starts_well_tells_of_nothing() {
    let fleet = RunningFleet::with(2, |_| {}).await;
    let mut events = fleet.node(0).gate.health_events();
    sleep(Duration::from_secs(30)).await;
    assert_eq!(heard(&mut events).await, []);
    assert_eq!(told_over_the_bus(&fleet), [], "nor did it before");
}

#[tokio::test(start_paused = true)]
async fn what_others_tell_is_shown_and_changes_nothing() {
    let (fleet, mut listeners) = listened(1).await;
    let gate = &fleet.node(0).gate;
    let told = |component, node: Option<&str>| HealthTold {
        process: "another".to_owned(),
        changed: HealthChanged {
            component,
            from: ComponentState::Ok,
            to: ComponentState::Down,
            reason: format!("redis://user:leaf@host {}", "x".repeat(5000)),
            node: node.map(ToOwned::to_owned),
            at: serde_json::from_str("\"2026-01-02T03:04:05Z\"").expect("an instant"),
            request_id: Some("a\nb".to_owned()),
        },
    };
    let before = gate.readiness();
    for told in [told(Component::Redis, Some("other:1")), told(Component::RedisEviction, Some("other:1")), told(Component::Redis, None)] {
        fleet.hub.say(&BusEvent::HealthChanged(told));
    }
    sleep(SOON).await;
    let heard = heard(&mut listeners[0]).await;
    assert_eq!(heard.len(), 1, "no node tells another of the fleet: {heard:?}");
    assert_eq!((heard[0].node.as_deref(), heard[0].request_id.as_deref()), (Some("other:1"), None));
    assert!(!heard[0].reason.contains("leaf") && heard[0].reason.len() <= 512);
    assert_eq!(gate.readiness(), before);
    assert_eq!(told_over_the_bus(&fleet).len(), 3, "and it is not passed on");
}

#[tokio::test(start_paused = true)]
async fn a_listener_who_is_too_slow_is_told_how_much_he_missed() {
    let (fleet, mut listeners) = listened(1).await;
    let event = |n: usize| HealthChanged {
        component: Component::Pubsub,
        from: ComponentState::Ok,
        to: ComponentState::Degraded,
        reason: n.to_string(),
        node: Some("other:1".to_owned()),
        at: serde_json::from_str("\"2026-01-02T03:04:05Z\"").expect("an instant"),
        request_id: None,
    };
    for n in 0..300 {
        fleet.hub.say(&BusEvent::HealthChanged(HealthTold { process: "another".to_owned(), changed: event(n) }));
    }
    sleep(SOON).await;
    assert_eq!(listeners[0].next().await, Some(TurnTold::Missed(300 - 256)));
    assert_eq!(heard(&mut listeners[0]).await.first().map(|first| first.reason.clone()), Some("44".to_owned()));
}
