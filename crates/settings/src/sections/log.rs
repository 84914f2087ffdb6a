//! What is logged, and in which form.

use crate::values::{Bound, whole};

/// Settings `log.*`.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogSettings {
    /// For people or for programs.
    pub format: LogFormat,
    /// A level, or directives for parts of the program. Read where logging is set up.
    pub filter: String,
    /// Of a million requests that are allowed, so many have a line.
    pub allowed_ppm: u32,
    /// Lines a second at most about refused and failed requests, and as many about operators' calls.
    pub lines_per_second_max: u32,
}

pub(super) const BOUNDS: &[Bound] = &[whole("log.allowed_ppm", 0, 1_000_000), whole("log.lines_per_second_max", 0, 1_000_000)];

/// The form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object per line.
    Json,
}
