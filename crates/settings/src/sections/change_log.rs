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
    /// How long rows of the log are kept: a node that is further behind starts over.
    pub retention: TimeSpan,
    /// How long rows of the audit log are kept.
    pub audit_retention: TimeSpan,
}

const DAY_SECONDS: u64 = 86_400;

pub(super) const BOUNDS: &[Bound] = &[
    time("change_log.poll_interval", TimeSpan::millis(10), TimeSpan::secs(60)),
    whole("change_log.page", 1, 10_000),
    time("change_log.retention", TimeSpan::secs(3_600), TimeSpan::secs(400 * DAY_SECONDS)),
    time("change_log.audit_retention", TimeSpan::secs(3_600), TimeSpan::secs(4_000 * DAY_SECONDS)),
];
