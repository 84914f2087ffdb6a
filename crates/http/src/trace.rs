//! The trace that a request belongs to, and the chance that decides whether it is told of.
//!
//! A request that nobody asks about costs one number of a generator of its thread: ids are made of
//! it only where a line or a span is written.

use std::{
    cell::Cell,
    fmt::{self, Display},
    hash::{BuildHasher, RandomState},
    sync::LazyLock,
};

use http::{HeaderMap, HeaderName};
use tollgate_telemetry::{SpanId, TRACEPARENT_HEADER, TraceContext, TraceId, mixed};

const TRACEPARENT: HeaderName = HeaderName::from_static(TRACEPARENT_HEADER);
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// What is known of a request's trace from the start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trace {
    /// The caller's, where there is one that can be believed.
    pub(crate) parent: Option<TraceContext>,
    /// Evenly distributed; of one process no two requests have the same, in all likelihood.
    chance: u64,
}

impl Trace {
    /// Takes the caller's trace on. Anything but one good `traceparent` is ignored.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut given = headers.get_all(&TRACEPARENT).iter();
        let only = given.next().filter(|_| given.next().is_none());
        Self { parent: only.and_then(|value| value.to_str().ok()).and_then(TraceContext::parse), chance: chance() }
    }

    /// The id of the trace: the caller's, or a new one.
    pub(crate) fn trace_id(&self) -> TraceId {
        let new = || TraceId::of_bits(u128::from(self.bits(0)) << 64 | u128::from(self.bits(1)));
        self.parent.map_or_else(new, |parent| parent.trace_id)
    }

    /// The id of the trace as text, made only where somebody reads it.
    pub(crate) fn named(&self) -> impl Display {
        fmt::from_fn(|f| self.trace_id().fmt(f))
    }

    /// The id of the request's own span.
    pub(crate) fn span_id(&self) -> SpanId {
        SpanId::of_bits(self.bits(2))
    }

    /// What decides whether a line is written.
    pub(crate) fn chance_of_line(&self) -> u32 {
        u32::try_from(self.chance & 0xffff_ffff).unwrap_or(0)
    }

    /// What decides whether a new trace is recorded.
    pub(crate) fn chance_of_span(&self) -> u32 {
        u32::try_from(self.chance >> 32).unwrap_or(0)
    }

    /// 64 bits of an id, one of three. The starts tell processes apart.
    fn bits(&self, which: usize) -> u64 {
        static STARTS: LazyLock<[u64; 3]> = LazyLock::new(|| {
            let start = RandomState::new();
            [0_u8, 1, 2].map(|which| start.hash_one(which))
        });
        mixed(self.chance.wrapping_add(STARTS.get(which).copied().unwrap_or(0)))
    }
}

/// The next number of this thread. It guards nothing.
fn chance() -> u64 {
    thread_local!(static STATE: Cell<u64> = Cell::new(RandomState::new().hash_one(0_u8)));
    STATE.with(|state| {
        let next = state.get().wrapping_add(GOLDEN);
        state.set(next);
        mixed(next)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use http::HeaderValue;

    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn trace(values: &[&[u8]]) -> Trace {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(TRACEPARENT, HeaderValue::from_bytes(value).expect("a header value"));
        }
        Trace::of(&headers)
    }

    #[test]
    fn a_good_trace_is_taken_on_with_a_span_of_its_own() {
        let trace = trace(&[GOOD.as_bytes()]);
        assert_eq!(trace.parent.map(|parent| parent.to_string()).as_deref(), Some(GOOD));
        assert_eq!(trace.trace_id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_ne!(trace.span_id().to_string(), "00f067aa0ba902b7");
    }

    #[test]
    fn anything_else_begins_a_new_one() {
        let bad: [&[&[u8]]; 5] = [&[], &[b""], &[b"00-x"], &["\u{e9}".as_bytes()], &[GOOD.as_bytes(), GOOD.as_bytes()]];
        for values in bad {
            let trace = trace(values);
            assert!(trace.parent.is_none(), "{values:?}");
            assert_eq!(trace.trace_id(), trace.trace_id(), "whoever asks gets the same");
        }
    }

    #[test]
    fn new_ids_differ_and_chances_are_spread() {
        let traces: Vec<Trace> = (0..4096).map(|_| trace(&[])).collect();
        let ids: HashSet<String> = traces.iter().map(|trace| format!("{} {}", trace.trace_id(), trace.span_id())).collect();
        assert_eq!(ids.len(), traces.len());
        // Each half of a chance is above its middle about every other time: 2048, give or take 10 deviations.
        for chance in [Trace::chance_of_line, Trace::chance_of_span] {
            let high = traces.iter().filter(|trace| chance(trace) > u32::MAX / 2).count();
            assert!((1728..2368).contains(&high), "{high}");
        }
    }
}
