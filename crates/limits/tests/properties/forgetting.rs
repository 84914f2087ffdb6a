//! A store may forget what is forgettable, and nobody can tell.

use proptest::{collection::vec, prelude::*};
use tollgate_limits::{Ask, RateLimits, Record, decide};

use crate::moves::{Move, START_US, limits, moves, unseen};
use crate::subject::{cost, list};

/// What besides the move happens before a request.
#[derive(Debug, Clone, Copy)]
struct Turn {
    /// Which list of limits the asker knows.
    list: usize,
    /// By how much the fence is raised, for so many milliseconds.
    raise: Option<(u64, u64)>,
    /// By how much the asker is ahead of the fence, or behind it while it has to be kept.
    ahead: u64,
    behind: u64,
}

fn turns() -> impl Strategy<Value = Vec<(Move, Turn)>> {
    let raise = prop::option::weighted(0.1, (1..5_u64, 0..10_000_u64));
    let turn = (0..3_usize, raise, 0..2_u64, 0..2_u64).prop_map(|(list, raise, ahead, behind)| Turn { list, raise, ahead, behind });
    (moves(0), vec(turn, 100)).prop_map(|(moves, turns)| moves.into_iter().zip(turns).collect())
}

/// Three lists that share names, of which the first is asked most.
fn lists() -> impl Strategy<Value = Vec<RateLimits>> {
    vec(vec(limits(), 1..=3), 3).prop_map(|lists| lists.iter().map(|limits| list(limits)).collect())
}

proptest! {
    #[test]
    fn nobody_can_tell_a_forgotten_record_from_a_kept_one(lists in lists(), turns in turns()) {
        let first = lists[0].as_slice()[0].limit;
        let (mut kept, mut forgetful) = (Record::default(), Record::default());
        let (mut now_us, mut seen) = (START_US, unseen(first));
        for (step, turn) in turns {
            now_us = step.clock(now_us, first, seen);
            prop_assert_eq!(kept.is_forgettable(now_us), forgetful.is_forgettable(now_us));
            if forgetful.is_forgettable(now_us) {
                forgetful = Record::default();
            }
            let newest = kept.generation;
            if let Some((by, kept_ms)) = turn.raise {
                kept.raise(newest + by, false, now_us / 1000 + kept_ms);
                forgetful.raise(newest + by, false, now_us / 1000 + kept_ms);
            }
            // A fence is only promised until its end: by then nobody is left who knows less.
            let fenced = kept.fence_end_ms > now_us / 1000;
            let generation = if fenced { (kept.generation + turn.ahead).saturating_sub(turn.behind) } else { kept.generation + turn.ahead };
            let limits = &lists[turn.list];
            let asks = [Ask { generation, limits }];
            let burst_min = limits.burst_min().unwrap_or(1);
            let tokens = cost(step.spend.tokens(burst_min, seen));
            let decided = decide(std::slice::from_mut(&mut kept), &asks, tokens, step.peek, now_us);
            prop_assert_eq!(&decided, &decide(std::slice::from_mut(&mut forgetful), &asks, tokens, step.peek, now_us));
            if let tollgate_limits::Decided::Allowed(standings) | tollgate_limits::Decided::Limited(standings) = decided {
                seen = standings[0];
            }
        }
    }

    #[test]
    fn a_record_is_forgettable_once_its_buckets_are_full_and_its_fence_is_over(limits in limits(), kept_ms in 0..1_000_000_u64) {
        let asked = list(&[limits]);
        let mut record = Record::default();
        decide(std::slice::from_mut(&mut record), &[Ask { generation: 0, limits: &asked }], cost(1), false, START_US);
        let full_us = START_US + limits.period_us().div_ceil(limits.burst().into());
        prop_assert!(!record.is_forgettable(full_us - 1) && record.is_forgettable(full_us));
        let end_ms = START_US / 1000 + kept_ms;
        record.raise(1, false, end_ms);
        let over_us = full_us.max(end_ms * 1000);
        prop_assert!(!record.is_forgettable(over_us - 1) && record.is_forgettable(over_us));
    }
}
