//! What operators see of a node: metrics, logs, and the place of a panic.
//!
//! Every metric is declared once, in the [`CATALOGUE`]: name, kind, unit, help and labels. Labels
//! are enums, so a key id, an owner or an address cannot become one and the number of series is
//! fixed when the program is compiled. [`Metrics`] holds the handles, made once.
//!
//! Logs go to standard error. What looks like a credential is replaced before it is written;
//! that is the second net, not the first.

mod catalogue;
mod labels;
mod logs;
mod metrics;
mod panics;
mod recorder;
mod scrub;

pub use catalogue::{CATALOGUE, Kind, Metric};
pub use labels::{
    AuthOutcome, Component, HealthState, KindLabel, LabelSet, LookupOutcome, OutageState, PoolState, RedisErrorKind, Source, Verdict,
};
pub use logs::{LogError, LogFormat, check_filter, init_logs};
pub use metrics::Metrics;
pub use panics::install_panic_hook;
pub use recorder::{Recorder, RecorderError};
pub use scrub::scrub;

/// The version of this build, as `tollgate_build_info` shows it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
