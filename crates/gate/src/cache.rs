//! Keys this node has read lately, and digests of the secrets it has verified.
//!
//! An entry is never the authority: every use of it asks the fence in Redis. It spares Postgres
//! and Argon2, nothing else.

mod sync;

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, OnceLock, PoisonError},
    time::Duration,
};

use sync::{AtomicBool, Mutex, MutexGuard, Ordering, Step};

use tokio::time::Instant;
use tollgate_keys::{ApiKey, KeyId, OwnerName, ProcessKey, SecretDigest, Slot};

use crate::{
    daytime::HeldTime,
    ports::{Change, FoundKey, Subject, SubjectKind, Subjects},
    receipts::Found,
    usage::Noted,
};

/// Changes that are remembered to refuse entries read before them.
const RECENT_CHANGES_MAX: usize = 4096;
/// Wrong secrets with a good tag that are remembered of a key: there are as many as it has had
/// rotations, and only their holder can show them.
const REFUTED_MAX: usize = 4;

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
    step: Step,
}

/// One key as it was read.
#[derive(Debug)]
pub(crate) struct CachedKey {
    pub(crate) found: FoundKey,
    /// Whom each decision on it asks.
    pub(crate) subjects: Subjects,
    read_at: Instant,
    /// Its rules have changed: good for nothing but its proofs.
    outdated: AtomicBool,
    pub(crate) proofs: Arc<Proofs>,
    pub(crate) time: HeldTime,
    pub(crate) noted: Noted,
}

/// What has been verified of a key's secrets. All entries with the same hashes share it, so that
/// a change of a key's rules, or a crowd of first uses, costs no other hash.
#[derive(Debug, Default)]
pub(crate) struct Proofs {
    current: OnceLock<SecretDigest>,
    previous: OnceLock<SecretDigest>,
    /// The last secrets with a good tag that were found wrong, oldest first: of an older rotation.
    refuted: Mutex<VecDeque<SecretDigest>>,
    /// The receipts that were found last. Held while they are being looked for.
    pub(crate) receipts: tokio::sync::Mutex<Option<Found>>,
    /// Held while a secret is being hashed: one at a time, and the others find it done.
    pub(crate) verifying: tokio::sync::Mutex<()>,
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

/// The subjects of a key's decisions.
fn subjects_of(found: &FoundKey) -> Subjects {
    let key = &found.key;
    let owner = key.owner.as_ref().zip(found.owner.as_ref()).map(|(owner, rules)| Subject {
        kind: SubjectKind::Owner,
        id: owner.as_str().into(),
        generation: rules.generation,
        limits: rules.limits.clone(),
    });
    let first = Subject { kind: SubjectKind::Key, id: key.key_id.as_str().into(), generation: key.generation, limits: key.limits.clone() };
    Subjects { first, owner }
}

impl CachedKey {
    fn new(found: FoundKey, read_at: Instant, known: &[&CachedKey]) -> Self {
        let proofs = proofs_of(&found, known);
        Self {
            subjects: subjects_of(&found),
            found,
            read_at,
            outdated: AtomicBool::new(false),
            proofs,
            time: HeldTime::default(),
            noted: Noted::default(),
        }
    }

    /// Whether its rules have changed, as far as this node has been told.
    pub(crate) fn is_outdated(&self) -> bool {
        self.outdated.load(Ordering::Acquire)
    }

    fn outdate(&self) {
        self.outdated.store(true, Ordering::Release);
    }

    /// Whether a change of this key at `position` is newer than what was read.
    fn misses(&self, position: u64) -> bool {
        self.found.key.generation < position
    }

    /// Whether one of the owners' last changes is of its owner, and newer than what was read.
    fn misses_of_owner(&self, changed: &HashMap<&OwnerName, u64>) -> bool {
        let read = self.found.owner.as_ref().map_or(0, |rules| rules.generation);
        self.found.key.owner.as_ref().and_then(|owner| changed.get(owner)).is_some_and(|position| read < *position)
    }

    /// The generations of the key's rules and of its owner's.
    pub(crate) fn generations(&self) -> (u64, Option<u64>) {
        (self.found.key.generation, self.found.owner.as_ref().map(|owner| owner.generation))
    }

    /// Whether the read that made this began after `instant`.
    pub(crate) fn is_read_after(&self, instant: Instant) -> bool {
        self.read_at > instant
    }

    /// Whether a secret of this digest has been verified for this entry and is still good at `now_ms`.
    pub(crate) fn is_verified(&self, shown: &SecretDigest, now_ms: u64) -> bool {
        self.found.key.secrets.usable(now_ms).any(|(slot, _)| self.proofs.digest(slot).get().is_some_and(|known| known.matches(shown)))
    }

    /// Remembers that a secret was verified.
    pub(crate) fn set_verified(&self, shown: SecretDigest, slot: Slot) {
        // Set already means by another request, with the same secret.
        self.proofs.digest(slot).get_or_init(|| shown);
    }

    /// Whether the key's secrets are the same in both.
    pub(crate) fn has_secrets_of(&self, other: &CachedKey) -> bool {
        self.found.key.secrets == other.found.key.secrets
    }
}

impl Proofs {
    /// Whether this secret was found wrong for these hashes, which never becomes right again.
    pub(crate) fn refutes(&self, shown: &SecretDigest) -> bool {
        self.refuted.lock().unwrap_or_else(PoisonError::into_inner).iter().any(|wrong| wrong.matches(shown))
    }

    /// Remembers that a secret with a good tag was found wrong, so that it is not hashed again.
    pub(crate) fn refute(&self, shown: SecretDigest) {
        let mut refuted = self.refuted.lock().unwrap_or_else(PoisonError::into_inner);
        refuted.push_back(shown);
        if refuted.len() > REFUTED_MAX {
            refuted.pop_front();
        }
    }

    /// Whether a secret has been verified.
    fn are_any(&self) -> bool {
        self.current.get().is_some() || self.previous.get().is_some()
    }

    fn digest(&self, slot: Slot) -> &OnceLock<SecretDigest> {
        match slot {
            Slot::Current => &self.current,
            Slot::Previous => &self.previous,
        }
    }
}

/// What earlier entries of the key say of the secrets that this one has.
fn proofs_of(found: &FoundKey, known: &[&CachedKey]) -> Arc<Proofs> {
    let new = &found.key.secrets;
    if let Some(same) = known.iter().find(|known| known.found.key.secrets == *new) {
        return same.proofs.clone();
    }
    let proofs = Proofs::default();
    for known in known {
        let old = &known.found.key.secrets;
        if old.current == new.current {
            carry(&known.proofs.current, &proofs.current);
        }
        if old.previous == new.previous {
            carry(&known.proofs.previous, &proofs.previous);
        }
        // A rotation: what was the newest secret is the one before.
        if new.previous.as_ref().is_some_and(|previous| previous.hash == old.current) {
            carry(&known.proofs.current, &proofs.previous);
        }
    }
    Arc::new(proofs)
}

fn carry(from: &OnceLock<SecretDigest>, to: &OnceLock<SecretDigest>) {
    if let Some(digest) = from.get() {
        to.get_or_init(|| *digest);
    }
}

impl KeyCache {
    pub(crate) fn new(options: CacheOptions, process_key: ProcessKey) -> Self {
        Self { options, process_key, entries: papaya::HashMap::new(), recent: Mutex::default(), step: Step::default() }
    }

    /// The entry of a key, unless it is outdated or too old.
    pub(crate) fn get(&self, key_id: &KeyId) -> Option<Arc<CachedKey>> {
        let entry = self.entries().pin().get(key_id)?.clone();
        (!entry.is_outdated() && self.is_fresh(&entry)).then_some(entry)
    }

    /// Whether this secret was verified for what is held of its key, out of date or not.
    pub(crate) fn was_verified(&self, key_id: &KeyId, shown: &SecretDigest, now_ms: u64) -> bool {
        self.entries().pin().get(key_id).is_some_and(|entry| entry.is_verified(shown, now_ms))
    }

    /// Whether the cache would still give these rules, from this reading or another.
    pub(crate) fn holds(&self, entry: &CachedKey) -> bool {
        self.get(&entry.found.key.key_id).is_some_and(|held| held.generations() == entry.generations())
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

    /// Makes an entry of what was read after `mark`, and keeps it unless a change of the key or
    /// its owner came in between, another read has begun later, or there is no room. What was
    /// verified for `known` or for the entry that is held stays verified where the hash is the same.
    pub(crate) fn insert(&self, found: FoundKey, mark: ReadMark, known: Option<&CachedKey>) -> Arc<CachedKey> {
        let (mut recent, entries) = (self.recent(), self.entries().pin());
        recent.note(&found, mark);
        let held = entries.get(&found.key.key_id).map(Arc::as_ref);
        let earlier: Vec<&CachedKey> = known.into_iter().chain(held).collect();
        let entry = Arc::new(CachedKey::new(found, mark.started, &earlier));
        let is_newest = held.is_none_or(|held| held.is_outdated() || held.read_at <= mark.started);
        let has_room = held.is_some() || entries.len() < self.options.count_max;
        if recent.may_keep(&entry.found, mark) && is_newest && has_room {
            self.step.take();
            entries.insert(entry.found.key.key_id.clone(), entry.clone());
        }
        entry
    }

    /// Uses what is known of a key's rules no more.
    pub(crate) fn forget(&self, key_id: &KeyId) {
        if let Some(entry) = self.entries().pin().get(key_id) {
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
                    entries.get(key_id).into_iter().filter(|entry| entry.misses(change.position)).for_each(|entry| entry.outdate());
                }
                (None, Some(owner)) => drop(of_owners.insert(owner, change.position)),
                (None, None) => {}
            }
        }
        if !of_owners.is_empty() {
            entries.values().filter(|entry| entry.misses_of_owner(&of_owners)).for_each(|entry| entry.outdate());
        }
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
        self.entries().pin().clear();
    }

    /// Forgets what is too old; to be called now and then. Proofs stay while there is room: they
    /// hold as long as the hash is the same, and another hashing is dear.
    pub(crate) fn sweep(&self) {
        self.entries().pin().retain(|_, entry| self.is_fresh(entry) || entry.proofs.are_any());
        if self.entries().len() >= self.options.count_max {
            self.make_room(self.options.count_max / 8 + 1);
        }
    }

    /// Forgets so many: what is too old first, else whichever the map gives first.
    fn make_room(&self, count: usize) {
        let entries = self.entries().pin();
        let (old, fresh) =
            (entries.iter().filter(|(_, entry)| !self.is_fresh(entry)), entries.iter().filter(|(_, entry)| self.is_fresh(entry)));
        let some: Vec<KeyId> = old.chain(fresh).map(|(key_id, _)| key_id.clone()).take(count).collect();
        for key_id in some {
            entries.remove(&key_id);
        }
    }

    fn is_fresh(&self, entry: &CachedKey) -> bool {
        entry.read_at.elapsed() < self.options.age_max
    }

    fn entries(&self) -> &papaya::HashMap<KeyId, Arc<CachedKey>> {
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
            let of_owner = found.owner.as_ref().map_or(0, |owner| owner.generation);
            self.read_up_to = self.read_up_to.max(found.key.generation).max(of_owner);
        }
    }

    /// Whether a read that began at `mark` cannot have missed a change that was applied since.
    fn may_keep(&self, found: &FoundKey, mark: ReadMark) -> bool {
        let position = mark.position;
        let complete = self.position == position || self.changes.front().is_some_and(|(oldest, ..)| *oldest <= position + 1);
        let concerns = |key_id: &Option<KeyId>, owner: &Option<OwnerName>| {
            key_id.as_ref() == Some(&found.key.key_id) || (owner.is_some() && *owner == found.key.owner)
        };
        let since = self.changes.iter().rev().take_while(|(at, ..)| *at > position);
        mark.restarts == self.restarts && complete && !since.into_iter().any(|(_, key_id, owner)| concerns(key_id, owner))
    }
}

#[cfg(test)]
mod model;
