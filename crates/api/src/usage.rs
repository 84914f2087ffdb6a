//! What keys were used for.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// Counts of decisions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageFigures {
    /// Decisions that allowed.
    pub allowed: u64,
    /// Decisions that a limit refused.
    pub limited: u64,
    /// Decisions that the key itself refused: its status, its secret, a scope that it lacks, a cost
    /// above its burst.
    pub denied: u64,
    /// Tokens that the allowed ones cost.
    pub cost: u64,
}

/// Counts since an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageWindow {
    /// The beginning of the first minute (of a day: hour) that is counted.
    #[serde(with = "time::serde::rfc3339")]
    pub from: OffsetDateTime,
    /// The counts.
    #[serde(flatten)]
    pub figures: UsageFigures,
}

/// Counts of the last minute, hour and day: of whole minutes and hours, and the one under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageWindows {
    /// The minute under way and the one before.
    pub minute: UsageWindow,
    /// The minute under way and the 59 before.
    pub hour: UsageWindow,
    /// The hour under way and the 23 before.
    pub day: UsageWindow,
}

/// From one point of a series to the next.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UsageStep {
    /// A minute: 60 points.
    #[default]
    Minute,
    /// An hour: 24 points.
    Hour,
}

/// Counts of one minute or hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsagePoint {
    /// Its beginning.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// The counts.
    #[serde(flatten)]
    pub figures: UsageFigures,
}

/// Answer of `GET /v1/keys/{key_id}/usage`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyUsage {
    /// The key.
    pub key_id: String,
    /// The tenant that holds it.
    pub owner: Option<String>,
    /// When it was last used, give or take a minute; null for never.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub last_used_at: Option<OffsetDateTime>,
    /// When this was read. What nodes have counted since they last told each other is not in it.
    #[serde(with = "time::serde::rfc3339")]
    pub as_of: OffsetDateTime,
    /// Totals.
    pub windows: UsageWindows,
    /// From one point to the next.
    pub step: UsageStep,
    /// Every minute of the last hour, or every hour of the last day, oldest first.
    pub series: Vec<UsagePoint>,
}

/// For how long a time the most limited keys are told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TopWindow {
    /// The ten minutes under way and the 60 minutes before.
    #[default]
    Hour,
    /// The hour under way and the 23 before.
    Day,
}

/// A key that was limited often.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitedKey {
    /// The key.
    pub key_id: String,
    /// The tenant that holds it.
    pub owner: Option<String>,
    /// So many decisions at least were refused by a limit.
    pub limited_at_least: u64,
    /// And so many at most.
    pub limited_at_most: u64,
}

/// Answer of `GET /v1/usage/top`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopUsage {
    /// For how long a time.
    pub window: TopWindow,
    /// Its beginning.
    #[serde(with = "time::serde::rfc3339")]
    pub from: OffsetDateTime,
    /// When this was read. What nodes have counted since they last told each other is not in it.
    #[serde(with = "time::serde::rfc3339")]
    pub as_of: OffsetDateTime,
    /// Whose keys: null for all.
    pub owner: Option<String>,
    /// Decisions on all these keys that a limit refused.
    pub limited: u64,
    /// The most limited, most first.
    pub keys: Vec<LimitedKey>,
    /// No key that is not listed was limited more often.
    pub others_limited_at_most: u64,
    /// False where a node had no room to count everything: the bounds are then of what was counted.
    pub complete: bool,
}
