//! When requests are sent: as soon as there is an answer, or when they are due.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use tokio::sync::Semaphore;

const NANOS: u128 = 1_000_000_000;
/// The shortest sleep: what falls due meanwhile is told together.
const SLEEP_MIN: Duration = Duration::from_micros(100);
/// The longest, so that an early end is noticed.
const SLEEP_MAX: Duration = Duration::from_millis(50);

/// From when to when the load goes on, and from when it counts.
#[derive(Debug)]
pub(super) struct Period {
    pub(super) start: Instant,
    pub(super) counts_from: Instant,
    pub(super) end: Instant,
    stopped: OnceLock<Instant>,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Send a request that was due then.
    Send { due: Instant },
    /// This one was due then and is too late.
    Late { due: Instant },
    /// No more.
    Over,
}

/// The order in which the connections of a load send.
#[derive(Debug, Clone)]
pub(super) enum Pace {
    Closed(Arc<Period>),
    Open(Arc<Timetable>),
}

/// Requests that are due at even distances.
#[derive(Debug)]
pub(super) struct Timetable {
    period: Arc<Period>,
    per_second: u32,
    count: u64,
    /// So many there are after all, where it ends early.
    last: AtomicU64,
    taken: AtomicU64,
    /// One for each request that is due and not taken.
    due: Semaphore,
}

impl Period {
    pub(super) fn beginning(start: Instant, warm_up: Duration, duration: Duration) -> Self {
        let counts_from = start + warm_up;
        Self { start, counts_from, end: counts_from + duration, stopped: OnceLock::new() }
    }

    /// Ends it early.
    pub(super) fn stop(&self) {
        self.stopped.get_or_init(Instant::now);
    }

    /// When it ends, or did.
    pub(super) fn ends(&self) -> Instant {
        self.stopped.get().map_or(self.end, |stopped| self.end.min(*stopped))
    }

    fn is_over(&self, now: Instant) -> bool {
        now >= self.ends()
    }
}

impl Timetable {
    pub(super) fn new(period: Arc<Period>, per_second: u32) -> Self {
        let count = (period.end - period.start).as_nanos() * u128::from(per_second) / NANOS;
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        Self { period, per_second, count, last: AtomicU64::new(count), taken: AtomicU64::new(0), due: Semaphore::new(0) }
    }

    /// When a request is due.
    fn due(&self, number: u64) -> Instant {
        let nanos = u128::from(number) * NANOS / u128::from(self.per_second);
        self.period.start + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// Lets requests go as they fall due, and all who wait at the end. For a thread of its own: the timers of
    /// tasks have a grain of a millisecond, which is more than most answers take.
    pub(super) fn keep(&self, waiting: usize) {
        let mut told = 0;
        while told < self.count && self.period.stopped.get().is_none() {
            let now = Instant::now();
            let first = told;
            while told < self.count && self.due(told) <= now {
                told += 1;
            }
            self.due.add_permits(usize::try_from(told - first).unwrap_or(0));
            std::thread::park_timeout(self.due(told).saturating_duration_since(now).clamp(SLEEP_MIN, SLEEP_MAX));
        }
        // Whoever finds one more permit than requests sees this by the semaphore.
        self.last.store(told, Relaxed);
        self.due.add_permits(waiting);
    }

    async fn next(&self) -> Turn {
        // Never closed.
        if let Ok(permit) = self.due.acquire().await {
            permit.forget();
        }
        let number = self.taken.fetch_add(1, Relaxed);
        if number >= self.last.load(Relaxed) {
            return Turn::Over;
        }
        let due = self.due(number);
        if self.period.is_over(Instant::now()) { Turn::Late { due } } else { Turn::Send { due } }
    }
}

impl Pace {
    pub(super) fn period(&self) -> &Period {
        match self {
            Self::Closed(period) => period,
            Self::Open(timetable) => &timetable.period,
        }
    }

    /// What a connection that is free does next.
    pub(super) async fn next(&self) -> Turn {
        match self {
            Self::Open(timetable) => timetable.next().await,
            Self::Closed(period) => {
                let now = Instant::now();
                if period.is_over(now) { Turn::Over } else { Turn::Send { due: now } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timetable(per_second: u32, millis: u64) -> Arc<Timetable> {
        let period = Period::beginning(Instant::now(), Duration::ZERO, Duration::from_millis(millis));
        Arc::new(Timetable::new(Arc::new(period), per_second))
    }

    #[test]
    fn requests_are_due_at_even_distances() {
        let timetable = timetable(3, 2_000);
        assert_eq!(timetable.count, 6);
        let since = |number| (timetable.due(number) - timetable.period.start).as_nanos();
        assert_eq!([since(0), since(1), since(3), since(5)], [0, 333_333_333, NANOS, 1_666_666_666]);
    }

    #[tokio::test]
    async fn each_is_taken_once_and_all_end() {
        let timetable = timetable(20_000, 50);
        let keeper = std::thread::spawn({
            let timetable = Arc::clone(&timetable);
            move || timetable.keep(4)
        });
        let take_all = |timetable: Arc<Timetable>| async move {
            let mut count = 0;
            while timetable.next().await != Turn::Over {
                count += 1;
            }
            count
        };
        let takers: Vec<_> = (0..4).map(|_| tokio::spawn(take_all(Arc::clone(&timetable)))).collect();
        let mut all = 0;
        for taker in takers {
            all += taker.await.expect("no panic");
        }
        keeper.join().expect("no panic");
        assert_eq!(all, timetable.count);
    }

    #[tokio::test]
    async fn what_is_late_is_told_with_when_it_was_due() {
        let timetable = timetable(1000, 3);
        timetable.keep(1);
        while Instant::now() < timetable.period.end {
            std::thread::yield_now();
        }
        assert_eq!(timetable.next().await, Turn::Late { due: timetable.due(0) });
        assert_eq!([timetable.next().await, timetable.next().await], [1, 2].map(|number| Turn::Late { due: timetable.due(number) }));
        assert_eq!(timetable.next().await, Turn::Over);
    }

    #[tokio::test]
    async fn what_was_due_when_it_was_stopped_is_told() {
        let timetable = timetable(1000, 3_600_000);
        let keeper = std::thread::spawn({
            let timetable = Arc::clone(&timetable);
            move || timetable.keep(1)
        });
        while timetable.due.available_permits() < 3 {
            std::thread::yield_now();
        }
        timetable.period.stop();
        keeper.join().expect("no panic");
        let mut told = 0;
        while let Turn::Late { due } = timetable.next().await {
            assert_eq!(due, timetable.due(told));
            told += 1;
        }
        assert!(told >= 3 && told == timetable.last.load(Relaxed), "{told}");
    }

    #[tokio::test]
    async fn an_early_end_is_the_end_for_all() {
        let timetable = timetable(1, 3_600_000);
        timetable.period.stop();
        timetable.keep(1);
        assert_eq!(timetable.next().await, Turn::Over);
        let closed = Pace::Closed(Arc::clone(&timetable.period));
        assert_eq!(closed.next().await, Turn::Over);
    }
}
