//! Denials that a node answers by itself: before which instant a cost cannot pass.
//!
//! A bucket's arrival is the instant at which it is full. Charges only raise it, so what an answer
//! said of it bounds it from below: a cost for which the bucket would not hold enough even so cannot
//! pass. The bound is counted from the instant at which that answer was *asked for*, by the node's
//! own monotonic clock: the store cannot have decided before that, so no denial outlasts the truth.
//! What clients are told is counted from when the answer came: who waits for as long is not early.
//!
//! The store's state may change in ways that nobody tells (a reset, another clock), so nothing is
//! believed for long after the last answer that bore it out.

use tollgate_limits::{Cost, NamedLimit, RateLimit, Standing};

use crate::ports::{SubjectKind, SubjectStanding};

/// So long before a denial has been remembered for as long as it may, one request asks again and
/// the others are still answered: or all that come until the answer is there would ask.
const AHEAD_US: u64 = 20_000;

/// What an answer of the store was worth, by this node's monotonic clock in microseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answered {
    pub(crate) asked_us: u64,
    pub(crate) at_us: u64,
    /// Which state of the store the node trusted when it asked.
    pub(crate) realm: u64,
}

/// What is known of the buckets of one decision, one of which has refused.
#[derive(Debug)]
pub(crate) struct Denial {
    bounds: Vec<Bound>,
    /// Tokens of decisions that have been sent and not been answered: they come first.
    under_way: u64,
    /// The largest cost among them.
    largest: u32,
    /// When the last answer was asked for that bore this out.
    since_us: u64,
    is_asked_anew: bool,
    realm: u64,
    /// Tells this denial from those before it.
    pub(crate) serial: u64,
}

/// Between which instants a bucket's arrival lies, if nobody else charges it.
#[derive(Debug)]
struct Bound {
    kind: SubjectKind,
    named: NamedLimit,
    low_us: u64,
    high_us: u64,
}

impl Denial {
    /// What a denial says, in this form. No tokens may have been in slices when it was given: they
    /// may come back at any moment.
    pub(crate) fn of(standings: &[SubjectStanding], answered: Answered, serial: u64) -> Self {
        let bound = |one: &SubjectStanding| {
            let reset_after_us = one.standing.reset_after_us;
            // The store rounds up.
            let low_us = answered.asked_us.saturating_add(reset_after_us).saturating_sub(1);
            Bound { kind: one.kind, named: one.named.clone(), low_us, high_us: answered.at_us.saturating_add(reset_after_us) }
        };
        let bounds = standings.iter().map(bound).collect();
        Self { bounds, under_way: 0, largest: 0, since_us: answered.asked_us, is_asked_anew: false, realm: answered.realm, serial }
    }

    /// Goes on with what a newer denial says. What was known before is sharper where its answer was
    /// sooner on its way. What is under way may be part of the newer answer already, so it counts no more.
    pub(crate) fn renew(&mut self, newer: Self) {
        let is_same = self.realm == newer.realm && self.bounds.len() == newer.bounds.len();
        let before = std::mem::replace(self, newer);
        if is_same {
            // What says more than the newer answer allows is out of date: a reset, or the like.
            let pairs = self.bounds.iter_mut().zip(before.bounds);
            for (bound, before) in pairs.filter(|(bound, before)| before.low_us <= bound.high_us) {
                bound.low_us = bound.low_us.max(before.low_us);
            }
        }
    }

    /// The figures of a denial of `cost`, if it cannot pass now.
    pub(crate) fn refuse(&mut self, cost: Cost, now_us: u64, realm: u64, life_us: u64) -> Option<Vec<SubjectStanding>> {
        let age_us = now_us.saturating_sub(self.since_us);
        if self.realm != realm || age_us >= life_us || !self.holds(cost, now_us) {
            return None;
        }
        let ahead_us = AHEAD_US.min(life_us / 4);
        if age_us.saturating_add(ahead_us) >= life_us && !std::mem::replace(&mut self.is_asked_anew, true) {
            return None;
        }
        let (before, tokens) = self.wanted(cost);
        Some(self.bounds.iter().map(|bound| bound.standing(before, tokens, now_us)).collect())
    }

    /// The tokens that come before a request of that cost, and those with its own. One that is dearer
    /// may be refused where this one passes, so what is under way does not count then.
    fn wanted(&self, cost: Cost) -> (u64, u64) {
        let before = if self.largest <= cost.tokens() { self.under_way } else { 0 };
        (before, before.saturating_add(cost.tokens().into()))
    }

    fn holds(&self, cost: Cost, now_us: u64) -> bool {
        let (_, tokens) = self.wanted(cost);
        self.bounds.iter().any(|bound| bound.refuses(tokens, now_us))
    }

    /// A decision on so many tokens has been sent.
    pub(crate) fn send(&mut self, tokens: u32) {
        self.under_way = self.under_way.saturating_add(tokens.into());
        self.largest = self.largest.max(tokens);
    }

    /// It was not charged, or nobody knows.
    pub(crate) fn take_back(&mut self, tokens: u32) {
        self.under_way = self.under_way.saturating_sub(tokens.into());
        if self.under_way == 0 {
            self.largest = 0;
        }
        self.is_asked_anew = false;
    }

    /// It was charged, and the buckets stand so. Whether what was known still holds.
    pub(crate) fn charged(&mut self, cost: Cost, standings: &[SubjectStanding], answered: Answered) -> bool {
        self.take_back(cost.tokens());
        for (bound, seen) in self.bounds.iter_mut().zip(standings) {
            let full_us = answered.at_us.saturating_add(seen.standing.reset_after_us);
            bound.charge(cost, answered.at_us);
            // Others charge it too. How low it can be, that does not tell: slices may be out.
            bound.high_us = bound.high_us.max(full_us);
            // Fuller than it can be: it was reset, or so.
            if full_us < bound.low_us {
                return false;
            }
        }
        if self.holds(cost, answered.at_us) {
            self.since_us = self.since_us.max(answered.asked_us);
        }
        self.realm == answered.realm && self.bounds.len() == standings.len()
    }
}

impl Bound {
    /// Whether the bucket cannot hold so many tokens yet.
    fn refuses(&self, tokens: u64, now_us: u64) -> bool {
        let limit = self.named.limit;
        now_us.saturating_add(limit.period_us()) < self.low_us.saturating_add(worth_us(tokens, limit))
    }

    fn charge(&mut self, cost: Cost, now_us: u64) {
        let tokens = cost.tokens().into();
        self.low_us = self.low_us.saturating_add(worth_us(tokens, self.named.limit));
        self.high_us = self.high_us.max(now_us).saturating_add(worth_up_us(tokens, self.named.limit));
    }

    /// The figures for whoever asks for what is missing to `tokens`, behind those under way.
    fn standing(&self, under_way: u64, tokens: u64, now_us: u64) -> SubjectStanding {
        let (limit, period_us) = (self.named.limit, self.named.limit.period_us());
        let full_us = self.high_us.saturating_add(worth_up_us(under_way, limit));
        let reset_after_us = full_us.saturating_sub(now_us).min(period_us);
        let (wanted_us, burst) = (worth_up_us(tokens.saturating_sub(under_way), limit), u128::from(limit.burst()));
        let retry_after_us = reset_after_us.saturating_add(wanted_us).saturating_sub(period_us);
        let left = u128::from(period_us - reset_after_us) * burst / u128::from(period_us);
        let remaining = u32::try_from(left).unwrap_or(limit.burst());
        let standing = Standing { fits: retry_after_us == 0, remaining, retry_after_us, reset_after_us };
        SubjectStanding { kind: self.kind, named: self.named.clone(), standing }
    }
}

/// The time in which so many tokens come, rounded down.
fn worth_us(tokens: u64, limit: RateLimit) -> u64 {
    u64::try_from(u128::from(tokens) * u128::from(limit.period_us()) / u128::from(limit.burst())).unwrap_or(u64::MAX)
}

/// The same, rounded up.
fn worth_up_us(tokens: u64, limit: RateLimit) -> u64 {
    u64::try_from((u128::from(tokens) * u128::from(limit.period_us())).div_ceil(u128::from(limit.burst()))).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
