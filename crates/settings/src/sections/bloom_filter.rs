//! The filter of key ids that every node holds in memory.

use crate::{
    ByteSize, TimeSpan,
    values::{Bound, size, time, whole},
};

/// Settings `bloom_filter.*`.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BloomFilterSettings {
    /// Wrong keys of a million that a full filter lets through to the key store.
    pub false_positives_ppm: u32,
    /// Room for keys to come, in percent.
    pub head_room_percent: u32,
    /// Memory of one filter at most.
    pub bytes_max: ByteSize,
    /// Ids read at one time.
    pub page: u32,
    /// How long one load may take in all.
    pub load_timeout: TimeSpan,
    /// About how long a filter is used.
    pub rebuild_interval: TimeSpan,
    /// Revoked keys that call for another filter.
    pub tombstones_min: usize,
    /// The same in percent of the keys.
    pub tombstones_percent: u32,
}

pub(super) const BOUNDS: &[Bound] = &[
    whole("bloom_filter.false_positives_ppm", 10, 100_000),
    whole("bloom_filter.head_room_percent", 0, 100),
    size("bloom_filter.bytes_max", ByteSize::kib(64), ByteSize::kib(8 << 20)),
    whole("bloom_filter.page", 1, 10_000),
    time("bloom_filter.load_timeout", TimeSpan::secs(1), TimeSpan::secs(3600)),
    time("bloom_filter.rebuild_interval", TimeSpan::secs(1), TimeSpan::secs(7 * 86_400)),
    whole("bloom_filter.tombstones_min", 1, 1_000_000),
    whole("bloom_filter.tombstones_percent", 1, 100),
];
