//! The clock of a bucket may step; it must neither make tokens nor lock anyone out.

use proptest::prelude::*;
use tollgate_limits::RateLimit;

use crate::moves::{START_US, limits, moves, play};
use crate::subject::{Subject, limit};

/// Steps of all sizes, up to the beginning of time.
fn steps() -> impl Strategy<Value = u64> {
    prop_oneof![1..=1000_u64, 1..=100_000_000_u64, 1..=10_000_000_000_000_u64, Just(u64::MAX)]
}

/// Nothing is charged after `now_us`: the bucket fills evenly, from nothing at the worst.
fn check_refill(subject: &Subject, limit: RateLimit, now_us: u64) -> Result<(), TestCaseError> {
    for eighths in 0..=8 {
        let wait_us = limit.period_us() / 8 * eighths;
        let refilled = u128::from(wait_us) * u128::from(limit.burst()) / u128::from(limit.period_us());
        let standing = subject.look(limit.burst(), now_us + wait_us);
        prop_assert!(u128::from(standing.remaining) >= refilled, "{standing:?} {wait_us} us after the step");
        prop_assert!(standing.retry_after_us <= limit.period_us() - wait_us, "{standing:?} {wait_us} us after the step");
    }
    Ok(())
}

proptest! {
    #[test]
    fn refill_resumes_at_once_after_a_step_back(limit in limits(), moves in moves(5), step in steps(), denied in any::<bool>()) {
        let (mut subject, answers) = play(limit, &moves);
        let now_us = answers[answers.len() - 1].at_us.saturating_sub(step);
        // The first request after the step notices it, even if it is refused or only peeks.
        let noticed = subject.decide(limit.burst(), !denied, now_us);
        prop_assert!(noticed.reset_after_us <= limit.period_us());
        check_refill(&subject, limit, now_us)?;
    }

    #[test]
    fn a_step_back_makes_no_tokens(limit in limits(), moves in moves(5), step in steps()) {
        let (subject, answers) = play(limit, &moves);
        let now_us = answers[answers.len() - 1].at_us;
        let (before, after) = (subject.look(1, now_us), subject.look(1, now_us.saturating_sub(step)));
        prop_assert!(after.remaining <= before.remaining);
        prop_assert!(after.reset_after_us >= before.reset_after_us);
    }

    #[test]
    fn a_step_forward_makes_no_more_than_its_refill(limit in limits(), moves in moves(5), step in 0..=10_000_000_000_000_u64) {
        let (subject, answers) = play(limit, &moves);
        let now_us = answers[answers.len() - 1].at_us;
        let (before, after) = (subject.look(1, now_us), subject.look(1, now_us + step));
        let refill = (u128::from(step) * u128::from(limit.burst())).div_ceil(u128::from(limit.period_us()));
        prop_assert!(u128::from(after.remaining) <= u128::from(before.remaining) + refill);
        prop_assert!(after.remaining <= limit.burst());
    }
}

#[test]
fn an_hour_back_locks_nobody_out_for_longer_than_a_period() {
    let limit = limit(10, 60);
    let mut subject = Subject::fresh(limit);
    subject.charge(10, START_US);
    let now_us = START_US - 3_600_000_000;
    assert_eq!(subject.charge(1, now_us).retry_after_us, 6_000_000);
    assert!(!subject.charge(1, now_us + 5_999_999).fits);
    assert!(subject.charge(1, now_us + 6_000_000).fits);
    assert!(subject.charge(9, now_us + 60_000_000).fits);
}
