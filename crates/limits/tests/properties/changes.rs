//! A changed limit keeps the debt in tokens.

use proptest::{collection::vec, prelude::*};
use tollgate_limits::{Arrival, RateLimit};

use crate::moves::{START_US, limits, moves, unseen};
use crate::oracle::TokenCount;
use crate::subject::{Subject, limit};

const DAYS_31: u64 = 2_678_400;

/// Debt in tokens, as numerator and denominator.
fn debt(arrival: Arrival, limit: RateLimit, now_us: u64) -> (u128, u128) {
    let parts = u128::from(arrival.whole_us - now_us) * u128::from(limit.burst()) + u128::from(arrival.frac);
    (parts, limit.period_us().into())
}

fn at_most((a, b): (u128, u128), (c, d): (u128, u128)) -> bool {
    a * d <= c * b
}

/// An arrival that some history could have left at `now_us`.
fn arrivals(limit: RateLimit, now_us: u64) -> impl Strategy<Value = Arrival> {
    let (burst, period_us) = (limit.burst(), limit.period_us());
    let inside = (0..period_us, 0..burst).prop_map(move |(whole, frac)| Arrival { whole_us: now_us + whole, frac });
    let whole = prop_oneof![Just(0), Just(period_us)].prop_map(move |whole| Arrival::full_at(now_us + whole));
    prop_oneof![4 => inside, 1 => whole]
}

fn spent_buckets() -> impl Strategy<Value = (RateLimit, Arrival)> {
    limits().prop_flat_map(|limit| (Just(limit), arrivals(limit, START_US)))
}

proptest! {
    #[test]
    fn a_conversion_loses_no_debt_and_adds_less_than_a_part((old, arrival) in spent_buckets(), new in limits()) {
        let converted = arrival.converted(old, new, START_US);
        prop_assert!(converted.frac < new.burst() && converted.within(new, START_US));
        let owed = debt(arrival, old, START_US);
        let room = (u128::from(new.burst()), 1);
        let kept = if at_most(owed, room) { owed } else { room };
        let (parts, token) = debt(converted, new, START_US);
        prop_assert!(at_most(kept, (parts, token)), "{parts}/{token} is less than {kept:?}");
        prop_assert!(parts == 0 || !at_most(kept, (parts - 1, token)), "{parts}/{token} is a part more than {kept:?} or above");
    }

    #[test]
    fn no_chain_of_conversions_makes_tokens((first, arrival) in spent_buckets(), chain in vec((limits(), 0..10_000_000_u64), 1..12)) {
        let (mut limit, mut arrival, mut now_us) = (first, arrival, START_US);
        // The least that must still be owed: the first debt, less refill, as far as there was room.
        let mut owed_min = debt(arrival, limit, now_us);
        for (next, wait_us) in chain {
            let converted = arrival.converted(limit, next, now_us);
            let room = (u128::from(next.burst()), 1);
            let kept = if at_most(owed_min, room) { owed_min } else { room };
            prop_assert!(at_most(kept, debt(converted, next, now_us)));
            now_us += wait_us;
            (limit, arrival) = (next, converted.settled(next, now_us));
            owed_min = debt(arrival, limit, now_us);
            let refill = u128::from(wait_us) * u128::from(next.burst());
            let (parts, token) = debt(converted, next, now_us - wait_us);
            prop_assert_eq!(owed_min, (parts.saturating_sub(refill), token));
        }
    }

    #[test]
    fn another_period_never_raises_what_remains((old, arrival) in spent_buckets(), periods in vec(1..=DAYS_31, 1..12)) {
        let mut changed = (old, arrival);
        for period in periods {
            let next = limit(old.burst().into(), period);
            let converted = changed.1.converted(changed.0, next, START_US);
            let (remaining, before) = (left(converted, next), left(changed.1, changed.0));
            prop_assert!(remaining <= before && before - remaining <= 1, "{before} before, {remaining} after");
            changed = (next, converted);
        }
    }

    #[test]
    fn every_figure_under_changing_limits_is_that_of_a_token_count(list in vec(limits(), 2..5), moves in moves(10), picks in vec(0..5_usize, 100)) {
        let mut current = list[0];
        let (mut subject, mut count) = (Subject::fresh(current), TokenCount::full(current));
        let (mut now_us, mut seen) = (START_US, unseen(current));
        for (step, pick) in moves.iter().zip(picks) {
            now_us = step.clock(now_us, current, seen);
            current = list.get(pick).copied().unwrap_or(current);
            subject.change(current);
            let tokens = step.spend.tokens(current.burst(), seen);
            seen = subject.decide(tokens, step.peek, now_us);

            let mut changed = count.under(current, now_us);
            prop_assert_eq!((seen.fits, u128::from(seen.retry_after_us)), (changed.fits(tokens, now_us), changed.wait_us(tokens, now_us)));
            let charged = seen.fits && !step.peek;
            let is_kept = charged || count.is_cut(now_us) || count.is_outdated(current, now_us);
            changed.spend(if charged { tokens } else { 0 }, now_us);
            prop_assert_eq!(u128::from(seen.remaining), changed.remaining(now_us));
            prop_assert_eq!(u128::from(seen.reset_after_us), changed.refill_us(now_us));
            if is_kept {
                count = changed;
            }
        }
    }
}

/// Whole tokens left at `START_US`.
fn left(arrival: Arrival, limit: RateLimit) -> u128 {
    let (parts, token) = debt(arrival, limit, START_US);
    (token * u128::from(limit.burst()) - parts) / token
}

/// Spends `tokens` under one limit and tells what remains under another.
fn remaining_after(old: RateLimit, tokens: u32, new: RateLimit) -> u32 {
    let mut subject = Subject::fresh(old);
    assert!(subject.charge(tokens, START_US).fits);
    subject.change(new);
    subject.look(1, START_US).remaining
}

#[test]
fn a_spent_day_raised_to_a_thousand_a_minute_owes_one_token() {
    let (daily, fast) = (limit(1, DAYS_31), limit(1000, 60));
    assert_eq!(remaining_after(daily, 1, fast), 999);
    let mut subject = Subject::fresh(daily);
    subject.charge(1, START_US);
    subject.change(fast);
    assert_eq!(subject.charge(1000, START_US).retry_after_us, 60_000);
    assert!(subject.charge(1000, START_US + 60_000).fits);
}

#[test]
fn an_exhausted_minute_stretched_to_a_month_is_still_exhausted() {
    let (fast, slow) = (limit(1000, 60), limit(1000, DAYS_31));
    assert_eq!(remaining_after(fast, 1000, slow), 0);
    let mut subject = Subject::fresh(fast);
    subject.charge(1000, START_US);
    subject.change(slow);
    let token_us = slow.period_us() / 1000;
    assert_eq!(subject.charge(1, START_US).retry_after_us, token_us);
    assert!(!subject.charge(1, START_US + token_us - 1).fits);
    assert!(subject.charge(1, START_US + token_us).fits);
}

#[test]
fn half_spent_and_raised_tenfold_leaves_all_but_the_spent() {
    assert_eq!(remaining_after(limit(100, 60), 50, limit(1000, 60)), 950);
    assert_eq!(remaining_after(limit(100, 60), 50, limit(1000, 1)), 950);
    assert_eq!(remaining_after(limit(1000, 60), 50, limit(100, 60)), 50);
    assert_eq!(remaining_after(limit(1000, 60), 500, limit(100, 60)), 0);
}

#[test]
fn a_denial_under_the_new_limit_does_not_restart_the_wait() {
    let mut subject = Subject::fresh(limit(10, 60));
    subject.charge(10, START_US);
    subject.change(limit(10, 600));
    for second in 0..60 {
        assert!(!subject.charge(1, START_US + second * 1_000_000).fits, "second {second}");
    }
    assert!(subject.charge(1, START_US + 60_000_000).fits);
}
