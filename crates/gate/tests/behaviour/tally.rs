//! What keys were used for: counted exactly, once, within bounds, and told to whom they belong.

use std::time::Duration;

use tollgate_api::{KeyUsage, TopUsage, TopWindow, UsageFigures, UsageStep};
use tollgate_gate::{
    config::KeyRules,
    control::{ControlError, ListTop, Operator},
    ports::UsageStore as _,
    request::SharedKey,
};
use tollgate_keys::OwnerName;

use crate::support::{Ask, Node, Outcomes, World, limits, operator, rules};

const MINUTE_MS: u64 = 60_000;

fn reader(owner: Option<&str>) -> Operator {
    operator(owner, &["usage:read"])
}

fn owned(owner: &str, burst: u64) -> KeyRules {
    KeyRules { owner: Some(OwnerName::parse(owner).expect("an owner")), limits: limits(burst, 86_400), ..rules() }
}

async fn usage(node: &Node, key: &SharedKey) -> KeyUsage {
    node.gate.key_usage(&reader(None), key.key_id.as_str(), UsageStep::Minute).await.expect("the store answers")
}

async fn hour(node: &Node, key: &SharedKey) -> UsageFigures {
    usage(node, key).await.windows.hour.figures
}

async fn top(node: &Node, as_whom: Option<&str>, asked: ListTop) -> TopUsage {
    node.gate.top_usage(&reader(as_whom), asked).await.expect("the store answers")
}

/// As often as a key is limited: it has no token left.
async fn limit(node: &Node, key: &SharedKey, times: usize) {
    for _ in 0..times {
        node.check(key).await.limited();
    }
}

#[tokio::test(start_paused = true)]
async fn every_decision_on_a_key_is_counted_once_and_a_peek_is_none() {
    let world = World::new().await;
    let key = world.key(KeyRules { limits: limits(5, 86_400), ..rules() }).await;
    world.node.ask(&key, Ask::cost(4)).await.allowed();
    world.node.ask(&key, Ask::cost(2)).await.limited();
    world.node.check(&key).await.allowed();
    limit(&world.node, &key, 2).await;
    world.node.ask(&key, Ask::peek()).await.limited();
    world.node.ask(&key, Ask::scope("a")).await.denied();
    world.node.ask(&key, Ask::cost(6)).await.denied();
    assert_eq!(hour(&world.node, &key).await, UsageFigures::default(), "nothing is told on the way of a request");
    world.node.gate.flush_usage().await;
    let expected = UsageFigures { allowed: 2, limited: 3, denied: 2, cost: 5 };
    assert_eq!(hour(&world.node, &key).await, expected);
    world.node.gate.flush_usage().await;
    let told = usage(&world.node, &key).await;
    assert_eq!((told.windows.minute.figures, told.windows.day.figures), (expected, expected), "once");
    assert_eq!((told.series.len(), told.series.last().map(|point| point.figures)), (60, Some(expected)));
}

#[tokio::test(start_paused = true)]
async fn a_key_that_may_not_be_used_is_counted_as_denied_and_a_text_of_no_key_is_not() {
    let world = World::new().await;
    let key = world.used_key(rules()).await;
    let admin = operator(None, &["admin"]);
    world.node.gate.suspend_key(&admin, key.key_id.as_str()).await.expect("suspended");
    world.node.check(&key).await.unauthenticated();
    world.node.gate.revoke_key(&admin, key.key_id.as_str(), tollgate_api::RevokeKeyBody::default()).await.expect("revoked");
    world.node.check(&key).await.unauthenticated();
    world.node.check(&key).await.unauthenticated();
    // Nor is a peek, whatever comes of it.
    world.node.ask(&key, Ask::peek()).await.unauthenticated();
    let gone = world.key(rules()).await;
    world.keys.remove(&gone.key_id);
    world.node.check(&gone).await.unauthenticated();
    world.node.gate.flush_usage().await;
    assert_eq!(hour(&world.node, &key).await, UsageFigures { allowed: 1, limited: 0, denied: 3, cost: 1 });
    assert_eq!(world.usage.rows(), [1], "nothing was counted for an id that is no key's");
}

#[tokio::test(start_paused = true)]
async fn counts_whose_answer_was_lost_are_added_once() {
    let world = World::new().await;
    let key = world.used_key(rules()).await;
    world.usage.lose_answers(true);
    for _ in 0..3 {
        world.node.gate.flush_usage().await;
        world.node.check(&key).await.allowed();
    }
    assert!(world.node.metric("tollgate_usage_flush_failures_total") >= 3);
    world.usage.lose_answers(false);
    world.node.gate.flush_usage().await;
    assert_eq!(hour(&world.node, &key).await.allowed, 4);
}

#[tokio::test(start_paused = true)]
async fn while_the_store_is_away_counts_are_kept_by_minute_and_told_later() {
    let world = World::new().await;
    let key = world.used_key(rules()).await;
    world.usage.set_down(true);
    for _ in 0..5 {
        world.node.gate.flush_usage().await;
        world.node.check(&key).await.allowed();
        world.clock.advance_ms(MINUTE_MS);
    }
    assert_eq!(world.node.metric("tollgate_usage_waiting"), 5, "a row a minute, and the one that could not be told");
    let refused = world.node.gate.key_usage(&reader(None), key.key_id.as_str(), UsageStep::Minute).await;
    assert!(matches!(refused, Err(ControlError::Unavailable(_))), "{refused:?}");
    world.usage.set_down(false);
    world.node.gate.flush_usage().await;
    let told = usage(&world.node, &key).await;
    assert_eq!((told.windows.hour.figures.allowed, told.windows.minute.figures.allowed), (6, 1));
    let by_minute: Vec<u64> = told.series.iter().map(|point| point.figures.allowed).filter(|allowed| *allowed > 0).collect();
    assert_eq!(by_minute, [2, 1, 1, 1, 1]);
    assert_eq!((world.node.metric("tollgate_usage_waiting"), world.node.metric("tollgate_usage_dropped_total")), (0, 0));
}

/// Keys of a part of the store, made until there are so many of it.
async fn keys_of_part(world: &World, part: usize, count: usize) -> Vec<SharedKey> {
    let mut keys = Vec::new();
    while keys.len() < count {
        let key = world.key(KeyRules { limits: limits(1, 86_400), ..rules() }).await;
        if world.usage.part(&key.key_id) == part {
            keys.push(key);
        }
    }
    keys
}

#[tokio::test(start_paused = true)]
async fn a_part_that_is_silent_keeps_no_count_of_others_from_being_told() {
    let world = World::with(|options| options.tally.keys_max = 320).await;
    world.usage.in_parts(2, Some(1));
    let (told, silent) = (keys_of_part(&world, 0, 10).await, keys_of_part(&world, 1, 10).await);
    for round in 1..=10 {
        for key in told.iter().chain(&silent) {
            world.node.check(key).await.ok();
        }
        world.node.gate.flush_usage().await;
        for key in &silent {
            world.node.check(key).await.ok();
        }
        world.node.gate.flush_usage().await;
        for key in &told {
            assert_eq!(hour(&world.node, key).await.limited, round - 1, "round {round}");
        }
        assert_eq!(top(&world.node, None, ListTop::default()).await.limited, 30 * round - 20, "round {round}");
        world.clock.advance_ms(MINUTE_MS);
    }
    let (waiting, dropped) = (world.node.metric("tollgate_usage_waiting"), world.node.metric("tollgate_usage_dropped_total"));
    // A row a minute for each key, and one more of what was counted behind the first call.
    assert_eq!((waiting, dropped), (80, 60), "of 110 rows a quarter of all that may wait");
    world.usage.in_parts(2, None);
    world.node.gate.flush_usage().await;
    let mut counted = 0;
    for key in &silent {
        let figures = hour(&world.node, key).await;
        counted += figures.allowed + figures.limited;
    }
    assert_eq!((counted, world.node.metric("tollgate_usage_waiting")), (140, 0), "each is told in the end or was told as dropped");
}

#[tokio::test(start_paused = true)]
async fn what_has_no_room_is_dropped_visibly_and_the_most_limited_are_told_as_incomplete() {
    let world = World::with(|options| options.tally.keys_max = 16).await;
    world.usage.set_down(true);
    let mut keys = Vec::new();
    for _ in 0..100 {
        keys.push(world.used_key(KeyRules { limits: limits(1, 86_400), ..rules() }).await);
    }
    let dropped = world.node.metric("tollgate_usage_dropped_total");
    assert!((84..100).contains(&dropped), "{dropped}");
    world.usage.set_down(false);
    world.node.gate.flush_usage().await;
    let mut counted = 0;
    for key in &keys {
        counted += hour(&world.node, key).await.allowed;
    }
    assert_eq!(counted + dropped, 100, "each is counted or told as dropped");
    assert!(!top(&world.node, None, ListTop::default()).await.complete);
}

#[tokio::test(start_paused = true)]
async fn many_keys_are_told_in_small_batches() {
    let world = World::new().await;
    for _ in 0..100 {
        world.used_key(rules()).await;
    }
    world.node.gate.flush_usage().await;
    let rows = world.usage.rows();
    assert_eq!((rows.iter().sum::<usize>(), rows.iter().max()), (100, Some(&32)), "{rows:?}");
}

#[tokio::test(start_paused = true)]
async fn the_loop_tells_by_itself_and_at_once_where_room_runs_out() {
    let interval = Duration::from_mins(1);
    let world = World::with(|options| (options.tally.keys_max, options.tally.flush_interval) = (16, interval)).await;
    let gate = world.node.gate.clone();
    let loops = tokio::spawn(async move { gate.run().await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    for told in 1..=30 {
        world.used_key(rules()).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(world.usage.rows().iter().sum::<usize>(), told, "long before the interval is over");
    }
    assert_eq!(world.node.metric("tollgate_usage_dropped_total"), 0);
    loops.abort();
    let world = World::new().await;
    let gate = world.node.gate.clone();
    let loops = tokio::spawn(async move { gate.run().await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.used_key(rules()).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(world.usage.rows().is_empty(), "there is room");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(world.usage.rows(), [1]);
    loops.abort();
}

#[tokio::test(start_paused = true)]
async fn the_most_limited_keys_of_all_nodes_come_first_with_their_bounds() {
    let world = World::new().await;
    let other = world.other_node().await;
    let flooded = world.used_key(owned("a", 1)).await;
    let second = world.used_key(KeyRules { limits: limits(1, 86_400), ..rules() }).await;
    limit(&world.node, &flooded, 30).await;
    limit(&other, &flooded, 40).await;
    limit(&world.node, &second, 50).await;
    for _ in 0..30 {
        let one = world.used_key(KeyRules { limits: limits(1, 86_400), ..rules() }).await;
        limit(&other, &one, 1).await;
    }
    world.node.gate.flush_usage().await;
    other.gate.flush_usage().await;
    for window in [TopWindow::Hour, TopWindow::Day] {
        let told = top(&world.node, None, ListTop { window, count: Some(2), ..ListTop::default() }).await;
        assert_eq!((told.limited, told.complete, told.owner.as_deref()), (150, true, None), "{window:?}");
        let ids: Vec<&str> = told.keys.iter().map(|key| key.key_id.as_str()).collect();
        assert_eq!(ids, [flooded.key_id.as_str(), second.key_id.as_str()], "{window:?}");
        assert_eq!(told.keys[0].owner.as_deref(), Some("a"));
        for (key, limited) in told.keys.iter().zip([70, 50]) {
            assert!((key.limited_at_least..=key.limited_at_most).contains(&limited), "{key:?}");
        }
        assert!((1..=150 / 16 * 2).contains(&told.others_limited_at_most), "{told:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn old_floods_are_not_told_any_more() {
    let world = World::new().await;
    let key = world.used_key(KeyRules { limits: limits(1, 86_400), ..rules() }).await;
    limit(&world.node, &key, 3).await;
    world.node.gate.flush_usage().await;
    world.clock.advance_ms(71 * MINUTE_MS);
    let of = async |window| top(&world.node, None, ListTop { window, ..ListTop::default() }).await.limited;
    assert_eq!((of(TopWindow::Hour).await, of(TopWindow::Day).await), (0, 3));
    let told = usage(&world.node, &key).await.windows;
    assert_eq!((told.hour.figures.limited, told.day.figures.limited), (0, 3));
    world.clock.advance_ms(24 * 60 * MINUTE_MS);
    assert_eq!(of(TopWindow::Day).await, 0);
    assert_eq!(usage(&world.node, &key).await.windows.day.figures, UsageFigures::default());
}

#[tokio::test(start_paused = true)]
async fn a_tenant_sees_his_own_keys_and_nothing_of_others() {
    let world = World::new().await;
    let (own, theirs) = (world.used_key(owned("a", 1)).await, world.used_key(owned("b", 1)).await);
    limit(&world.node, &own, 2).await;
    limit(&world.node, &theirs, 500).await;
    world.node.gate.flush_usage().await;
    let tenant = reader(Some("a"));
    world.node.gate.key_usage(&tenant, own.key_id.as_str(), UsageStep::Hour).await.expect("his own");
    for key_id in [theirs.key_id.as_str(), "tk_none", "none"] {
        let refused = world.node.gate.key_usage(&tenant, key_id, UsageStep::Hour).await;
        assert_eq!(refused, Err(ControlError::NotFound), "{key_id}");
    }
    let told = top(&world.node, Some("a"), ListTop::default()).await;
    assert_eq!((told.limited, told.keys.len(), told.others_limited_at_most), (2, 1, 0), "{told:?}");
    assert_eq!(told.keys[0].key_id, own.key_id.as_str());
    let anothers = ListTop { owner: Some("b".to_owned()), ..ListTop::default() };
    let told = top(&world.node, Some("a"), anothers.clone()).await;
    assert_eq!((told.limited, told.keys.len()), (0, 0), "as if there were none");
    let told = top(&world.node, None, anothers).await;
    assert_eq!((told.limited, told.keys.len(), told.owner.as_deref()), (500, 1, Some("b")), "an operator may ask");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_asked_for_is_refused() {
    let world = World::new().await;
    for asked in [
        ListTop { count: Some(0), ..ListTop::default() },
        ListTop { count: Some(101), ..ListTop::default() },
        ListTop { owner: Some("A B".to_owned()), ..ListTop::default() },
    ] {
        let refused = world.node.gate.top_usage(&reader(None), asked.clone()).await;
        assert!(matches!(refused, Err(ControlError::Refused(_))), "{asked:?}: {refused:?}");
    }
}
