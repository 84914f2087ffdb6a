//! Who waits for a bucket store that does not answer: a few, and then nobody.
//!
//! After some failures in a row nobody asks any more; the outage mode answers at once, and a probe
//! that charges nothing finds out when the store is back. One breaker for each lane of the store:
//! a part that answers on its own, such as what one tag of a Redis Cluster lies on.

use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Notify, task::JoinSet, time::Instant};
use tollgate_telemetry::Step;

use crate::{
    gate::GateShared,
    ports::{BucketError, Decision, Leasing, Outcome},
};

const NOT_ASKED: &str = "it has not answered lately and is not asked before it does";

/// From an attempt to take in a lane that failed to the next one.
const TAKE_IN_PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Breaker {
    lanes: Vec<Lane>,
    failures_max: u32,
    opened: Notify,
}

#[derive(Debug, Default)]
struct Lane {
    /// In a row.
    failures: AtomicU32,
    open: AtomicBool,
}

impl Breaker {
    /// Opens a lane after `failures_max` failures in a row.
    pub(crate) fn new(lanes: usize, failures_max: NonZeroU32) -> Self {
        let lanes = std::iter::repeat_with(Lane::default).take(lanes).collect();
        Self { lanes, failures_max: failures_max.get(), opened: Notify::new() }
    }

    /// Whether the lane is known not to answer.
    pub(crate) fn is_open(&self, lane: usize) -> bool {
        self.lanes.get(lane).is_some_and(|lane| lane.open.load(Ordering::Acquire))
    }

    /// Whether any lane is.
    pub(crate) fn is_any_open(&self) -> bool {
        self.open_lanes().next().is_some()
    }

    fn open_lanes(&self) -> impl Iterator<Item = usize> {
        self.lanes.iter().enumerate().filter(|(_, lane)| lane.open.load(Ordering::Acquire)).map(|(place, _)| place)
    }

    /// The lane has answered a decision. Does not close it: an answer may have been long under way.
    fn answered(&self, lane: usize) {
        // Read first: what every decision writes moves from processor to processor.
        if let Some(lane) = self.lanes.get(lane).filter(|lane| lane.failures.load(Ordering::Relaxed) > 0) {
            lane.failures.store(0, Ordering::Relaxed);
        }
    }

    fn failed(&self, place: usize) {
        let Some(lane) = self.lanes.get(place) else { return };
        if lane.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1) >= self.failures_max {
            self.open(place);
        }
    }

    pub(crate) fn open(&self, place: usize) {
        if self.lanes.get(place).is_some_and(|lane| !lane.open.swap(true, Ordering::AcqRel)) {
            tracing::debug!(lane = place, "the bucket store is not asked any more until it answers a probe");
            self.opened.notify_one();
        }
    }

    fn close(&self, place: usize) {
        if let Some(lane) = self.lanes.get(place) {
            lane.failures.store(0, Ordering::Relaxed);
            lane.open.store(false, Ordering::Release);
            tracing::debug!(lane = place, "the bucket store has answered a probe");
        }
    }
}

impl GateShared {
    /// The lane of a decision, if the store is known not to answer there.
    pub(crate) fn is_store_silent(&self, decision: &Decision) -> bool {
        self.breaker.is_open(self.buckets.lane(decision.subjects.placed_by()))
    }

    /// Asks the store, unless it is known not to answer; at most for as long as one decision may wait.
    pub(crate) async fn ask_store(&self, decision: Decision, leasing: Leasing) -> Result<Outcome, BucketError> {
        let lane = self.buckets.lane(decision.subjects.placed_by());
        if self.breaker.is_open(lane) {
            return Err(not_asked());
        }
        let pending = self.buckets.decide_leased(decision, leasing, Instant::now() + self.options.decision_timeout);
        let timing = pending.is_on_its_way().then(|| Step::RedisDecision.begin());
        let answer = pending.await;
        if let Some(timing) = timing {
            timing.end(answer.is_ok());
        }
        match &answer {
            Ok(_) => self.breaker.answered(lane),
            Err(BucketError::Deadline | BucketError::Unreachable(_)) => self.breaker.failed(lane),
            // Says nothing of the store, or that it does answer.
            Err(BucketError::QueueFull | BucketError::Unusable(_)) => {}
        }
        answer
    }

    /// Asks the store whether it is there, for a decision that cannot be sent. Where it is not, the
    /// others need not ask.
    pub(crate) async fn is_answering(&self, decision: &Decision) -> bool {
        let lane = self.buckets.lane(decision.subjects.placed_by());
        let probed = tokio::time::timeout(self.options.decision_timeout, self.buckets.probe(lane)).await;
        let is_there = matches!(probed, Ok(Ok(())));
        if !is_there {
            self.breaker.open(lane);
        }
        is_there
    }

    /// Probes what does not answer, for ever. A lane that is slow stays open: its probe may take no
    /// longer than a decision.
    pub(crate) async fn keep_probing(&self) {
        let mut not_before = HashMap::new();
        loop {
            if !self.breaker.is_any_open() {
                self.breaker.opened.notified().await;
            }
            let now = Instant::now();
            not_before.retain(|_, at| *at > now);
            let mut probes = JoinSet::new();
            for lane in self.breaker.open_lanes().filter(|lane| !not_before.contains_key(lane)) {
                let (buckets, patience) = (Arc::clone(&self.buckets), self.options.decision_timeout);
                probes.spawn(async move { (lane, tokio::time::timeout(patience, buckets.probe(lane)).await) });
            }
            while let Some(probed) = probes.join_next().await {
                let Ok((lane, Ok(Ok(())))) = probed else { continue };
                if self.take_in(lane).await {
                    self.breaker.close(lane);
                } else {
                    // It answers and cannot be joined: each attempt reads the change log.
                    not_before.insert(lane, Instant::now() + TAKE_IN_PAUSE);
                }
            }
            if self.breaker.is_any_open() {
                tokio::time::sleep(self.options.outage.probe_interval).await;
            }
        }
    }
}

/// What is said of a store that is not asked.
pub(crate) fn not_asked() -> BucketError {
    BucketError::Unreachable(NOT_ASKED.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaker() -> Breaker {
        Breaker::new(2, NonZeroU32::new(3).expect("some"))
    }

    #[test]
    fn opens_with_so_many_failures_in_a_row_and_closes_by_a_probe_alone() {
        let breaker = breaker();
        breaker.failed(0);
        breaker.failed(0);
        breaker.answered(0);
        breaker.failed(0);
        breaker.failed(0);
        assert!(!breaker.is_any_open(), "an answer came in between");
        breaker.failed(0);
        assert!(breaker.is_open(0));
        breaker.answered(0);
        assert!(breaker.is_open(0), "that answer was asked for long ago");
        breaker.close(0);
        breaker.failed(0);
        assert!(!breaker.is_open(0), "counted anew");
    }

    #[test]
    fn a_lane_that_fails_concerns_no_other() {
        let breaker = breaker();
        (0..3).for_each(|_| breaker.failed(1));
        assert_eq!((breaker.is_open(0), breaker.is_open(1), breaker.is_open(7)), (false, true, false));
        breaker.failed(7);
        assert_eq!(breaker.open_lanes().collect::<Vec<_>>(), [1]);
    }
}
