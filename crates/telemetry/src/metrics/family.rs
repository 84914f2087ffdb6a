//! One metric with labels: a handle for every combination, found by the enums' places.

use crate::{
    catalogue::Metric,
    labels::{Label as LabelEnum, LabelSet},
};
use ::metrics::{Counter, Gauge, Histogram, Key, Label, Level, Metadata, Recorder};
use std::marker::PhantomData;

/// A handle that a recorder can make.
pub(super) trait Handle: Sized {
    fn register(recorder: &impl Recorder, key: &Key) -> Self;
}

const METADATA: Metadata<'static> = Metadata::new("tollgate", Level::INFO, None);

impl Handle for Counter {
    fn register(recorder: &impl Recorder, key: &Key) -> Self {
        recorder.register_counter(key, &METADATA)
    }
}

impl Handle for Gauge {
    fn register(recorder: &impl Recorder, key: &Key) -> Self {
        recorder.register_gauge(key, &METADATA)
    }
}

impl Handle for Histogram {
    fn register(recorder: &impl Recorder, key: &Key) -> Self {
        recorder.register_histogram(key, &METADATA)
    }
}

/// The handle of a metric without labels, or whose labels have one value each.
pub(super) fn single<H: Handle>(recorder: &impl Recorder, metric: &Metric) -> H {
    let labels = metric.labels.iter().filter_map(|set| set.values.first().map(|value| Label::new(set.name, *value)));
    H::register(recorder, &Key::from_parts(metric.name, labels.collect::<Vec<_>>()))
}

/// A handle for every value of one label.
pub(super) struct Family<H, A> {
    handles: Box<[H]>,
    label: PhantomData<fn(A)>,
}

impl<H: Handle, A: LabelEnum> Family<H, A> {
    pub(super) fn new(recorder: &impl Recorder, metric: &Metric) -> Self {
        let handles = A::SET.values.iter().map(|a| register(recorder, metric, &[(A::SET, a)]));
        Self { handles: handles.collect(), label: PhantomData }
    }

    /// Calls `record` with the handle of `a`.
    pub(super) fn with(&self, a: A, record: impl FnOnce(&H)) {
        if let Some(handle) = self.handles.get(a.index()) {
            record(handle);
        }
    }
}

/// A handle for every pair of values of two labels.
pub(super) struct Family2<H, A, B> {
    handles: Box<[H]>,
    labels: PhantomData<fn(A, B)>,
}

impl<H: Handle, A: LabelEnum, B: LabelEnum> Family2<H, A, B> {
    pub(super) fn new(recorder: &impl Recorder, metric: &Metric) -> Self {
        let pairs = A::SET.values.iter().flat_map(|a| B::SET.values.iter().map(move |b| [(A::SET, *a), (B::SET, *b)]));
        Self { handles: pairs.map(|pair| register(recorder, metric, &pair)).collect(), labels: PhantomData }
    }

    /// Calls `record` with the handle of `a` and `b`.
    pub(super) fn with(&self, a: A, b: B, record: impl FnOnce(&H)) {
        if let Some(handle) = self.handles.get(a.index() * B::SET.values.len() + b.index()) {
            record(handle);
        }
    }
}

fn register<H: Handle>(recorder: &impl Recorder, metric: &Metric, labels: &[(LabelSet, &'static str)]) -> H {
    let labels: Vec<Label> = labels.iter().map(|(set, value)| Label::new(set.name, *value)).collect();
    H::register(recorder, &Key::from_parts(metric.name, labels))
}
