//! Counts that wait in memory: many small maps, so that hardly two decisions meet at one lock.

use std::{
    collections::{HashMap, hash_map::RandomState},
    hash::BuildHasher,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tollgate_keys::{KeyId, OwnerName};

use crate::{
    cache::{ById, CachedKey, InUse},
    ports::UsageCounts,
};

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

/// The counts of one key in one minute, which hardly any key uses up.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    allowed: u32,
    limited: u32,
    denied: u32,
    cost: u64,
}

/// What was counted in one minute: of keys that are held, and of ids that were refused unseen.
#[derive(Debug)]
struct Counted<K> {
    held: HashMap<ById<K>, Counts>,
    others: HashMap<KeyId, Counts>,
}

/// Of which key something is counted.
#[derive(Debug)]
pub(super) enum Of<'a, K = CachedKey> {
    Held(&'a Arc<K>),
    /// Who refuses it may not know whose the key is.
    Other(&'a KeyId),
}

#[derive(Debug)]
pub(super) struct Shards<K = CachedKey> {
    each: Box<[Mutex<Shard<K>>]>,
    hasher: RandomState,
    /// Rows of one shard at most.
    rows_max: usize,
}

#[derive(Debug)]
struct Shard<K> {
    minute: u32,
    counted: Counted<K>,
    /// What was counted in other minutes and not taken since.
    earlier: Vec<(u32, Counted<K>)>,
    /// Rows of `earlier`.
    earlier_rows: usize,
}

impl Counts {
    fn add(&mut self, more: &UsageCounts) {
        let add = |count: &mut u32, more: u64| *count = count.saturating_add(u32::try_from(more).unwrap_or(u32::MAX));
        add(&mut self.allowed, more.allowed);
        add(&mut self.limited, more.limited);
        add(&mut self.denied, more.denied);
        self.cost = self.cost.saturating_add(more.cost);
    }

    fn all(self) -> UsageCounts {
        let Self { allowed, limited, denied, cost } = self;
        UsageCounts { allowed: allowed.into(), limited: limited.into(), denied: denied.into(), cost }
    }
}

impl<K: InUse> Counted<K> {
    fn new() -> Self {
        Self { held: HashMap::new(), others: HashMap::new() }
    }

    fn rows(&self) -> usize {
        self.held.len() + self.others.len()
    }

    fn known(&mut self, of: &Of<'_, K>) -> Option<&mut Counts> {
        match of {
            Of::Held(held) => self.held.get_mut(held.id()),
            Of::Other(key_id) => self.others.get_mut(*key_id),
        }
    }

    fn begin(&mut self, of: &Of<'_, K>) -> &mut Counts {
        match *of {
            Of::Held(held) => self.held.entry(ById(held.clone())).or_default(),
            Of::Other(key_id) => self.others.entry(key_id.clone()).or_default(),
        }
    }

    fn tallied(self, minute: u32) -> impl Iterator<Item = Tallied> {
        let held = self.held.into_iter().map(|(ById(key), counts)| (key.id().key_id(), key.owner().cloned(), counts));
        let others = self.others.into_iter().map(|(key_id, counts)| (key_id, None, counts));
        held.chain(others).map(move |(key_id, owner, counts)| Tallied { key_id, owner, minute, counts: counts.all() })
    }
}

impl<K: InUse> Shard<K> {
    fn new() -> Self {
        Self { minute: 0, counted: Counted::new(), earlier: Vec::new(), earlier_rows: 0 }
    }

    fn rows(&self) -> usize {
        self.counted.rows() + self.earlier_rows
    }

    fn turn_to(&mut self, minute: u32) {
        let counted = std::mem::replace(&mut self.counted, Counted::new());
        if counted.rows() > 0 {
            self.earlier_rows += counted.rows();
            self.earlier.push((self.minute, counted));
        }
        self.minute = minute;
    }
}

impl<K: InUse> Shards<K> {
    /// For so many rows (a key in a minute) in all, rounded up.
    pub(super) fn new(rows_max: usize) -> Self {
        let each = (0..SHARDS).map(|_| Mutex::new(Shard::new())).collect();
        Self { each, hasher: RandomState::new(), rows_max: rows_max.div_ceil(SHARDS).max(1) }
    }

    /// Adds to the counts of a key. One short lock; allocates for a key's first count in a minute alone.
    pub(super) fn count(&self, of: &Of<'_, K>, minute: u32, counts: &UsageCounts) -> Kept {
        let hash = match of {
            Of::Held(held) => self.hasher.hash_one(held.id()),
            Of::Other(key_id) => self.hasher.hash_one(key_id),
        };
        let place = usize::try_from(hash % SHARDS as u64).unwrap_or(0);
        let Some(mut shard) = self.shard(place) else { return Kept::No };
        if shard.minute != minute {
            shard.turn_to(minute);
        }
        if let Some(known) = shard.counted.known(of) {
            known.add(counts);
            return Kept::Yes;
        }
        if shard.rows() >= self.rows_max {
            return Kept::No;
        }
        shard.counted.begin(of).add(counts);
        if shard.rows() == self.rows_max.div_ceil(2) { Kept::HalfFull } else { Kept::Yes }
    }

    /// Takes out what one shard holds.
    pub(super) fn take(&self, place: usize) -> Vec<Tallied> {
        let expected = self.shard(place).map_or(0, |shard| shard.counted.held.len());
        // Made before the lock: nobody is to wait for its memory, nor for its growing later.
        let fresh = Counted { held: HashMap::with_capacity(expected), others: HashMap::new() };
        let Some(mut shard) = self.shard(place) else { return Vec::new() };
        let (minute, counted) = (shard.minute, std::mem::replace(&mut shard.counted, fresh));
        let earlier = std::mem::take(&mut shard.earlier);
        shard.earlier_rows = 0;
        drop(shard);
        let minutes = earlier.into_iter().chain([(minute, counted)]);
        minutes.flat_map(|(minute, counted)| counted.tallied(minute)).collect()
    }

    /// Rows that wait, about.
    pub(super) fn rows(&self) -> usize {
        (0..SHARDS).filter_map(|place| self.shard(place)).map(|shard| shard.rows()).sum()
    }

    fn shard(&self, place: usize) -> Option<MutexGuard<'_, Shard<K>>> {
        self.each.get(place).map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cache::{HeldId, OfKey},
        usage::Noted,
    };

    const ONE: UsageCounts = UsageCounts { allowed: 1, limited: 0, denied: 0, cost: 3 };

    #[derive(Debug)]
    struct Held(HeldId, Option<OwnerName>, Noted);

    impl OfKey for Held {
        fn id(&self) -> &HeldId {
            &self.0
        }
    }

    impl InUse for Held {
        fn owner(&self) -> Option<&OwnerName> {
            self.1.as_ref()
        }

        fn noted(&self) -> &Noted {
            &self.2
        }
    }

    fn key_id(count: u64) -> KeyId {
        KeyId::from_parts(count, [0; 10])
    }

    fn held(count: u64, owner: Option<&str>) -> Arc<Held> {
        let owner = owner.map(|owner| OwnerName::parse(owner).expect("an owner"));
        Arc::new(Held(HeldId::of(&key_id(count)), owner, Noted::default()))
    }

    fn all(shards: &Shards<Held>) -> Vec<Tallied> {
        let mut all: Vec<Tallied> = (0..SHARDS).flat_map(|place| shards.take(place)).collect();
        all.sort_by(|one, other| (one.minute, &one.key_id).cmp(&(other.minute, &other.key_id)));
        all
    }

    #[test]
    fn counts_are_kept_by_key_and_minute_until_they_are_taken() {
        let (shards, owner) = (Shards::new(1000), OwnerName::parse("acme").expect("an owner"));
        for minute in [7, 7, 8, 7] {
            // Whichever reading of it is in use.
            assert_eq!(shards.count(&Of::Held(&held(1, Some("acme"))), minute, &ONE), Kept::Yes);
        }
        shards.count(&Of::Held(&held(2, None)), 8, &ONE);
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
    fn what_was_refused_unseen_is_counted_for_nobody() {
        let (shards, refused) = (Shards::<Held>::new(1000), UsageCounts { denied: 1, ..UsageCounts::default() });
        for _ in 0..3 {
            shards.count(&Of::Other(&key_id(1)), 7, &refused);
        }
        let counts = UsageCounts { denied: 3, ..refused };
        assert_eq!(all(&shards), [Tallied { key_id: key_id(1), owner: None, minute: 7, counts }]);
    }

    #[test]
    fn no_count_begins_anew_at_its_end() {
        let (shards, most) = (Shards::new(1000), UsageCounts { limited: u64::from(u32::MAX) - 1, ..UsageCounts::default() });
        for counts in [most, UsageCounts { limited: 3, ..UsageCounts::default() }] {
            shards.count(&Of::Held(&held(1, None)), 7, &counts);
        }
        assert_eq!(all(&shards)[0].counts.limited, u64::from(u32::MAX));
    }

    #[test]
    fn no_more_rows_wait_than_may_and_it_is_told_in_time() {
        let shards = Shards::new(160);
        let count = |count, minute| shards.count(&Of::Held(&held(count, None)), minute, &ONE);
        let told: Vec<Kept> = (0..1000).map(|number| count(number, 7)).collect();
        assert_eq!(told.iter().filter(|kept| **kept == Kept::HalfFull).count(), SHARDS, "once for each");
        assert_eq!(told.iter().filter(|kept| **kept != Kept::No).count(), 160);
        assert_eq!(shards.rows(), 160);
        count(0, 8);
        assert_eq!(shards.rows(), 160, "another minute is another row");
        assert_eq!(all(&shards).len(), 160);
    }
}
