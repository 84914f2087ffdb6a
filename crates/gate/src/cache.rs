//! Keys this node has read lately, and digests of the secrets it has verified.
//!
//! An entry is never the authority: every use of it asks the fence in Redis. It spares Postgres
//! and Argon2, nothing else.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use tollgate_keys::{KeyId, OwnerName, ProcessKey, SecretDigest, Slot};

use crate::{ports::Change, ports::FoundKey, request::SharedKey};

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
    entries: papaya::HashMap<KeyId, Arc<CachedKey>>,
    recent: Mutex<RecentChanges>,
}

/// One key as it was read, and what has been verified since.
#[derive(Debug)]
pub(crate) struct CachedKey {
    pub(crate) found: FoundKey,
    read_at: Instant,
    current: OnceLock<SecretDigest>,
    previous: OnceLock<SecretDigest>,
    /// Held while a secret is being hashed, so that a crowd of first uses costs one hash.
    pub(crate) verifying: tokio::sync::Mutex<()>,
}

/// Taken before a read of the key store: says which changes that read may have missed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReadMark {
    position: u64,
    started: Instant,
}

#[derive(Debug, Default)]
struct RecentChanges {
    /// The last position this node has applied.
    position: u64,
    /// The last changes, oldest first: position, key, owner of an owner's change.
    changes: VecDeque<(u64, Option<KeyId>, Option<OwnerName>)>,
}

impl CachedKey {
    fn new(found: FoundKey, read_at: Instant, known: Option<&CachedKey>) -> Self {
        let entry = Self { found, read_at, current: OnceLock::new(), previous: OnceLock::new(), verifying: tokio::sync::Mutex::default() };
        if let Some(known) = known {
            let (old, new) = (&known.found.key.secrets, &entry.found.key.secrets);
            if old.current == new.current {
                carry(&known.current, &entry.current);
            }
            if old.previous == new.previous {
                carry(&known.previous, &entry.previous);
            }
        }
        entry
    }

    /// Whether the read that made this began after `instant`.
    pub(crate) fn is_read_after(&self, instant: Instant) -> bool {
        self.read_at > instant
    }

    fn digest(&self, slot: Slot) -> &OnceLock<SecretDigest> {
        match slot {
            Slot::Current => &self.current,
            Slot::Previous => &self.previous,
        }
    }
}

fn carry(from: &OnceLock<SecretDigest>, to: &OnceLock<SecretDigest>) {
    if let Some(digest) = from.get() {
        to.get_or_init(|| *digest);
    }
}

impl KeyCache {
    pub(crate) fn new(options: CacheOptions, process_key: ProcessKey) -> Self {
        Self { options, process_key, entries: papaya::HashMap::new(), recent: Mutex::default() }
    }

    /// The entry of a key, unless it is too old.
    pub(crate) fn get(&self, key_id: &KeyId) -> Option<Arc<CachedKey>> {
        let entry = self.entries.pin().get(key_id)?.clone();
        (entry.read_at.elapsed() < self.options.age_max).then_some(entry)
    }

    /// Whether this secret has been verified for this entry and is still good at `now_ms`.
    pub(crate) fn is_verified(&self, entry: &CachedKey, api_key: &SharedKey, now_ms: u64) -> bool {
        if entry.current.get().is_none() && entry.previous.get().is_none() {
            return false;
        }
        let shown = self.process_key.digest(&api_key.key_id, &api_key.secret);
        entry.found.key.secrets.usable(now_ms).any(|(slot, _)| entry.digest(slot).get().is_some_and(|known| known.matches(&shown)))
    }

    /// Remembers that a secret was verified.
    pub(crate) fn set_verified(&self, entry: &CachedKey, api_key: &SharedKey, slot: Slot) {
        let digest = self.process_key.digest(&api_key.key_id, &api_key.secret);
        // Set already means by another request, with the same secret.
        entry.digest(slot).get_or_init(|| digest);
    }

    /// To be called before a read whose result is to be kept.
    pub(crate) fn mark(&self) -> ReadMark {
        ReadMark { position: self.recent().position, started: Instant::now() }
    }

    /// Makes an entry of what was read after `mark`, and keeps it unless a change of the key or
    /// its owner came in between, or there is no room. What was verified for `known`, an earlier
    /// entry of the key, stays verified where the hash is the same.
    pub(crate) fn insert(&self, found: FoundKey, mark: ReadMark, known: Option<&CachedKey>) -> Arc<CachedKey> {
        let entry = Arc::new(CachedKey::new(found, mark.started, known));
        let recent = self.recent();
        if recent.may_keep(&entry.found, mark.position) && self.entries.len() < self.options.count_max {
            self.entries.pin().insert(entry.found.key.key_id.clone(), entry.clone());
        }
        entry
    }

    /// Forgets one key.
    pub(crate) fn forget(&self, key_id: &KeyId) {
        self.entries.pin().remove(key_id);
    }

    /// Forgets what changes made out of date. Positions must rise.
    pub(crate) fn apply(&self, changes: &[Change]) {
        let mut recent = self.recent();
        for change in changes {
            recent.push(change);
        }
        let entries = self.entries.pin();
        for change in changes {
            match (&change.key_id, &change.owner) {
                (Some(key_id), _) => drop(entries.remove(key_id)),
                (None, Some(owner)) => entries.retain(|_, entry| entry.found.key.owner.as_ref() != Some(owner)),
                (None, None) => {}
            }
        }
    }

    /// The last position that was applied.
    pub(crate) fn position(&self) -> u64 {
        self.recent().position
    }

    /// Forgets everything and starts over at a position of the log.
    pub(crate) fn restart_at(&self, position: u64) {
        let mut recent = self.recent();
        *recent = RecentChanges { position, changes: VecDeque::new() };
        self.entries.pin().clear();
    }

    /// Forgets what is too old; to be called now and then.
    pub(crate) fn sweep(&self) {
        let age_max = self.options.age_max;
        self.entries.pin().retain(|_, entry| entry.read_at.elapsed() < age_max);
        if self.entries.len() >= self.options.count_max {
            // Full of fresh keys: make room for others, whichever the map gives first.
            let entries = self.entries.pin();
            let some: Vec<KeyId> = entries.keys().take(self.options.count_max / 8 + 1).cloned().collect();
            for key_id in some {
                entries.remove(&key_id);
            }
        }
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

    /// Whether a read that began when `position` was the last applied one cannot have missed a
    /// change that was applied since.
    fn may_keep(&self, found: &FoundKey, position: u64) -> bool {
        let complete = self.position == position || self.changes.front().is_some_and(|(oldest, ..)| *oldest <= position + 1);
        let concerns = |key_id: &Option<KeyId>, owner: &Option<OwnerName>| {
            key_id.as_ref() == Some(&found.key.key_id) || (owner.is_some() && *owner == found.key.owner)
        };
        let since = self.changes.iter().rev().take_while(|(at, ..)| *at > position);
        complete && position <= self.position && !since.into_iter().any(|(_, key_id, owner)| concerns(key_id, owner))
    }
}
