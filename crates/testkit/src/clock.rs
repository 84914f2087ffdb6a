//! A clock that moves only when told.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tollgate_gate::Clock;

/// Milliseconds since 1970 at 2026-01-01, where a new clock stands.
const START_MS: u64 = 1_767_225_600_000;

/// A wall clock for the gate; its clones show the same time.
#[derive(Debug, Clone)]
pub struct TestClock(Arc<AtomicU64>);

impl Default for TestClock {
    fn default() -> Self {
        Self(Arc::new(AtomicU64::new(START_MS)))
    }
}

impl TestClock {
    /// Sets it to an instant in milliseconds since 1970, back or forward.
    pub fn set(&self, unix_ms: u64) {
        self.0.store(unix_ms, Ordering::SeqCst);
    }

    /// Moves it forward.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX), Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn unix_ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_moves_only_when_told_and_for_all_clones() {
        let clock = TestClock::default();
        let other = clock.clone();
        let before = other.unix_ms();
        assert_eq!(other.unix_ms(), before);
        clock.advance(Duration::from_secs(3));
        assert_eq!(other.unix_ms(), before + 3000);
        other.set(5);
        assert_eq!(clock.unix_ms(), 5);
    }
}
