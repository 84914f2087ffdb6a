//! The core theorem: in any interval no more is admitted than `burst + rate · length`.

use proptest::prelude::*;
use tollgate_limits::RateLimit;

use crate::moves::{Answer, limits, moves, play};

/// Checks every interval from one answer to another. Its length is the time that the clock went
/// forward in it: steps back count for nothing, steps forward in full.
pub(crate) fn check_intervals(limit: RateLimit, answers: &[Answer]) -> Result<(), TestCaseError> {
    let (burst, period) = (u128::from(limit.burst()), u128::from(limit.period_us()));
    for (first, start) in answers.iter().enumerate() {
        let (mut admitted, mut length, mut before_us) = (0_u128, 0_u128, start.at_us);
        for answer in &answers[first..] {
            length += u128::from(answer.at_us.saturating_sub(before_us));
            before_us = answer.at_us;
            admitted += u128::from(answer.admitted());
            prop_assert!(admitted * period <= burst * (period + length), "{admitted} in {length} us from {start:?} to {answer:?}");
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn no_interval_holds_more_than_burst_and_refill(limit in limits(), moves in moves(0)) {
        check_intervals(limit, &play(limit, &moves).1)?;
    }

    #[test]
    fn no_interval_holds_more_when_the_clock_steps(limit in limits(), moves in moves(25)) {
        check_intervals(limit, &play(limit, &moves).1)?;
    }
}
