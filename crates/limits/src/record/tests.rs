mod leased;

use super::*;
use crate::{LimitName, RateLimit};

const NOW: u64 = 1_800_000_000_000_000;
const SECOND: u64 = 1_000_000;

fn limits(list: &[(&str, u64, u64)]) -> RateLimits {
    let named = |(name, burst, per_seconds): &(&str, u64, u64)| NamedLimit {
        name: LimitName::new(name).expect("a good name"),
        limit: RateLimit::new(*burst, *per_seconds).expect("a good limit"),
    };
    RateLimits::new(list.iter().map(named).collect()).expect("a good list")
}

fn cost(tokens: u64) -> Cost {
    Cost::new(tokens).expect("a good cost")
}

fn charge(record: &mut Record, generation: u64, limits: &RateLimits, tokens: u64, now_us: u64) -> Decided {
    decide(std::slice::from_mut(record), &[Ask { generation, limits }], cost(tokens), false, now_us)
}

fn peek(record: &mut Record, limits: &RateLimits, tokens: u64, now_us: u64) -> Decided {
    decide(std::slice::from_mut(record), &[Ask { generation: 0, limits }], cost(tokens), true, now_us)
}

fn standings(decided: Decided) -> Vec<Standing> {
    match decided {
        Decided::Allowed(standings) | Decided::Limited(standings) | Decided::LimitedForNow(standings) => standings,
        other => panic!("no standings in {other:?}"),
    }
}

/// Buckets as (name, microseconds from now until full).
fn stored(record: &Record, now_us: u64) -> Vec<(u32, u64)> {
    record.buckets.iter().map(|bucket| (bucket.name_id, bucket.arrival.whole_us - now_us)).collect()
}

fn id(name: &str) -> u32 {
    LimitName::new(name).expect("a good name").id()
}

#[test]
fn a_charge_stores_the_bucket_and_the_generation() {
    let mut record = Record::default();
    let ten = limits(&[("key", 10, 10)]);
    let decided = charge(&mut record, 7, &ten, 4, NOW);
    let standing = Standing { fits: true, remaining: 6, retry_after_us: 0, reset_after_us: 4 * SECOND };
    assert_eq!(decided, Decided::Allowed(vec![standing]));
    assert_eq!((record.generation, stored(&record, NOW)), (7, vec![(id("key"), 4 * SECOND)]));
}

#[test]
fn a_denial_stores_nothing() {
    let mut record = Record::default();
    let ten = limits(&[("key", 10, 10)]);
    charge(&mut record, 1, &ten, 8, NOW);
    let before = record.clone();
    let standing = Standing { fits: false, remaining: 2, retry_after_us: SECOND, reset_after_us: 8 * SECOND };
    assert_eq!(charge(&mut record, 2, &ten, 3, NOW), Decided::Limited(vec![standing]));
    assert_eq!(record, before);
}

#[test]
fn a_peek_stores_nothing_and_shows_what_is_left_before_it() {
    let mut record = Record::default();
    let ten = limits(&[("key", 10, 10)]);
    assert_eq!(standings(peek(&mut record, &ten, 10, NOW))[0].remaining, 10);
    assert_eq!(record, Record::default());
}

#[test]
fn one_bucket_that_refuses_keeps_every_other_from_being_charged() {
    let mut records = [Record::default(), Record::default()];
    let (wide, narrow) = (limits(&[("a", 100, 1), ("b", 100, 1)]), limits(&[("c", 2, 1)]));
    let asks = [Ask { generation: 0, limits: &wide }, Ask { generation: 0, limits: &narrow }];
    let decided = decide(&mut records, &asks, Cost::ONE, false, NOW);
    assert_eq!(standings(decided).iter().map(|s| s.remaining).collect::<Vec<_>>(), [99, 99, 1]);
    let before = records.clone();
    let decided = decide(&mut records, &asks, cost(2), false, NOW);
    assert!(matches!(decided, Decided::Limited(_)));
    assert_eq!(standings(decided).iter().map(|s| (s.fits, s.remaining)).collect::<Vec<_>>(), [(true, 99), (true, 99), (false, 1)]);
    assert_eq!(records, before);
}

#[test]
fn subjects_are_checked_in_order_and_revoked_before_stale() {
    let none = RateLimits::unlimited();
    let ask = Ask { generation: 1, limits: &none };
    let newer = Record { generation: 2, ..Record::default() };
    let revoked = Record { revoked: true, ..newer.clone() };
    let decided = |first: &Record, second: &Record| decide(&mut [first.clone(), second.clone()], &[ask, ask], Cost::ONE, false, NOW);
    let fresh = Record::default();
    assert_eq!(decided(&revoked, &newer), Decided::Revoked { subject: 0 });
    assert_eq!(decided(&newer, &revoked), Decided::Stale { subject: 0 });
    assert_eq!(decided(&fresh, &revoked), Decided::Revoked { subject: 1 });
    assert_eq!(decided(&fresh, &newer), Decided::Stale { subject: 1 });
    assert_eq!(decided(&fresh, &fresh), Decided::Allowed(vec![]));
}

#[test]
fn an_asker_of_the_same_generation_is_not_stale() {
    let mut record = Record { generation: 5, ..Record::default() };
    let ten = limits(&[("key", 10, 10)]);
    assert_eq!(charge(&mut record, 4, &ten, 1, NOW), Decided::Stale { subject: 0 });
    assert!(matches!(charge(&mut record, 5, &ten, 1, NOW), Decided::Allowed(_)));
    assert!(matches!(charge(&mut record, 6, &ten, 1, NOW), Decided::Allowed(_)));
    assert_eq!(charge(&mut record, 5, &ten, 1, NOW), Decided::Stale { subject: 0 });
}

#[test]
fn a_cost_above_any_burst_stores_nothing() {
    let mut records = [Record::default(), Record::default()];
    let (wide, narrow) = (limits(&[("a", 100, 1)]), limits(&[("b", 2, 1)]));
    let asks = [Ask { generation: 1, limits: &wide }, Ask { generation: 1, limits: &narrow }];
    assert_eq!(decide(&mut records, &asks, cost(3), false, NOW), Decided::TooCostly);
    assert_eq!(records, [Record::default(), Record::default()]);
}

#[test]
fn a_denial_stores_the_cut_after_a_clock_stepped_back() {
    let mut record = Record::default();
    let both = limits(&[("fast", 10, 10), ("slow", 10, 1000)]);
    charge(&mut record, 3, &both, 10, NOW);
    let back = NOW - 100 * SECOND;
    assert_eq!(standings(charge(&mut record, 4, &both, 1, back))[0].retry_after_us, SECOND);
    // The slow bucket is cut to an empty one as well; refill has begun for both.
    assert_eq!(stored(&record, back), [(id("fast"), 10 * SECOND), (id("slow"), 1000 * SECOND)]);
    assert_eq!(record.generation, 4);
    let before = record.clone();
    assert!(matches!(charge(&mut record, 5, &both, 1, back + SECOND), Decided::Limited(_)));
    assert_eq!(record, before, "the second denial has nothing to cut");
}

#[test]
fn a_peek_stores_the_debt_under_a_changed_limit() {
    let mut record = Record::default();
    charge(&mut record, 0, &limits(&[("key", 100, 60)]), 50, NOW);
    assert_eq!(standings(peek(&mut record, &limits(&[("key", 1000, 100)]), 1, NOW))[0].remaining, 950);
    assert_eq!(stored(&record, NOW), [(id("key"), 5 * SECOND)]);
}

#[test]
fn a_full_bucket_under_other_figures_needs_no_mending() {
    let mut record = Record::default();
    charge(&mut record, 1, &limits(&[("key", 10, 10)]), 1, NOW);
    let before = record.clone();
    let changed = limits(&[("key", 20, 10)]);
    let ask = Ask { generation: 2, limits: &changed };
    assert!(matches!(decide(std::slice::from_mut(&mut record), &[ask], Cost::ONE, true, NOW + SECOND), Decided::Allowed(_)));
    assert_eq!(record, before);
}

#[test]
fn mending_one_bucket_leaves_the_others_as_they_were() {
    let mut record = Record::default();
    charge(&mut record, 0, &limits(&[("a", 10, 10), ("b", 10, 100)]), 5, NOW);
    let (b, full) = (record.buckets[1], limits(&[("a", 20, 20), ("b", 10, 100), ("c", 10, 10)]));
    assert_eq!(standings(peek(&mut record, &full, 1, NOW + SECOND)).len(), 3);
    assert_eq!(stored(&record, NOW), [(id("a"), 5 * SECOND), (id("b"), 50 * SECOND)]);
    assert_eq!(record.buckets[1], b);
}

#[test]
fn a_limit_no_longer_asked_is_kept_while_it_refills() {
    let mut record = Record::default();
    charge(&mut record, 0, &limits(&[("old", 10, 10)]), 5, NOW);
    charge(&mut record, 0, &limits(&[("new", 10, 10)]), 1, NOW + 4 * SECOND);
    assert_eq!(stored(&record, NOW), [(id("new"), 5 * SECOND), (id("old"), 5 * SECOND)]);
    charge(&mut record, 0, &limits(&[("new", 10, 10)]), 1, NOW + 5 * SECOND);
    assert_eq!(stored(&record, NOW), [(id("new"), 6 * SECOND)]);
}

#[test]
fn the_bucket_written_longest_ago_is_forgotten_first() {
    let mut record = Record::default();
    for name in ["a", "b", "c", "d", "e", "f", "g", "h", "a", "i"] {
        charge(&mut record, 0, &limits(&[(name, 10, 10)]), 1, NOW);
    }
    let kept: Vec<u32> = stored(&record, NOW).into_iter().map(|(name, _)| name).collect();
    assert_eq!(kept, ["i", "a", "h", "g", "f", "e", "d", "c"].map(id));
}

#[test]
fn an_unlimited_subject_stores_nothing() {
    let mut record = Record::default();
    assert_eq!(charge(&mut record, 9, &RateLimits::unlimited(), 1, NOW), Decided::Allowed(vec![]));
    assert_eq!(record, Record::default());
}

#[test]
fn is_forgettable_from_the_instant_of_the_last_debt_and_of_the_fence() {
    let mut record = Record::default();
    assert!(record.is_forgettable(0));
    charge(&mut record, 0, &limits(&[("key", 3, 1)]), 1, NOW);
    assert!(!record.is_forgettable(NOW + 333_333));
    assert!(record.is_forgettable(NOW + 333_334));
    record.raise(1, false, NOW / 1000 + 500);
    assert!(!record.is_forgettable(NOW + 499_999));
    assert!(record.is_forgettable(NOW + 500_000));
}

#[test]
fn a_fence_only_rises() {
    let mut record = Record::default();
    record.raise(5, true, 2000);
    record.raise(4, false, 1000);
    assert_eq!((record.generation, record.revoked, record.fence_end_ms), (5, true, 2000));
    record.raise(6, false, 3000);
    assert_eq!((record.generation, record.revoked, record.fence_end_ms), (6, true, 3000));
}
