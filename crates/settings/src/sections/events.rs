//! Streams of events.

use crate::{
    TimeSpan,
    values::{Bound, time, whole},
};

/// Settings `events.*`.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventsSettings {
    /// Streams at this node at most.
    pub streams_max: usize,
    /// Streams of one owner at most, or of one key without an owner.
    pub streams_per_caller_max: usize,
    /// From one sign of life on a stream to the next.
    pub heartbeat_interval: TimeSpan,
    /// Pieces of one stream that wait to be sent.
    pub queue_max: usize,
    /// How long a reader may take none of them.
    pub stall_timeout: TimeSpan,
}

pub(super) const BOUNDS: &[Bound] = &[
    whole("events.streams_max", 1, 100_000),
    whole("events.streams_per_caller_max", 1, 100_000),
    time("events.heartbeat_interval", TimeSpan::millis(100), TimeSpan::secs(300)),
    whole("events.queue_max", 1, 10_000),
    time("events.stall_timeout", TimeSpan::millis(100), TimeSpan::secs(600)),
];
