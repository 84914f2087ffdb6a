//! How much of a bucket this node is likely to spend soon.

use crate::{Cost, LEASED_MAX};

/// Decisions are counted for so long.
const WINDOW_US: u64 = 50_000;
/// So many of them in one window are steady demand.
const STEADY: u32 = 8;
/// A slice is to last for so long.
const TARGET_US: u64 = 100_000;
/// The shortest time that a rate is read off.
const MEASURED_MIN_US: u64 = 1000;
/// Who was given nothing asks no more for so long: the bucket is low, or others have its slices.
const PAUSE_US: u64 = 50_000;
/// A slice of less is not worth the asking.
const WANT_MIN: u64 = 2;

/// What was asked for lately, as far as it was not paid from a slice.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Demand {
    since_us: u64,
    decisions: u32,
    tokens: u64,
    /// No slice is asked for before.
    paused_until_us: u64,
}

impl Demand {
    pub(super) fn note(&mut self, cost: Cost, now_us: u64) {
        if now_us.saturating_sub(self.since_us) >= WINDOW_US {
            *self = Self { since_us: now_us, decisions: 0, tokens: 0, ..*self };
        }
        self.decisions = self.decisions.saturating_add(1);
        self.tokens = self.tokens.saturating_add(u64::from(cost.tokens()));
    }

    /// Tokens to ask for. `spent`: what became of the last slice, tokens in microseconds.
    pub(super) fn want(&mut self, spent: Option<(u32, u64)>, now_us: u64) -> u32 {
        let want = if now_us < self.paused_until_us { 0 } else { self.expected(spent, now_us) };
        if want > 0 {
            self.paused_until_us = now_us.saturating_add(PAUSE_US);
        }
        want
    }

    /// A slice was given.
    pub(super) fn met(&mut self) {
        self.paused_until_us = 0;
    }

    fn expected(&self, spent: Option<(u32, u64)>, now_us: u64) -> u32 {
        let lately = if self.decisions < STEADY { 0 } else { will_spend(self.tokens, now_us.saturating_sub(self.since_us)) };
        let of_slice = spent.map_or(0, |(tokens, in_us)| will_spend(tokens.into(), in_us));
        let want = lately.max(of_slice).min(LEASED_MAX.into());
        if want < WANT_MIN { 0 } else { u32::try_from(want).unwrap_or(LEASED_MAX) }
    }
}

/// At the rate of `tokens` in `in_us`, so many in the time that a slice is to last.
fn will_spend(tokens: u64, in_us: u64) -> u64 {
    tokens.saturating_mul(TARGET_US) / in_us.max(MEASURED_MIN_US)
}
