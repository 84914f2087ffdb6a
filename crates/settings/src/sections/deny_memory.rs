//! Denials that a node remembers.

use crate::{
    TimeSpan,
    values::{Bound, time},
};

/// Settings `deny_memory.*`.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DenyMemorySettings {
    /// How long a denial is remembered at most; zero for not at all.
    pub duration_max: TimeSpan,
}

pub(super) const BOUNDS: &[Bound] = &[time("deny_memory.duration_max", TimeSpan::secs(0), TimeSpan::secs(1))];
