//! A million charges end on the very microsecond that one multiplication gives.

use tollgate_limits::RateLimit;

use crate::moves::START_US;
use crate::subject::{Subject, limit};

/// Empties a bucket, then takes `cost` as soon as it is there, `charges` times. The instant of
/// the n-th charge is known beforehand: `n · cost` tokens after the start, rounded up once.
fn check_no_drift(limit: RateLimit, cost: u32, charges: u32) {
    let due = |n: u32| {
        let parts = u128::from(n) * u128::from(cost) * u128::from(limit.period_us());
        START_US + u64::try_from(parts.div_ceil(limit.burst().into())).expect("an instant")
    };
    let mut subject = Subject::fresh(limit);
    subject.charge(limit.burst(), START_US);
    for n in 1..=charges {
        if n % 97 == 0 || n == charges {
            assert!(!subject.charge(cost, due(n) - 1).fits, "charge {n} of {cost} from {limit:?} came early");
        }
        assert!(subject.charge(cost, due(n)).fits, "charge {n} of {cost} from {limit:?} came late");
    }
}

#[test]
fn a_million_charges_do_not_drift() {
    check_no_drift(limit(7, 1), 1, 1_000_000);
}

#[test]
fn primes_and_extremes_do_not_drift() {
    let charges = 20_000;
    check_no_drift(limit(1, 2_678_400), 1, charges);
    check_no_drift(limit(3, 2_678_399), 2, charges);
    check_no_drift(limit(997, 2_678_399), 13, charges);
    check_no_drift(limit(999_999_937, 1), 999, charges);
    check_no_drift(limit(999_999_937, 2_678_399), 1, charges);
    check_no_drift(limit(999_999_937, 2_678_399), 999_999_936, charges);
    check_no_drift(limit(1_000_000_000, 1), 333_333_333, charges);
    check_no_drift(limit(1_000_000_000, 2_678_400), 7, charges);
}
