//! What keys are used for.

use crate::{
    TimeSpan,
    values::{Bound, time, whole},
};

/// Settings `usage.*`.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UsageSettings {
    /// How often counts are told to the store.
    pub flush_interval: TimeSpan,
    /// Keys whose counts are held in memory, at most.
    pub keys_max: usize,
    /// Keys of one summary of the most limited.
    pub top_keys: usize,
    /// Owners that have summaries of their own, at most.
    pub top_owners_max: usize,
}

pub(super) const BOUNDS: &[Bound] = &[
    time("usage.flush_interval", TimeSpan::millis(100), TimeSpan::secs(60)),
    whole("usage.keys_max", 1, 10_000_000),
    whole("usage.top_keys", 1, 10_000),
    whole("usage.top_owners_max", 1, 1_000_000),
];
