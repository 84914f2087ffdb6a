//! A set of ids that forgets none and now and then takes a stranger for a member.

use std::fmt;

use bloomfilter::Bloom;
use tollgate_keys::{KeyId, random_bytes};

/// However few keys there are, so many find room: a small fleet need not rebuild with every import.
const CAPACITY_MIN: u64 = 10_000;

/// Bits that say of an id that it was put in, or almost surely that it was not. Hashed under keys
/// that are drawn anew for every set, so nobody can know which strangers it takes for members.
pub(crate) struct IdSet {
    bloom: Bloom<str>,
    bytes: usize,
    capacity: u64,
    /// Ids put in, without those that were taken for members already.
    count: u64,
}

/// How large a set may become and how often it may err.
#[derive(Debug, Clone, Copy)]
pub(crate) struct IdSetOptions {
    /// Strangers taken for members, of a million, when it is full.
    pub(crate) false_positives_ppm: u32,
    /// Room for more ids than are counted, in percent of them.
    pub(crate) head_room_percent: u32,
    /// The most memory it may take.
    pub(crate) bytes_max: usize,
}

/// Why no set was made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum IdSetError {
    #[error("a filter of {count} keys needs {bytes} bytes, and bloom_filter.bytes_max allows {bytes_max}")]
    TooLarge { count: u64, bytes: usize, bytes_max: usize },
    #[error("the system gives no {0} bytes for a filter")]
    NoMemory(usize),
    #[error("the filter cannot be seeded: {0}")]
    NoRandomness(String),
    #[error("no filter can be made: {0}")]
    Refused(&'static str),
}

impl IdSet {
    /// An empty set with room for `count` ids and the head room.
    pub(crate) fn with_room_for(count: u64, options: IdSetOptions) -> Result<Self, IdSetError> {
        let head_room = count.saturating_mul(u64::from(options.head_room_percent)) / 100;
        let capacity = count.saturating_add(head_room).max(CAPACITY_MIN);
        let items = usize::try_from(capacity).unwrap_or(usize::MAX);
        let rate = f64::from(options.false_positives_ppm.clamp(1, 999_999)) / 1e6;
        // Rounds down to what a machine can count; far above any bound by then.
        let bytes = Bloom::<str>::compute_bitmap_size(items, rate);
        if bytes > options.bytes_max {
            return Err(IdSetError::TooLarge { count, bytes, bytes_max: options.bytes_max });
        }
        may_allocate(bytes)?;
        let seed = random_bytes().map_err(|error| IdSetError::NoRandomness(error.to_string()))?;
        let bloom = Bloom::new_with_seed(bytes, items, &seed).map_err(IdSetError::Refused)?;
        Ok(Self { bloom, bytes, capacity, count: 0 })
    }

    /// Puts an id in.
    pub(crate) fn insert(&mut self, key_id: &KeyId) {
        if !self.bloom.check_and_set(key_id.as_str()) {
            self.count += 1;
        }
    }

    /// Whether it was put in, or is one of the few strangers taken for members.
    pub(crate) fn contains(&self, key_id: &KeyId) -> bool {
        self.bloom.check(key_id.as_str())
    }

    /// Ids put in.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Memory of the bits.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether it holds more than it was made for, so that it errs more often than it should.
    pub(crate) fn is_saturated(&self) -> bool {
        self.count > self.capacity
    }
}

/// The set itself would end the process where there is no memory for it: this asks first.
fn may_allocate(bytes: usize) -> Result<(), IdSetError> {
    Vec::<u8>::new().try_reserve_exact(bytes).map_err(|_| IdSetError::NoMemory(bytes))
}

/// Without the seed: who knows it can find strangers that are taken for members.
impl fmt::Debug for IdSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bloom: _, bytes, capacity, count } = self;
        f.debug_struct("IdSet").field("bytes", bytes).field("capacity", capacity).field("count", count).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
