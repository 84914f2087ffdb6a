//! What the metrics page is rendered from.

use crate::{
    Metrics,
    catalogue::{CATALOGUE, Kind},
    process,
};
use ::metrics::{Recorder as _, SharedString};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use std::fmt;

/// The metrics of one node. Nothing is global: several nodes can live in one process.
#[derive(Clone)]
pub struct Recorder {
    metrics: Metrics,
    page: PrometheusHandle,
}

/// The catalogue could not be registered.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up metrics")]
pub struct RecorderError(#[from] BuildError);

impl Recorder {
    /// Registers and describes the whole catalogue.
    pub fn new() -> Result<Self, RecorderError> {
        let buckets = CATALOGUE.iter().filter_map(|metric| match metric.kind {
            Kind::Histogram(buckets) => Some((metric.name, buckets)),
            Kind::Counter | Kind::Gauge => None,
        });
        let builder = buckets.into_iter().try_fold(PrometheusBuilder::new(), |builder, (name, buckets)| {
            builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), buckets)
        })?;
        let recorder = builder.build_recorder();
        describe(&recorder);
        Ok(Self { metrics: Metrics::made_by(&recorder), page: recorder.handle() })
    }

    /// The handles to count and measure with.
    pub fn metrics(&self) -> Metrics {
        self.metrics.clone()
    }

    /// The metrics page in Prometheus' text format.
    pub fn render(&self) -> String {
        let mut page = self.page.render();
        process::write(&mut page);
        page
    }

    /// Moves recorded samples into their buckets. To be called every few seconds: samples are
    /// kept one by one until then, or until the page is rendered.
    pub fn upkeep(&self) {
        self.page.run_upkeep();
    }
}

fn describe(recorder: &PrometheusRecorder) {
    for metric in CATALOGUE {
        let (name, unit, help) = (metric.name.into(), Some(metric.unit), SharedString::const_str(metric.help));
        match metric.kind {
            Kind::Counter => recorder.describe_counter(name, unit, help),
            Kind::Gauge => recorder.describe_gauge(name, unit, help),
            Kind::Histogram(_) => recorder.describe_histogram(name, unit, help),
        }
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
