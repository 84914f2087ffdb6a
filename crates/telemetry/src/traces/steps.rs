//! What a request waits for: the spans under its own.
//!
//! Whoever waits says so by a [`Step`], wherever he is, and need not know for whom. The surface knows:
//! it enters the [`Steps`] of a request whose trace is recorded each time that it works on it. For any
//! other request a step costs one look at a variable of the thread.

use std::{
    cell::RefCell,
    sync::{Arc, Mutex, PoisonError},
    time::{Instant, SystemTime},
};

use super::{Attribute, FinishedSpan, SpanKind};
use crate::TraceContext;

/// Steps of one request that are kept; what comes after them is told by the request's own span alone.
const STEPS_MAX: usize = 32;

thread_local!(static CURRENT: RefCell<Option<Steps>> = const { RefCell::new(None) });

/// Something that a request has to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A decision in Redis: the wait for the next call, and that.
    RedisDecision,
    /// A fence in Redis, every attempt at it.
    RedisFence,
    /// Receipts in Redis.
    RedisReceipt,
    /// A call to Postgres, with the wait for a connection.
    Postgres,
    /// The hashing of a secret, with the wait for a turn.
    Argon2,
}

/// The steps of one request. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Steps(Arc<Mutex<Vec<Done>>>);

/// One step that is over.
#[derive(Debug, Clone, Copy)]
struct Done {
    step: Step,
    began: SystemTime,
    ended: SystemTime,
    is_failure: bool,
}

/// A step that is under way; over when it is dropped, and failed unless [`Timing::end`] was told otherwise.
#[derive(Debug)]
pub struct Timing(Option<UnderWay>);

#[derive(Debug)]
struct UnderWay {
    steps: Steps,
    step: Step,
    began: SystemTime,
    since: Instant,
    is_failure: bool,
}

/// While it lives, steps on this thread are those of one request.
#[derive(Debug)]
#[must_use = "steps are those of a request only while this lives"]
pub struct Entered {
    before: Option<Steps>,
    /// It belongs to its thread.
    _here: std::marker::PhantomData<*const ()>,
}

impl Step {
    /// Begins it, for whichever request is worked on.
    pub fn begin(self) -> Timing {
        let steps = CURRENT.try_with(|current| current.borrow().clone()).ok().flatten();
        let under_way = |steps| UnderWay { steps, step: self, began: SystemTime::now(), since: Instant::now(), is_failure: true };
        Timing(steps.map(under_way))
    }

    fn name(self) -> &'static str {
        match self {
            Self::RedisDecision => "redis decision",
            Self::RedisFence => "redis fence",
            Self::RedisReceipt => "redis receipt",
            Self::Postgres => "postgres",
            Self::Argon2 => "argon2",
        }
    }

    /// The store that is called, by the name that the conventions of OpenTelemetry have for it.
    fn store(self) -> Option<&'static str> {
        match self {
            Self::RedisDecision | Self::RedisFence | Self::RedisReceipt => Some("redis"),
            Self::Postgres => Some("postgresql"),
            Self::Argon2 => None,
        }
    }
}

impl Steps {
    /// From now on steps on this thread are of this request, until what is returned is dropped.
    pub fn enter(&self) -> Entered {
        let before = CURRENT.try_with(|current| current.replace(Some(self.clone()))).ok().flatten();
        Entered { before, _here: std::marker::PhantomData }
    }

    /// The same for all of a future, on whatever threads it runs.
    pub fn during<F: Future>(self, work: F) -> impl Future<Output = F::Output> {
        let mut work = Box::pin(work);
        std::future::poll_fn(move |cx| {
            let _entered = self.enter();
            work.as_mut().poll(cx)
        })
    }

    /// The spans of what is over by now, under the request's own.
    pub fn spans(&self, request: &TraceContext) -> Vec<FinishedSpan> {
        let done = std::mem::take(&mut *self.done());
        (1..).zip(done).map(|(number, done)| done.span(number, request)).collect()
    }

    fn done(&self) -> std::sync::MutexGuard<'_, Vec<Done>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let before = self.before.take();
        // Where the thread ends there is nobody left to be told.
        CURRENT.try_with(|current| current.replace(before)).unwrap_or_default();
    }
}

impl Timing {
    /// It is over, and did what it should or not.
    pub fn end(mut self, is_good: bool) {
        if let Some(under_way) = &mut self.0 {
            under_way.is_failure = !is_good;
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let Self { steps, step, began, since, is_failure } = self;
        let ended = began.checked_add(since.elapsed()).unwrap_or(*began);
        let mut done = steps.done();
        if done.len() < STEPS_MAX {
            done.push(Done { step: *step, began: *began, ended, is_failure: *is_failure });
        }
    }
}

impl Done {
    fn span(self, number: u64, request: &TraceContext) -> FinishedSpan {
        let Self { step, began, ended, is_failure } = self;
        let store = step.store();
        FinishedSpan {
            context: TraceContext { span_id: request.span_id.below(number), ..*request },
            parent: Some(request.span_id),
            name: step.name().to_owned(),
            kind: if store.is_some() { SpanKind::Client } else { SpanKind::Internal },
            began,
            ended,
            is_failure,
            attributes: store.iter().map(|store| ("db.system.name", Attribute::Text((*store).to_owned()))).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::pin,
        task::{Context, Poll, Waker},
    };

    use super::*;
    use crate::{SpanId, TraceId};

    const REQUEST: fn() -> TraceContext = || TraceContext { trace_id: TraceId::of_bits(7), span_id: SpanId::of_bits(8), is_sampled: true };

    fn names(steps: &Steps) -> Vec<(String, bool)> {
        steps.spans(&REQUEST()).into_iter().map(|span| (span.name, span.is_failure)).collect()
    }

    #[test]
    fn steps_are_of_the_request_that_is_worked_on() {
        let (outer, inner) = (Steps::default(), Steps::default());
        Step::Postgres.begin().end(true);
        let entered = outer.enter();
        Step::RedisDecision.begin().end(true);
        {
            let _inner = inner.enter();
            Step::Argon2.begin().end(false);
        }
        Step::RedisFence.begin().end(true);
        drop(entered);
        Step::Postgres.begin().end(true);
        assert_eq!(names(&outer), [("redis decision".to_owned(), false), ("redis fence".to_owned(), false)]);
        assert_eq!(names(&inner), [("argon2".to_owned(), true)]);
        assert_eq!(names(&outer), [], "each is told once");
    }

    #[test]
    fn a_step_stays_with_its_request_however_its_future_is_polled() {
        let (one, other) = (Steps::default(), Steps::default());
        let waits_once = |step: Step| async move {
            let timing = step.begin();
            let mut polled = false;
            std::future::poll_fn(|_| if std::mem::replace(&mut polled, true) { Poll::Ready(()) } else { Poll::Pending }).await;
            timing.end(true);
        };
        let mut first = pin!(one.clone().during(waits_once(Step::RedisReceipt)));
        let mut second = pin!(other.clone().during(waits_once(Step::Postgres)));
        let mut cx = Context::from_waker(Waker::noop());
        for is_ready in [false, true] {
            assert_eq!(first.as_mut().poll(&mut cx).is_ready(), is_ready);
            assert_eq!(second.as_mut().poll(&mut cx).is_ready(), is_ready);
        }
        assert_eq!(names(&one), [("redis receipt".to_owned(), false)]);
        assert_eq!(names(&other), [("postgres".to_owned(), false)]);
    }

    #[test]
    fn what_is_given_up_has_failed_and_no_request_has_steps_without_end() {
        let steps = Steps::default();
        let entered = steps.enter();
        drop(Step::RedisDecision.begin());
        (0..2 * STEPS_MAX).for_each(|_| Step::Postgres.begin().end(true));
        drop(entered);
        let spans = steps.spans(&REQUEST());
        assert_eq!((spans.len(), spans[0].is_failure, spans[1].is_failure), (STEPS_MAX, true, false));
        let ids: std::collections::BTreeSet<String> = spans.iter().map(|span| span.context.span_id.to_string()).collect();
        assert_eq!(ids.len(), STEPS_MAX, "each has an id of its own");
        assert!(spans.iter().all(|span| span.parent == Some(REQUEST().span_id) && span.context.trace_id == REQUEST().trace_id));
        assert_eq!((spans[0].kind, &spans[0].attributes[0].0), (SpanKind::Client, &"db.system.name"));
    }
}
