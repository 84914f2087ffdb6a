//! What is wrong with the settings, all of it.

use std::fmt;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The setting's dotted name, or what was given in its place.
    pub setting: String,
    /// Where the value came from: `default`, `file …`, `environment variable …`, `command line`.
    pub origin: String,
    /// What is wrong and what is allowed. Never contains a secret.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.setting, self.origin, self.what)
    }
}

/// Settings that cannot be used: every problem found, one line each.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct SettingsError {
    problems: Vec<Problem>,
}

impl SettingsError {
    /// The problems, in the order of their sources; never empty.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    pub(crate) fn new(problems: Vec<Problem>) -> Self {
        Self { problems }
    }
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("invalid settings:")?;
        self.problems.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}
