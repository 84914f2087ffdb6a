//! One line for each request, fields and not prose, and its spans where it has any.
//!
//! What is refused or has failed always has a line, within a budget; of what is allowed, only so many
//! of a million have one. Neither path nor query is told, but the route they were found by; no header
//! but the two ids, which are checked before.

use std::{
    borrow::Cow,
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime},
};

use http::{Extensions, Method, Request, StatusCode};
use tollgate_keys::KeyId;
use tollgate_telemetry::{Attribute, FinishedSpan, Metrics, SpanKind, Steps, TraceContext, Traces, is_chosen};
use tracing::Level;

use crate::{log_budget::LogBudget, openapi, options::TelemetryOptions, origin::Origin, trace::Trace};

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

/// What a handler knows of its request and neither status nor problem tells: whose key was verified,
/// and what a decision came to. Empty until somebody notes it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Account(Arc<Noted>);

#[derive(Debug, Default)]
struct Noted {
    key_id: OnceLock<KeyId>,
    outcome: OnceLock<Outcome>,
}

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
        Attention { line, span: origin.steps.is_some() }
    }

    /// Where a request notes what it waits for, if its trace is recorded.
    pub(crate) fn steps(&self, trace: &Trace) -> Option<Steps> {
        let traces = self.traces.as_ref()?;
        traces.samples(trace.parent.as_ref(), trace.chance_of_span()).then(Steps::default)
    }

    /// Writes the line and keeps the spans that are due.
    pub(crate) fn tell(&self, attention: Attention, told: &Told<'_>) {
        let traces = self.traces.as_ref().filter(|_| attention.span);
        let took = told.origin.began.elapsed();
        if let Some(traces) = traces {
            let context = told.context();
            traces.push(|| told.span(context, took));
            for step in told.origin.steps.iter().flat_map(|steps| steps.spans(&context)) {
                traces.push(|| step);
            }
        }
        if let Some(level) = attention.line {
            told.write(level, took);
        }
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

impl Account {
    /// Leaves one with a request.
    pub(crate) fn leave_with<B>(request: &mut Request<B>) -> Self {
        let account = Self::default();
        request.extensions_mut().insert(account.clone());
        account
    }

    /// What the surface left with a request.
    pub(crate) fn left_with(extensions: &Extensions) -> Self {
        extensions.get().cloned().unwrap_or_default()
    }

    /// A request has one caller.
    pub(crate) fn note_key(&self, key_id: &KeyId) {
        self.0.key_id.get_or_init(|| key_id.clone());
    }

    pub(crate) fn note_outcome(&self, outcome: Outcome) {
        self.0.outcome.get_or_init(|| outcome);
    }

    pub(crate) fn key_id(&self) -> Option<&KeyId> {
        self.0.key_id.get()
    }

    pub(crate) fn outcome(&self) -> Option<Outcome> {
        self.0.outcome.get().copied()
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

    /// The place of its own span in the trace.
    fn context(&self) -> TraceContext {
        let trace = &self.origin.trace;
        TraceContext { trace_id: trace.trace_id(), span_id: trace.span_id(), is_sampled: true }
    }

    fn span(&self, context: TraceContext, took: Duration) -> FinishedSpan {
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
            context,
            parent: trace.parent.map(|parent| parent.span_id),
            name: format!("{method} {route}"),
            kind: SpanKind::Server,
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
