//! Keys that a node remembers.

use crate::{
    TimeSpan,
    values::{Bound, time, whole},
};

/// Settings `cache.*`.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CacheSettings {
    /// How long a record may be used, from the start of the read that made it.
    pub age_max: TimeSpan,
    /// Keys held at most.
    pub keys_max: usize,
}

pub(super) const BOUNDS: &[Bound] =
    &[time("cache.age_max", TimeSpan::secs(1), TimeSpan::secs(86_400)), whole("cache.keys_max", 1, 10_000_000)];
