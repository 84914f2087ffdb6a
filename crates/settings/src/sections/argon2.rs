//! How secrets are hashed.

use crate::{
    TimeSpan,
    load::Check,
    values::{Bound, time, whole},
};

/// Settings `argon2.*`.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Argon2Settings {
    /// Memory of one hash in KiB.
    pub memory_kib: u32,
    /// Passes over that memory.
    pub iterations: u32,
    /// Lanes.
    pub parallelism: u32,
    /// Hashes computed at one time; 0 for one on every second processor.
    pub threads: usize,
    /// Hashes that may wait for a thread.
    pub queue_max: usize,
    /// How long a hash may wait for a thread.
    pub wait_max: TimeSpan,
}

pub(super) const BOUNDS: &[Bound] = &[
    whole("argon2.memory_kib", 8, 1_048_576),
    whole("argon2.iterations", 1, 64),
    whole("argon2.parallelism", 1, 16),
    whole("argon2.threads", 0, 256),
    whole("argon2.queue_max", 1, 65_536),
    time("argon2.wait_max", TimeSpan::millis(10), TimeSpan::secs(60)),
];

/// RFC 9106, section 3.1: memory is at least 8 KiB for each lane.
const KIB_PER_LANE_MIN: u32 = 8;

impl Argon2Settings {
    /// Hashes computed at one time: half of the processors, where the setting leaves it open, so
    /// that a crowd of first uses does not starve decisions.
    pub fn threads_or_half(&self) -> usize {
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
        if self.threads == 0 { (processors / 2).max(1) } else { self.threads }
    }

    /// What must hold between these settings.
    pub(crate) fn validate(&self, check: &mut Check<'_>) {
        if self.memory_kib < KIB_PER_LANE_MIN.saturating_mul(self.parallelism) {
            check.refuse("argon2.memory_kib", "must be at least 8 times argon2.parallelism");
        }
    }
}
