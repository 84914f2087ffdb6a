//! How keys are made.

use crate::values::{Bound, path, whole};
use std::path::PathBuf;

/// Settings `keys.*`.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeysSettings {
    /// The file with the key that wraps the signing keys, where there is one.
    #[serde(deserialize_with = "path")]
    pub master_key_file: Option<PathBuf>,
    /// The limit of a key that was made without one.
    pub default_rate_limit: DefaultRateLimit,
}

/// Settings `keys.default_rate_limit.*`: figures as they were written.
///
/// Only zero is refused here. The ranges of a rate limit belong to the crate `limits`, and the
/// gate's `ConfigService` checks this one against them at start like any other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DefaultRateLimit {
    /// Tokens.
    pub burst: u64,
    /// Seconds in which so many tokens are refilled.
    pub per_seconds: u64,
}

pub(super) const BOUNDS: &[Bound] =
    &[whole("keys.default_rate_limit.burst", 1, u64::MAX), whole("keys.default_rate_limit.per_seconds", 1, u64::MAX)];
