//! Failures of many, in a memory that never grows.

use std::{
    hash::{BuildHasher, Hash, RandomState},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::FailureBudget;

/// Places that an item may take; among them the one that has failed least makes room.
const WAYS: usize = 8;

/// Failures of each item: addresses, texts or key ids.
///
/// An item is known by 64 bits of a hash under a key of this process, so nobody can choose items
/// that meet. The memory is taken at once: 16 bytes an item, and a lock for every eight.
#[derive(Debug)]
pub(super) struct Failures {
    hashing: RandomState,
    sets: Box<[Mutex<[Place; WAYS]>]>,
    start: Instant,
    step_ns: u64,
    period_ns: u64,
}

/// What an item is known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tag(u64);

/// One item: empty where nothing of it is left to forget.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    tag: u64,
    /// When all of its failures are forgotten, in nanoseconds since the start.
    clean_at_ns: u64,
}

/// An item's place while nobody else can reach it.
#[derive(Debug)]
pub(super) struct Held<'a> {
    failures: &'a Failures,
    set: Option<MutexGuard<'a, [Place; WAYS]>>,
    tag: u64,
    now_ns: u64,
}

impl Failures {
    pub(super) fn new(budget: FailureBudget, entries_max: usize, start: Instant) -> Self {
        let period_ns = nanoseconds(budget.period).max(1);
        let step_ns = (period_ns / u64::from(budget.burst.get())).max(1);
        let sets = (0..entries_max.div_ceil(WAYS).max(1)).map(|_| Mutex::default()).collect();
        Self { hashing: RandomState::new(), sets, start, step_ns, period_ns }
    }

    /// What the other calls take. An item is hashed once, however often it is asked about.
    pub(super) fn tag(&self, item: &impl Hash) -> Tag {
        Tag(self.hashing.hash_one(item))
    }

    /// Holds an item's place: what is seen of it stays so until it is let go. Who needs places of two
    /// tables takes that of a text first.
    pub(super) fn hold(&self, Tag(tag): Tag, now: Instant) -> Held<'_> {
        Held { failures: self, set: self.set(tag), tag, now_ns: self.at(now) }
    }

    /// How long until one more failure has room; `None` where it has.
    pub(super) fn wait(&self, item: Tag, now: Instant) -> Option<Duration> {
        self.hold(item, now).wait()
    }

    /// Whether nothing is held against the item.
    pub(super) fn is_clean(&self, item: Tag, now: Instant) -> bool {
        let held = self.hold(item, now);
        held.clean_at_ns() <= held.now_ns
    }

    /// One more failure. What is beyond the budget is not remembered for longer.
    pub(super) fn charge(&self, item: Tag, now: Instant) {
        self.hold(item, now).charge();
    }

    fn set(&self, tag: u64) -> Option<MutexGuard<'_, [Place; WAYS]>> {
        let count = u64::try_from(self.sets.len()).unwrap_or(u64::MAX);
        // The tag's high bits choose among any number of sets.
        let at = usize::try_from((u128::from(tag) * u128::from(count)) >> 64).unwrap_or(0);
        self.sets.get(at).map(|set| set.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn at(&self, now: Instant) -> u64 {
        nanoseconds(now.saturating_duration_since(self.start))
    }
}

impl Held<'_> {
    /// How long until one more failure has room; `None` where it has.
    pub(super) fn wait(&self) -> Option<Duration> {
        let room_at_ns = self.clean_at_ns().saturating_add(self.failures.step_ns).saturating_sub(self.failures.period_ns);
        (room_at_ns > self.now_ns).then(|| Duration::from_nanos(room_at_ns - self.now_ns))
    }

    /// One more failure. What is beyond the budget is not remembered for longer.
    pub(super) fn charge(mut self) {
        let (tag, now_ns) = (self.tag, self.now_ns);
        let Some(set) = &mut self.set else { return };
        let own = set.iter().position(|place| place.tag == tag);
        let least = || set.iter().enumerate().min_by_key(|(_, place)| place.clean_at_ns).map(|(at, _)| at);
        let Some(place) = own.or_else(least).and_then(|at| set.get_mut(at)) else { return };
        let debt_from_ns = if own.is_some() { place.clean_at_ns.max(now_ns) } else { now_ns };
        let clean_at_ns = debt_from_ns.saturating_add(self.failures.step_ns).min(now_ns.saturating_add(self.failures.period_ns));
        *place = Place { tag, clean_at_ns };
    }

    fn clean_at_ns(&self) -> u64 {
        let own = |set: &MutexGuard<'_, [Place; WAYS]>| set.iter().find(|place| place.tag == self.tag).map(|place| place.clean_at_ns);
        self.set.as_ref().and_then(own).unwrap_or(0)
    }
}

/// Five hundred years fit.
fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    fn failures(burst: u32, period: Duration, entries_max: usize) -> (Failures, Instant) {
        let start = Instant::now();
        let burst = NonZeroU32::new(burst).expect("not zero");
        (Failures::new(FailureBudget { burst, period }, entries_max, start), start)
    }

    #[tokio::test(start_paused = true)]
    async fn has_room_for_the_burst_and_again_exactly_when_promised() {
        let (failures, start) = failures(3, Duration::from_mins(1), 8);
        for _ in 0..3 {
            assert_eq!(failures.wait(failures.tag(&"a"), start), None);
            failures.charge(failures.tag(&"a"), start);
        }
        let wait = failures.wait(failures.tag(&"a"), start).expect("spent");
        assert_eq!(wait, Duration::from_secs(20));
        assert_eq!(failures.wait(failures.tag(&"a"), start + wait - Duration::from_nanos(1)), Some(Duration::from_nanos(1)));
        assert_eq!(failures.wait(failures.tag(&"a"), start + wait), None);
        assert_eq!(failures.wait(failures.tag(&"b"), start), None, "others are others");
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_holds_nothing_longer_than_a_period() {
        let (failures, start) = failures(3, Duration::from_mins(1), 8);
        (0..10_000).for_each(|_| failures.charge(failures.tag(&"a"), start));
        assert!(!failures.is_clean(failures.tag(&"a"), start + Duration::from_secs(59)));
        assert!(failures.is_clean(failures.tag(&"a"), start + Duration::from_mins(1)));
        (0..3).for_each(|_| failures.charge(failures.tag(&"a"), start + Duration::from_mins(1)));
        assert!(failures.wait(failures.tag(&"a"), start + Duration::from_mins(1)).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn memory_has_an_end_and_the_worst_are_remembered() {
        let (failures, start) = failures(100, Duration::from_mins(1), 1024);
        (0..100).for_each(|_| failures.charge(failures.tag(&"worst"), start));
        (0..1_000_000_u32).for_each(|one| failures.charge(failures.tag(&one), start));
        assert_eq!(failures.sets.len() * WAYS, 1024);
        assert!(failures.wait(failures.tag(&"worst"), start).is_some(), "a million others do not wash it away");
        let known = (0..1_000_000_u32).filter(|one| !failures.is_clean(failures.tag(one), start)).count();
        assert!(known <= 1024, "{known} are remembered");
    }

    #[tokio::test(start_paused = true)]
    async fn any_budget_is_kept_to() {
        for (burst, period) in [(1, Duration::from_nanos(1)), (u32::MAX, Duration::from_secs(1)), (1, Duration::from_hours(24 * 31))] {
            let (failures, start) = failures(burst, period, 1);
            assert_eq!(failures.wait(failures.tag(&1), start), None);
            failures.charge(failures.tag(&1), start);
            assert_eq!(failures.wait(failures.tag(&1), start).is_some(), burst == 1);
        }
    }
}
