//! The figures of a decision: what remains, when to retry, when the bucket is full.

use proptest::prelude::*;
use tollgate_limits::RateLimit;

use crate::moves::{BURSTS, PERIODS, START_US, limits, moves, play};
use crate::oracle::TokenCount;
use crate::subject::{Subject, limit};

/// Instants within `0..end_us`: all of a short time, else the edges and some between.
fn instants(end_us: u64) -> Vec<u64> {
    if end_us <= 256 {
        return (0..end_us).collect();
    }
    let between = (1..32).map(|part| u64::try_from(u128::from(end_us) * part / 32).expect("below the end"));
    between.chain([0, 1, 2, end_us - 3, end_us - 2, end_us - 1]).collect()
}

/// What `subject` is told of `cost` at `now_us` comes true to the microsecond.
fn check_promises(subject: &Subject, limit: RateLimit, cost: u32, now_us: u64) -> Result<(), TestCaseError> {
    let standing = subject.look(cost, now_us);
    for wait_us in instants(standing.retry_after_us) {
        for refused in [cost, limit.burst()] {
            prop_assert!(!subject.look(refused, now_us + wait_us).fits, "{refused} passed {wait_us} us after, told {standing:?}");
        }
    }
    prop_assert!(subject.look(cost, now_us + standing.retry_after_us).fits, "told {standing:?}");

    if standing.remaining > 0 {
        prop_assert!(subject.look(standing.remaining, now_us).fits, "told {standing:?}");
    }
    if standing.remaining < limit.burst() {
        prop_assert!(!subject.look(standing.remaining + 1, now_us).fits, "told {standing:?}");
    }

    let full_us = now_us + standing.reset_after_us;
    prop_assert_eq!(subject.look(limit.burst(), full_us).remaining, limit.burst());
    prop_assert!(subject.record.is_forgettable(full_us));
    if standing.reset_after_us > 0 {
        prop_assert!(!subject.look(limit.burst(), full_us - 1).fits, "full before the told {standing:?}");
    }
    Ok(())
}

proptest! {
    #[test]
    fn every_figure_is_that_of_a_token_count(limit in limits(), moves in moves(15)) {
        let mut count = TokenCount::full(limit);
        for answer in play(limit, &moves).1 {
            let (now_us, standing) = (answer.at_us, answer.standing);
            prop_assert_eq!(standing.fits, count.fits(answer.tokens, now_us), "{:?}", answer);
            prop_assert_eq!(u128::from(standing.retry_after_us), count.wait_us(answer.tokens, now_us), "{:?}", answer);
            if count.is_cut(now_us) || answer.admitted() > 0 {
                count.spend(answer.admitted(), now_us);
            }
            prop_assert_eq!(u128::from(standing.remaining), count.remaining(now_us), "{:?}", answer);
            prop_assert_eq!(u128::from(standing.reset_after_us), count.refill_us(now_us), "{:?}", answer);
        }
    }

    #[test]
    fn every_promise_is_kept_to_the_microsecond(limit in limits(), moves in moves(10)) {
        let (subject, answers) = play(limit, &moves);
        let last = answers[answers.len() - 1];
        for cost in [1, last.tokens, limit.burst().div_ceil(2), limit.burst()] {
            check_promises(&subject, limit, cost, last.at_us)?;
        }
    }

    #[test]
    fn a_denied_or_peeked_request_leaves_no_trace(limit in limits(), moves in moves(0), spent in any::<u16>()) {
        let (subject, answers) = play(limit, &moves);
        let now_us = answers[answers.len() - 1].at_us + u64::from(spent);
        let mut asked = subject.clone();
        asked.decide(1, true, now_us);
        if !asked.look(limit.burst(), now_us).fits {
            asked.charge(limit.burst(), now_us);
        }
        prop_assert_eq!(asked.record, subject.record);
    }
}

/// Every limit of `BURSTS` × `PERIODS`: emptied, then each cost at its own instant.
#[test]
fn the_edges_of_the_range_are_as_exact_as_its_middle() {
    for (burst, per_seconds) in BURSTS.iter().flat_map(|burst| PERIODS.map(|period| (*burst, period))) {
        let limit = limit(burst, per_seconds);
        let mut subject = Subject::fresh(limit);
        let all = limit.burst();
        let emptied = subject.charge(all, START_US);
        assert_eq!((emptied.fits, emptied.remaining, emptied.reset_after_us), (true, 0, limit.period_us()), "{limit:?}");
        for cost in [1, 2, 3, all / 7, all / 2, all - 1, all].map(|cost| cost.clamp(1, all)) {
            let wait_us = (u128::from(cost) * u128::from(limit.period_us())).div_ceil(u128::from(all));
            let wait_us = u64::try_from(wait_us).expect("at most one period");
            assert_eq!(subject.look(cost, START_US).retry_after_us, wait_us, "{cost} of {limit:?}");
            assert!(!subject.look(cost, START_US + wait_us - 1).fits, "{cost} of {limit:?}");
            assert!(subject.look(cost, START_US + wait_us).fits, "{cost} of {limit:?}");
        }
        check_promises(&subject, limit, all, START_US).expect("promises are kept");
    }
}
