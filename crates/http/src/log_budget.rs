//! How many lines about refused requests a second may cost.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

/// Lines about refusals at `info`; the rest of a second's goes to `debug`.
const LINES_PER_SECOND_MAX: u64 = 100;

/// A flood of bad requests must not become a flood of log lines: writing one costs about as much
/// as answering the request.
#[derive(Debug)]
pub(crate) struct LogBudget {
    started: Instant,
    /// The second in the upper 32 bits, the lines written in it below.
    spent: AtomicU64,
}

impl LogBudget {
    pub(crate) fn new() -> Self {
        Self { started: Instant::now(), spent: AtomicU64::new(0) }
    }

    /// Whether one more line may be written now.
    pub(crate) fn take(&self) -> bool {
        self.take_at(self.started.elapsed().as_secs())
    }

    fn take_at(&self, second: u64) -> bool {
        let window = second << 32;
        let next = |spent: u64| match spent {
            spent if spent & !0xffff_ffff != window => Some(window | 1),
            spent if spent & 0xffff_ffff < LINES_PER_SECOND_MAX => Some(spent + 1),
            _ => None,
        };
        self.spent.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_so_many_lines_and_the_next_as_many() {
        let budget = LogBudget::new();
        for second in [0, 1, 7] {
            let taken = (0..LINES_PER_SECOND_MAX * 3).filter(|_| budget.take_at(second)).count();
            assert_eq!(taken, 100, "in second {second}");
        }
    }
}
