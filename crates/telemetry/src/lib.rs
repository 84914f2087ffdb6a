//! What operators see of a node: metrics, logs, traces, and the place of a panic.
//!
//! Every metric is declared once, in the [`CATALOGUE`]: name, kind, unit, help and labels. Labels
//! are enums, so a key id, an owner or an address cannot become one and the number of series is
//! fixed when the program is compiled. [`Metrics`] holds the handles, made once.
//!
//! Logs go to standard error. What looks like a credential is replaced before it is written;
//! that is the second net, not the first.
//!
//! A request belongs to a trace ([`TraceContext`]); [`Traces`] holds the spans that wait to be exported.

#[cfg(feature = "process")]
mod catalogue;
#[cfg(feature = "process")]
mod labels;
#[cfg(feature = "process")]
mod logs;
#[cfg(feature = "process")]
mod metrics;
mod panics;
#[cfg(feature = "process")]
mod process;
#[cfg(feature = "process")]
mod recorder;
mod scrub;
mod spans;
mod trace_context;
#[cfg(feature = "process")]
mod traces;

#[cfg(feature = "process")]
pub use catalogue::{CATALOGUE, Kind, Metric};
#[cfg(feature = "process")]
pub use labels::{
    AuthOutcome, CertificateFate, Component, HealthState, KindLabel, LabelSet, LookupOutcome, OutageState, PoolState, RedisErrorKind,
    Source, SpanFate, Verdict,
};
#[cfg(feature = "process")]
pub use logs::{LogError, LogFormat, check_filter, init_logs};
#[cfg(feature = "process")]
pub use metrics::Metrics;
pub use panics::install_panic_hook;
#[cfg(feature = "process")]
pub use process::process_cpu;
#[cfg(feature = "process")]
pub use recorder::{Recorder, RecorderError};
pub use scrub::scrub;
pub use spans::{call_span, note_caller, request_span};
pub use trace_context::{SpanId, TRACEPARENT_HEADER, TraceContext, TraceId, mixed};
#[cfg(feature = "process")]
pub use traces::{
    Attribute, Entered, FinishedSpan, Resource, SpanKind, Step, Steps, Timing, TraceOptions, Traces, is_chosen, to_otlp_json,
};

/// The version of this build, as `tollgate_build_info` shows it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
