//! Where traces are sent.

use crate::{
    SecretUrl, TimeSpan,
    load::Check,
    values::{Bound, http_endpoint, time, whole},
};

/// Settings `telemetry.*`.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TelemetrySettings {
    /// The collector that spans are sent to; none where it is not set.
    pub otlp_endpoint: SecretUrl,
    /// Of a million requests that come without a trace, so many begin one.
    pub sample_ppm: u32,
    /// Spans that wait or are under way at most: so many are sent in an interval.
    pub spans_max: usize,
    /// Spans of one call.
    pub batch_max: usize,
    /// From one look at what waits to the next.
    pub export_interval: TimeSpan,
    /// How long one call may take.
    pub export_timeout: TimeSpan,
}

pub(super) const BOUNDS: &[Bound] = &[
    whole("telemetry.sample_ppm", 0, 1_000_000),
    whole("telemetry.spans_max", 1, 1_000_000),
    whole("telemetry.batch_max", 1, 10_000),
    time("telemetry.export_interval", TimeSpan::millis(10), TimeSpan::secs(60)),
    time("telemetry.export_timeout", TimeSpan::millis(10), TimeSpan::secs(60)),
];

impl TelemetrySettings {
    /// Spans tell who asked for what: they need a private way.
    pub(crate) fn validate(&self, check: &mut Check<'_>) {
        if !self.otlp_endpoint.is_unset() {
            check.endpoint("telemetry.otlp_endpoint", http_endpoint(&self.otlp_endpoint), "use https://");
        }
    }
}
