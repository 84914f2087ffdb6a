//! A clock that moves only when told.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tollgate_embedded::MicrosClock;
use tollgate_gate::Clock;

pub(super) const START_MS: u64 = 1_760_000_000_000;

/// The time of day, for gates and buckets alike.
#[derive(Debug, Clone)]
pub(crate) struct TestClock(Arc<AtomicU64>);

impl TestClock {
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicU64::new(START_MS)))
    }

    pub(crate) fn advance_ms(&self, ms: u64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }

    pub(crate) fn set_back_ms(&self, ms: u64) {
        self.0.fetch_sub(ms, Ordering::SeqCst);
    }

    pub(crate) fn micros(&self) -> MicrosClock {
        let this = self.clone();
        MicrosClock::new(move || this.unix_ms() * 1000)
    }
}

impl Clock for TestClock {
    fn unix_ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}
