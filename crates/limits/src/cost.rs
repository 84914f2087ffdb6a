//! What one request spends.

use std::num::NonZeroU32;

/// Tokens that one request spends: 1 to 1 000 000 000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cost(NonZeroU32);

/// A cost that no bucket can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cost must be a whole number from 1 to {max}", max = Cost::MAX)]
pub struct CostError;

impl Cost {
    /// The largest cost: a request that costs more than any burst can never pass.
    pub const MAX: u32 = crate::RateLimit::BURST_MAX;
    /// The cost of a request that names none.
    pub const ONE: Cost = Cost(NonZeroU32::MIN);

    /// Checks the range 1 to [`Cost::MAX`].
    pub fn new(tokens: u64) -> Result<Self, CostError> {
        let small = u32::try_from(tokens).ok().filter(|tokens| *tokens <= Self::MAX);
        small.and_then(NonZeroU32::new).map(Self).ok_or(CostError)
    }

    /// The cost in tokens.
    pub fn tokens(self) -> u32 {
        self.0.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_one_to_the_largest_burst_and_nothing_else() {
        assert_eq!(Cost::new(0), Err(CostError));
        assert_eq!(Cost::new(1), Ok(Cost::ONE));
        assert_eq!(Cost::new(1_000_000_000).map(Cost::tokens), Ok(1_000_000_000));
        assert_eq!(Cost::new(1_000_000_001), Err(CostError));
        assert_eq!(Cost::new(u64::MAX), Err(CostError));
    }
}
