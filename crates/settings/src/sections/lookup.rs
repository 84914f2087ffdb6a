//! Look-ups of keys in the store.

use crate::{
    TimeSpan,
    values::{Bound, time, whole},
};

/// Settings `lookup.*`.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LookupSettings {
    /// For ids that the filter cannot tell.
    pub budget: LookupBudget,
    /// Requests that may wait for a look-up.
    pub waiting_max: usize,
    /// Ids that are remembered because no key has them.
    pub misses_max: usize,
    /// How long they are.
    pub miss_ttl: TimeSpan,
}

/// Settings `lookup.budget.*`.
#[derive(Debug, Clone, Copy, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LookupBudget {
    /// Look-ups at once.
    pub burst: u32,
    /// Look-ups every second from then on.
    pub per_second: u32,
}

pub(super) const BOUNDS: &[Bound] = &[
    whole("lookup.budget.burst", 1, 1_000_000),
    whole("lookup.budget.per_second", 1, 1_000_000),
    whole("lookup.waiting_max", 1, 1_000_000),
    whole("lookup.misses_max", 1, 10_000_000),
    time("lookup.miss_ttl", TimeSpan::secs(1), TimeSpan::secs(3600)),
];
