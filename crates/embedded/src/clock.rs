//! The clock that buckets in memory run on.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// A source of microseconds since 1970. Cheap to clone.
#[derive(Clone)]
pub struct MicrosClock(Arc<dyn Fn() -> u64 + Send + Sync>);

impl MicrosClock {
    /// A clock that asks `read`; a test's goes where the test moves it.
    pub fn new(read: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    /// Microseconds since 1970.
    pub fn now_us(&self) -> u64 {
        (self.0)()
    }
}

impl fmt::Debug for MicrosClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MicrosClock").field(&self.now_us()).finish()
    }
}

/// The wall clock as it was at this call, moved on by the monotonic clock: later steps of the
/// wall clock neither lock a bucket nor fill it.
pub fn anchored_clock() -> MicrosClock {
    let (wall, start) = (SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO), Instant::now());
    MicrosClock::new(move || whole_us(wall.saturating_add(start.elapsed())))
}

/// Whole microseconds of a duration; the end of time where they do not fit.
pub(crate) fn whole_us(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_at_the_wall_clock_and_never_falls() {
        let wall = || whole_us(SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970"));
        let before = wall();
        let clock = anchored_clock();
        let (first, second) = (clock.now_us(), clock.now_us());
        assert!(first >= before && second >= first);
        assert!(first - before < 60_000_000, "anchored at the wall clock");
    }
}
