//! Tokens that a node takes ahead.

use crate::values::{Bound, whole};

/// Settings `leases.*`.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeasesSettings {
    /// Whether nodes take tokens ahead.
    pub enabled: bool,
    /// Of a burst this node asks for no more at a time, in percent.
    pub burst_percent_max: u32,
    /// Keys of which a node holds tokens or denials, at most.
    pub keys_max: usize,
}

pub(super) const BOUNDS: &[Bound] = &[whole("leases.burst_percent_max", 1, 5), whole("leases.keys_max", 1, 100_000)];
