//! What the load came to: counts, and histograms of time.

use std::{collections::BTreeMap, time::Duration};

use hdrhistogram::Histogram;

/// Times are told apart by three digits, from a microsecond to an hour.
const LOWEST_NS: u64 = 1_000;
const HIGHEST_NS: u64 = 3_600_000_000_000;
const DIGITS: u8 = 3;

/// What became of a request that has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum NoAnswer {
    /// No connection to send it over.
    Unconnected,
    /// The connection ended.
    Broken,
    /// It took longer than it may.
    TimedOut,
    /// It was due, and no connection had come to it when the time was over.
    Unsent,
}

/// Counts of one thread, or of all.
#[derive(Debug)]
pub(super) struct Tally {
    /// By status.
    pub(super) answers: BTreeMap<u16, u64>,
    pub(super) failures: BTreeMap<NoAnswer, u64>,
    /// From when a request was due to its answer; of those without one, to when it was given up.
    pub(super) latency: Histogram<u64>,
    /// From when it was sent to its answer.
    pub(super) service: Histogram<u64>,
}

impl NoAnswer {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Unconnected => "no connection",
            Self::Broken => "broken connection",
            Self::TimedOut => "no answer in time",
            Self::Unsent => "not sent in time",
        }
    }
}

impl Tally {
    /// `None` where the bounds are none, which they are.
    pub(super) fn new() -> Option<Self> {
        let histogram = || Histogram::new_with_bounds(LOWEST_NS, HIGHEST_NS, DIGITS).ok();
        Some(Self { answers: BTreeMap::new(), failures: BTreeMap::new(), latency: histogram()?, service: histogram()? })
    }

    /// An answer of this status, so long after it was due and so long after it was sent.
    pub(super) fn answered(&mut self, status: u16, since_due: Duration, since_sent: Duration) {
        *self.answers.entry(status).or_default() += 1;
        self.latency.saturating_record(nanos(since_due));
        self.service.saturating_record(nanos(since_sent));
    }

    /// None, so long after it was due: it would have taken longer still.
    pub(super) fn failed(&mut self, why: NoAnswer, since_due: Duration) {
        *self.failures.entry(why).or_default() += 1;
        self.latency.saturating_record(nanos(since_due));
    }

    /// Takes over the counts of another thread.
    pub(super) fn add(&mut self, other: &Self) {
        for (status, count) in &other.answers {
            *self.answers.entry(*status).or_default() += count;
        }
        for (why, count) in &other.failures {
            *self.failures.entry(*why).or_default() += count;
        }
        // Both have the same bounds.
        self.latency.add(&other.latency).unwrap_or_default();
        self.service.add(&other.service).unwrap_or_default();
    }

    pub(super) fn answered_count(&self) -> u64 {
        self.answers.values().sum()
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_answer_is_in_the_latencies_all_the_same() {
        let (mut one, mut other) = (Tally::new().expect("bounds"), Tally::new().expect("bounds"));
        one.answered(200, Duration::from_millis(2), Duration::from_millis(1));
        other.answered(429, Duration::from_millis(4), Duration::from_millis(1));
        other.failed(NoAnswer::Unsent, Duration::from_secs(3));
        other.failed(NoAnswer::TimedOut, Duration::from_hours(2));
        one.add(&other);
        assert_eq!((one.answered_count(), one.latency.len(), one.service.len()), (2, 4, 2));
        assert_eq!(one.answers, BTreeMap::from([(200, 1), (429, 1)]));
        assert_eq!(one.failures, BTreeMap::from([(NoAnswer::TimedOut, 1), (NoAnswer::Unsent, 1)]));
        assert!(one.latency.max() >= HIGHEST_NS / 1000 * 999, "an hour stands for whatever is longer: {}", one.latency.max());
        assert!(one.latency.value_at_quantile(0.75).abs_diff(3_000_000_000) < 10_000_000);
    }
}
