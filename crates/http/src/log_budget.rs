//! How many lines about refused requests a second may cost.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

/// A flood of bad requests must not become a flood of log lines: writing one costs about as much
/// as answering the request.
#[derive(Debug)]
pub(crate) struct LogBudget {
    started: Instant,
    lines_per_second_max: u64,
    /// The second in the upper 32 bits, the lines written in it below.
    spent: AtomicU64,
}

impl LogBudget {
    pub(crate) fn new(lines_per_second_max: u32) -> Self {
        Self { started: Instant::now(), lines_per_second_max: lines_per_second_max.into(), spent: AtomicU64::new(0) }
    }

    /// Whether one more line may be written now.
    pub(crate) fn take(&self) -> bool {
        self.take_at(self.started.elapsed().as_secs())
    }

    fn take_at(&self, second: u64) -> bool {
        let window = second << 32;
        let next = |spent: u64| match spent {
            _ if self.lines_per_second_max == 0 => None,
            spent if spent & !0xffff_ffff != window => Some(window | 1),
            spent if spent & 0xffff_ffff < self.lines_per_second_max => Some(spent + 1),
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
        for max in [0, 1, 100] {
            let budget = LogBudget::new(max);
            for second in [0, 1, 7] {
                let taken = (0..300).filter(|_| budget.take_at(second)).count();
                assert_eq!(taken, usize::try_from(max).expect("small"), "in second {second}");
            }
        }
    }
}
