//! What happens while a store cannot be reached.

use crate::{
    TimeSpan,
    values::{Bound, time, whole},
};

/// Settings `outage.*`.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutageSettings {
    /// What decides while Redis cannot.
    pub mode: OutageMode,
    /// The least number of nodes that a limit is shared between in mode `local`.
    pub nodes_min: u32,
    /// How long a node is counted after its last heartbeat.
    pub nodes_ttl: TimeSpan,
    /// How long cached keys go on while both stores are gone.
    pub stale_grace: TimeSpan,
    /// Decisions in a row that have no answer before nobody waits any more.
    pub failures_max: u32,
    /// Pause between two probes of a Redis that has no answer.
    pub probe_interval: TimeSpan,
    /// Subjects that mode `local` keeps at most.
    pub subjects_max: usize,
}

/// What decides while Redis cannot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutageMode {
    /// This node's share of each limit, in memory.
    Local,
    /// Everything passes.
    Open,
    /// Nothing passes: 503.
    Closed,
}

pub(super) const BOUNDS: &[Bound] = &[
    whole("outage.nodes_min", 1, 10_000),
    time("outage.nodes_ttl", TimeSpan::millis(500), TimeSpan::secs(3_600)),
    time("outage.stale_grace", TimeSpan::secs(0), TimeSpan::secs(3_600)),
    whole("outage.failures_max", 1, 1_000_000),
    // Back to exact within a second of Redis' return.
    time("outage.probe_interval", TimeSpan::millis(10), TimeSpan::secs(1)),
    whole("outage.subjects_max", 1, 100_000_000),
];
