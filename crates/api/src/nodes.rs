//! The nodes that serve together.

use serde::{Deserialize, Serialize};

use crate::{Component, OutageModeName, Rfc3339};

/// One node, as it tells of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// The random id of its process.
    pub id: String,
    /// Its name: machine and port.
    pub node: String,
    /// The version that it runs.
    pub version: String,
    /// `embedded` or `cluster`.
    pub mode: String,
    /// When it started, by its own clock.
    pub started_at: Rfc3339,
    /// Seconds since then.
    pub uptime_seconds: u64,
    /// When it told all this, by its own clock.
    pub seen_at: Rfc3339,
    /// Whether it should be sent requests.
    pub ready: bool,
    /// What decides while the bucket store does not answer.
    pub outage_mode: OutageModeName,
    /// Whether decisions are made without the bucket store now.
    pub in_outage: bool,
    /// The position of the change log that it has applied.
    pub change_log_position: u64,
    /// Positions that it is behind the node that is ahead of all.
    #[serde(default)]
    pub change_log_lag: u64,
    /// Milliseconds since it last read the log to its head; none before it ever did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change_log_age_ms: Option<u64>,
    /// Its filter of key ids.
    pub bloom_filter: FilterFigures,
    /// Parts that are not well, and guard rails that are on.
    #[serde(default)]
    pub troubles: Vec<Component>,
}

/// A filter of key ids.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilterFigures {
    /// Ids that are in it.
    pub keys: u64,
    /// Memory that it takes.
    pub bytes: u64,
    /// When it was built; none where there is none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub built_at: Option<Rfc3339>,
}

/// Answer of `GET /v1/nodes`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeList {
    /// In order of names. A node that has gone leaves the list after `outage.nodes_ttl`.
    pub nodes: Vec<NodeStatus>,
    /// Whether these are all: while the registry cannot be read the node that answers knows of itself
    /// alone, and nodes of an earlier version tell nothing of themselves.
    pub complete: bool,
}
