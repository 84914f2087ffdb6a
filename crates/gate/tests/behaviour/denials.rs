//! Denials that a node remembers: never for longer than the truth, never an allowance.

use std::time::Duration;

use tollgate_api::{BusEvent, ChangeEvent};
use tollgate_gate::{
    GateOptions, HotOptions, OutageMode,
    config::KeyRules,
    ports::{ChangeKind, Outcome},
    request::SharedKey,
    verdict::Verdict,
};

use crate::support::{Ask, Node, Outcomes, RunningFleet, World, let_others_go_on, limits, mint, rules};

const BY_MEMORY: &str = "tollgate_decisions_total{verdict=\"limited\",source=\"deny_memory\"}";

/// So many denials within 50 ms are worth the room.
const REMEMBERED_FROM: u64 = 4;

fn remembering(options: &mut GateOptions) {
    options.hot = HotOptions {
        leases: false,
        burst_percent_max: 5,
        refill_max: Duration::from_millis(400),
        denials: Duration::from_secs(1),
        keys_max: 10,
    };
}

async fn world() -> World {
    World::with(remembering).await
}

async fn pass(world: &World, ms: u64) {
    world.clock.advance_ms(ms);
    tokio::time::advance(Duration::from_millis(ms)).await;
}

/// A key of which all tokens are spent; one comes back each second.
async fn exhausted(world: &World) -> SharedKey {
    let key = world.key(KeyRules { limits: limits(10, 10), ..rules() }).await;
    world.node.ask(&key, Ask::cost(10)).await.allowed();
    refused_often(&world.node, &key, 1).await;
    key
}

/// Has a cost refused as often as it takes until denials of the key are remembered.
async fn refused_often(node: &Node, key: &SharedKey, cost: u64) {
    for _ in 0..REMEMBERED_FROM {
        node.ask(key, Ask::cost(cost)).await.limited();
    }
}

/// Whether a request asks the store, and whether it passes.
async fn ask(world: &World, key: &SharedKey, ask: Ask) -> (bool, bool) {
    let before = world.buckets.asked();
    let verdict = world.node.ask(key, ask).await.expect("a verdict");
    (world.buckets.asked() > before, matches!(verdict, Verdict::Allowed(_)))
}

#[tokio::test(start_paused = true)]
async fn a_flood_on_an_exhausted_key_asks_the_store_as_often_as_a_token_comes() {
    let world = world().await;
    let key = exhausted(&world).await;
    let asked = world.buckets.asked();
    let mut admitted = 0;
    for _ in 0..10_000 {
        for _ in 0..10 {
            admitted += u32::from(ask(&world, &key, Ask::default()).await.1);
        }
        pass(&world, 1).await;
    }
    assert_eq!(admitted, 9, "one each second, none late");
    let asked = world.buckets.asked() - asked;
    assert!(asked <= 20, "{asked} calls in ten seconds: no more than the tokens that came, and one a second");
    assert!(world.node.metric(BY_MEMORY) > 99_000);
    assert_eq!(world.node.throttled(), 100_000 - 9 + REMEMBERED_FROM, "counted as any other");
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_refused_now_and_then_is_asked_for_each_time() {
    let world = world().await;
    let key = world.key(KeyRules { limits: limits(1, 86_400), ..rules() }).await;
    world.node.check(&key).await.allowed();
    for _ in 0..50 {
        assert_eq!(ask(&world, &key, Ask::default()).await, (true, false));
        pass(&world, 17).await;
    }
    let asked = world.buckets.asked();
    refused_often(&world.node, &key, 1).await;
    for _ in 0..50 {
        assert_eq!(ask(&world, &key, Ask::default()).await, (false, false));
    }
    assert!(world.buckets.asked() <= asked + 4);
}

#[tokio::test(start_paused = true)]
async fn at_the_very_instant_that_was_told_a_request_passes() {
    let world = world().await;
    let key = exhausted(&world).await;
    for waited_ms in [1, 300, 698] {
        pass(&world, waited_ms).await;
        let limited = world.node.check(&key).await.limited();
        let figures = limited.standings[0].standing;
        let left_us = 1_000_000
            - 1000
                * match waited_ms {
                    1 => 1,
                    300 => 301,
                    _ => 999,
                };
        assert_eq!((figures.fits, figures.remaining, figures.retry_after_us), (false, 0, left_us));
        assert_eq!(figures.reset_after_us, left_us + 9_000_000);
    }
    pass(&world, 1).await;
    world.node.check(&key).await.allowed();
}

#[tokio::test(start_paused = true)]
async fn a_cheaper_request_asks_and_a_dearer_one_does_not() {
    let world = world().await;
    let key = world.key(KeyRules { limits: limits(10, 10), ..rules() }).await;
    world.node.ask(&key, Ask::cost(7)).await.allowed();
    refused_often(&world.node, &key, 5).await;
    assert_eq!(ask(&world, &key, Ask::cost(6)).await, (false, false));
    assert_eq!(ask(&world, &key, Ask { peek: true, ..Ask::cost(5) }).await, (true, false), "a peek tells how things are");
    assert_eq!(ask(&world, &key, Ask::cost(2)).await, (true, true));
    assert_eq!(ask(&world, &key, Ask::cost(2)).await, (false, false), "one token is left");
    assert_eq!(ask(&world, &key, Ask::cost(1)).await, (true, true));
}

#[tokio::test(start_paused = true)]
async fn no_allowance_is_ever_remembered_and_no_denial_while_slices_are_out() {
    let world = world().await;
    let key = world.used_key(rules()).await;
    for _ in 0..10 {
        assert_eq!(ask(&world, &key, Ask::default()).await, (true, true));
    }
    let limited = exhausted(&world).await;
    let standings = world.node.check(&limited).await.limited().standings.to_vec();
    for _ in 0..2 * REMEMBERED_FROM {
        world.buckets.tell([Outcome::LimitedForNow(standings.clone())]);
        assert_eq!(ask(&world, &key, Ask::default()).await, (true, false));
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_remembered_for_longer_than_a_second() {
    let world = world().await;
    let key = world.key(KeyRules { limits: limits(1, 86_400), ..rules() }).await;
    world.node.check(&key).await.allowed();
    refused_often(&world.node, &key, 1).await;
    pass(&world, 979).await;
    assert_eq!(ask(&world, &key, Ask::default()).await, (false, false));
    pass(&world, 1).await;
    assert_eq!(ask(&world, &key, Ask::default()).await, (true, false), "one asks ahead");
    pass(&world, 979).await;
    assert_eq!(ask(&world, &key, Ask::default()).await, (false, false), "and it is good for another second");
    pass(&world, 21).await;
    assert_eq!(ask(&world, &key, Ask::default()).await, (true, false));
}

#[tokio::test(start_paused = true)]
async fn new_rules_a_reset_and_another_connection_end_it() {
    let world = world().await;
    let key = exhausted(&world).await;
    world.keys.edit(&key.key_id, ChangeKind::Updated, |record| record.limits = limits(20, 10));
    pass(&world, 2000).await;
    world.node.turn().await;
    let key = {
        let again = exhausted(&world).await;
        assert!(ask(&world, &key, Ask::default()).await.0, "its rules are others");
        again
    };
    assert_eq!(ask(&world, &key, Ask::default()).await, (false, false));
    world.buckets.fail_over();
    assert!(ask(&world, &key, Ask::default()).await.0, "another server may know better");
}

#[tokio::test(start_paused = true)]
async fn in_an_outage_a_denial_still_holds() {
    for mode in [OutageMode::Open, OutageMode::Local] {
        let world = World::with(|options| {
            remembering(options);
            options.outage.mode = mode;
        })
        .await;
        let key = exhausted(&world).await;
        world.buckets.go_down();
        assert_eq!(ask(&world, &key, Ask::default()).await, (false, false), "{mode:?}");
        pass(&world, 1000).await;
        assert!(ask(&world, &key, Ask::default()).await.1, "{mode:?} decides");
    }
}

#[tokio::test(start_paused = true)]
async fn a_decision_that_was_not_charged_is_in_nobodys_way() {
    let world = world().await;
    let key = exhausted(&world).await;
    pass(&world, 1000).await;
    // The one that asks for the token that has come gets no answer.
    let answer = world.buckets.tell_later();
    let (node, asked) = (world.node.clone(), world.buckets.asked());
    let slow = tokio::spawn({
        let key = key.clone();
        async move { node.check(&key).await }
    });
    world.buckets.until_asked(asked + 1).await;
    drop(answer);
    assert!(slow.await.expect("no panic").is_ok(), "the outage mode decides");
    world.come_back().await;
    assert_eq!(ask(&world, &key, Ask::default()).await, (true, true), "the token is still there");
}

/// What is said of a key or of an owner in the log of the fakes, one position further than was read.
fn told(fleet: &RunningFleet, key: Option<&SharedKey>) -> BusEvent {
    let change = ChangeEvent {
        log_id: "first log".to_owned(),
        position: fleet.keys.position() + 1,
        key_id: key.map(|key| key.key_id.to_string()),
        owner: key.is_none().then(|| "acme".to_owned()),
        node: "another".to_owned(),
    };
    if key.is_some() { BusEvent::Updated(change) } else { BusEvent::OwnerUpdated(change) }
}

#[tokio::test(start_paused = true)]
async fn a_change_that_was_told_of_ends_it_before_it_is_read() {
    for is_of_key in [true, false] {
        let fleet = RunningFleet::with(1, remembering).await;
        let (member, key) = (&fleet.members[0], mint(&*fleet.keys, KeyRules { limits: limits(1, 86_400), ..rules() }).await);
        member.node.check(&key).await.allowed();
        refused_often(&member.node, &key, 1).await;
        let asked = member.buckets.asked();
        member.node.check(&key).await.limited();
        assert_eq!(member.buckets.asked(), asked, "remembered");
        fleet.keys.set_down(true);
        fleet.hub.say(&told(&fleet, is_of_key.then_some(&key)));
        let_others_go_on().await;
        member.node.check(&key).await.limited();
        assert_eq!(member.buckets.asked(), asked + 1, "of a key: {is_of_key}");
    }
}
