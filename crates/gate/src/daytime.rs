//! The time of day by which secrets and keys end, where the wall clock may step.
//!
//! For a key that is held time does not run back: a wall clock that steps back brings nothing that
//! has ended back to life. But a clock that had run ahead and was set right steps back as well, and
//! what it had ended must come back. Where the two disagree, the key store's clock tells which was
//! right; a store that has none leaves it to the wall clock, once it has stayed behind for a while.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicI64, AtomicU16, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, timeout};

use crate::gate::GateShared;

/// Clocks may differ by so much without anybody asking why, in milliseconds.
const TOLERANCE_MS: u64 = 1000;
/// A wall clock this far from the key store's is not believed, whatever it was before, in milliseconds.
const NEAR_MS: u64 = 60_000;
/// How long the wall clock must have been behind before it is believed where nobody else can be asked.
const BEHIND_MIN: Duration = Duration::from_mins(1);
/// After so long without anybody noticing, a clock that is behind is behind anew.
const NOTICED_WITHIN: Duration = Duration::from_mins(5);
/// Not looked at yet: the earliest time of day, which no clock shows.
const NONE: i64 = i64::MIN;
/// What of a [`HeldTime`] tells the correction that it is from.
const CORRECTION_BITS: u32 = 16;
/// The ends of what is left of it for a time of day, in milliseconds: four thousand years around 1970.
const ORIGIN_MAX: i64 = i64::MAX >> CORRECTION_BITS;

/// What all held keys share.
#[derive(Debug)]
pub(crate) struct DayTime {
    start: Instant,
    /// How often the wall clock was found to be right where time seemed to have run back. Begins
    /// anew at the end: no key is held for so many.
    corrections: AtomicU16,
    /// By how much the wall clock was behind a held key since anybody looked; 0 for not at all.
    behind_ms: AtomicU64,
    /// When it was first and last found to be so.
    noticed: Mutex<Option<(Instant, Instant)>>,
}

/// Time as one held key has seen it go by: the time of day at the node's start in milliseconds, as
/// told when the key was first looked at, and in the lowest bits the correction that this is from.
#[derive(Debug)]
pub(crate) struct HeldTime(AtomicI64);

impl Default for HeldTime {
    fn default() -> Self {
        Self(AtomicI64::new(NONE))
    }
}

impl HeldTime {
    /// The time of day at the node's start, if it was told since that correction.
    fn origin_ms(&self, correction: i64) -> Option<i64> {
        let held = self.0.load(Ordering::Acquire);
        (held != NONE && held & ((1 << CORRECTION_BITS) - 1) == correction).then_some(held >> CORRECTION_BITS)
    }

    fn set(&self, origin_ms: i64, correction: i64) {
        self.0.store(origin_ms << CORRECTION_BITS | correction, Ordering::Release);
    }
}

impl DayTime {
    pub(crate) fn new(start: Instant) -> Self {
        Self { start, corrections: AtomicU16::new(0), behind_ms: AtomicU64::new(0), noticed: Mutex::default() }
    }

    /// The time of day in milliseconds since 1970, which for a key that is held never falls behind
    /// the time that has passed, unless the wall clock turned out to be right. Cheap.
    pub(crate) fn of(&self, held: &HeldTime, wall_ms: u64) -> u64 {
        let (wall, passed) = (whole(wall_ms), i64::try_from(self.start.elapsed().as_millis()).unwrap_or(i64::MAX));
        let correction = i64::from(self.corrections.load(Ordering::Acquire));
        let origin = held.origin_ms(correction).unwrap_or_else(|| {
            let origin = wall.saturating_sub(passed).clamp(-ORIGIN_MAX, ORIGIN_MAX);
            held.set(origin, correction);
            origin
        });
        let held_ms = u64::try_from(origin.saturating_add(passed)).unwrap_or_default();
        let behind_ms = held_ms.saturating_sub(wall_ms);
        if behind_ms > TOLERANCE_MS {
            self.behind_ms.fetch_max(behind_ms, Ordering::Relaxed);
        }
        held_ms.max(wall_ms)
    }

    /// From now on the wall clock is right, whatever was seen before.
    fn correct(&self) {
        self.corrections.fetch_add(1, Ordering::AcqRel);
        self.behind_ms.store(0, Ordering::Relaxed);
        *self.noticed.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Notes that the wall clock is behind now; since when it has been.
    fn notice(&self, now: Instant) -> Instant {
        let mut noticed = self.noticed.lock().unwrap_or_else(PoisonError::into_inner);
        let first = noticed.filter(|(_, last)| now - *last <= NOTICED_WITHIN).map_or(now, |(first, _)| first);
        *noticed = Some((first, now));
        first
    }
}

impl GateShared {
    /// Finds out whether a wall clock that is behind is right. To be called now and then.
    pub(crate) async fn keep_time(&self) {
        let behind_ms = self.day.behind_ms.swap(0, Ordering::Relaxed);
        if behind_ms == 0 {
            return;
        }
        let first = self.day.notice(Instant::now());
        let told = timeout(self.options.lookup_timeout, self.keys.time_of_day()).await;
        let wall_ms = self.clock.unix_ms();
        let is_right = match told {
            Ok(Ok(Some(store_ms))) => {
                let off_ms = wall_ms.abs_diff(store_ms);
                off_ms < NEAR_MS && off_ms < wall_ms.saturating_add(behind_ms).abs_diff(store_ms)
            }
            Ok(Ok(None)) => first.elapsed() >= BEHIND_MIN,
            Ok(Err(_)) | Err(_) => false,
        };
        if is_right {
            tracing::warn!(behind_ms, "the clock of this machine had run ahead: keys that it had ended are good again");
            self.day.correct();
            // What was left out of a record for having long ended may not have.
            self.cache.outdate_all();
        }
    }
}

fn whole(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_steps_back_does_not_take_a_held_key_back() {
        let (day, held) = (DayTime::new(Instant::now()), HeldTime::default());
        assert_eq!(day.of(&held, 1000), 1000);
        tokio::time::advance(Duration::from_millis(500)).await;
        assert_eq!(day.of(&held, 200), 1500, "time that has passed counts");
        assert_eq!(day.of(&held, 9000), 9000, "and so does a clock that was set right");
        assert_eq!(day.of(&HeldTime::default(), 200), 200, "another reading of the key starts anew");
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_was_found_right_is_followed_back() {
        let (day, held) = (DayTime::new(Instant::now()), HeldTime::default());
        assert_eq!(day.of(&held, 3_600_000), 3_600_000);
        assert_eq!(day.of(&held, 5000), 3_600_000);
        assert_eq!(day.behind_ms.load(Ordering::Relaxed), 3_595_000);
        day.correct();
        assert_eq!(day.of(&held, 5000), 5000);
        tokio::time::advance(Duration::from_millis(500)).await;
        assert_eq!(day.of(&held, 0), 5500, "once");
    }

    #[tokio::test(start_paused = true)]
    async fn a_little_is_nothing_to_ask_about() {
        let (day, held) = (DayTime::new(Instant::now()), HeldTime::default());
        day.of(&held, 5000);
        assert_eq!((day.of(&held, 4000), day.behind_ms.load(Ordering::Relaxed)), (5000, 0));
        assert_eq!((day.of(&held, 3999), day.behind_ms.load(Ordering::Relaxed)), (5000, 1001));
    }
}
