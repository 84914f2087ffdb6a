//! What is logged, and in which form.

/// Settings `log.*`.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogSettings {
    /// For people or for programs.
    pub format: LogFormat,
    /// A level, or directives for parts of the program. Read where logging is set up.
    pub filter: String,
}

/// The form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object per line.
    Json,
}
