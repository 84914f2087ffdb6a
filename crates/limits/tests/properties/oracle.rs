//! A token bucket that counts tokens: the picture in every textbook, in exact units.

use tollgate_limits::RateLimit;

/// A bucket whose level is a count of `1 / period_us` tokens.
///
/// In that unit a token is `period_us`, a microsecond refills `burst`, and all of it is whole.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TokenCount {
    limit: RateLimit,
    /// Level and instant of the last change; `None` for a full bucket, whatever the clock says.
    state: Option<(u128, u64)>,
}

impl TokenCount {
    pub(crate) fn full(limit: RateLimit) -> Self {
        Self { limit, state: None }
    }

    fn token(self) -> u128 {
        u128::from(self.limit.period_us())
    }

    fn per_us(self) -> u128 {
        u128::from(self.limit.burst())
    }

    fn capacity(self) -> u128 {
        self.token() * self.per_us()
    }

    /// The level at `now_us`. A clock that stepped back takes out what it had refilled, but never
    /// more than there is.
    fn level(self, now_us: u64) -> u128 {
        match self.state {
            None => self.capacity(),
            Some((level, at_us)) if now_us >= at_us => self.capacity().min(level + u128::from(now_us - at_us) * self.per_us()),
            Some((level, at_us)) => level.saturating_sub(u128::from(at_us - now_us) * self.per_us()),
        }
    }

    /// Whether the clock stepped back by more than the level: the bucket starts from empty.
    pub(crate) fn is_cut(self, now_us: u64) -> bool {
        self.state.is_some_and(|(level, at_us)| at_us > now_us && u128::from(at_us - now_us) * self.per_us() > level)
    }

    pub(crate) fn fits(self, cost: u32, now_us: u64) -> bool {
        self.level(now_us) >= u128::from(cost) * self.token()
    }

    pub(crate) fn remaining(self, now_us: u64) -> u128 {
        self.level(now_us) / self.token()
    }

    /// Microseconds until `cost` is there.
    pub(crate) fn wait_us(self, cost: u32, now_us: u64) -> u128 {
        (u128::from(cost) * self.token()).saturating_sub(self.level(now_us)).div_ceil(self.per_us())
    }

    /// Microseconds until the bucket is full.
    pub(crate) fn refill_us(self, now_us: u64) -> u128 {
        (self.capacity() - self.level(now_us)).div_ceil(self.per_us())
    }

    /// Takes `cost` out, which must be there, and remembers the level. A cost of 0 remembers it.
    pub(crate) fn spend(&mut self, cost: u32, now_us: u64) {
        let level = self.level(now_us) - u128::from(cost) * self.token();
        self.state = (level < self.capacity()).then_some((level, now_us));
    }

    /// Whether it is kept under another limit than `limit`, and anything is missing from it.
    pub(crate) fn is_outdated(self, limit: RateLimit, now_us: u64) -> bool {
        self.limit != limit && self.level(now_us) < self.capacity()
    }

    /// The same bucket under a limit: what is missing stays missing, as far as there is room for
    /// it, and a part of a unit counts as a whole one.
    pub(crate) fn under(self, limit: RateLimit, now_us: u64) -> Self {
        if self.limit == limit {
            return self;
        }
        let missing = self.capacity() - self.level(now_us);
        let changed = Self::full(limit);
        let missing = (missing * changed.token()).div_ceil(self.token()).min(changed.capacity());
        Self { state: (missing > 0).then_some((changed.capacity() - missing, now_us)), ..changed }
    }
}
