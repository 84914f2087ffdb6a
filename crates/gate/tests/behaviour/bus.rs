//! What nodes tell each other: it sends them to the change log, and nothing else.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep};
use tollgate_api::{BusEvent, ChangeEvent, HeartbeatEvent, PutOwnerBody, RevokeKeyBody};
use tollgate_gate::{
    config::KeyRules,
    ports::{ChangeKind, Fence},
    verdict::Unauthenticated,
};
use tollgate_keys::{OwnerName, Status};

use crate::support::{Fate, Outcomes, RunningFleet, limits, lock, mint, operator, rules};

const SOON: Duration = Duration::from_millis(60);
const REVOKED: &str = "tollgate_revocation_propagation_seconds_count";

fn change(position: u64, log_id: &str) -> ChangeEvent {
    ChangeEvent { log_id: log_id.to_owned(), position, key_id: Some("tk_a".to_owned()), owner: None, node: "hostile".to_owned() }
}

/// Positions in the order in which they were told. Two nodes that wait equally long, which their names show, may speak at one
/// instant; nobody else repeats what he has heard.
fn told_once(events: &[BusEvent]) -> Vec<u64> {
    let mut told = HashSet::new();
    let first = events.iter().filter(|event| told.insert((event.position(), jitter_ms(event))));
    first.map(BusEvent::position).collect()
}

fn jitter_ms(event: &BusEvent) -> u64 {
    let told = serde_json::to_value(event).expect("json");
    u64::from_str_radix(told["node"].as_str().expect("a node"), 16).expect("its bits") % 100
}

#[tokio::test(start_paused = true)]
async fn a_revocation_is_read_by_every_node_within_moments() {
    let fleet = RunningFleet::start(3).await;
    let key = mint(&*fleet.keys, rules()).await;
    for member in &fleet.members {
        member.node.check(&key).await.allowed();
    }
    let admin = operator(None, &["admin"]);
    let revoke = fleet.node(0).gate.revoke_key(&admin, key.key_id.as_str(), RevokeKeyBody { reason: None });
    assert_eq!(revoke.await.expect("revoked").propagated, Some(true));
    sleep(SOON).await;
    for member in &fleet.members {
        assert_eq!(member.node.metric(REVOKED), 1, "far sooner than the log is read by itself");
        assert_eq!(member.out_of_touch(), None);
        assert_eq!(member.node.check(&key).await.unauthenticated(), Unauthenticated::Tombstone);
    }
    assert_eq!(fleet.hub.changes().len(), 1, "who reads what was told of does not tell it again");
}

#[tokio::test(start_paused = true)]
async fn every_change_is_told_after_its_fence_and_before_its_answer() {
    let fleet = RunningFleet::start(1).await;
    let (member, admin) = (&fleet.members[0], operator(None, &["admin"]));
    let fenced = Arc::new(std::sync::Mutex::new(Vec::new()));
    let (buckets, seen) = (member.buckets.clone(), fenced.clone());
    member.bus.on_publish(move |event| {
        if !matches!(event, BusEvent::Heartbeat(_)) {
            let is_fenced = buckets.fences().iter().any(|fence: &Fence| fence.generation == event.position());
            lock(&seen).push((event.position(), is_fenced));
        }
    });
    let create = serde_json::json!({"name": "new", "owner": "acme"});
    let made = member.node.gate.create_key(&admin, serde_json::from_value(create).expect("a body")).await.expect("made");
    assert_eq!((&**lock(&fenced), made.key.propagated), (&[(1, false)][..], Some(true)), "a new key needs no fence");
    let patch = serde_json::from_value(serde_json::json!({"name": "newer"})).expect("a body");
    member.node.gate.patch_key(&admin, &made.key.key_id, None, patch).await.expect("changed");
    assert_eq!(lock(&fenced).last(), Some(&(2, true)));
    member.node.gate.put_owner(&admin, "acme", PutOwnerBody { rate_limit: None }).await.expect("put");
    assert_eq!(lock(&fenced).last(), Some(&(3, true)));
    member.node.gate.revoke_key(&admin, &made.key.key_id, RevokeKeyBody { reason: None }).await.expect("revoked");
    assert_eq!(lock(&fenced).last(), Some(&(4, true)));
    let told = fleet.hub.changes();
    assert!(matches!(&told[..], [BusEvent::Created(_), BusEvent::Updated(_), BusEvent::OwnerUpdated(_), BusEvent::Revoked(_)]), "{told:?}");
    let BusEvent::Revoked(last) = &told[3] else { panic!("{told:?}") };
    assert_eq!((last.key_id.as_deref(), last.owner.as_deref()), (Some(made.key.key_id.as_str()), Some("acme")));
    assert_eq!((last.log_id.as_str(), last.node.len()), ("first log", 16));
}

#[tokio::test(start_paused = true)]
async fn nobody_hears_of_a_change_and_it_is_read_all_the_same() {
    let fleet = RunningFleet::start(3).await;
    let key = mint(&*fleet.keys, rules()).await;
    for member in &fleet.members {
        member.node.check(&key).await.allowed();
        member.bus.set_fate(|event| if matches!(event, BusEvent::Heartbeat(_)) { Fate::Arrives } else { Fate::Lost });
    }
    sleep(Duration::from_secs(1)).await;
    // By one who writes no fence and says nothing; the others learn of it by the first who reads it.
    fleet.keys.edit(&key.key_id, ChangeKind::Revoked, |record| record.lifecycle.status = Status::Revoked);
    let edited = Instant::now();
    while fleet.members.iter().any(|member| member.node.metric(REVOKED) == 0) {
        sleep(Duration::from_millis(10)).await;
    }
    assert!(edited.elapsed() <= Duration::from_secs(2), "{:?}", edited.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_writer_that_died_is_made_good_by_one_fence_each_and_told_once() {
    let fleet = RunningFleet::start(3).await;
    let owner = OwnerName::parse("acme").expect("an owner");
    let key = mint(&*fleet.keys, KeyRules { owner: Some(owner.clone()), ..rules() }).await;
    sleep(Duration::from_secs(3)).await;
    let made = fleet.hub.changes();
    assert!(told_once(&made).len() <= 1, "of its making: {made:?}");
    fleet.keys.edit(&key.key_id, ChangeKind::Revoked, |record| record.lifecycle.status = Status::Revoked);
    fleet.keys.edit_owner(&owner, limits(1, 60));
    sleep(Duration::from_secs(3)).await;
    let told = fleet.hub.changes().split_off(made.len());
    assert_eq!(told_once(&told), [2, 3], "the first who reads them tells, and the others hear it: {told:?}");
    for member in &fleet.members {
        assert_eq!(member.buckets.fences().len(), 2, "whatever was heard, the fence is raised");
    }
    assert!(matches!(told[0], BusEvent::Revoked(_)));
}

#[tokio::test(start_paused = true)]
async fn doubled_late_and_lost_events_hide_nothing() {
    let fleet = RunningFleet::start(3).await;
    let fates = [Fate::Twice, Fate::Late, Fate::Lost, Fate::Late, Fate::Arrives];
    for (place, member) in fleet.members.iter().enumerate() {
        let mut next = fates.into_iter().cycle().skip(place);
        member.bus.set_fate(move |_| next.next().expect("they go round"));
    }
    let admin = operator(None, &["admin"]);
    for round in 0..50 {
        let key = mint(&*fleet.keys, rules()).await;
        for member in &fleet.members {
            member.node.check(&key).await.allowed();
        }
        let revoke = fleet.node(round % 3).gate.revoke_key(&admin, key.key_id.as_str(), RevokeKeyBody { reason: None });
        assert_eq!(revoke.await.expect("revoked").propagated, Some(true));
        for member in &fleet.members {
            let why = member.node.check(&key).await.unauthenticated();
            assert!(matches!(why, Unauthenticated::Revoked | Unauthenticated::Tombstone), "{why:?}");
        }
    }
    sleep(Duration::from_secs(3)).await;
    for member in &fleet.members {
        assert_eq!(member.node.metric(REVOKED), 50, "each was read once");
    }
}

#[tokio::test(start_paused = true)]
async fn one_heartbeat_for_the_whole_fleet_and_only_in_silence() {
    let fleet = RunningFleet::start(5).await;
    let before = fleet.hub.heartbeats();
    sleep(Duration::from_secs(10)).await;
    let beats = fleet.hub.heartbeats() - before;
    assert!((24..=105).contains(&beats), "one per 300 ms and what some may say at once, not five times as many: {beats}");
    for member in &fleet.members {
        assert_eq!(member.out_of_touch(), None);
    }
    let heads = fleet.keys.heads();
    sleep(Duration::from_secs(10)).await;
    assert!(fleet.keys.heads() - heads <= 5 * 6, "in touch the log is read every 2 s: {}", fleet.keys.heads() - heads);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_cut_off_reads_the_log_every_half_second() {
    let fleet = RunningFleet::start(2).await;
    let cut = &fleet.members[1];
    cut.bus.set_cut(true);
    sleep(Duration::from_millis(1)).await;
    assert!(cut.out_of_touch().expect("out of touch").contains("not connected"));
    assert_eq!(cut.node.metric("tollgate_health_state{component=\"pubsub\"}"), 0, "told with the next look at health");
    sleep(Duration::from_secs(3)).await;
    assert_eq!(cut.node.metric("tollgate_health_state{component=\"pubsub\"}"), 1);
    assert!(cut.node.gate.readiness().ready);
    let heads = fleet.keys.heads();
    sleep(Duration::from_secs(10)).await;
    let reads = fleet.keys.heads() - heads;
    assert!((22..=34).contains(&reads), "5 by each at its own pace, 20 more by the one that is cut off: {reads}");
    cut.bus.set_cut(false);
    sleep(SOON).await;
    assert_eq!(cut.out_of_touch(), None, "it has read the log since");
}

#[tokio::test(start_paused = true)]
async fn silence_and_lost_events_are_noticed() {
    let fleet = RunningFleet::start(2).await;
    let (speaks, deaf) = (&fleet.members[0], &fleet.members[1]);
    deaf.bus.set_fate(|_| Fate::Lost);
    sleep(Duration::from_millis(1200)).await;
    assert!(deaf.out_of_touch().expect("out of touch").contains("nothing was heard"));
    assert_eq!(speaks.out_of_touch(), None);
    deaf.bus.set_fate(|_| Fate::Arrives);
    sleep(Duration::from_millis(600)).await;
    assert_eq!(deaf.out_of_touch(), None);
    let heads = fleet.keys.heads();
    deaf.bus.overflow();
    sleep(Duration::from_millis(1)).await;
    assert_eq!(fleet.keys.heads(), heads + 1, "what was lost is read");
}

#[tokio::test(start_paused = true)]
async fn a_gap_that_cannot_be_read_is_out_of_touch_after_50_ms() {
    let fleet = RunningFleet::start(1).await;
    let (member, key) = (&fleet.members[0], mint(&*fleet.keys, rules()).await);
    sleep(Duration::from_secs(3)).await;
    fleet.keys.edit(&key.key_id, ChangeKind::Updated, |_| {});
    fleet.keys.set_down(true);
    fleet.hub.say(&BusEvent::Updated(change(fleet.keys.position(), "first log")));
    sleep(Duration::from_millis(45)).await;
    assert_eq!(member.out_of_touch(), None);
    sleep(Duration::from_millis(10)).await;
    assert!(member.out_of_touch().expect("out of touch").contains("is said to have more"));
    fleet.keys.set_down(false);
    sleep(Duration::from_millis(600)).await;
    assert_eq!(member.out_of_touch(), None);
}

#[tokio::test(start_paused = true)]
async fn a_hostile_publisher_costs_a_bounded_number_of_reads_and_nobody_anything() {
    let fleet = RunningFleet::start(2).await;
    let key = mint(&*fleet.keys, KeyRules { limits: limits(1_000_000, 60), ..rules() }).await;
    let revoked = mint(&*fleet.keys, rules()).await;
    for member in &fleet.members {
        member.node.check(&key).await.allowed();
        member.node.check(&revoked).await.allowed();
    }
    sleep(Duration::from_secs(3)).await;
    let (finds, heads) = (fleet.keys.finds(), fleet.keys.heads());
    let asked = AtomicUsize::new(0);
    let lies = |step: u64| {
        let about = ChangeEvent { key_id: Some(key.key_id.to_string()), ..change(step * 1000, "first log") };
        let beat = |log_id: &str, position| BusEvent::Heartbeat(HeartbeatEvent { log_id: log_id.into(), position, node: "hostile".into() });
        let created = ChangeEvent { key_id: Some(revoked.key_id.to_string()), ..change(u64::MAX, "first log") };
        [
            BusEvent::Revoked(about.clone()),
            BusEvent::Rotated(about),
            BusEvent::Created(created),
            BusEvent::OwnerUpdated(ChangeEvent { owner: Some("acme".into()), key_id: None, ..change(step, "another log") }),
            beat("first log", 0),
            beat("first log", u64::MAX),
            beat("", 1),
        ]
    };
    for step in 0..1000 {
        for lie in lies(step) {
            fleet.hub.say(&lie);
        }
        if step == 500 {
            fleet.keys.edit(&revoked.key_id, ChangeKind::Revoked, |record| record.lifecycle.status = Status::Revoked);
        }
        for member in &fleet.members {
            member.node.check(&key).await.allowed();
            asked.fetch_add(1, Ordering::SeqCst);
        }
        sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(fleet.keys.finds() - finds, 0, "no record is dropped for a lie");
    let reads = fleet.keys.heads() - heads;
    assert!(reads <= 2 * 51 + 4, "50 reads a second and node, whatever is sent: {reads}");
    for member in &fleet.members {
        assert_eq!(member.node.check(&revoked).await.unauthenticated(), Unauthenticated::Tombstone, "no lie hides a change");
    }
    sleep(Duration::from_secs(1)).await;
    for member in &fleet.members {
        assert_eq!(member.out_of_touch(), None, "nothing of it lasts");
        member.node.check(&key).await.allowed();
    }
}
