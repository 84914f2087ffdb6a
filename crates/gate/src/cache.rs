//! Keys this node has read lately, and digests of the secrets it has verified.
//!
//! An entry is never the authority: every use of it asks the fence in Redis. It spares Postgres
//! and Argon2, nothing else.

mod entry;
mod held_id;
mod rules;
mod secrets;
mod sync;

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, PoisonError},
    time::Duration,
};

use sync::{Mutex, MutexGuard, Step};

use tokio::time::Instant;
use tollgate_keys::{ApiKey, KeyId, OwnerName, ProcessKey, SecretDigest};

use crate::ports::{Change, FoundKey};
use entry::Shared;
use held_id::AskedId;

pub(crate) use entry::{CachedKey, InUse};
#[cfg(test)]
pub(crate) use held_id::HeldId;
pub(crate) use held_id::{ById, OfKey};
pub(crate) use secrets::{Secrets, without_long_ended};

/// Changes that are remembered to refuse entries read before them.
const RECENT_CHANGES_MAX: usize = 4096;

/// How long and how many.
#[derive(Debug, Clone, Copy)]
pub struct CacheOptions {
    /// The longest time from the start of the read that made an entry to its last use.
    pub age_max: Duration,
    /// Keys at most.
    pub count_max: usize,
}

#[derive(Debug)]
pub(crate) struct KeyCache {
    options: CacheOptions,
    process_key: ProcessKey,
    /// Whoever puts one in holds the lock of `recent`.
    entries: papaya::HashSet<ById<CachedKey>>,
    /// What entries have in common.
    shared: Shared,
    recent: Mutex<RecentChanges>,
    step: Step,
}

/// Taken before a read of the key store: says which changes that read may have missed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReadMark {
    restarts: u64,
    position: u64,
    started: Instant,
}

#[derive(Debug, Default)]
struct RecentChanges {
    /// How often this node has lost its place in the log: positions before and after are of
    /// different logs.
    restarts: u64,
    /// The last position this node has applied.
    position: u64,
    /// The newest generation that was read since: the log must have been there.
    read_up_to: u64,
    /// The last changes, oldest first: position, key, owner of an owner's change.
    changes: VecDeque<(u64, Option<KeyId>, Option<OwnerName>)>,
}

impl KeyCache {
    pub(crate) fn new(options: CacheOptions, process_key: ProcessKey) -> Self {
        let (entries, recent) = (papaya::HashSet::new(), Mutex::default());
        Self { options, process_key, entries, shared: Shared::new(), recent, step: Step::default() }
    }

    /// The entry of a key, unless it is outdated or too old.
    pub(crate) fn get(&self, key_id: &KeyId) -> Option<Arc<CachedKey>> {
        let entry = self.entries().pin().get(&AskedId::of(key_id))?.0.clone();
        self.is_good(&entry).then_some(entry)
    }

    /// Whether this secret was verified for what is held of its key, out of date or not.
    pub(crate) fn was_verified(&self, key_id: &KeyId, shown: &SecretDigest, now_ms: u64) -> bool {
        self.entries().pin().get(&AskedId::of(key_id)).is_some_and(|ById(entry)| entry.is_verified(shown, now_ms))
    }

    /// Whether the read that made an entry began after `instant`.
    pub(crate) fn is_read_after(&self, entry: &CachedKey, instant: Instant) -> bool {
        entry.read_ns() > self.shared.nanoseconds(instant)
    }

    /// Whether the cache would still give these rules, from this reading or another.
    pub(crate) fn holds(&self, entry: &CachedKey) -> bool {
        let is_same = |held: &CachedKey| self.is_good(held) && held.generations() == entry.generations();
        self.entries().pin().get(&entry.id().asked()).is_some_and(|ById(held)| is_same(held))
    }

    /// What a secret without a good tag is remembered by.
    pub(crate) fn digest(&self, api_key: &ApiKey) -> SecretDigest {
        self.process_key.digest(&api_key.key_id, &api_key.secret)
    }

    /// To be called before a read whose result is to be kept.
    pub(crate) fn mark(&self) -> ReadMark {
        let recent = self.recent();
        ReadMark { restarts: recent.restarts, position: recent.position, started: Instant::now() }
    }

    /// Makes an entry of what was read after `mark`, and keeps it unless another read has begun later
    /// or there is no room; for its proofs alone where a change of the key or its owner came in
    /// between. What was verified for `known` or for the entry that is held stays verified where the
    /// hash is the same.
    pub(crate) fn insert(&self, found: FoundKey, mark: ReadMark, known: Option<&CachedKey>) -> Arc<CachedKey> {
        let (mut recent, entries) = (self.recent(), self.entries().pin());
        recent.note(&found, mark);
        let is_current = recent.has_seen_all_of(&found, mark);
        let held = entries.get(&AskedId::of(&found.key.key_id)).map(|ById(held)| &**held);
        let earlier: Vec<&CachedKey> = known.into_iter().chain(held).collect();
        let entry = Arc::new(CachedKey::new(found, mark.started, &earlier, &self.shared));
        let is_newest = held.is_none_or(|held| held.read_ns() <= entry.read_ns() && (is_current || held.is_outdated()));
        let has_room = held.is_some() || entries.len() < self.options.count_max;
        let is_kept = is_newest && has_room;
        if !(is_kept && is_current) {
            entry.outdate();
        }
        if is_kept {
            self.step.take();
            // In the place of what is held, in one step: whoever looks meanwhile finds one of the two. So
            // papaya 0.2.5 does it, though it promises no more than that an equal value is there after.
            entries.insert(ById(entry.clone()));
            self.step.take();
            if let Some(held) = held {
                held.outdate();
            }
        }
        entry
    }

    /// Uses what is held besides a key's rules no more.
    pub(crate) fn cool(&self, key_id: &KeyId) {
        if let Some(ById(entry)) = self.entries().pin().get(&AskedId::of(key_id)) {
            entry.hot.clear();
        }
    }

    /// Uses what is known of a key's rules no more.
    pub(crate) fn forget(&self, key_id: &KeyId) {
        if let Some(ById(entry)) = self.entries().pin().get(&AskedId::of(key_id)) {
            entry.outdate();
        }
    }

    /// Uses no more what changes made out of date. Positions must rise. Takes one pass over the
    /// entries if owners have changed, however many.
    pub(crate) fn apply(&self, changes: &[Change]) {
        let mut recent = self.recent();
        let entries = self.entries().pin();
        let mut of_owners: HashMap<&OwnerName, u64> = HashMap::new();
        for change in changes {
            recent.push(change);
            match (&change.key_id, &change.owner) {
                (Some(key_id), _) => {
                    let entry = entries.get(&AskedId::of(key_id));
                    entry.into_iter().filter(|entry| entry.0.misses(change.position)).for_each(|entry| entry.0.outdate());
                }
                (None, Some(owner)) => drop(of_owners.insert(owner, change.position)),
                (None, None) => {}
            }
        }
        if !of_owners.is_empty() {
            entries.iter().filter(|entry| entry.0.misses_of_owner(&of_owners)).for_each(|entry| entry.0.outdate());
        }
    }

    /// Uses nothing that is held any more before it was read again. Proofs stay.
    pub(crate) fn outdate_all(&self) {
        self.entries().pin().iter().for_each(|entry| entry.0.outdate());
    }

    /// The last position that was applied.
    pub(crate) fn position(&self) -> u64 {
        self.recent().position
    }

    /// How far the log is known to have come: by what was applied, and by what was read ahead of it.
    pub(crate) fn log_reached(&self) -> u64 {
        let recent = self.recent();
        recent.position.max(recent.read_up_to)
    }

    /// Forgets everything and starts over at a position of the log.
    pub(crate) fn restart_at(&self, position: u64) {
        let mut recent = self.recent();
        *recent = RecentChanges { restarts: recent.restarts + 1, position, read_up_to: 0, changes: VecDeque::new() };
        let entries = self.entries().pin();
        entries.iter().for_each(|entry| entry.0.outdate());
        entries.clear();
    }

    /// Forgets what is too old; to be called now and then. Proofs stay while there is room: they
    /// hold as long as the hash is the same, and another hashing is dear.
    pub(crate) fn sweep(&self) {
        self.entries().pin().retain(|ById(entry)| {
            let is_fresh = self.is_fresh(entry);
            if !is_fresh {
                entry.outdate();
            }
            is_fresh || entry.proofs.are_any()
        });
        if self.entries().len() >= self.options.count_max {
            self.make_room(self.options.count_max / 8 + 1);
        }
        self.shared.sweep(self.entries().len());
    }

    /// Forgets so many: what is too old first, else whichever the set gives first.
    fn make_room(&self, count: usize) {
        // Nobody puts in another entry of a key between the look and the removal.
        let _recent = self.recent();
        let entries = self.entries().pin();
        let (old, fresh) =
            (entries.iter().filter(|entry| !self.is_fresh(&entry.0)), entries.iter().filter(|entry| self.is_fresh(&entry.0)));
        let some: Vec<Arc<CachedKey>> = old.chain(fresh).map(|entry| entry.0.clone()).take(count).collect();
        for entry in some {
            entry.outdate();
            entries.remove(&entry.id().asked());
        }
    }

    fn is_fresh(&self, entry: &CachedKey) -> bool {
        let age_ns = self.shared.nanoseconds(Instant::now()).saturating_sub(entry.read_ns());
        u128::from(age_ns) < self.options.age_max.as_nanos()
    }

    fn is_good(&self, entry: &CachedKey) -> bool {
        !entry.is_outdated() && self.is_fresh(entry)
    }

    fn entries(&self) -> &papaya::HashSet<ById<CachedKey>> {
        self.step.take();
        &self.entries
    }

    fn recent(&self) -> MutexGuard<'_, RecentChanges> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RecentChanges {
    fn push(&mut self, change: &Change) {
        self.position = self.position.max(change.position);
        let of_owner = if change.key_id.is_none() { change.owner.clone() } else { None };
        self.changes.push_back((change.position, change.key_id.clone(), of_owner));
        if self.changes.len() > RECENT_CHANGES_MAX {
            self.changes.pop_front();
        }
    }

    /// Takes down how new a record is that was read after `mark`.
    fn note(&mut self, found: &FoundKey, mark: ReadMark) {
        if mark.restarts == self.restarts {
            self.read_up_to = self.read_up_to.max(found.key.generation).max(generation_of_owner(found));
        }
    }

    /// Whether a read that began at `mark` cannot have missed a change that was applied since: its
    /// generations tell of those that it has seen, as of that which made the key.
    fn has_seen_all_of(&self, found: &FoundKey, mark: ReadMark) -> bool {
        let position = mark.position;
        let complete = self.position == position || self.changes.front().is_some_and(|(oldest, ..)| *oldest <= position + 1);
        let of_owner = generation_of_owner(found);
        let is_missed = |at: u64, key_id: &Option<KeyId>, owner: &Option<OwnerName>| {
            (key_id.as_ref() == Some(&found.key.key_id) && found.key.generation < at)
                || (owner.is_some() && *owner == found.key.owner && of_owner < at)
        };
        let since = self.changes.iter().rev().take_while(|(at, ..)| *at > position);
        mark.restarts == self.restarts && complete && !since.into_iter().any(|(at, key_id, owner)| is_missed(*at, key_id, owner))
    }
}

/// Zero where nothing was ever set for the owner, or there is none.
fn generation_of_owner(found: &FoundKey) -> u64 {
    found.owner.as_ref().map_or(0, |owner| owner.generation)
}

#[cfg(test)]
mod model;
