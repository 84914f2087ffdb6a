//! The spans that requests are logged in, with one set of names in the server and in whoever calls
//! it: a line of the one and a line of the other are found by the same `request_id`, or by the same
//! `trace_id`.

use std::fmt::Display;

use tracing::{Span, debug_span, field, info_span};

/// One request, on its way out or on its way in. Not every request that goes out is of a trace.
pub fn request_span(request_id: &str, trace_id: Option<&impl Display>) -> Span {
    debug_span!("request", request_id, trace_id = trace_id.map(display))
}

/// One call on the caller's own account. `key_id` and `owner` are told by [`note_caller`] as soon as
/// they are known.
pub fn call_span(request_id: &str, trace_id: Option<&impl Display>) -> Span {
    info_span!("call", request_id, trace_id = trace_id.map(display), key_id = field::Empty, owner = field::Empty)
}

/// Tells a [`call_span`] who calls. An operator has no owner.
pub fn note_caller(span: &Span, key_id: &str, owner: Option<&str>) {
    span.record("key_id", key_id);
    if let Some(owner) = owner {
        span.record("owner", owner);
    }
}
