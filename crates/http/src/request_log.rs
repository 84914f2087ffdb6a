//! One line for each request, fields and not prose, and its span where it has one.
//!
//! What is refused or has failed always has a line, within a budget; of what is allowed, only so many
//! of a million have one. Neither path nor query is told, but the route they were found by; no header
//! but the two ids, which are checked before.

use std::{
    borrow::Cow,
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime},
};

use http::{Method, Request, StatusCode, request::Parts};
use tollgate_keys::KeyId;
use tollgate_telemetry::{Attribute, FinishedSpan, Metrics, TraceContext, Traces, is_chosen};
use tracing::Level;

use crate::{log_budget::LogBudget, openapi, options::TelemetryOptions, origin::Origin};

/// The route of what no route was found for.
const UNMATCHED: &str = "unmatched";
/// The one route of the other listener.
const METRICS: &str = "/metrics";

/// Writes lines and keeps spans. Shared by all requests of a surface.
#[derive(Debug)]
pub(crate) struct RequestLog {
    allowed_ppm: u32,
    /// Lines about what was refused.
    refusals: LogBudget,
    /// Lines about what has failed: no flood of refusals hides why.
    failures: LogBudget,
    /// Lines about what operators did.
    calls: LogBudget,
    metrics: Metrics,
    traces: Option<Traces>,
}

/// What a request came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A decision: it may pass.
    Allowed,
    /// A decision: a limit refused it.
    Limited,
    /// Its credential or its scope refused it.
    Denied,
    /// It could not be read, or fits nothing that is there.
    Refused,
    /// The node, or what it depends on, has failed.
    Failed,
    /// A call on the caller's own account was answered.
    Called,
    /// A page for anybody was answered.
    Served,
}

/// What a handler leaves with its answer where neither status nor headers tell.
#[derive(Debug, Clone)]
pub(crate) struct Noted {
    pub(crate) outcome: Outcome,
    pub(crate) key_id: Option<KeyId>,
}

/// Whose key was verified for a request; empty until it was.
#[derive(Debug, Clone, Default)]
pub(crate) struct KnownCaller(Arc<OnceLock<KeyId>>);

/// How much is told of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Attention {
    line: Option<Level>,
    span: bool,
}

/// One request and what it came to.
#[derive(Debug)]
pub(crate) struct Told<'a> {
    pub(crate) origin: &'a Origin,
    pub(crate) method: &'a Method,
    pub(crate) path: &'a str,
    pub(crate) status: StatusCode,
    pub(crate) outcome: Outcome,
    /// The type of its problem.
    pub(crate) code: Option<&'static str>,
    pub(crate) key_id: Option<&'a str>,
    /// What only the log may know.
    pub(crate) cause: Option<Cow<'a, str>>,
}

impl RequestLog {
    pub(crate) fn new(options: &TelemetryOptions) -> Self {
        let budget = || LogBudget::new(options.lines_per_second_max);
        let (metrics, traces) = (options.metrics.clone(), options.traces.clone());
        Self { allowed_ppm: options.allowed_ppm, refusals: budget(), failures: budget(), calls: budget(), metrics, traces }
    }

    /// How much is to be told of a request that came to this. Whoever asks tells it.
    pub(crate) fn attention(&self, origin: &Origin, outcome: Outcome, status: StatusCode) -> Attention {
        let is_chosen = || is_chosen(origin.trace.chance_of_line(), self.allowed_ppm);
        let line = match outcome {
            Outcome::Failed if status == StatusCode::INTERNAL_SERVER_ERROR => written(Level::ERROR),
            Outcome::Failed => self.within(&self.failures, Level::WARN),
            Outcome::Limited | Outcome::Denied | Outcome::Refused => self.within(&self.refusals, Level::INFO),
            Outcome::Called => self.within(&self.calls, Level::INFO),
            Outcome::Allowed | Outcome::Served if is_chosen() => written(Level::INFO),
            Outcome::Allowed | Outcome::Served => written(Level::DEBUG),
        };
        Attention { line, span: self.is_traced(origin) }
    }

    /// Writes the line and keeps the span that are due.
    pub(crate) fn tell(&self, attention: Attention, told: &Told<'_>) {
        let traces = self.traces.as_ref().filter(|_| attention.span);
        let took = told.origin.began.elapsed();
        if let Some(traces) = traces {
            traces.push(|| told.span(took));
        }
        if let Some(level) = attention.line {
            told.write(level, took);
        }
    }

    fn is_traced(&self, origin: &Origin) -> bool {
        let trace = &origin.trace;
        self.traces.as_ref().is_some_and(|traces| traces.samples(trace.parent.as_ref(), trace.chance_of_span()))
    }

    /// The level, or beyond the budget that of those who look closely. A line that the filter leaves
    /// out anyway takes nothing from the budget, and none is dropped that is written after all.
    fn within(&self, budget: &LogBudget, level: Level) -> Option<Level> {
        let level = written(level)?;
        if budget.take() {
            return Some(level);
        }
        let closely = written(Level::DEBUG);
        if closely.is_none() {
            self.metrics.request_line_dropped();
        }
        closely
    }
}

impl Default for RequestLog {
    fn default() -> Self {
        Self::new(&TelemetryOptions::default())
    }
}

impl Attention {
    /// Whether nothing is told at all.
    pub(crate) fn is_none(self) -> bool {
        self.line.is_none() && !self.span
    }
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Limited => "limited",
            Self::Denied => "denied",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Called | Self::Served => "answered",
        }
    }
}

impl KnownCaller {
    /// Notes whose key was verified, where the surface asked for it.
    pub(crate) fn note(parts: &Parts, key_id: &KeyId) {
        if let Some(Self(cell)) = parts.extensions.get::<Self>() {
            // A request has one caller.
            cell.get_or_init(|| key_id.clone());
        }
    }

    /// Leaves a place for it with a request.
    pub(crate) fn leave_with<B>(request: &mut Request<B>) -> Self {
        let place = Self::default();
        request.extensions_mut().insert(place.clone());
        place
    }

    pub(crate) fn get(&self) -> Option<&KeyId> {
        self.0.get()
    }
}

/// The level, where a line of it would be written.
fn written(level: Level) -> Option<Level> {
    let is_enabled = match level {
        Level::ERROR => tracing::enabled!(Level::ERROR),
        Level::WARN => tracing::enabled!(Level::WARN),
        Level::INFO => tracing::enabled!(Level::INFO),
        _ => tracing::enabled!(Level::DEBUG),
    };
    is_enabled.then_some(level)
}

/// The line at one level: tracing wants to know it when the program is compiled.
macro_rules! line {
    ($level:ident, $told:expr, $took:expr) => {{
        let Told { origin, method, status, outcome, code, key_id, cause, .. } = $told;
        tracing::$level!(
            request_id = origin.request_id.as_str(),
            trace_id = %origin.trace.trace_id(),
            method = known(method),
            route = $told.route(),
            status = status.as_u16(),
            outcome = outcome.as_str(),
            code,
            key_id,
            client = %origin.client,
            duration_us = u64::try_from($took.as_micros()).unwrap_or(u64::MAX),
            cause = cause.as_deref(),
            "request"
        );
    }};
}

impl Told<'_> {
    fn write(&self, level: Level, took: Duration) {
        match level {
            Level::ERROR => self.error(took),
            Level::WARN => self.warn(took),
            Level::INFO => self.info(took),
            _ => self.debug(took),
        }
    }

    fn error(&self, took: Duration) {
        line!(error, self, took);
    }

    fn warn(&self, took: Duration) {
        line!(warn, self, took);
    }

    fn info(&self, took: Duration) {
        line!(info, self, took);
    }

    fn debug(&self, took: Duration) {
        line!(debug, self, took);
    }

    /// Where the request was led, as the API document has it.
    fn route(&self) -> &'static str {
        if self.path == METRICS { METRICS } else { openapi::route_of(self.path).unwrap_or(UNMATCHED) }
    }

    fn span(&self, took: Duration) -> FinishedSpan {
        let Origin { request_id, client, trace, .. } = self.origin;
        let text = |text: &str| Attribute::Text(text.to_owned());
        let (method, route, ended) = (known(self.method), self.route(), SystemTime::now());
        let mut attributes = vec![
            ("http.request.method", text(method)),
            ("http.route", text(route)),
            ("http.response.status_code", Attribute::Whole(self.status.as_u16().into())),
            ("client.address", Attribute::Text(client.to_string())),
            ("tollgate.request_id", text(request_id.as_str())),
            ("tollgate.outcome", text(self.outcome.as_str())),
        ];
        attributes.extend(self.key_id.map(|key_id| ("tollgate.key_id", text(key_id))));
        attributes.extend(self.code.map(|code| ("error.type", text(code))));
        FinishedSpan {
            context: TraceContext { trace_id: trace.trace_id(), span_id: trace.span_id(), is_sampled: true },
            parent: trace.parent.map(|parent| parent.span_id),
            name: format!("{method} {route}"),
            began: ended.checked_sub(took).unwrap_or(ended),
            ended,
            is_failure: self.status.is_server_error(),
            attributes,
        }
    }
}

/// A method of a fixed set: anybody may make one up.
fn known(method: &Method) -> &'static str {
    const KNOWN: [&str; 9] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "CONNECT"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or("other")
}

#[cfg(test)]
mod tests;
