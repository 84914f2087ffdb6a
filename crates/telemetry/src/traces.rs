//! Spans on their way to a collector: which requests have one, and a queue that is bounded.
//!
//! Nothing here waits or speaks to anybody: whoever exports takes what is there, and says when there
//! is room again. A span for which there is no room is counted and never made.

mod otlp;
mod steps;

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::SystemTime,
};

pub use otlp::{Resource, to_otlp_json};
pub use steps::{Entered, Step, Steps, Timing};

use crate::{Metrics, SpanFate, SpanId, TraceContext};

/// What parts per million are parts of.
const MILLION: u64 = 1_000_000;

/// Which spans are kept, and how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceOptions {
    /// Of a million requests that come without a trace, so many begin one.
    pub sample_ppm: u32,
    /// Spans that wait to be exported or are under way, at most.
    pub spans_max: usize,
}

/// The spans of one node that wait to be exported. Clones share them.
#[derive(Debug, Clone)]
pub struct Traces(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    options: TraceOptions,
    metrics: Metrics,
    /// Spans that are being made, wait, or were taken and are not told to be gone.
    held: AtomicUsize,
    waiting: Mutex<VecDeque<FinishedSpan>>,
}

/// A request that was answered, or a part of its way, as its trace tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FinishedSpan {
    /// Its own place in the trace.
    pub context: TraceContext,
    /// The caller's span, where the caller named one.
    pub parent: Option<SpanId>,
    /// What was called, such as `GET /v1/keys/{key_id}`: of a fixed set.
    pub name: String,
    /// On which side of a call it was.
    pub kind: SpanKind,
    /// When it began.
    pub began: SystemTime,
    /// When it was answered.
    pub ended: SystemTime,
    /// Whether it failed to do as it should.
    pub is_failure: bool,
    /// What else is known.
    pub attributes: Vec<(&'static str, Attribute)>,
}

/// On which side of a call a span was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpanKind {
    /// On neither.
    Internal,
    /// Whoever is asked.
    Server,
    /// Whoever asks.
    Client,
}

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attribute {
    /// A text.
    Text(String),
    /// A whole number.
    Whole(i64),
}

impl Traces {
    /// An empty queue.
    pub fn new(options: TraceOptions, metrics: Metrics) -> Self {
        Self(Arc::new(Shared { options, metrics, held: AtomicUsize::new(0), waiting: Mutex::default() }))
    }

    /// Whether a request has a span: as its caller has it, and where there is no trace yet by chance.
    /// `chance` is evenly distributed over its range.
    pub fn samples(&self, parent: Option<&TraceContext>, chance: u32) -> bool {
        parent.map_or_else(|| is_chosen(chance, self.0.options.sample_ppm), |parent| parent.is_sampled)
    }

    /// Keeps a span if there is room; it is made only then, and while nobody waits for it.
    pub fn push(&self, make: impl FnOnce() -> FinishedSpan) {
        let Shared { options, metrics, held, .. } = &*self.0;
        let one_more = |held| (held < options.spans_max).then_some(held + 1);
        if held.fetch_update(Relaxed, Relaxed, one_more).is_err() {
            return metrics.spans(SpanFate::QueueFull, 1);
        }
        let span = make();
        self.waiting().push_back(span);
    }

    /// Takes the oldest spans, at most so many. Their room is not free before [`Traces::make_room`].
    pub fn take(&self, count_max: usize) -> Vec<FinishedSpan> {
        let mut waiting = self.waiting();
        let count = waiting.len().min(count_max);
        waiting.drain(..count).collect()
    }

    /// So many of those that were taken are gone. Whoever exports says so once an interval: no more than
    /// `spans_max` are then made and sent in any.
    pub fn make_room(&self, count: usize) {
        let fewer = |held: usize| Some(held.saturating_sub(count));
        // It always finds one: there is a number for each.
        self.0.held.fetch_update(Relaxed, Relaxed, fewer).unwrap_or_default();
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<FinishedSpan>> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether one of `ppm` in a million is chosen, by an evenly distributed number.
pub fn is_chosen(chance: u32, ppm: u32) -> bool {
    (u64::from(chance) * MILLION) >> 32 < u64::from(ppm)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{Recorder, TraceId};

    fn traces(sample_ppm: u32, spans_max: usize) -> (Traces, Recorder) {
        let recorder = Recorder::new().expect("a recorder");
        (Traces::new(TraceOptions { sample_ppm, spans_max }, recorder.metrics()), recorder)
    }

    fn context(is_sampled: bool) -> TraceContext {
        TraceContext { trace_id: TraceId::of_bits(7), span_id: SpanId::of_bits(8), is_sampled }
    }

    fn span(number: u64) -> FinishedSpan {
        let began = SystemTime::UNIX_EPOCH + Duration::from_secs(number);
        let (name, attributes) = ("GET /x".to_owned(), Vec::new());
        FinishedSpan {
            context: context(true),
            parent: None,
            name,
            kind: SpanKind::Server,
            began,
            ended: began,
            is_failure: false,
            attributes,
        }
    }

    #[test]
    fn of_a_million_so_many_are_chosen_and_they_are_spread() {
        for ppm in [0, 1, 1000, 500_000, 999_999, 1_000_000] {
            // Every 2¹²th number: a little more than a million of them.
            let chosen = (0..=u32::MAX).step_by(1 << 12).filter(|chance| is_chosen(*chance, ppm)).count();
            let expected = usize::try_from(u64::from(ppm) * (1 << 20) / MILLION).expect("small");
            assert!(chosen.abs_diff(expected) <= 1, "{ppm}: {chosen}");
        }
        assert!(!is_chosen(0, 0) && is_chosen(0, 1) && is_chosen(u32::MAX, 1_000_000));
    }

    #[test]
    fn a_caller_decides_for_his_trace() {
        let (none, _) = traces(0, 1);
        assert!(none.samples(Some(&context(true)), 0) && !none.samples(None, 0));
        let (all, _) = traces(1_000_000, 1);
        assert!(!all.samples(Some(&context(false)), 0) && all.samples(None, u32::MAX));
    }

    #[test]
    fn the_queue_is_bounded_in_order_and_tells_what_it_left_out() {
        let (traces, recorder) = traces(0, 3);
        (0..5).for_each(|number| traces.push(|| span(number)));
        assert_eq!(traces.take(2), [span(0), span(1)]);
        assert_eq!(traces.take(9), [span(2)]);
        assert_eq!(traces.take(9), []);
        assert!(recorder.render().contains("tollgate_spans_total{outcome=\"queue_full\"} 2"), "{}", recorder.render());
        traces.make_room(3);
        traces.push(|| span(5));
        assert_eq!(traces.take(9), [span(5)]);
    }

    #[test]
    fn what_is_under_way_takes_room_and_nothing_is_made_where_there_is_none() {
        let (traces, recorder) = traces(0, 2);
        // However fast they are taken, there are no more of them before the interval is over.
        for number in 0..100 {
            traces.push(|| if number < 2 { span(number) } else { panic!("{number} is made") });
            assert_eq!(traces.take(9).len(), usize::from(number < 2));
        }
        assert!(recorder.render().contains("tollgate_spans_total{outcome=\"queue_full\"} 98"), "{}", recorder.render());
        traces.make_room(1);
        traces.push(|| span(100));
        traces.push(|| panic!("there is room for one"));
        traces.make_room(9);
        traces.push(|| span(101));
        assert_eq!(traces.take(9), [span(100), span(101)]);
    }

    #[test]
    fn a_span_is_made_while_others_are_kept_and_taken() {
        let (traces, _) = traces(0, 3);
        traces.push(|| {
            // Would wait for ever if whoever makes a span held the queue.
            traces.push(|| span(1));
            assert_eq!(traces.take(9), [span(1)]);
            span(2)
        });
        assert_eq!(traces.take(9), [span(2)]);
    }
}
