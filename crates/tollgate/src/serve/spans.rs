//! Sends the spans of requests to a collector, in batches, off the way of requests.

use std::time::Duration;

use bytes::Bytes;
use tokio::{sync::watch, task::JoinHandle};
use tollgate_client::Collector;
use tollgate_settings::Settings;
use tollgate_telemetry::{FinishedSpan, Metrics, Resource, SpanFate, TraceOptions, Traces, to_otlp_json};

use crate::{collector, exit::Failure};

/// How often a batch is sent that may be taken later.
const ATTEMPTS_MAX: u32 = 3;

/// What exports, if the settings name a collector.
#[derive(Debug)]
pub(super) struct Exporter {
    traces: Traces,
    metrics: Metrics,
    task: JoinHandle<()>,
    stopping: watch::Sender<bool>,
}

/// What one export needs.
struct Export {
    traces: Traces,
    collector: Collector,
    resource: Resource,
    metrics: Metrics,
    batch_max: usize,
    interval: Duration,
}

impl Exporter {
    /// Begins to export, where the settings say so.
    pub(super) fn start(settings: &Settings, metrics: Metrics, node: String) -> Result<Option<Self>, Failure> {
        let Some(collector) = collector::of_settings(settings)? else { return Ok(None) };
        let telemetry = &settings.telemetry;
        let options = TraceOptions { sample_ppm: telemetry.sample_ppm, spans_max: telemetry.spans_max };
        let traces = Traces::new(options, metrics.clone());
        let (stopping, told) = watch::channel(false);
        let export = Export {
            traces: traces.clone(),
            collector,
            resource: Resource { service: "tollgate", instance: node, version: env!("CARGO_PKG_VERSION") },
            metrics: metrics.clone(),
            batch_max: telemetry.batch_max,
            interval: telemetry.export_interval.get(),
        };
        Ok(Some(Self { traces, metrics, task: tokio::spawn(export.run(told)), stopping }))
    }

    /// Where spans are left.
    pub(super) fn traces(&self) -> Traces {
        self.traces.clone()
    }

    /// Sends what still waits, at most for so long. What is left then counts as failed.
    pub(super) async fn stop(&mut self, within: Duration) {
        self.stopping.send_replace(true);
        if tokio::time::timeout(within, &mut self.task).await.is_err() {
            self.task.abort();
            // When it has ended, what it had under way is counted.
            (&mut self.task).await.unwrap_or_default();
            tracing::warn!("the collector has not taken the last spans in time");
        }
        self.metrics.spans(SpanFate::Failed, self.traces.take(usize::MAX).len());
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Export {
    async fn run(self, mut stopping: watch::Receiver<bool>) {
        loop {
            let is_last = self.paused(&mut stopping).await;
            let mut taken = 0;
            loop {
                let spans = self.traces.take(self.batch_max);
                if spans.is_empty() {
                    break;
                }
                taken += spans.len();
                self.send(&spans, &mut stopping).await;
            }
            if is_last {
                return;
            }
            // Not before: what was sent in this interval counts for its bound.
            self.traces.make_room(taken);
        }
    }

    /// Waits for an interval; cut short where the node stops, which is told.
    async fn paused(&self, stopping: &mut watch::Receiver<bool>) -> bool {
        tokio::select! {
            () = tokio::time::sleep(self.interval) => false,
            // Without anybody to tell there is only the end.
            _ = stopping.wait_for(|stops| *stops) => true,
        }
    }

    async fn send(&self, spans: &[FinishedSpan], stopping: &mut watch::Receiver<bool>) {
        let mut under_way = UnderWay { metrics: &self.metrics, count: spans.len(), fate: SpanFate::Failed };
        let json = Bytes::from(to_otlp_json(&self.resource, spans));
        for attempt in 1..=ATTEMPTS_MAX {
            let Err(error) = self.collector.send_spans(json.clone()).await else {
                under_way.fate = SpanFate::Exported;
                return;
            };
            tracing::debug!(%error, attempt, spans = spans.len(), "spans are not taken");
            if !error.is_transient() || attempt == ATTEMPTS_MAX || self.paused(stopping).await {
                tracing::warn!(%error, spans = spans.len(), "spans are lost");
                return;
            }
        }
    }
}

/// Spans that are being sent: counted whatever ends it, also where the node does.
struct UnderWay<'a> {
    metrics: &'a Metrics,
    count: usize,
    fate: SpanFate,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.metrics.spans(self.fate, self.count);
    }
}

#[cfg(test)]
mod tests;
