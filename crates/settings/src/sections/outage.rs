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
    /// How long cached keys go on while both stores are gone.
    pub stale_grace: TimeSpan,
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

pub(super) const BOUNDS: &[Bound] =
    &[whole("outage.nodes_min", 1, 10_000), time("outage.stale_grace", TimeSpan::secs(0), TimeSpan::secs(3_600))];
