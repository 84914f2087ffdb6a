//! The bound on what the store holds.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Places for subjects, counted over all shards.
///
/// The count guards no other memory (each shard has its lock), so its order against other
/// operations does not matter.
#[derive(Debug)]
pub(super) struct Room {
    taken: AtomicUsize,
    max: usize,
}

/// No place is left.
#[derive(Debug)]
pub(super) struct Full;

impl Room {
    pub(super) fn new(max: usize) -> Self {
        Self { taken: AtomicUsize::new(0), max }
    }

    pub(super) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// Takes `count` places or none.
    pub(super) fn take(&self, count: usize) -> Result<(), Full> {
        if count == 0 {
            return Ok(());
        }
        let more = |taken: usize| taken.checked_add(count).filter(|taken| *taken <= self.max);
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).map(drop).map_err(|_| Full)
    }

    /// Takes a place even beyond the bound.
    pub(super) fn take_anyway(&self) {
        self.taken.fetch_add(1, Ordering::Relaxed);
    }

    /// Gives `count` places back.
    pub(super) fn give(&self, count: usize) {
        self.taken.fetch_sub(count, Ordering::Relaxed);
    }
}
