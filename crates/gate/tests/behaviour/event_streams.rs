//! Streams of events: what each reader is told, where he can go on, and when he is told no more.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep, timeout};
use tollgate_api::{BusEvent, Component, ComponentState, EndReason, HealthChanged, HealthTold, MissedReason, StreamEvent};
use tollgate_gate::{
    Clock, EventStream, NoStream, Told,
    config::KeyRules,
    control::Operator,
    ports::{BucketStore, ChangeKind, Fence, StoreLook, SubjectKind},
    record::KeyRecord,
    verdict::Identity,
};
use tollgate_keys::{OwnerName, Scopes, Status};
use tollgate_limits::RateLimits;

use crate::support::{RunningFleet, limits, mint, rules};

/// Twice the interval at which the log is read, and more.
const SOON: Duration = Duration::from_secs(5);

fn owner(name: &str) -> OwnerName {
    OwnerName::parse(name).expect("an owner")
}

/// A key that may read events.
async fn reader(fleet: &RunningFleet, of: Option<&str>) -> Operator {
    let scopes = Scopes::parse(["events:read"]).expect("scopes");
    let rules = KeyRules { scopes: scopes.clone(), owner: of.map(owner), ..rules() };
    let key = mint(&*fleet.keys, rules).await;
    let identity = Identity { key_id: key.key_id.clone(), owner: of.map(owner), scopes, generation: fleet.keys.position() };
    sleep(SOON).await;
    Operator { identity, request_id: "test".to_owned(), idempotency_key: None }
}

/// A stream of a reader who is let in by his record as it is now.
fn follow(fleet: &RunningFleet, node: usize, reader: &Operator, after: Option<u64>) -> EventStream {
    let mut reader = reader.clone();
    reader.identity.generation = fleet.keys.position();
    fleet.node(node).gate.follow(&reader, after).expect("there is room")
}

type Event = (Option<u64>, Arc<StreamEvent>);

/// Everything that waits to be told, beats left out; the stream may have ended.
async fn told(stream: &mut EventStream) -> Vec<Event> {
    let mut all = Vec::new();
    while let Ok(Some(told)) = timeout(Duration::from_millis(10), stream.next()).await {
        if let Told::Event { position, event } = told {
            all.push((position, event));
        }
    }
    all
}

/// The changes among them.
fn changes(told: &[Event]) -> Vec<(&'static str, u64)> {
    told.iter().filter_map(|(_, event)| event.change().map(|change| (event.name(), change.position))).collect()
}

/// The names of all that were told.
fn names(told: &[Event]) -> Vec<&'static str> {
    told.iter().map(|(_, event)| event.name()).collect()
}

/// Why the stream ended, if it did; it must not go on after that.
async fn end(stream: &mut EventStream) -> Option<EndReason> {
    let all = told(stream).await;
    let ended = all.last().and_then(|(_, event)| if let StreamEvent::Ended(ended) = &**event { Some(ended.reason) } else { None });
    if ended.is_some() {
        assert_eq!(timeout(SOON, stream.next()).await, Ok(None), "the last event is the last");
    }
    ended
}

fn missed(told: &[Event]) -> Vec<(u64, u64, MissedReason)> {
    let each = |(_, event): &Event| match &**event {
        StreamEvent::ChangesMissed(missed) => Some((missed.after, missed.resumed_after, missed.reason)),
        _ => None,
    };
    told.iter().filter_map(each).collect()
}

#[tokio::test(start_paused = true)]
async fn changes_are_told_in_order_and_go_on_at_any_node() {
    let fleet = RunningFleet::start(3).await;
    let reader = reader(&fleet, None).await;
    let mut streams = [0, 1, 2].map(|node| follow(&fleet, node, &reader, None));
    let begun = fleet.keys.position();
    for stream in &mut streams {
        let first = told(stream).await;
        assert_eq!((names(&first), first[0].0), (vec!["health"], Some(begun)), "with the place to come back to");
    }
    let key = mint(&*fleet.keys, rules()).await;
    for kind in [ChangeKind::Updated, ChangeKind::Rotated, ChangeKind::Reset, ChangeKind::Revoked] {
        fleet.keys.edit(&key.key_id, kind, |_| ());
    }
    fleet.keys.edit_owner(&owner("a"), limits(5, 60));
    sleep(SOON).await;
    let kinds = ["created", "updated", "rotated", "reset", "revoked", "owner_updated"];
    let all: Vec<_> = kinds.into_iter().zip(begun + 1..).collect();
    for stream in &mut streams {
        let events = told(stream).await;
        assert_eq!(changes(&events), all);
        assert!(events.iter().all(|(position, event)| *position == event.change().map(|change| change.position)), "{events:?}");
        let change = events[0].1.change().expect("a change");
        assert_eq!(change.key_id.as_deref(), Some(key.key_id.as_str()));
    }
    // Wherever he was, and whichever node he comes to.
    for (node, after) in [0, 1, 2].into_iter().flat_map(|node| (0..=6).map(move |told| (node, told))) {
        let events = told(&mut follow(&fleet, node, &reader, Some(begun + after))).await;
        assert_eq!(changes(&events), all.iter().skip(usize::try_from(after).expect("small")).copied().collect::<Vec<_>>());
        assert_eq!(missed(&events), []);
    }
    assert_eq!(told(&mut streams[0]).await, [], "each once");
}

#[tokio::test(start_paused = true)]
async fn many_changes_come_page_by_page_also_to_who_is_far_behind() {
    let fleet = RunningFleet::start(1).await;
    let reader = reader(&fleet, None).await;
    let (mut slow, begun) = (follow(&fleet, 0, &reader, None), fleet.keys.position());
    let key = mint(&*fleet.keys, rules()).await;
    for _ in 0..3000 {
        fleet.keys.edit(&key.key_id, ChangeKind::Updated, |_| ());
    }
    sleep(SOON).await;
    for stream in [&mut slow, &mut follow(&fleet, 0, &reader, Some(begun)), &mut follow(&fleet, 0, &reader, Some(0))] {
        let positions: Vec<u64> = changes(&told(stream).await).into_iter().map(|(_, position)| position).collect();
        let from = positions.first().copied().expect("some");
        assert_eq!(positions, (from..=begun + 3001).collect::<Vec<_>>());
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_who_may_read_no_more_is_told_no_more() {
    type Change = fn(&mut KeyRecord);
    let fleet = RunningFleet::start(2).await;
    let turns: [(ChangeKind, EndReason, Change); 5] = [
        (ChangeKind::Revoked, EndReason::NotAllowed, |key| key.lifecycle.status = Status::Revoked),
        (ChangeKind::Updated, EndReason::NotAllowed, |key| key.lifecycle.status = Status::Suspended),
        (ChangeKind::Updated, EndReason::NotAllowed, |key| key.scopes = Scopes::parse(["keys:read"]).expect("scopes")),
        (ChangeKind::Updated, EndReason::NotAllowed, |key| key.lifecycle.expires_at_ms = Some(1)),
        (ChangeKind::Rotated, EndReason::SecretChanged, |key| {
            key.secrets.current =
                tollgate_keys::SecretHash::parse("$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAA").expect("a hash");
        }),
    ];
    let steady = reader(&fleet, None).await;
    let mut going_on = follow(&fleet, 1, &steady, None);
    told(&mut going_on).await;
    for (kind, why, change) in turns {
        let reader = reader(&fleet, None).await;
        let mut streams = [0, 1].map(|node| follow(&fleet, node, &reader, None));
        for stream in &mut streams {
            told(stream).await;
        }
        fleet.keys.edit(&reader.identity.key_id, kind, change);
        fleet.keys.edit(&steady.identity.key_id, ChangeKind::Updated, |_| ());
        sleep(SOON).await;
        for stream in &mut streams {
            let events = told(stream).await;
            assert_eq!(names(&events), ["ended"], "nothing that came with it: {why:?}");
            assert!(matches!(&*events[0].1, StreamEvent::Ended(ended) if ended.reason == why), "{events:?}");
            assert_eq!(stream.next().await, None);
        }
        // Nor does he who was let in a moment before.
        if why == EndReason::NotAllowed {
            assert_eq!(end(&mut follow(&fleet, 0, &reader, None)).await, Some(why));
        }
    }
    assert_eq!(end(&mut going_on).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_with_its_key_and_with_the_older_of_two_secrets() {
    let fleet = RunningFleet::start(1).await;
    let (ends, rotated, patched) = (reader(&fleet, None).await, reader(&fleet, None).await, reader(&fleet, None).await);
    let at_ms = fleet.clock.unix_ms() + 60_000;
    fleet.keys.edit(&ends.identity.key_id, ChangeKind::Updated, |key| key.lifecycle.expires_at_ms = Some(at_ms));
    for reader in [&rotated, &patched] {
        fleet.keys.edit(&reader.identity.key_id, ChangeKind::Rotated, |key| {
            let previous = tollgate_keys::PreviousHash { hash: key.secrets.current.clone(), kind: key.kind, valid_until_ms: at_ms };
            key.secrets.previous = Some(previous);
        });
    }
    sleep(SOON).await;
    let mut streams = [&ends, &rotated, &patched].map(|reader| follow(&fleet, 0, reader, None));
    fleet.clock.advance_ms(59_000);
    sleep(SOON).await;
    for stream in &mut streams {
        assert_eq!(end(stream).await, None);
    }
    fleet.clock.advance_ms(1_000);
    // His record is read anew before anybody has looked at what became of the older secret.
    fleet.keys.edit(&patched.identity.key_id, ChangeKind::Updated, |_| ());
    sleep(SOON).await;
    let [first, second, third] = &mut streams;
    assert_eq!((end(first).await, end(second).await), (Some(EndReason::NotAllowed), Some(EndReason::SecretChanged)));
    assert_eq!(end(third).await, Some(EndReason::SecretChanged));
}

/// Nobody has looked at his record since he was let in.
#[tokio::test(start_paused = true)]
async fn a_stream_of_a_reader_whose_secret_changes_while_it_is_opened_ends_at_once() {
    let fleet = RunningFleet::start(1).await;
    let reader = reader(&fleet, None).await;
    fleet.keys.edit(&reader.identity.key_id, ChangeKind::Rotated, |_| ());
    sleep(SOON).await;
    let mut stream = fleet.node(0).gate.follow(&reader, None).expect("there is room");
    assert_eq!(end(&mut stream).await, Some(EndReason::SecretChanged));
}

#[tokio::test(start_paused = true)]
async fn a_place_that_is_no_longer_kept_or_never_was_is_told() {
    let fleet = RunningFleet::start(2).await;
    let reader = reader(&fleet, None).await;
    let key = mint(&*fleet.keys, rules()).await;
    for _ in 0..9 {
        fleet.keys.edit(&key.key_id, ChangeKind::Updated, |_| ());
    }
    sleep(SOON).await;
    let end = fleet.keys.position();
    fleet.keys.clear_log_to(end - 3);
    let events = told(&mut follow(&fleet, 1, &reader, Some(1))).await;
    assert_eq!(missed(&events), [(1, end - 3, MissedReason::NotKept)]);
    assert_eq!(changes(&events).len(), 3, "and on from what there is: {events:?}");
    let events = told(&mut follow(&fleet, 1, &reader, Some(end + 7))).await;
    assert_eq!(missed(&events), [(end + 7, end, MissedReason::LogChanged)]);
    let mut streams = [0, 1].map(|node| follow(&fleet, node, &reader, None));
    for stream in &mut streams {
        told(stream).await;
    }
    fleet.keys.become_log("another", 4);
    sleep(SOON).await;
    fleet.keys.edit(&key.key_id, ChangeKind::Updated, |_| ());
    sleep(SOON).await;
    for stream in &mut streams {
        let events = told(stream).await;
        assert_eq!(missed(&events), [(end, 4, MissedReason::LogChanged)], "{events:?}");
        assert_eq!(changes(&events), [("updated", 5)]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_behind_reads_on_before_it_says_that_there_is_no_such_place() {
    let fleet = RunningFleet::start(1).await;
    let reader = reader(&fleet, None).await;
    let key = mint(&*fleet.keys, rules()).await;
    let at = fleet.keys.position();
    let events = told(&mut follow(&fleet, 0, &reader, Some(at))).await;
    assert_eq!((missed(&events), changes(&events)), (vec![], vec![]));
    // While nobody can read the log nobody can say.
    fleet.keys.set_down(true);
    let mut stream = follow(&fleet, 0, &reader, Some(at + 1));
    sleep(SOON).await;
    assert_eq!(missed(&told(&mut stream).await), []);
    fleet.keys.set_down(false);
    fleet.keys.edit(&key.key_id, ChangeKind::Updated, |_| ());
    fleet.keys.edit(&key.key_id, ChangeKind::Updated, |_| ());
    sleep(SOON).await;
    let events = told(&mut stream).await;
    assert_eq!((missed(&events), changes(&events)), (vec![], vec![("updated", at + 2)]));
}

#[tokio::test(start_paused = true)]
async fn a_tenant_is_told_of_his_own_and_not_why_guard_rails_are_on() {
    let fleet = RunningFleet::with(1, |options| options.look_interval = Duration::from_secs(1)).await;
    let tenant = reader(&fleet, Some("a")).await;
    let begun = fleet.keys.position();
    let mut stream = follow(&fleet, 0, &tenant, Some(0));
    assert_eq!(changes(&told(&mut stream).await), [("created", begun)], "his own key");
    for name in [Some("b"), None, Some("a")] {
        mint(&*fleet.keys, KeyRules { owner: name.map(owner), limits: RateLimits::unlimited(), ..rules() }).await;
        if let Some(name) = name {
            fleet.keys.edit_owner(&owner(name), limits(5, 60));
        }
    }
    fleet.members[0].buckets.says(StoreLook { eviction: Some("it drops".into()), ..StoreLook::default() });
    sleep(SOON).await;
    let events = told(&mut stream).await;
    assert_eq!(changes(&events), [("created", begun + 4), ("owner_updated", begun + 5)]);
    let health: Vec<_> = events.iter().filter_map(|(_, event)| as_health(event)).collect();
    assert_eq!(
        health.iter().map(|told| (told.component, &*told.reason)).collect::<Vec<_>>(),
        [(Component::RedisEviction, "told to operators")]
    );
    let mut again = follow(&fleet, 0, &tenant, None);
    let StreamEvent::Health(snapshot) = &*told(&mut again).await[0].1.clone() else { panic!("no snapshot") };
    let rails: Vec<_> = snapshot.components.iter().filter(|one| one.component.is_guard_rail()).collect();
    assert!(rails.len() == 1 && rails[0].component == Component::RedisEviction && rails[0].reason.is_none(), "{rails:?}");
    // He can come back to where he was though nothing of his has changed for long.
    mint(&*fleet.keys, rules()).await;
    sleep(Duration::from_secs(20)).await;
    let beat = timeout(SOON, async {
        loop {
            if let Some(Told::Beat { position: Some(position) }) = stream.next().await {
                return position;
            }
        }
    });
    assert_eq!(beat.await, Ok(fleet.keys.position()));
}

fn as_health(event: &StreamEvent) -> Option<&HealthChanged> {
    if let StreamEvent::HealthChanged(changed) = event { Some(changed) } else { None }
}

#[tokio::test(start_paused = true)]
async fn a_guard_rail_on_and_off_is_two_events_on_every_stream() {
    let fleet = RunningFleet::with(3, |options| options.look_interval = Duration::from_secs(1)).await;
    let reader = reader(&fleet, None).await;
    let mut streams: Vec<_> = (0..6).map(|stream| follow(&fleet, stream % 3, &reader, None)).collect();
    for stream in &mut streams {
        told(stream).await;
    }
    for look in [StoreLook { eviction: Some("it drops".into()), ..StoreLook::default() }, StoreLook::default()] {
        fleet.members.iter().for_each(|member| member.buckets.says(look.clone()));
        sleep(SOON).await;
    }
    for stream in &mut streams {
        let events = told(stream).await;
        let health: Vec<_> = events.iter().filter_map(|(_, event)| as_health(event)).map(|told| (told.component, told.to)).collect();
        assert_eq!(health, [(Component::RedisEviction, ComponentState::Degraded), (Component::RedisEviction, ComponentState::Ok)]);
        assert_eq!(events.len(), 2, "{events:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_is_told_that_he_lagged_and_loses_no_change() {
    let fleet = RunningFleet::start(1).await;
    let reader = reader(&fleet, None).await;
    let mut stream = follow(&fleet, 0, &reader, None);
    told(&mut stream).await;
    let begun = fleet.keys.position();
    let changed = HealthChanged {
        component: Component::Pubsub,
        from: ComponentState::Ok,
        to: ComponentState::Degraded,
        reason: String::new(),
        node: Some("other:1".to_owned()),
        at: serde_json::from_str("\"2026-01-02T03:04:05Z\"").expect("an instant"),
        request_id: None,
    };
    let key = mint(&*fleet.keys, rules()).await;
    for _ in 0..300 {
        fleet.keys.edit(&key.key_id, ChangeKind::Updated, |_| ());
        fleet.hub.say(&BusEvent::HealthChanged(HealthTold { process: "another".to_owned(), changed: changed.clone() }));
    }
    sleep(SOON).await;
    let events = told(&mut stream).await;
    assert_eq!(changes(&events).len(), 301);
    assert_eq!(changes(&events).last(), Some(&("updated", begun + 301)));
    let lagged = events.iter().position(|(_, event)| matches!(&**event, StreamEvent::Lagged { missed: 44 })).expect("told");
    assert_eq!(events[lagged + 1].1.name(), "health", "and how things are");
}

#[tokio::test(start_paused = true)]
async fn with_both_stores_gone_a_stream_goes_on_for_the_grace() {
    let fleet = RunningFleet::start(1).await;
    let reader = reader(&fleet, None).await;
    let mut stream = follow(&fleet, 0, &reader, None);
    told(&mut stream).await;
    fleet.keys.set_down(true);
    sleep(Duration::from_secs(200)).await;
    let names_told = names(&told(&mut stream).await);
    assert_eq!(names_told, ["health_changed"], "the fence still says that the key is good");
    fleet.members[0].buckets.go_down();
    sleep(Duration::from_secs(40)).await;
    assert_eq!(end(&mut stream).await, None, "for the grace");
    sleep(Duration::from_secs(40)).await;
    assert_eq!(end(&mut stream).await, Some(EndReason::CannotTell));
}

#[tokio::test(start_paused = true)]
async fn a_revoked_readers_stream_ends_by_the_fence_while_the_log_cannot_be_read() {
    let fleet = RunningFleet::start(1).await;
    let reader = reader(&fleet, None).await;
    let mut stream = follow(&fleet, 0, &reader, None);
    told(&mut stream).await;
    fleet.keys.edit(&reader.identity.key_id, ChangeKind::Revoked, |key| key.lifecycle.status = Status::Revoked);
    fleet.keys.set_down(true);
    let id: Arc<str> = reader.identity.key_id.as_str().into();
    let generation = fleet.keys.position();
    let fence = Fence { kind: SubjectKind::Key, placed_by: id.clone(), id, generation, revoked: true, reset: false };
    fleet.members[0].buckets.raise_fence(fence, Instant::now() + SOON).await.expect("raised");
    sleep(SOON * 3).await;
    assert_eq!(end(&mut stream).await, Some(EndReason::NotAllowed));
}

#[tokio::test(start_paused = true)]
async fn there_are_no_more_streams_than_may_be_and_all_end_with_the_node() {
    let fleet = RunningFleet::with(1, |options| {
        options.events.streams_max = 3;
        options.events.streams_per_caller_max = 2;
    })
    .await;
    let (one, other, gate) = (reader(&fleet, Some("a")).await, reader(&fleet, Some("a")).await, &fleet.node(0).gate);
    let mut streams = vec![follow(&fleet, 0, &one, None), follow(&fleet, 0, &other, None)];
    assert_eq!(gate.follow(&one, None).err(), Some(NoStream::CallerFull), "all keys of an owner together");
    let operator = reader(&fleet, None).await;
    streams.push(follow(&fleet, 0, &operator, None));
    assert_eq!(gate.follow(&operator, None).err(), Some(NoStream::NodeFull));
    streams.remove(0);
    streams.push(follow(&fleet, 0, &operator, None));
    assert_eq!(gate.event_streams(), 3);
    for stream in &mut streams {
        told(stream).await;
    }
    gate.end_streams();
    for stream in &mut streams {
        assert_eq!(end(stream).await, Some(EndReason::NodeStops));
    }
    assert_eq!(gate.follow(&operator, None).err(), Some(NoStream::Stopping));
    streams.clear();
    assert_eq!(gate.event_streams(), 0);
}
