//! How a node leaves.

use crate::{
    TimeSpan,
    values::{Bound, time},
};

/// Settings `shutdown.*`.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShutdownSettings {
    /// How long a node that was told to stop serves on, not ready.
    pub drain_delay: TimeSpan,
    /// How long requests that are still running then may take.
    pub grace: TimeSpan,
}

pub(super) const BOUNDS: &[Bound] =
    &[time("shutdown.drain_delay", TimeSpan::secs(0), TimeSpan::secs(300)), time("shutdown.grace", TimeSpan::secs(0), TimeSpan::secs(600))];
