//! Ids that the key store was asked for in vain, so that asking again and again costs it nothing.
//!
//! Fixed in size from the start: an attacker's ids can only take each other's places. An id is
//! forgotten when its key is made, and after a short time in any case.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use tollgate_keys::KeyId;

use crate::{
    ports::{Change, ChangeKind},
    tag::Tagger,
};

/// Places that one id may take.
const WAYS: usize = 4;
/// Parts with a lock of their own.
const SHARDS: usize = 16;

/// How many are remembered and how long.
#[derive(Debug, Clone, Copy)]
pub struct MissOptions {
    /// Ids at most; 20 bytes each, taken at the start.
    pub count_max: usize,
    /// How long one is remembered.
    pub ttl: Duration,
}

#[derive(Debug)]
pub(crate) struct MissCache {
    ttl: Duration,
    tagger: Tagger,
    started: Instant,
    shards: Box<[Mutex<Shard>]>,
    /// The last change by which an id came to be.
    born: Mutex<MissMark>,
}

#[derive(Debug)]
struct Shard {
    sets: Box<[[Slot; WAYS]]>,
}

/// Four bytes of time are enough: milliseconds since the start of the process, which begin anew after
/// 49 days. What was remembered shortly before may then be remembered until the next time, which costs
/// nobody anything: an id is forgotten when its key is made.
#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    tag: [u8; 16],
    until_ms: u32,
}

/// Says which births a read may have missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct MissMark {
    /// How often this node has lost its place in the log.
    restarts: u64,
    position: u64,
}

impl MissCache {
    pub(crate) fn new(options: MissOptions, tagger: Tagger) -> Self {
        let sets = options.count_max.div_ceil(WAYS * SHARDS).max(1);
        let shard = || Mutex::new(Shard { sets: vec![[Slot::default(); WAYS]; sets].into() });
        let shards = std::iter::repeat_with(shard).take(SHARDS).collect();
        Self { ttl: options.ttl, tagger, started: Instant::now(), shards, born: Mutex::default() }
    }

    /// To be taken before a read whose outcome may be remembered.
    pub(crate) fn mark(&self) -> MissMark {
        *self.born()
    }

    /// Whether the id was asked for in vain a moment ago.
    pub(crate) fn contains(&self, key_id: &KeyId, now: Instant) -> bool {
        let (tag, now_ms) = (self.tagger.tag(key_id), self.ms(now));
        self.with_set(tag, |set| set.iter().any(|slot| slot.holds(tag) && slot.until_ms > now_ms)).unwrap_or_default()
    }

    /// Remembers an id that a read begun at `mark` has not found, unless a key may have come to be
    /// meanwhile.
    pub(crate) fn insert(&self, key_id: &KeyId, mark: MissMark, now: Instant) {
        let (tag, now_ms) = (self.tagger.tag(key_id), self.ms(now));
        let born = self.born();
        if *born != mark {
            return;
        }
        let slot = Slot { tag: tag.to_be_bytes(), until_ms: self.ms(now + self.ttl).max(1) };
        self.with_set(tag, |set| {
            let place = set.iter().position(|held| held.holds(tag)).or_else(|| oldest(set, now_ms));
            if let Some(held) = place.and_then(|place| set.get_mut(place)) {
                *held = slot;
            }
        });
        drop(born);
    }

    /// Forgets the ids of new keys.
    pub(crate) fn apply(&self, changes: &[Change]) {
        let mut born = self.born();
        for change in changes.iter().filter(|change| change.kind == ChangeKind::Created) {
            born.position = change.position;
            if let Some(key_id) = &change.key_id {
                self.forget(key_id);
            }
        }
    }

    /// Forgets everything: the log is another one.
    pub(crate) fn restart(&self) {
        let mut born = self.born();
        *born = MissMark { restarts: born.restarts + 1, position: 0 };
        for shard in &self.shards {
            lock(shard).sets.iter_mut().flatten().for_each(|slot| *slot = Slot::default());
        }
    }

    fn forget(&self, key_id: &KeyId) {
        let tag = self.tagger.tag(key_id);
        self.with_set(tag, |set| set.iter_mut().filter(|slot| slot.holds(tag)).for_each(|slot| *slot = Slot::default()));
    }

    fn with_set<T>(&self, tag: u128, work: impl FnOnce(&mut [Slot; WAYS]) -> T) -> Option<T> {
        let at = |parts: usize, bits: u128| usize::try_from(bits % parts.max(1) as u128).unwrap_or_default();
        let mut shard = lock(self.shards.get(at(self.shards.len(), tag >> 64))?);
        let place = at(shard.sets.len(), tag & u128::from(u64::MAX));
        shard.sets.get_mut(place).map(work)
    }

    fn ms(&self, at: Instant) -> u32 {
        u32::try_from(at.saturating_duration_since(self.started).as_millis() % (1 << 32)).unwrap_or_default()
    }

    fn born(&self) -> MutexGuard<'_, MissMark> {
        lock(&self.born)
    }
}

impl Slot {
    fn holds(&self, tag: u128) -> bool {
        self.until_ms > 0 && self.tag == tag.to_be_bytes()
    }
}

/// The place that is free, or the one that would be the first to be.
fn oldest(set: &[Slot; WAYS], now_ms: u32) -> Option<usize> {
    (0..WAYS).min_by_key(|place| set.get(*place).map_or(0, |slot| slot.until_ms.saturating_sub(now_ms)))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
