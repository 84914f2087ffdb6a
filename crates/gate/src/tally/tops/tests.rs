use TopSpan::{Hour, TenMinutes};

use super::*;
use crate::ports::UsageCounts;

fn limited(key: u64, owner: Option<&str>, minute: u32, limited: u64) -> Tallied {
    let owner = owner.map(|owner| OwnerName::parse(owner).expect("an owner"));
    let counts = UsageCounts { limited, ..UsageCounts::default() };
    Tallied { key_id: KeyId::from_parts(key, [0; 10]), owner, minute, counts }
}

fn name(owner: Option<&str>, span: TopSpan, slot: u32) -> TopName {
    TopName { owner: owner.map(|owner| OwnerName::parse(owner).expect("an owner")), span, slot }
}

fn total(tops: &Tops, name: &TopName) -> u64 {
    tops.encoded(name).and_then(|bytes| Summary::decode(&bytes)).map_or(0, |summary| summary.sketch.total())
}

#[test]
fn each_span_and_owner_has_a_summary_of_its_own() {
    let mut tops = Tops::new(8, 10);
    for one in [limited(1, Some("a"), 59, 5), limited(2, Some("b"), 60, 3), limited(3, None, 61, 2), limited(4, None, 61, 0)] {
        tops.add(&one);
    }
    for (owner, span, slot, expected) in [
        (None, TenMinutes, 5, 5),
        (None, TenMinutes, 6, 5),
        (None, Hour, 0, 5),
        (None, Hour, 1, 5),
        (Some("a"), Hour, 0, 5),
        (Some("b"), Hour, 1, 3),
        (Some("b"), TenMinutes, 6, 3),
        (Some("a"), Hour, 1, 0),
    ] {
        assert_eq!(total(&tops, &name(owner, span, slot)), expected, "{owner:?} {span:?} {slot}");
    }
    assert_eq!(tops.unwritten().len(), 8);
}

#[test]
fn what_is_written_is_dropped_when_it_can_grow_no_more() {
    let mut tops = Tops::new(8, 10);
    tops.add(&limited(1, Some("a"), 59, 5));
    tops.forget(75, true);
    let unwritten = tops.unwritten();
    assert_eq!(unwritten.len(), 4, "nothing is dropped before it is written");
    for name in &unwritten {
        tops.set_written(name);
    }
    tops.forget(69, true);
    assert_eq!(tops.slots.len(), 2, "the span before is kept: a count of it may come late");
    tops.forget(70, false);
    assert_eq!(tops.slots.len(), 2, "counts may be on their way");
    tops.forget(70, true);
    assert_eq!(tops.slots.len(), 1);
    tops.add(&limited(1, Some("a"), 59, 5));
    assert_eq!(tops.unwritten().len(), 4);
}

#[test]
fn what_takes_the_place_of_one_that_was_dropped_is_not_whole() {
    let mut tops = Tops::new(8, 10);
    let is_whole = |tops: &Tops, slot| {
        let encoded = tops.encoded(&name(None, TenMinutes, slot));
        encoded.and_then(|bytes| Summary::decode(&bytes)).expect("a summary").is_whole
    };
    tops.add(&limited(1, None, 59, 5));
    assert!(is_whole(&tops, 5));
    for name in &tops.unwritten() {
        tops.set_written(name);
    }
    tops.forget(79, true);
    for (minute, expected) in [(59, false), (49, true), (60, true), (79, true)] {
        tops.add(&limited(1, None, minute, 5));
        assert_eq!(is_whole(&tops, minute / 10), expected, "minute {minute}");
    }
}

#[test]
fn what_nobody_looks_back_on_is_dropped_though_it_was_never_written() {
    let mut tops = Tops::new(8, 10);
    tops.add(&limited(1, Some("a"), 59, 5));
    tops.forget(60 + 7 * 10 - 1, false);
    assert_eq!(tops.slots.len(), 2);
    tops.forget(60 + 7 * 10, false);
    assert_eq!(tops.slots.len(), 1, "ten minutes are looked back on seven times");
    tops.forget(25 * 60, false);
    assert_eq!(tops.slots.len(), 0, "and hours for a day");
}

#[test]
fn owners_beyond_the_bound_are_told_as_missing() {
    let mut tops = Tops::new(8, 2);
    for owner in ["a", "b", "c", "a"] {
        tops.add(&limited(1, Some(owner), 7, 1));
    }
    let all = tops.encoded(&name(None, TopSpan::Hour, 0)).and_then(|bytes| Summary::decode(&bytes)).expect("a summary");
    assert!(!all.is_whole);
    assert_eq!(all.sketch.total(), 4, "of all keys nothing is missing");
    assert_eq!(tops.encoded(&name(Some("c"), TopSpan::Hour, 0)), None);
    assert_eq!(total(&tops, &name(Some("a"), TopSpan::Hour, 0)), 2);
}

#[test]
fn a_summary_is_read_as_it_was_written() {
    let mut summary = Summary::empty(3);
    for (key, owner, weight) in [(1, Some("a"), 5), (2, None, 7), (3, Some("b"), 1), (4, None, 9)] {
        let Tallied { key_id, owner, .. } = limited(key, owner, 0, 0);
        summary.sketch.add(&TopKey { key_id, owner }, weight);
    }
    let read = Summary::decode(&summary.encode()).expect("ours");
    assert_eq!(read.sketch.heaviest().collect::<Vec<_>>(), summary.sketch.heaviest().collect::<Vec<_>>());
    assert_eq!((read.sketch.total(), read.sketch.others_at_most(), read.sketch.capacity(), read.is_whole), (22, 1, 3, true));
    let bytes = summary.encode();
    for length in 0..bytes.len() {
        // A text that ends between two keys is a summary of fewer; it must never be a panic.
        drop(Summary::decode(&bytes[..length]));
    }
    assert!(Summary::decode(&[2, 1, 0, 3]).is_none() && Summary::decode(b"garbage that is long enough").is_none());
}
