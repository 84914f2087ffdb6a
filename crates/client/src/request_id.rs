//! The id that joins a call here with the log lines and audit rows there.

use std::fmt;

use tollgate_api::is_sane_request_id;
use tollgate_telemetry::{SpanId, TraceContext, TraceId};

/// The id of one or more calls: 1 to 128 visible ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(String);

/// A text that is no request id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a request id is 1 to 128 visible ASCII characters")]
pub struct RequestIdError;

impl RequestId {
    /// Takes an id that the caller goes by already.
    pub fn parse(text: &str) -> Result<Self, RequestIdError> {
        if is_sane_request_id(text) { Ok(Self(text.to_owned())) } else { Err(RequestIdError) }
    }

    /// A new id: 128 random bits. All zeroes where the system has none to give: an id is no secret,
    /// and a poor one is better than none.
    pub fn generate() -> Self {
        let bits = tollgate_keys::random_bytes().map_or(0, u128::from_be_bytes);
        Self(format!("{bits:032x}"))
    }

    /// A trace for what is done under this id, which its beginner wants to be recorded. An id of the
    /// form of a trace's, as [`RequestId::generate`] makes, is the trace's id too; another is only one
    /// of its attributes.
    pub fn begin_trace(&self) -> TraceContext {
        let random = || TraceId::of_bits(tollgate_keys::random_bytes().map_or(0, u128::from_be_bytes));
        TraceContext { trace_id: TraceId::parse(&self.0).unwrap_or_else(random), span_id: span_id(), is_sampled: true }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A new id of a span, random as far as the system has it.
fn span_id() -> SpanId {
    SpanId::of_bits(tollgate_keys::random_bytes().map_or(0, u64::from_be_bytes))
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_ids_are_sane_and_differ() {
        let (one, other) = (RequestId::generate(), RequestId::generate());
        assert_ne!(one, other);
        assert!(is_sane_request_id(one.as_str()));
        assert_eq!(RequestId::parse("a b"), Err(RequestIdError));
    }

    #[test]
    fn a_made_id_is_that_of_its_trace() {
        let id = RequestId::generate();
        let (one, other) = (id.begin_trace(), id.begin_trace());
        assert_eq!((one.trace_id.to_string(), one.trace_id), (id.to_string(), other.trace_id));
        assert!(one.is_sampled && one.span_id != other.span_id);
        let own = RequestId::parse("my-request").expect("an id");
        assert_ne!(own.begin_trace().trace_id, own.begin_trace().trace_id);
    }
}
