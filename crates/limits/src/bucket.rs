//! One bucket: an instant, and the sums that are done with it.
//!
//! A bucket of burst `B` and period `P` µs is full at its *arrival time* `t`; one token is worth
//! `P / B` µs. Taking `c` tokens moves `t` by `c · P / B`, and is allowed if that leaves `t` at
//! most one period ahead of now. Every instant is `whole + frac / B` µs with `frac < B`, so all
//! of it is exact; products are taken in 128 bits.
//!
//! Nothing here can overflow, whatever the instants: sums of instants saturate, 584,000 years
//! after 1970. A store may allow less: a record's encoding ends at 2⁵⁶ µs.

use crate::{Cost, RateLimit};

/// The instant at which a bucket is full: `whole_us + frac / burst` microseconds since 1970.
///
/// Instants can be compared under one burst only, except with a whole microsecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Arrival {
    /// Whole microseconds since 1970.
    pub whole_us: u64,
    /// The rest, in parts of one microsecond divided by the burst; below the burst.
    pub frac: u32,
}

/// What a cost is worth in time: `whole_us + frac / burst` microseconds, at most one period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Whole microseconds.
    pub whole_us: u64,
    /// The rest, in parts of one microsecond divided by the burst; below the burst.
    pub frac: u32,
}

/// One bucket as it is stored: under which name and figures it was written, and when it is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    /// The short form of the limit's name ([`crate::LimitName::id`]).
    pub name_id: u32,
    /// The figures that `arrival` is to be read under.
    pub limit: RateLimit,
    /// When the bucket is full.
    pub arrival: Arrival,
}

/// What a caller may know of one bucket after a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Whether this bucket let the cost pass.
    pub fits: bool,
    /// Whole tokens left.
    pub remaining: u32,
    /// Microseconds until the same cost fits, rounded up; 0 where it fitted.
    pub retry_after_us: u64,
    /// Microseconds until the bucket is full, rounded up.
    pub reset_after_us: u64,
}

impl Step {
    /// The worth of `cost` under `limit`, or `None` where the cost is above the burst and can
    /// never pass.
    pub fn of(cost: Cost, limit: RateLimit) -> Option<Self> {
        if cost.tokens() > limit.burst() {
            return None;
        }
        Some(Self::of_tokens(cost.tokens(), limit))
    }

    /// The worth of so many tokens, or of a burst if they are more.
    pub(crate) fn of_tokens(tokens: u32, limit: RateLimit) -> Self {
        let (whole_us, frac) = divide(u128::from(tokens.min(limit.burst())) * u128::from(limit.period_us()), limit.burst());
        Self { whole_us, frac }
    }
}

impl Arrival {
    /// A bucket that is full at `now_us`.
    pub fn full_at(now_us: u64) -> Self {
        Self { whole_us: now_us, frac: 0 }
    }

    /// This instant as of `now_us`: never in the past (a bucket does not fill above its burst),
    /// never more than one period ahead (only a clock that stepped back makes that; the excess
    /// is cut so that refill resumes at once).
    #[must_use]
    pub fn settled(self, limit: RateLimit, now_us: u64) -> Self {
        self.max(Self::full_at(now_us)).min(Self::empty_at(limit, now_us))
    }

    /// This instant moved by `step`.
    #[must_use]
    pub fn after(self, step: Step, limit: RateLimit) -> Self {
        let (carry, frac) = divide(u128::from(self.frac) + u128::from(step.frac), limit.burst());
        Self { whole_us: self.whole_us.saturating_add(step.whole_us).saturating_add(carry), frac }
    }

    /// This instant moved back by `step`.
    #[must_use]
    pub(crate) fn before(self, step: Step, limit: RateLimit) -> Self {
        let (borrow, frac) = match self.frac.checked_sub(step.frac) {
            Some(frac) => (0, frac),
            None => (1, self.frac + (limit.burst() - step.frac)),
        };
        Self { whole_us: self.whole_us.saturating_sub(step.whole_us).saturating_sub(borrow), frac }
    }

    /// Whether a bucket that is full at this instant holds no less than nothing at `now_us`.
    pub fn within(self, limit: RateLimit, now_us: u64) -> bool {
        self <= Self::empty_at(limit, now_us)
    }

    /// The same debt of tokens under another limit: `min(debt, new burst)`, rounded up to the
    /// next part of a microsecond, so a change never forgives debt that the new burst can hold.
    #[must_use]
    pub fn converted(self, old: RateLimit, new: RateLimit, now_us: u64) -> Self {
        // Under any limit one token is `period` parts of a microsecond divided by the burst.
        let (old_token, new_token) = (u128::from(old.period_us()), u128::from(new.period_us()));
        let debt = self.settled(old, now_us).parts_ahead_of(now_us, old);
        let capped = debt.min(old_token * u128::from(new.burst()));
        let (whole, frac) = divide((capped * new_token).div_ceil(old_token), new.burst());
        Self { whole_us: now_us.saturating_add(whole), frac }
    }

    /// When a bucket that holds nothing at `now_us` is full.
    pub(crate) fn empty_at(limit: RateLimit, now_us: u64) -> Self {
        Self::full_at(now_us.saturating_add(limit.period_us()))
    }

    /// How far this instant lies ahead of `now_us`, in parts of a microsecond divided by the burst.
    fn parts_ahead_of(self, now_us: u64, limit: RateLimit) -> u128 {
        let parts = |whole| u128::from(whole) * u128::from(limit.burst()) + u128::from(self.frac);
        self.whole_us.checked_sub(now_us).map_or(0, parts)
    }
}

impl Standing {
    /// Reads a bucket's figures off the arrival time that a decision left.
    ///
    /// `refused` is the step that did not fit, `None` where the bucket let it pass. `arrival`
    /// must be settled at `now_us`.
    pub fn read(arrival: Arrival, limit: RateLimit, refused: Option<Step>, now_us: u64) -> Self {
        let burst = u128::from(limit.burst());
        let period = u128::from(limit.period_us());
        let ahead = arrival.parts_ahead_of(now_us, limit);
        let free = (period * burst).saturating_sub(ahead);
        let wait = refused.map_or(0, |step| {
            let needed = ahead + u128::from(step.whole_us) * burst + u128::from(step.frac);
            needed.saturating_sub(period * burst)
        });
        Self {
            fits: refused.is_none(),
            remaining: u32::try_from(free / period).unwrap_or(u32::MAX),
            retry_after_us: u64::try_from(wait.div_ceil(burst)).unwrap_or(u64::MAX),
            reset_after_us: u64::try_from(ahead.div_ceil(burst)).unwrap_or(u64::MAX),
        }
    }
}

/// Whole part and remainder of `parts / burst`.
fn divide(parts: u128, burst: u32) -> (u64, u32) {
    let burst = u128::from(burst);
    (u64::try_from(parts / burst).unwrap_or(u64::MAX), u32::try_from(parts % burst).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000_000_000;
    const DAYS_31: u64 = 2_678_400;

    fn limit(burst: u64, per_seconds: u64) -> RateLimit {
        RateLimit::new(burst, per_seconds).expect("a good limit")
    }

    fn step(tokens: u64, limit: RateLimit) -> Step {
        Step::of(Cost::new(tokens).expect("a good cost"), limit).expect("a cost within the burst")
    }

    #[test]
    fn a_step_is_exact() {
        assert_eq!(step(1, limit(3, 1)), Step { whole_us: 333_333, frac: 1 });
        assert_eq!(step(2, limit(3, 1)), Step { whole_us: 666_666, frac: 2 });
        assert_eq!(step(3, limit(3, 1)), Step { whole_us: 1_000_000, frac: 0 });
        assert_eq!(step(1, limit(1_000_000_000, 1)), Step { whole_us: 0, frac: 1_000_000 });
        assert_eq!(step(999_999_999, limit(1_000_000_000, DAYS_31)), Step { whole_us: 2_678_399_997_321, frac: 600_000_000 });
    }

    #[test]
    fn a_cost_above_the_burst_has_no_step() {
        assert_eq!(Step::of(Cost::new(4).expect("a good cost"), limit(3, 1)), None);
    }

    #[test]
    fn parts_carry_into_whole_microseconds() {
        let thirds = limit(3, 1);
        let one = Arrival::full_at(NOW).after(step(1, thirds), thirds);
        let two = one.after(step(1, thirds), thirds);
        assert_eq!(two, Arrival { whole_us: NOW + 666_666, frac: 2 });
        assert_eq!(two.after(step(1, thirds), thirds), Arrival::full_at(NOW + 1_000_000));
    }

    #[test]
    fn a_part_beyond_one_period_does_not_fit() {
        let thirds = limit(3, 1);
        assert!(Arrival::full_at(NOW + 1_000_000).within(thirds, NOW));
        assert!(!Arrival { whole_us: NOW + 1_000_000, frac: 1 }.within(thirds, NOW));
    }

    #[test]
    fn settles_between_now_and_one_period_ahead() {
        let thirds = limit(3, 1);
        assert_eq!(Arrival { whole_us: NOW - 1, frac: 2 }.settled(thirds, NOW), Arrival::full_at(NOW));
        let ahead = Arrival { whole_us: NOW + 999_999, frac: 2 };
        assert_eq!(ahead.settled(thirds, NOW), ahead);
        assert_eq!(ahead.settled(thirds, NOW - 1), Arrival::full_at(NOW + 999_999));
        assert_eq!(ahead.settled(thirds, 0), Arrival::full_at(1_000_000));
    }

    #[test]
    fn a_standing_rounds_against_the_caller() {
        let thirds = limit(3, 1);
        let spent = Arrival::full_at(NOW).after(step(2, thirds), thirds);
        let of_two = Standing::read(spent, thirds, Some(step(2, thirds)), NOW);
        assert_eq!(of_two, Standing { fits: false, remaining: 1, retry_after_us: 333_334, reset_after_us: 666_667 });
        let passed = Standing::read(spent, thirds, None, NOW);
        assert_eq!(passed, Standing { fits: true, remaining: 1, retry_after_us: 0, reset_after_us: 666_667 });
    }

    #[test]
    fn a_conversion_keeps_the_debt_in_tokens() {
        let (daily, fast, slow) = (limit(1, DAYS_31), limit(1000, 60), limit(1000, DAYS_31));
        let spent = Arrival::full_at(NOW + daily.period_us());
        assert_eq!(spent.converted(daily, fast, NOW), Arrival::full_at(NOW + 60_000));
        let exhausted = Arrival::full_at(NOW + fast.period_us());
        assert_eq!(exhausted.converted(fast, slow, NOW), Arrival::full_at(NOW + slow.period_us()));
        assert_eq!(exhausted.converted(fast, daily, NOW), spent);
    }

    #[test]
    fn a_conversion_rounds_the_debt_up() {
        let (long, short) = (limit(7, 3), limit(7, 1));
        let one_part = Arrival { whole_us: NOW, frac: 1 };
        assert_eq!(one_part.converted(long, short, NOW), one_part);
        assert_eq!(Arrival { whole_us: NOW, frac: 4 }.converted(long, short, NOW), Arrival { whole_us: NOW, frac: 2 });
    }

    #[test]
    fn a_conversion_settles_first() {
        let (old, new) = (limit(10, 1), limit(1000, 1));
        assert_eq!(Arrival { whole_us: NOW - 1, frac: 9 }.converted(old, new, NOW), Arrival::full_at(NOW));
        assert_eq!(Arrival::full_at(NOW * 2).converted(old, new, NOW), Arrival::full_at(NOW + 10_000));
    }

    #[test]
    fn absurd_instants_do_not_overflow() {
        let (widest, least) = (limit(1_000_000_000, DAYS_31), limit(1, 1));
        for now in [0, (1 << 53) - 1, 1 << 53, (1 << 56) - 1, u64::MAX - 1, u64::MAX] {
            for stored in [0, now, u64::MAX].map(|whole_us| Arrival { whole_us, frac: 999_999_999 }) {
                let after = stored.settled(widest, now).after(step(1_000_000_000, widest), widest);
                let standing = Standing::read(after, widest, Some(step(1_000_000_000, widest)), now);
                assert!(standing.remaining <= widest.burst());
                assert!(stored.converted(widest, least, now).within(least, now));
                assert!(stored.converted(least, widest, now).whole_us >= now);
            }
        }
    }
}
