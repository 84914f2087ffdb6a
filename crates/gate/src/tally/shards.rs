//! Counts that wait in memory: many small maps, so that hardly two decisions meet at one lock.

use std::{
    collections::{HashMap, hash_map::RandomState},
    hash::BuildHasher,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tollgate_keys::{KeyId, OwnerName};

use crate::ports::UsageCounts;

/// How many maps.
pub(super) const SHARDS: usize = 16;

/// What is known of one key in one minute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tallied {
    pub(super) key_id: KeyId,
    pub(super) owner: Option<OwnerName>,
    pub(super) minute: u32,
    pub(super) counts: UsageCounts,
}

/// Whether a count was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    Yes,
    /// And this map has just become half full.
    HalfFull,
    /// No: it is full.
    No,
}

type Counted = HashMap<KeyId, (Option<OwnerName>, UsageCounts)>;

#[derive(Debug)]
pub(super) struct Shards {
    each: Box<[Mutex<Shard>]>,
    hasher: RandomState,
    /// Rows of one shard at most.
    rows_max: usize,
}

#[derive(Debug, Default)]
struct Shard {
    minute: u32,
    counted: Counted,
    /// What was counted in other minutes and not taken since.
    earlier: Vec<(u32, Counted)>,
    /// Rows of `earlier`.
    earlier_rows: usize,
}

impl Shard {
    fn rows(&self) -> usize {
        self.counted.len() + self.earlier_rows
    }

    fn turn_to(&mut self, minute: u32) {
        let counted = std::mem::take(&mut self.counted);
        if !counted.is_empty() {
            self.earlier_rows += counted.len();
            self.earlier.push((self.minute, counted));
        }
        self.minute = minute;
    }
}

impl Shards {
    /// For so many rows (a key in a minute) in all, rounded up.
    pub(super) fn new(rows_max: usize) -> Self {
        let each = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { each, hasher: RandomState::new(), rows_max: rows_max.div_ceil(SHARDS).max(1) }
    }

    /// Adds to the counts of a key. One short lock; allocates for a key's first count in a minute alone.
    pub(super) fn count(&self, key_id: &KeyId, owner: Option<&OwnerName>, minute: u32, counts: &UsageCounts) -> Kept {
        let place = usize::try_from(self.hasher.hash_one(key_id) % SHARDS as u64).unwrap_or(0);
        let Some(mut shard) = self.shard(place) else { return Kept::No };
        if shard.minute != minute {
            shard.turn_to(minute);
        }
        if let Some((of, known)) = shard.counted.get_mut(key_id) {
            // Who counts a refusal may not know whose the key is.
            if of.is_none() && owner.is_some() {
                *of = owner.cloned();
            }
            known.add(counts);
            return Kept::Yes;
        }
        if shard.rows() >= self.rows_max {
            return Kept::No;
        }
        shard.counted.insert(key_id.clone(), (owner.cloned(), *counts));
        if shard.rows() == self.rows_max.div_ceil(2) { Kept::HalfFull } else { Kept::Yes }
    }

    /// Takes out what one shard holds.
    pub(super) fn take(&self, place: usize) -> Vec<Tallied> {
        let expected = self.shard(place).map_or(0, |shard| shard.counted.len());
        // Made before the lock: nobody is to wait for its memory, nor for its growing later.
        let fresh = Counted::with_capacity(expected);
        let Some(mut shard) = self.shard(place) else { return Vec::new() };
        let (minute, counted) = (shard.minute, std::mem::replace(&mut shard.counted, fresh));
        let earlier = std::mem::take(&mut shard.earlier);
        shard.earlier_rows = 0;
        drop(shard);
        let minutes = earlier.into_iter().chain([(minute, counted)]);
        minutes.flat_map(|(minute, counted)| tallied(minute, counted)).collect()
    }

    /// Rows that wait, about.
    pub(super) fn rows(&self) -> usize {
        (0..SHARDS).filter_map(|place| self.shard(place)).map(|shard| shard.rows()).sum()
    }

    fn shard(&self, place: usize) -> Option<MutexGuard<'_, Shard>> {
        self.each.get(place).map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn tallied(minute: u32, counted: Counted) -> impl Iterator<Item = Tallied> {
    counted.into_iter().map(move |(key_id, (owner, counts))| Tallied { key_id, owner, minute, counts })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: UsageCounts = UsageCounts { allowed: 1, limited: 0, denied: 0, cost: 3 };

    fn key_id(count: u64) -> KeyId {
        KeyId::from_parts(count, [0; 10])
    }

    fn all(shards: &Shards) -> Vec<Tallied> {
        let mut all: Vec<Tallied> = (0..SHARDS).flat_map(|place| shards.take(place)).collect();
        all.sort_by(|one, other| (one.minute, &one.key_id).cmp(&(other.minute, &other.key_id)));
        all
    }

    #[test]
    fn counts_are_kept_by_key_and_minute_until_they_are_taken() {
        let (shards, owner) = (Shards::new(1000), OwnerName::parse("acme").expect("an owner"));
        for minute in [7, 7, 8, 7] {
            assert_eq!(shards.count(&key_id(1), Some(&owner), minute, &ONE), Kept::Yes);
        }
        shards.count(&key_id(2), None, 8, &ONE);
        let taken = all(&shards);
        let of =
            |minute, key: u64| -> Vec<&Tallied> { taken.iter().filter(|one| one.minute == minute && one.key_id == key_id(key)).collect() };
        assert_eq!(of(7, 1).iter().map(|one| one.counts.allowed).sum::<u64>(), 3);
        assert_eq!(of(7, 1).iter().map(|one| one.counts.cost).sum::<u64>(), 9);
        assert_eq!((of(8, 1).len(), of(8, 2).len(), of(8, 2)[0].owner.as_ref()), (1, 1, None));
        assert!(taken.iter().filter(|one| one.key_id == key_id(1)).all(|one| one.owner.as_ref() == Some(&owner)));
        assert!(all(&shards).is_empty() && shards.rows() == 0);
    }

    #[test]
    fn no_more_rows_wait_than_may_and_it_is_told_in_time() {
        let shards = Shards::new(160);
        let told: Vec<Kept> = (0..1000).map(|count| shards.count(&key_id(count), None, 7, &ONE)).collect();
        assert_eq!(told.iter().filter(|kept| **kept == Kept::HalfFull).count(), SHARDS, "once for each");
        assert_eq!(told.iter().filter(|kept| **kept != Kept::No).count(), 160);
        assert_eq!(shards.rows(), 160);
        shards.count(&key_id(0), None, 8, &ONE);
        assert_eq!(shards.rows(), 160, "another minute is another row");
        assert_eq!(all(&shards).len(), 160);
    }
}
