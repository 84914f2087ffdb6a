//! Decisions over several subjects: all of it or nothing.

use proptest::{collection::vec, prelude::*};
use tollgate_limits::{Ask, Decided, RateLimit, Record, Standing, decide};

use crate::intervals::check_intervals;
use crate::moves::{Answer, Move, START_US, limits, moves, unseen};
use crate::oracle::TokenCount;
use crate::subject::{cost, list};

/// Limits of two or three subjects, a subject without limits among them at times.
fn subjects() -> impl Strategy<Value = Vec<Vec<RateLimit>>> {
    vec(vec(limits(), 0..=4), 2..=3)
}

/// The limits of all subjects, in the order of standings.
fn flat(subjects: &[Vec<RateLimit>]) -> Vec<RateLimit> {
    subjects.iter().flatten().copied().collect()
}

struct Asked {
    now_us: u64,
    tokens: u32,
    peek: bool,
    decided: Decided,
    before: Vec<Record>,
    after: Vec<Record>,
}

/// Plays a history in which gaps and costs go by one of the buckets, another one each move.
fn play(subjects: &[Vec<RateLimit>], moves: &[Move]) -> Vec<Asked> {
    let limits: Vec<_> = subjects.iter().map(|limits| list(limits)).collect();
    let asks: Vec<_> = limits.iter().map(|limits| Ask { generation: 0, limits }).collect();
    let flat = flat(subjects);
    let burst_min = flat.iter().map(|limit| limit.burst()).min().unwrap_or(1);
    let (mut records, mut now_us) = (vec![Record::default(); subjects.len()], START_US);
    let mut seen: Vec<Standing> = flat.iter().copied().map(unseen).collect();
    let mut asked = Vec::new();
    for (turn, step) in moves.iter().enumerate() {
        let mut tokens = 1;
        if !flat.is_empty() {
            let place = turn % flat.len();
            now_us = step.clock(now_us, flat[place], seen[place]);
            tokens = step.spend.tokens(flat[place].burst(), seen[place]).min(burst_min);
        }
        let before = records.clone();
        let decided = decide(&mut records, &asks, cost(tokens), step.peek, now_us);
        if let Decided::Allowed(standings) | Decided::Limited(standings) = &decided {
            seen.clone_from(standings);
        }
        asked.push(Asked { now_us, tokens, peek: step.peek, decided, before, after: records.clone() });
    }
    asked
}

/// Moves the oracle on by one answer, and tells whether a clock's step back had to be cut in a
/// subject: then its record may change without a charge.
fn follow(counts: &mut [Vec<TokenCount>], asked: &Asked, charged: bool) -> Vec<bool> {
    let now_us = asked.now_us;
    let follow_one = |counts: &mut Vec<TokenCount>| {
        let is_cut = counts.iter().any(|count| count.is_cut(now_us));
        if is_cut || charged {
            for count in counts {
                count.spend(if charged { asked.tokens } else { 0 }, now_us);
            }
        }
        is_cut
    };
    counts.iter_mut().map(follow_one).collect()
}

proptest! {
    #[test]
    fn all_is_charged_or_nothing(subjects in subjects(), moves in moves(10)) {
        let mut counts: Vec<Vec<TokenCount>> = subjects.iter().map(|limits| limits.iter().copied().map(TokenCount::full).collect()).collect();
        for asked in play(&subjects, &moves) {
            let fits: Vec<bool> = counts.iter().flatten().map(|count| count.fits(asked.tokens, asked.now_us)).collect();
            let waits: Vec<u128> = counts.iter().flatten().map(|count| count.wait_us(asked.tokens, asked.now_us)).collect();
            let allowed = fits.iter().all(|fits| *fits);
            let cut = follow(&mut counts, &asked, allowed && !asked.peek);
            let standings = match &asked.decided {
                Decided::Allowed(standings) if allowed => standings,
                Decided::Limited(standings) if !allowed => standings,
                other => return Err(TestCaseError::fail(format!("{other:?} where the counts say {fits:?}"))),
            };
            prop_assert_eq!(standings.iter().map(|standing| standing.fits).collect::<Vec<_>>(), fits);
            prop_assert_eq!(standings.iter().map(|standing| u128::from(standing.retry_after_us)).collect::<Vec<_>>(), waits);
            for (standing, count) in standings.iter().zip(counts.iter().flatten()) {
                prop_assert_eq!(u128::from(standing.remaining), count.remaining(asked.now_us));
                prop_assert_eq!(u128::from(standing.reset_after_us), count.refill_us(asked.now_us));
            }
            for ((before, after), cut) in asked.before.iter().zip(&asked.after).zip(cut) {
                prop_assert!((allowed && !asked.peek) || cut || before == after, "{:?} left a trace", asked.decided);
            }
        }
    }

    #[test]
    fn every_bucket_of_a_decision_keeps_its_own_bound(subjects in subjects(), moves in moves(0)) {
        let history = play(&subjects, &moves);
        for (place, limit) in flat(&subjects).into_iter().enumerate() {
            let answer = |asked: &Asked| match &asked.decided {
                Decided::Allowed(standings) => Answer { at_us: asked.now_us, tokens: asked.tokens, peek: asked.peek, standing: standings[place] },
                _ => Answer { at_us: asked.now_us, tokens: 0, peek: asked.peek, standing: unseen(limit) },
            };
            check_intervals(limit, &history.iter().map(answer).collect::<Vec<_>>())?;
        }
    }

    #[test]
    fn a_cost_above_any_burst_is_never_told_to_wait(subjects in subjects(), over in 1..=1000_u32) {
        let flat = flat(&subjects);
        prop_assume!(!flat.is_empty());
        let burst_min = flat.iter().map(|limit| limit.burst()).min().unwrap_or(1);
        prop_assume!(burst_min < 1_000_000_000);
        let limits: Vec<_> = subjects.iter().map(|limits| list(limits)).collect();
        let asks: Vec<_> = limits.iter().map(|limits| Ask { generation: 1, limits }).collect();
        let mut records = vec![Record::default(); subjects.len()];
        let tokens = (burst_min + over).min(1_000_000_000);
        prop_assert_eq!(decide(&mut records, &asks, cost(tokens), false, START_US), Decided::TooCostly);
        prop_assert!(records.iter().all(|record| *record == Record::default()));
    }
}
