use std::collections::BTreeSet;

use super::*;
use crate::ports::Change;

const NOW_MS: u64 = 1_760_000_000_000;

fn filter() -> KeyFilter {
    KeyFilter::new(FilterOptions::default(), Tagger::generate().expect("randomness"), Metrics::noop())
}

fn id(ms: u64) -> KeyId {
    KeyId::from_parts(ms, [7; 10])
}

fn foreign() -> KeyId {
    KeyId::parse("imported-1").expect("an id")
}

fn change(position: u64, kind: ChangeKind, key_id: &KeyId) -> Change {
    Change { position, at_ms: NOW_MS + position, kind, key_id: Some(key_id.clone()), owner: None }
}

/// Puts a filter of these ids into use, as of `NOW_MS`.
fn load(filter: &KeyFilter, ids: &[KeyId]) {
    let restarts = filter.read().restarts;
    let building = filter.begin(ids.len() as u64, restarts).expect("begun");
    filter.add(ids).expect("added");
    filter.finish(NOW_MS, restarts).expect("finished");
    drop(building);
}

#[test]
fn an_id_is_judged_by_its_instant_where_the_set_lacks_it() {
    let filter = filter();
    let known = id(NOW_MS - 5);
    assert_eq!(filter.membership(&known, NOW_MS), Membership::NoFilter);
    load(&filter, std::slice::from_ref(&known));
    assert_eq!(filter.membership(&known, NOW_MS), Membership::Known);
    assert_eq!(filter.membership(&id(NOW_MS - 1), NOW_MS), Membership::Stranger);
    assert_eq!(filter.membership(&id(NOW_MS), NOW_MS), Membership::Stranger, "as old as the last change");
    assert_eq!(filter.membership(&id(NOW_MS + 1), NOW_MS), Membership::Newer);
    assert_eq!(filter.membership(&foreign(), NOW_MS), Membership::Undated);
}

#[test]
fn more_than_a_minute_ahead_is_nobodys_with_and_without_a_filter() {
    let filter = filter();
    // As long as nothing is known of the log it may itself be that far ahead.
    assert_eq!(filter.membership(&id(NOW_MS + 60_001), NOW_MS), Membership::NoFilter);
    filter.apply(&[Change { at_ms: 1, ..change(1, ChangeKind::Created, &id(1)) }]);
    for loaded in [false, true] {
        if loaded {
            load(&filter, &[]);
        }
        assert_ne!(filter.membership(&id(NOW_MS + 60_000), NOW_MS), Membership::Ahead);
        assert_eq!(filter.membership(&id(NOW_MS + 60_001), NOW_MS), Membership::Ahead);
        assert_ne!(filter.membership(&foreign(), NOW_MS), Membership::Ahead);
    }
    // An import of many keys drives the log ahead of every clock.
    filter.apply(&[Change { at_ms: NOW_MS + 120_000, ..change(2, ChangeKind::Created, &id(NOW_MS + 120_000)) }]);
    assert_eq!(filter.membership(&id(NOW_MS + 120_000), NOW_MS), Membership::Known);
    assert_eq!(filter.membership(&id(NOW_MS + 180_000), NOW_MS), Membership::Newer);
    assert_eq!(filter.membership(&id(NOW_MS + 180_001), NOW_MS), Membership::Ahead);
}

#[test]
fn changes_are_taken_over_in_use_and_while_the_next_is_made() {
    let filter = filter();
    load(&filter, &[]);
    let (made, gone, early) = (id(NOW_MS + 1), id(NOW_MS + 2), foreign());
    let restarts = filter.read().restarts;
    let building = filter.begin(0, restarts).expect("begun");
    let changes = [
        change(1, ChangeKind::Created, &made),
        change(2, ChangeKind::Created, &gone),
        change(3, ChangeKind::Revoked, &gone),
        change(4, ChangeKind::Updated, &early),
    ];
    filter.apply(&changes);
    for next in [false, true] {
        if next {
            filter.finish(0, restarts).expect("finished");
        }
        assert_eq!(filter.membership(&made, NOW_MS), Membership::Known, "next: {next}");
        assert_eq!(filter.membership(&gone, NOW_MS), Membership::Tombstone, "next: {next}");
        assert_eq!(filter.membership(&early, NOW_MS), Membership::Known, "resumed, extended: next: {next}");
        assert_eq!(filter.membership(&id(NOW_MS + 4), NOW_MS), Membership::Stranger, "the log has come that far: next: {next}");
    }
    drop(building);
}

#[test]
fn a_lost_place_in_the_log_spoils_what_is_there_and_what_is_being_made() {
    let filter = filter();
    load(&filter, &[id(1), id(2)]);
    filter.apply(&[change(1, ChangeKind::Revoked, &id(2))]);
    let restarts = filter.read().restarts;
    let building = filter.begin(0, restarts).expect("begun");
    filter.restart();
    assert_eq!(filter.membership(&id(1), NOW_MS), Membership::Formerly, "known once, and refused by nobody");
    assert_eq!(filter.membership(&id(2), NOW_MS), Membership::NoFilter);
    assert_eq!(filter.membership(&id(3), NOW_MS), Membership::NoFilter);
    assert!(matches!(filter.add(&[id(2)]), Err(load::LoadError::Spoiled)));
    assert!(matches!(filter.finish(NOW_MS, restarts), Err(load::LoadError::Spoiled)));
    assert!(matches!(filter.begin(0, restarts), Err(load::LoadError::Spoiled)));
    drop(building);
    load(&filter, &[id(3)]);
    assert_eq!(filter.membership(&id(3), NOW_MS), Membership::Known);
    assert!(filter.read().former.is_none(), "there is another one");
}

/// Revoked before the filter was made and taken for members by it: none is worth a look-up.
#[test]
fn no_revoked_key_is_a_false_positive() {
    let filter = filter();
    let ids: Vec<KeyId> = (0..10_000).map(|ms| id(NOW_MS - 100_000 + ms)).collect();
    let revoked: Vec<KeyId> = (0..200_000).map(|ms| id(NOW_MS - 1_000_000 + ms)).collect();
    let restarts = filter.read().restarts;
    let building = filter.begin(ids.len() as u64, restarts).expect("begun");
    filter.add(&ids).expect("added");
    filter.set_aside(&revoked).expect("looked at");
    filter.finish(NOW_MS, restarts).expect("finished");
    drop(building);
    let all: BTreeSet<_> = revoked.iter().map(|id| format!("{:?}", filter.membership(id, NOW_MS))).collect();
    assert!(all.iter().all(|one| one == "Stranger" || one == "Tombstone"), "{all:?}");
    let kept = filter.read().loaded.as_ref().map_or(0, |loaded| loaded.strays.len());
    assert!((1..=400).contains(&kept), "only those that the set errs about: {kept}");
    assert!(ids.iter().all(|id| filter.membership(id, NOW_MS) == Membership::Known));
}

#[test]
fn tombstones_are_bounded_and_call_for_another_filter() {
    let filter = filter();
    load(&filter, &[]);
    let revoke = |from: u64, to: u64| {
        let changes: Vec<Change> = (from..to).map(|position| change(position, ChangeKind::Revoked, &id(position))).collect();
        filter.apply(&changes);
    };
    revoke(1, 1001);
    assert!(!filter.is_overdue(&filter.read()), "a thousand are fine");
    revoke(1001, 1002);
    assert!(filter.is_overdue(&filter.read()));
    revoke(1002, 100_000);
    let kept = filter.read().loaded.as_ref().map_or(0, |loaded| loaded.tombstones.len());
    assert_eq!(kept, TOMBSTONES_KEPT_MIN);
}

#[test]
fn of_many_keys_one_in_a_hundred_may_be_revoked() {
    let options = FilterOptions::default();
    assert_eq!(options.tombstones_due(0), 1000);
    assert_eq!(options.tombstones_due(100_000), 1000);
    assert_eq!(options.tombstones_due(1_000_000), 10_000);
}
