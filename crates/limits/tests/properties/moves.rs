//! What random histories are made of: limits, and moves that seek the edges of a bucket.

use proptest::{collection::vec, prelude::*};
use tollgate_limits::{RateLimit, Standing};

use crate::subject::{Subject, limit};

/// An instant of today's size, in microseconds since 1970.
pub(crate) const START_US: u64 = 1_800_000_000_123_457;

/// Capacities: the ends of the range, primes, and all sizes between.
pub(crate) const BURSTS: [u64; 10] = [1, 2, 3, 7, 10, 997, 1000, 1 << 29, 999_999_937, 1_000_000_000];
/// Periods in seconds: the ends of the range, primes, and usual ones.
pub(crate) const PERIODS: [u64; 8] = [1, 2, 7, 60, 3600, 86_400, 2_678_399, 2_678_400];

/// Any limit, the edges often.
pub(crate) fn limits() -> impl Strategy<Value = RateLimit> {
    let burst = prop_oneof![proptest::sample::select(&BURSTS[..]), 1..=20_u64, 1..=10_000_u64, 1..=1_000_000_000_u64];
    let per_seconds = prop_oneof![proptest::sample::select(&PERIODS[..]), 1..=100_u64, 1..=2_678_400_u64];
    (burst, per_seconds).prop_map(|(burst, per_seconds)| limit(burst, per_seconds))
}

/// How much time passes before the next request, in terms of the bucket.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Gap {
    Micros(u64),
    /// Eighths of the time that refills one token.
    Tokens(u64),
    /// Eighths of the period.
    Periods(u64),
    /// The `retry_after` seen last, less one microsecond, exact, or one more.
    Retry(u64),
    /// The same of `reset_after`.
    Reset(u64),
}

impl Gap {
    pub(crate) fn micros(self, limit: RateLimit, seen: Standing) -> u64 {
        match self {
            Self::Micros(micros) => micros,
            Self::Tokens(eighths) => limit.period_us() * eighths / 8 / u64::from(limit.burst()),
            Self::Periods(eighths) => limit.period_us() / 8 * eighths,
            Self::Retry(edge) => (seen.retry_after_us + edge).saturating_sub(1),
            Self::Reset(edge) => (seen.reset_after_us + edge).saturating_sub(1),
        }
    }
}

/// What a request costs, in terms of the bucket.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Spend {
    One,
    All,
    /// 65 536ths of the burst.
    Share(u16),
    /// What was seen remaining last, or one more.
    Left(u32),
}

impl Spend {
    pub(crate) fn tokens(self, burst: u32, seen: Standing) -> u32 {
        let tokens = match self {
            Self::One => 1,
            Self::All => burst,
            Self::Share(share) => u32::try_from((u64::from(burst) * u64::from(share)) >> 16).expect("below the burst"),
            Self::Left(more) => seen.remaining + more,
        };
        tokens.clamp(1, burst)
    }
}

/// One step of a history: time passes (or the clock steps back), then a request comes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Move {
    pub(crate) back: bool,
    pub(crate) gap: Gap,
    pub(crate) spend: Spend,
    pub(crate) peek: bool,
}

impl Move {
    /// The clock after this move's time has passed.
    pub(crate) fn clock(self, now_us: u64, limit: RateLimit, seen: Standing) -> u64 {
        let gap = self.gap.micros(limit, seen);
        if self.back { now_us.saturating_sub(gap) } else { now_us + gap }
    }
}

fn gaps() -> impl Strategy<Value = Gap> {
    prop_oneof![
        3 => Just(Gap::Micros(0)),
        1 => (1..=3_u64).prop_map(Gap::Micros),
        1 => (0..=100_000_000_u64).prop_map(Gap::Micros),
        3 => (0..=32_u64).prop_map(Gap::Tokens),
        2 => (0..=17_u64).prop_map(Gap::Periods),
        3 => (0..=2_u64).prop_map(Gap::Retry),
        1 => (0..=2_u64).prop_map(Gap::Reset),
    ]
}

fn spends() -> impl Strategy<Value = Spend> {
    prop_oneof![
        3 => Just(Spend::One),
        1 => Just(Spend::All),
        2 => any::<u16>().prop_map(Spend::Share),
        3 => (0..=1_u32).prop_map(Spend::Left),
    ]
}

/// Up to 100 moves; where `steps` is above 0, that share of them in a hundred step the clock back.
pub(crate) fn moves(steps: u32) -> impl Strategy<Value = Vec<Move>> {
    let back = (0..100_u32).prop_map(move |dice| dice < steps);
    let peek = prop::bool::weighted(0.1);
    vec((back, gaps(), spends(), peek).prop_map(|(back, gap, spend, peek)| Move { back, gap, spend, peek }), 1..100)
}

/// What a caller knows before the first request.
pub(crate) fn unseen(limit: RateLimit) -> Standing {
    Standing { fits: true, remaining: limit.burst(), retry_after_us: 0, reset_after_us: 0 }
}

/// One request of a history, as it was answered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answer {
    pub(crate) at_us: u64,
    pub(crate) tokens: u32,
    pub(crate) peek: bool,
    pub(crate) standing: Standing,
}

impl Answer {
    /// What this request was let pass with.
    pub(crate) fn admitted(self) -> u32 {
        if self.standing.fits && !self.peek { self.tokens } else { 0 }
    }
}

/// Plays a history against a fresh subject.
pub(crate) fn play(limit: RateLimit, moves: &[Move]) -> (Subject, Vec<Answer>) {
    let (mut subject, mut now_us, mut seen) = (Subject::fresh(limit), START_US, unseen(limit));
    let answer = |step: &Move| {
        now_us = step.clock(now_us, limit, seen);
        let tokens = step.spend.tokens(limit.burst(), seen);
        seen = subject.decide(tokens, step.peek, now_us);
        Answer { at_us: now_us, tokens, peek: step.peek, standing: seen }
    };
    let answers = moves.iter().map(answer).collect();
    (subject, answers)
}
