//! How keys are made.

use crate::{
    KindEnd, TimeSpan,
    load::Check,
    values::{Bound, path, time, whole},
};
use std::path::PathBuf;

/// Settings `keys.*`.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeysSettings {
    /// The file with the key that wraps the signing keys, where there is one.
    #[serde(deserialize_with = "path")]
    pub master_key_file: Option<PathBuf>,
    /// How long the secret before a rotation stays good where the call does not say.
    pub rotation_grace: TimeSpan,
    /// The most that a call may say; at least `rotation_grace`.
    pub rotation_grace_max: TimeSpan,
    /// How often last uses are written.
    pub last_used_interval: TimeSpan,
    /// Keys whose use waits to be written, at most.
    pub last_used_pending_max: usize,
    /// Kinds of keys on their way out.
    pub deprecated: DeprecatedKinds,
    /// The limit of a key that was made without one.
    pub default_rate_limit: DefaultRateLimit,
}

/// Settings `keys.deprecated.*`: how long each kind is still good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeprecatedKinds {
    /// Made here, with a tag.
    pub signed: KindEnd,
    /// Made here, without one.
    pub unsigned: KindEnd,
    /// Made elsewhere.
    pub imported: KindEnd,
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

pub(super) const BOUNDS: &[Bound] = &[
    time("keys.rotation_grace", TimeSpan::secs(0), TimeSpan::secs(365 * 86_400)),
    time("keys.rotation_grace_max", TimeSpan::secs(0), TimeSpan::secs(365 * 86_400)),
    time("keys.last_used_interval", TimeSpan::secs(1), TimeSpan::secs(40)),
    whole("keys.last_used_pending_max", 1, 10_000_000),
    whole("keys.default_rate_limit.burst", 1, u64::MAX),
    whole("keys.default_rate_limit.per_seconds", 1, u64::MAX),
];

impl KeysSettings {
    /// What must hold between them.
    pub(crate) fn validate(&self, check: &mut Check<'_>) {
        if self.rotation_grace.get() > self.rotation_grace_max.get() {
            check.refuse("keys.rotation_grace", "must be at most keys.rotation_grace_max");
        }
    }
}
