//! A few look-ups in a burst, and a few more every second.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::preauth::TooManyFailures;

/// Look-ups that this node allows itself for ids which it cannot tell.
#[derive(Debug, Clone, Copy)]
pub struct BudgetOptions {
    /// At once, at least 1.
    pub burst: u32,
    /// Every second from then on, at least 1.
    pub per_second: u32,
}

#[derive(Debug)]
pub(crate) struct Budget {
    interval: Duration,
    window: Duration,
    /// When all that was taken will have come back.
    full_at: Mutex<Option<Instant>>,
}

impl Budget {
    pub(crate) fn new(options: BudgetOptions) -> Self {
        let interval = Duration::from_secs(1) / options.per_second.max(1);
        Self { interval, window: interval * options.burst.max(1), full_at: Mutex::default() }
    }

    /// Takes one look-up, or says when there will be one to take.
    pub(crate) fn take(&self, now: Instant) -> Result<(), TooManyFailures> {
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let next = full_at.map_or(now, |at| at.max(now)) + self.interval;
        let retry_after = (next - now).saturating_sub(self.window);
        if retry_after > Duration::ZERO {
            return Err(TooManyFailures { retry_after });
        }
        *full_at = Some(next);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(budget: &Budget, now: Instant, wanted: u32) -> u32 {
        (0..wanted).map(|_| u32::from(budget.take(now).is_ok())).sum()
    }

    #[test]
    fn a_burst_and_then_so_many_a_second() {
        let budget = Budget::new(BudgetOptions { burst: 50, per_second: 10 });
        let start = Instant::now();
        assert_eq!(taken(&budget, start, 1000), 50);
        assert_eq!(budget.take(start), Err(TooManyFailures { retry_after: Duration::from_millis(100) }));
        let mut all = 50;
        for tick in 1..=100 {
            all += taken(&budget, start + Duration::from_millis(100 * tick), 1000);
        }
        assert_eq!(all, 150, "ten seconds of ten");
        assert_eq!(taken(&budget, start + Duration::from_hours(1), 1000), 50, "never more than the burst");
    }

    #[test]
    fn it_says_when_to_come_again() {
        let budget = Budget::new(BudgetOptions { burst: 1, per_second: 1 });
        let start = Instant::now();
        assert_eq!(budget.take(start), Ok(()));
        assert_eq!(budget.take(start + Duration::from_millis(1)).map_err(TooManyFailures::retry_after_s), Err(1));
        assert_eq!(budget.take(start + Duration::from_millis(999)), Err(TooManyFailures { retry_after: Duration::from_millis(1) }));
        assert_eq!(budget.take(start + Duration::from_secs(1)), Ok(()));
    }
}
