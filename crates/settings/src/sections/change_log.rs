//! How a node follows the changes of keys.

use crate::{
    TimeSpan,
    values::{Bound, time, whole},
};

/// Settings `change_log.*`.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangeLogSettings {
    /// How often the log is read.
    pub poll_interval: TimeSpan,
    /// Changes read at one time.
    pub page: u32,
}

pub(super) const BOUNDS: &[Bound] =
    &[time("change_log.poll_interval", TimeSpan::millis(10), TimeSpan::secs(60)), whole("change_log.page", 1, 10_000)];
