//! Tokens taken ahead: spent without a word to the store, only while nothing can have changed
//! unheard, handed back, and never more than there are.

use std::time::Duration;

use tokio::time::Instant;
use tollgate_gate::{
    DecisionSource, GateOptions, HotOptions, OutageMode,
    config::KeyRules,
    ports::{BucketError, ChangeKind},
    request::SharedKey,
    verdict::Unauthenticated,
};
use tollgate_keys::{OwnerName, Status};
use tollgate_limits::{RateLimit, RateLimits};

use crate::support::{Ask, Node, Outcomes, RunningFleet, World, limits, mint, options, rules};

const BY_LEASE: &str = "tollgate_decisions_total{verdict=\"allowed\",source=\"lease\"}";
const TAKEN: &str = "tollgate_lease_tokens_taken_total";
const RETURNED: &str = "tollgate_lease_tokens_returned_total";
const EXPIRED: &str = "tollgate_lease_tokens_expired_total";
/// Longer than any slice lives.
const SLICE_LIFE_MS: u64 = 420;

/// Slices are bounded by bursts alone, also where nothing comes back while a test goes on.
const LONGEST: Duration = Duration::from_secs(RateLimit::PER_SECONDS_MAX as u64);

fn leasing(options: &mut GateOptions) {
    options.hot = HotOptions { leases: true, burst_percent_max: 5, refill_max: LONGEST, denials: Duration::ZERO, keys_max: 10 };
}

/// Of a burst of which 50 may be taken ahead.
fn wide() -> KeyRules {
    KeyRules { limits: limits(1000, 86_400), ..rules() }
}

async fn world() -> World {
    World::with(leasing).await
}

/// Uses a key until the node answers from tokens taken ahead.
async fn heat(node: &Node, key: &SharedKey) {
    let before = node.metric(BY_LEASE);
    for _ in 0..40 {
        node.check(key).await.allowed();
        if node.metric(BY_LEASE) > before {
            return;
        }
    }
    panic!("no token was taken ahead");
}

/// Time passes for nodes, their loops and the store.
async fn pass(world: &World, ms: u64) {
    let clock = async {
        for _ in 0..ms {
            tokio::time::sleep(Duration::from_millis(1)).await;
            world.clock.advance_ms(1);
        }
    };
    tokio::select! {
        () = world.node.gate.run() => panic!("the loops never end"),
        () = clock => {}
    }
}

/// Whether the next request on a key asks the store.
async fn asks(world: &World, key: &SharedKey) -> bool {
    let before = world.buckets.asked();
    world.node.check(key).await.allowed();
    world.buckets.asked() > before
}

#[tokio::test(start_paused = true)]
async fn a_key_in_steady_use_is_answered_without_asking_the_store_and_counted_as_any_other() {
    let world = world().await;
    let key = world.used_key(wide()).await;
    heat(&world.node, &key).await;
    let (asked, by_lease) = (world.buckets.asked(), world.node.metric(BY_LEASE));
    for _ in 0..20 {
        let passed = world.node.check(&key).await.allowed();
        assert!(passed.standings[0].standing.remaining <= 975, "what is in slices is not promised: {passed:?}");
    }
    assert_eq!((world.buckets.asked(), world.node.metric(BY_LEASE)), (asked, by_lease + 20));
    world.node.gate.flush_usage().await;
    let admin = crate::support::operator(None, &["usage:read"]);
    let usage = world.node.gate.key_usage(&admin, key.key_id.as_str(), tollgate_api::UsageStep::Minute).await.expect("told");
    assert_eq!(usage.windows.hour.figures.allowed, u64::try_from(asked).expect("few") + by_lease + 20);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_used_now_and_then_takes_nothing_ahead() {
    let world = world().await;
    let key = world.used_key(wide()).await;
    for _ in 0..40 {
        assert!(asks(&world, &key).await);
        pass(&world, 20).await;
    }
    assert_eq!(world.node.metric(TAKEN), 0);
}

#[tokio::test(start_paused = true)]
async fn nodes_with_slices_admit_no_more_than_the_burst() {
    let world = world().await;
    let other = world.other_node_with(leasing).await;
    let key = world.used_key(KeyRules { limits: limits(400, 2_678_400), ..rules() }).await;
    let mut admitted = 1;
    for turn in 0..1000 {
        let node = if turn % 3 == 0 { &other } else { &world.node };
        admitted += u32::from(matches!(node.check(&key).await, Ok(tollgate_gate::verdict::Verdict::Allowed(_))));
    }
    assert!(world.node.metric(BY_LEASE) > 100 && other.metric(BY_LEASE) > 10, "slices were used");
    assert!((380..=400).contains(&admitted), "{admitted}");
}

#[tokio::test(start_paused = true)]
async fn a_peek_spends_nothing_ahead_and_a_named_thing_takes_nothing() {
    let world = world().await;
    let key = world.used_key(wide()).await;
    heat(&world.node, &key).await;
    let (asked, by_lease) = (world.buckets.asked(), world.node.metric(BY_LEASE));
    world.node.ask(&key, Ask::peek()).await.allowed();
    assert_eq!((world.buckets.asked(), world.node.metric(BY_LEASE)), (asked + 1, by_lease));
}

#[tokio::test(start_paused = true)]
async fn a_record_without_limits_takes_nothing_ahead() {
    let world = world().await;
    let key = world.used_key(KeyRules { limits: RateLimits::unlimited(), ..rules() }).await;
    for _ in 0..40 {
        assert!(asks(&world, &key).await);
    }
    assert!(world.buckets.leasings().iter().all(|leasing| leasing.ask == tollgate_limits::LeaseAsk::default()));
}

#[tokio::test(start_paused = true)]
async fn a_store_in_this_process_is_always_asked() {
    let world = World::with(|options| {
        leasing(options);
        options.source = DecisionSource::Local;
    })
    .await;
    let key = world.used_key(wide()).await;
    for _ in 0..40 {
        assert!(asks(&world, &key).await);
    }
}

#[tokio::test(start_paused = true)]
async fn no_more_keys_are_held_than_may_be_and_what_is_idle_makes_room() {
    let world = World::with(|options| {
        leasing(options);
        options.hot.keys_max = 1;
    })
    .await;
    let (first, second) = (world.used_key(wide()).await, world.used_key(wide()).await);
    heat(&world.node, &first).await;
    for _ in 0..40 {
        assert!(asks(&world, &second).await);
    }
    pass(&world, 11_000).await;
    heat(&world.node, &second).await;
}

#[tokio::test(start_paused = true)]
async fn a_key_that_can_have_no_slice_takes_no_place_of_one_that_can() {
    let world = World::with(|options| {
        leasing(options);
        options.hot.keys_max = 1;
    })
    .await;
    // Of a burst of 19 a twentieth is none.
    let small = world.used_key(KeyRules { limits: limits(19, 1), ..rules() }).await;
    let unlimited = world.used_key(KeyRules { limits: RateLimits::unlimited(), ..rules() }).await;
    for key in [&small, &unlimited] {
        for _ in 0..18 {
            assert!(asks(&world, key).await);
        }
    }
    heat(&world.node, &world.used_key(wide()).await).await;
}

#[tokio::test(start_paused = true)]
async fn no_more_is_taken_ahead_than_comes_back_soon() {
    let world = World::with(|options| {
        leasing(options);
        options.hot.refill_max = Duration::from_millis(400);
    })
    .await;
    // A thousand a second; half of what may go out is the most of one slice.
    heat(&world.node, &world.used_key(KeyRules { limits: limits(10_000, 10), ..rules() }).await).await;
    let (quick, slow) = (world.node.metric(TAKEN), KeyRules { limits: limits(10_000, 300), ..rules() });
    assert!((200..=400).contains(&quick), "{quick}");
    let slow = world.used_key(slow).await;
    for _ in 0..100 {
        assert!(asks(&world, &slow).await, "13 tokens come back in so short a time");
    }
    assert_eq!(world.node.metric(TAKEN), quick);
}

#[tokio::test(start_paused = true)]
async fn what_this_node_was_told_of_ends_the_spending_at_once() {
    let world = world().await;
    let key = world.used_key(wide()).await;
    heat(&world.node, &key).await;
    world.keys.edit(&key.key_id, ChangeKind::Revoked, |record| record.lifecycle.status = Status::Revoked);
    pass(&world, 2100).await;
    assert_eq!(world.node.check(&key).await.unauthenticated(), Unauthenticated::Tombstone);
}

#[tokio::test(start_paused = true)]
async fn a_change_answers_once_no_slice_from_before_can_be_spent_though_nobody_heard_of_it() {
    // Limited itself, or by its owner alone: then no slice is noted in the key's own record.
    for limits_of_key in [wide().limits, RateLimits::unlimited()] {
        let world = world().await;
        let other = world.other_node_with(leasing).await;
        let owner = OwnerName::parse("acme").expect("an owner");
        world.keys.edit_owner(&owner, limits(1000, 86_400));
        let key = world.used_key(KeyRules { limits: limits_of_key, owner: Some(owner), ..rules() }).await;
        heat(&world.node, &key).await;
        let (admin, body) = (crate::support::operator(None, &["admin"]), tollgate_api::RevokeKeyBody { reason: None });
        let begun = Instant::now();
        other.gate.revoke_key(&admin, key.key_id.as_str(), body).await.expect("revoked");
        let waited = begun.elapsed();
        assert!((100..=400).contains(&waited.as_millis()), "no longer than a slice lives: {waited:?}");
        let refused = world.node.check(&key).await.unauthenticated();
        assert!(matches!(refused, Unauthenticated::Revoked | Unauthenticated::Tombstone), "{refused:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn all_keys_of_an_owner_are_revoked_once_no_slice_of_theirs_can_be_spent() {
    let world = world().await;
    let other = world.other_node_with(leasing).await;
    let owner = OwnerName::parse("acme").expect("an owner");
    world.keys.edit_owner(&owner, limits(1000, 86_400));
    let mut keys = Vec::new();
    for _ in 0..3 {
        keys.push(world.used_key(KeyRules { owner: Some(owner.clone()), ..wide() }).await);
    }
    for key in &keys {
        heat(&world.node, key).await;
    }
    let (admin, body) = (crate::support::operator(None, &["admin"]), tollgate_api::RevokeKeyBody { reason: None });
    let begun = Instant::now();
    let told = other.gate.revoke_keys_of(&admin, "acme", body).await.expect("revoked");
    assert_eq!((told.revoked, told.propagated), (3, true));
    let waited = begun.elapsed();
    assert!((100..=400).contains(&waited.as_millis()), "once for all: {waited:?}");
    for key in &keys {
        world.node.check(key).await.unauthenticated();
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_made_while_slices_of_its_owners_keys_can_be_spent_is_revoked_with_them() {
    let world = world().await;
    let other = world.other_node_with(leasing).await;
    let owner = OwnerName::parse("acme").expect("an owner");
    let key = world.used_key(KeyRules { owner: Some(owner.clone()), ..wide() }).await;
    heat(&world.node, &key).await;
    let (admin, body) = (crate::support::operator(None, &["admin"]), tollgate_api::RevokeKeyBody { reason: None });
    let made = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        world.node.check(&key).await.allowed();
        world.used_key(KeyRules { owner: Some(owner), ..wide() }).await
    };
    let (told, made) = tokio::join!(other.gate.revoke_keys_of(&admin, "acme", body), made);
    assert_eq!(told.expect("revoked").revoked, 2);
    other.check(&made).await.unauthenticated();
}

#[tokio::test(start_paused = true)]
async fn a_change_of_a_key_of_which_no_slice_is_out_answers_at_once() {
    let world = world().await;
    let key = world.used_key(wide()).await;
    let (admin, body) = (crate::support::operator(None, &["admin"]), tollgate_api::RevokeKeyBody { reason: None });
    let begun = Instant::now();
    world.node.gate.revoke_key(&admin, key.key_id.as_str(), body).await.expect("revoked");
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn another_connection_a_lost_state_and_new_rules_end_the_spending() {
    type Disturb = fn(&World, &SharedKey);
    let disturbances: [(&str, Disturb); 2] = [
        ("another connection", |world, _| world.buckets.fail_over()),
        ("other rules", |world, key| {
            world.keys.edit(&key.key_id, ChangeKind::Updated, |record| record.limits = limits(1001, 86_400));
        }),
    ];
    for (what, disturb) in disturbances {
        let world = world().await;
        let key = world.used_key(wide()).await;
        heat(&world.node, &key).await;
        assert!(!asks(&world, &key).await, "{what}");
        disturb(&world, &key);
        // A change is read with the log.
        pass(&world, if what == "other rules" { 2100 } else { 5 }).await;
        assert!(asks(&world, &key).await, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_handed_back_over_another_connection_or_to_another_state() {
    for is_flushed in [false, true] {
        let world = world().await;
        let (key, other) = (world.used_key(wide()).await, world.used_key(wide()).await);
        heat(&world.node, &key).await;
        if is_flushed {
            world.buckets.lose_state();
            // Somebody else's request finds it.
            world.node.check(&other).await.allowed();
        } else {
            world.buckets.fail_over();
            world.node.turn().await;
        }
        let before = world.buckets.leasings().len();
        heat(&world.node, &key).await;
        world.node.gate.hand_back_leases().await;
        let settles: Vec<u32> =
            world.buckets.leasings().iter().skip(before).filter_map(|leasing| leasing.ask.settle).map(|one| one.granted).collect();
        assert_eq!(settles.len(), 1, "the new slice alone: {settles:?}");
        assert!(world.node.metric(EXPIRED) > 0, "the old one is lost");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_spent_is_handed_back_before_it_is_over_by_a_call_that_charges_nothing() {
    let world = world().await;
    let key = world.used_key(wide()).await;
    heat(&world.node, &key).await;
    let (before, peeks, taken) = (world.buckets.leasings().len(), world.buckets.peeks(), world.node.metric(TAKEN));
    let spent = world.node.metric(BY_LEASE);
    pass(&world, SLICE_LIFE_MS).await;
    let calls = world.buckets.leasings().split_off(before);
    assert_eq!(calls.iter().filter(|leasing| leasing.ask.settle.is_some()).count(), 1, "{taken} {calls:?}");
    assert_eq!(world.buckets.peeks() - peeks, calls.len(), "whatever was asked charges nothing");
    assert_eq!((world.node.metric(RETURNED), world.node.metric(EXPIRED)), (taken - spent, 0));
    let figures = world.node.ask(&key, Ask::peek()).await.allowed().standings[0].standing;
    let charged = u64::try_from(world.buckets.decisions().iter().filter(|decision| !decision.peek).count()).expect("few") + spent;
    assert_eq!(u64::from(figures.remaining), 1000 - charged, "nobody lost a token");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_stops_hands_back_what_it_holds() {
    let world = world().await;
    let (first, second) = (world.used_key(wide()).await, world.used_key(wide()).await);
    heat(&world.node, &first).await;
    heat(&world.node, &second).await;
    let (taken, spent) = (world.node.metric(TAKEN), world.node.metric(BY_LEASE));
    world.node.gate.hand_back_leases().await;
    assert_eq!((world.node.metric(RETURNED), world.node.metric(EXPIRED)), (taken - spent, 0));
    assert!(asks(&world, &first).await, "what was handed back is not spent");
    // Nor is a store that does not answer waited for.
    heat(&world.node, &second).await;
    world.buckets.set_down(Some(BucketError::Deadline));
    tokio::time::timeout(Duration::from_millis(100), world.node.gate.hand_back_leases()).await.expect("in time");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_stops_hands_back_all_it_holds_however_many_they_are() {
    const KEYS: usize = 600;
    let world = World::with(|options| {
        leasing(options);
        options.hot.keys_max = KEYS;
    })
    .await;
    for _ in 0..KEYS {
        heat(&world.node, &world.used_key(wide()).await).await;
    }
    let (taken, spent) = (world.node.metric(TAKEN), world.node.metric(BY_LEASE));
    world.node.gate.hand_back_leases().await;
    assert_eq!((world.node.metric(RETURNED), world.node.metric(EXPIRED)), (taken - spent, 0));
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_hangs_up_takes_no_token_along_uncounted() {
    let world = world().await;
    let key = world.used_key(wide()).await;
    heat(&world.node, &key).await;
    let (unspent, asked) = (world.node.metric(TAKEN) - world.node.metric(BY_LEASE), world.buckets.asked());
    assert!(unspent > 0);
    // Dearer than what is held, which is handed back along with it.
    let _answer = world.buckets.tell_later();
    tokio::select! {
        biased;
        verdict = world.node.ask(&key, Ask::cost(100)) => panic!("nobody has answered: {verdict:?}"),
        () = world.buckets.until_asked(asked + 1) => {}
    }
    assert_eq!((world.node.metric(RETURNED), world.node.metric(EXPIRED)), (0, unspent));
}

#[tokio::test(start_paused = true)]
async fn in_an_outage_a_slice_goes_on_to_its_end_and_then_the_outage_mode_decides() {
    let world = World::with(|options| {
        leasing(options);
        options.outage.mode = OutageMode::Closed;
    })
    .await;
    let key = world.used_key(wide()).await;
    heat(&world.node, &key).await;
    world.buckets.go_down();
    for _ in 0..5 {
        assert!(!asks(&world, &key).await);
    }
    world.clock.advance_ms(SLICE_LIFE_MS);
    tokio::time::advance(Duration::from_millis(SLICE_LIFE_MS)).await;
    world.node.check(&key).await.unavailable();
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_out_of_touch_uses_no_lease_and_takes_none() {
    let fleet = RunningFleet::with(1, leasing).await;
    let (member, key) = (&fleet.members[0], mint(&*fleet.keys, wide()).await);
    heat(&member.node, &key).await;
    let asked = member.buckets.asked();
    member.node.check(&key).await.allowed();
    assert_eq!(member.buckets.asked(), asked);
    // The log cannot be read, so what was missed stays missed.
    fleet.keys.set_down(true);
    member.bus.overflow();
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert!(member.out_of_touch().is_some());
    let taken = member.node.metric(TAKEN);
    for _ in 0..30 {
        member.node.check(&key).await.allowed();
    }
    assert_eq!((member.buckets.asked(), member.node.metric(TAKEN)), (asked + 30, taken));
}

#[tokio::test(start_paused = true)]
async fn no_more_of_a_burst_is_asked_for_than_the_settings_allow() {
    let world = World::with(|options| {
        leasing(options);
        options.hot.burst_percent_max = 1;
    })
    .await;
    let key = world.used_key(wide()).await;
    heat(&world.node, &key).await;
    let largest = world.buckets.leasings().iter().map(|leasing| leasing.ask.want).max();
    assert_eq!(largest, Some(10));
    assert_eq!(options().hot.burst_percent_max, 5);
}
