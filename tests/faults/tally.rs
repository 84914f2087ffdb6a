//! Load that goes on while something is broken, and what it came to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use tokio::task::JoinHandle;

use super::PERIOD;
use crate::support::{Load, Shot};

/// A load that is under way. It ends with this value: a test that fails elsewhere kills its nodes,
/// and a load that went on would bury the reason under broken connections.
#[derive(Debug)]
pub(crate) struct Running {
    stop: Arc<AtomicBool>,
    task: JoinHandle<Vec<Shot>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What a load came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) attempts: u64,
    pub(crate) admitted: u64,
    pub(crate) limited: u64,
    pub(crate) unavailable: u64,
}

impl Running {
    /// Fires until told to stop.
    pub(crate) fn start(load: Load) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        Self { stop, task: tokio::spawn(async move { load.fire_until_told(&told).await }) }
    }

    /// Stops it and waits for the last answers.
    pub(crate) async fn stop(mut self) -> Tally {
        self.stop.store(true, Ordering::Relaxed);
        Tally::of(&(&mut self.task).await.unwrap())
    }
}

impl Tally {
    /// Counts answers, of which each must be 200, 429, or the 503 of an outage.
    #[track_caller]
    pub(crate) fn of(shots: &[Shot]) -> Self {
        let mut tally = Self::default();
        for Shot { answer, .. } in shots {
            tally.attempts += 1;
            match answer.status {
                200 => tally.admitted += 1,
                429 => tally.limited += 1,
                _ => {
                    assert_eq!(answer.refusal(), (503, "temporary-reduced-capacity".to_owned()), "{}", answer.text());
                    tally.unavailable += 1;
                }
            }
        }
        tally
    }

    /// Each attempt charged its bucket once or not at all, and whatever was admitted did; at most so many tokens have come
    /// back since.
    #[track_caller]
    pub(crate) fn accounts_for(&self, charged: u64, back: u64) {
        assert!(self.admitted <= charged + back, "admitted but not charged: {charged} charged, {back} came back, {self:?}");
        assert!(charged <= self.attempts - self.limited, "charged twice, or for a refusal: {charged} charged, {self:?}");
    }
}

/// How many tokens have come back at most to a bucket of so many in [`PERIOD`] that was full then, or later.
pub(crate) fn back_since(begun: Instant, burst: u64) -> u64 {
    begun.elapsed().as_secs() * burst / PERIOD + 1
}
