//! Rate limits and lists of them: bad values cannot be built.

use std::sync::Arc;

use crate::LimitName;

/// A token bucket's figures: capacity `burst`, refilled evenly, `burst` tokens in `per_seconds`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RateLimit {
    burst: u32,
    per_seconds: u32,
}

/// Figures that are no rate limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RateLimitError {
    /// The capacity is zero or too large.
    #[error("burst must be a whole number from 1 to {max}", max = RateLimit::BURST_MAX)]
    Burst,
    /// The period is zero or longer than 31 days.
    #[error("per_seconds must be a whole number from 1 to {max}", max = RateLimit::PER_SECONDS_MAX)]
    PerSeconds,
}

impl RateLimit {
    /// The largest capacity, in tokens.
    pub const BURST_MAX: u32 = 1_000_000_000;
    /// The longest period: 31 days.
    pub const PER_SECONDS_MAX: u32 = 2_678_400;

    /// Checks both ranges: `1..=BURST_MAX` tokens, `1..=PER_SECONDS_MAX` seconds.
    pub fn new(burst: u64, per_seconds: u64) -> Result<Self, RateLimitError> {
        let burst = in_range(burst, Self::BURST_MAX).ok_or(RateLimitError::Burst)?;
        let per_seconds = in_range(per_seconds, Self::PER_SECONDS_MAX).ok_or(RateLimitError::PerSeconds)?;
        Ok(Self { burst, per_seconds })
    }

    /// The capacity in tokens, at least 1.
    pub fn burst(self) -> u32 {
        self.burst
    }

    /// The time in which an empty bucket becomes full, in seconds, at least 1.
    pub fn per_seconds(self) -> u32 {
        self.per_seconds
    }

    /// The same time in microseconds, at most 2.7 × 10¹².
    pub fn period_us(self) -> u64 {
        u64::from(self.per_seconds) * 1_000_000
    }
}

fn in_range(value: u64, max: u32) -> Option<u32> {
    u32::try_from(value).ok().filter(|value| (1..=max).contains(value))
}

/// A rate limit with the name that its bucket goes by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedLimit {
    /// The name, unique in its list.
    pub name: LimitName,
    /// The figures.
    pub limit: RateLimit,
}

/// The limits of one key or owner, all of which must allow. Empty means unlimited.
///
/// Cheap to clone: the list is shared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateLimits(Arc<[NamedLimit]>);

/// A list that cannot be decided on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RateLimitsError {
    /// More than [`RateLimits::MAX`] limits.
    #[error("at most {max} limits in a list", max = RateLimits::MAX)]
    TooMany,
    /// Two limits that share a name, or the short form of it that buckets are stored under.
    #[error("limit names must differ: \"{0}\" cannot stand beside another of this list")]
    SameName(LimitName),
}

impl RateLimits {
    /// The longest list.
    pub const MAX: usize = 4;

    /// No limit at all.
    pub fn unlimited() -> Self {
        Self(Arc::new([]))
    }

    /// One limit under a name.
    pub fn one(name: LimitName, limit: RateLimit) -> Self {
        Self(Arc::new([NamedLimit { name, limit }]))
    }

    /// A list of at most [`RateLimits::MAX`] limits with different names.
    pub fn new(limits: Vec<NamedLimit>) -> Result<Self, RateLimitsError> {
        if limits.len() > Self::MAX {
            return Err(RateLimitsError::TooMany);
        }
        for (place, named) in limits.iter().enumerate() {
            if limits.iter().take(place).any(|earlier| earlier.name.id() == named.name.id()) {
                return Err(RateLimitsError::SameName(named.name.clone()));
            }
        }
        Ok(Self(limits.into()))
    }

    /// The limits in their order.
    pub fn as_slice(&self) -> &[NamedLimit] {
        &self.0
    }

    /// True where nothing is limited.
    pub fn is_unlimited(&self) -> bool {
        self.0.is_empty()
    }

    /// The smallest burst: a cost above it can never pass. `None` where nothing is limited.
    pub fn burst_min(&self) -> Option<u32> {
        self.0.iter().map(|named| named.limit.burst()).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_closed_at_both_ends() {
        assert!(RateLimit::new(1, 1).is_ok());
        assert!(RateLimit::new(1_000_000_000, 2_678_400).is_ok());
        assert_eq!(RateLimit::new(0, 1), Err(RateLimitError::Burst));
        assert_eq!(RateLimit::new(1_000_000_001, 1), Err(RateLimitError::Burst));
        assert_eq!(RateLimit::new(1, 0), Err(RateLimitError::PerSeconds));
        assert_eq!(RateLimit::new(1, 2_678_401), Err(RateLimitError::PerSeconds));
        assert_eq!(RateLimit::new(u64::MAX, u64::MAX), Err(RateLimitError::Burst));
    }

    #[test]
    fn a_list_holds_four_different_names() {
        let named = |name: &str| NamedLimit {
            name: LimitName::new(name).expect("a good name"),
            limit: RateLimit::new(1, 1).expect("a good limit"),
        };
        assert!(RateLimits::new(["a", "b", "c", "d"].map(named).to_vec()).is_ok());
        assert_eq!(RateLimits::new(["a", "b", "c", "d", "e"].map(named).to_vec()), Err(RateLimitsError::TooMany));
        assert!(matches!(RateLimits::new(["a", "b", "a"].map(named).to_vec()), Err(RateLimitsError::SameName(_))));
    }
}
