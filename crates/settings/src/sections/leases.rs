//! Tokens that a node takes ahead.

use crate::values::{Bound, TimeSpan, time, whole};

/// Settings `leases.*`.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeasesSettings {
    /// Whether nodes take tokens ahead.
    pub enabled: bool,
    /// Of a burst this node asks for no more at a time, in percent.
    pub burst_percent_max: u32,
    /// No more at a time than the slowest bucket refills in this time.
    pub refill_max: TimeSpan,
    /// Keys of which a node holds tokens or denials, at most.
    pub keys_max: usize,
}

pub(super) const BOUNDS: &[Bound] = &[
    whole("leases.burst_percent_max", 1, 5),
    time("leases.refill_max", TimeSpan::millis(10), TimeSpan::secs(2_678_400)),
    whole("leases.keys_max", 1, 100_000),
];
