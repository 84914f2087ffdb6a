//! Buckets with slices out: how they are held, and what is told of them.

use super::*;

const SLICE_US: u64 = 200_000;

fn decide_at(record: &mut Record, limits: &RateLimits, generation: u64, tokens: u64, lease: LeaseAsk, now_us: u64) -> Told {
    let wish = Wish { cost: cost(tokens), peek: false, lease };
    decide_leased(std::slice::from_mut(record), &[Ask { generation, limits }], &wish, now_us)
}

/// Charges one token, and takes a slice of so many at most.
fn take(record: &mut Record, limits: &RateLimits, want: u32, now_us: u64) -> Grant {
    decide_at(record, limits, 1, 1, LeaseAsk { want, settle: None }, now_us).grant.expect("a slice is given")
}

/// How many tokens can be taken at once, one by one.
fn drained(record: &Record, limits: &RateLimits, generation: u64, now_us: u64) -> u64 {
    let mut record = record.clone();
    let mut count = 0;
    while let Decided::Allowed(_) = charge(&mut record, generation, limits, 1, now_us) {
        (record.generation, count) = (generation, count + 1);
    }
    count
}

#[test]
fn who_waits_as_told_passes_and_nobody_who_does_not() {
    for (per_seconds, tokens) in [(60, 968), (60, 985), (30, 980), (100, 993), (20, 998), (1, 999), (1, 400), (1000, 999)] {
        for given_after_us in [1000, 150_000, 199_000] {
            let thousand = limits(&[("key", 1000, per_seconds)]);
            let mut record = Record::default();
            for turn in 0..3 {
                take(&mut record, &thousand, 20, NOW + given_after_us + turn * 70_000);
            }
            let asked_us = NOW + given_after_us + 140_001;
            let none = LeaseAsk::default();
            let told = decide_at(&mut record.clone(), &thousand, 1, tokens, none, asked_us);
            let Decided::LimitedForNow(all) = told.decided else { continue };
            let waited = |by_us: u64| decide_at(&mut record.clone(), &thousand, 1, tokens, none, asked_us + by_us).decided;
            let (wait_us, case) = (all[0].retry_after_us, (per_seconds, tokens, given_after_us));
            assert!(matches!(waited(wait_us), Decided::Allowed(_)), "{case:?}");
            assert!(!matches!(waited(wait_us - 1), Decided::Allowed(_)), "{case:?}");
            let all_of_it = |by_us| charge(&mut record.clone(), 1, &thousand, 1000, asked_us + by_us);
            assert!(matches!(all_of_it(all[0].reset_after_us), Decided::Allowed(_)), "full when told: {case:?}");
            assert!(!matches!(all_of_it(all[0].reset_after_us - 1), Decided::Allowed(_)), "not before: {case:?}");
        }
    }
}

#[test]
fn slices_that_the_clock_has_stepped_back_behind_are_over_in_the_end() {
    let (thousand, mut record) = (limits(&[("key", 1000, 1000)]), Record::default());
    charge(&mut record, 1, &thousand, 900, NOW);
    take(&mut record, &thousand, 20, NOW);
    let back = NOW - 100 * SECOND;
    // Empty but for slices: there is nothing to blame them for, and so nothing else is noted.
    let Decided::LimitedForNow(told) = charge(&mut record, 1, &thousand, 500, back) else { panic!("slices are out") };
    assert!(record.slices.epoch <= back / SLICE_US + 1, "{record:?}");
    let waited = |by_us| matches!(charge(&mut record.clone(), 1, &thousand, 500, back + by_us), Decided::Allowed(_));
    assert!(waited(told[0].retry_after_us) && !waited(told[0].retry_after_us - 1));
}

#[test]
fn a_limit_that_is_loosened_lets_nothing_more_through() {
    let (slow, fast) = (limits(&[("key", 1000, 10)]), limits(&[("key", 1000, 1)]));
    let mut record = Record::default();
    let grant = take(&mut record, &slow, 25, NOW);
    // The slice may have been spent just before it was over.
    let in_an_instant = u64::from(grant.tokens) + drained(&record, &fast, 2, NOW + 2 * SLICE_US + 20_000);
    assert_eq!(in_an_instant, 1002, "20 ms of the old limit");
}

#[test]
fn a_limit_that_is_added_feels_no_slices_that_are_out_or_were() {
    let (fast, both) = (limits(&[("key", 20_000, 1)]), limits(&[("key", 20_000, 1), ("day", 1000, 86_400)]));
    let mut record = Record::default();
    for turn in 0..8 {
        take(&mut record, &fast, 200, NOW + turn);
    }
    assert!(record.slices.outstanding() > 900, "{record:?}");
    for after_us in [10, 2 * SLICE_US, 3600 * SECOND] {
        // Each decision on a bucket that lacks less than is out may hold it for 600 ms more.
        assert!(drained(&record, &both, 2, NOW + after_us) >= 999, "{after_us}");
    }
}

#[test]
fn slices_that_are_over_are_not_felt_under_a_longer_period() {
    let mut record = Record::default();
    take(&mut record, &limits(&[("key", 50, 1)]), 2, NOW);
    assert_eq!(drained(&record, &limits(&[("key", 50, 2_678_400)]), 2, NOW + 3600 * SECOND), 50);
}

#[test]
fn a_reset_fills_buckets_as_far_as_slices_allow() {
    let (thousand, mut record) = (limits(&[("key", 1000, 1000)]), Record::default());
    charge(&mut record, 1, &thousand, 800, NOW);
    take(&mut record, &thousand, 20, NOW);
    record.reset(NOW + 1000);
    assert_eq!(drained(&record, &thousand, 1, NOW + 1000), 980);
    // It refills from there: one token a second.
    assert_eq!(drained(&record, &thousand, 1, NOW + 3 * SLICE_US), 980);
    let mut later = record.clone();
    later.reset(NOW + 2 * SLICE_US);
    assert_eq!(later, Record { generation: 1, ..Record::default() }, "nothing is out any more");
}

#[test]
fn a_limit_that_gave_no_slice_gets_nothing_of_one_back() {
    let (fast, both) = (limits(&[("key", 1000, 1)]), limits(&[("key", 1000, 1), ("day", 100, 86_400)]));
    let mut record = Record::default();
    let grant = take(&mut record, &fast, 25, NOW);
    let settle = Settle { granted: grant.tokens, unused: grant.tokens, stamp: grant.stamp };
    let told = decide_at(&mut record, &both, 1, 10, LeaseAsk { want: 0, settle: Some(settle) }, NOW + 1000);
    assert_eq!(standings(told.decided)[1].remaining, 90);
}
