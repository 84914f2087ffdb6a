//! One key that is held: what every decision on it needs, and no more. A node holds millions.

use std::{
    collections::HashMap,
    hash::RandomState,
    sync::{Arc, atomic::AtomicUsize},
};

use tokio::time::Instant;
use tollgate_keys::{KeyId, Lifecycle, OwnerName, SecretDigest, SecretKind, Slot, Status};
use tollgate_limits::{NamedLimit, RateLimits};

use super::{
    held_id::{HeldId, OfKey},
    rules::{HeldOwner, Pool, Rules},
    secrets::{Proofs, Secrets},
    sync::{AtomicBool, Ordering},
};
use crate::{
    daytime::HeldTime,
    hot::HotSlot,
    ports::{FoundKey, Subject, SubjectKind, Subjects},
    record::OwnerRules,
    usage::Noted,
};

/// The end of a key that has none. The very last millisecond is no other.
const NO_END_MS: u64 = u64::MAX;

/// One key as it was read.
#[derive(Debug)]
pub(crate) struct CachedKey {
    id: HeldId,
    generation: u64,
    pub(crate) rules: Arc<Rules>,
    owner: Option<Arc<HeldOwner>>,
    expires_at_ms: u64,
    /// When the read that made it began, in nanoseconds since the cache was made.
    read_ns: u64,
    pub(crate) time: HeldTime,
    noted: Noted,
    pub(crate) proofs: Proofs,
    status: Status,
    pub(crate) kind: SecretKind,
    /// Its rules have changed, or it is not held, so that nobody would tell it if they had: good for
    /// nothing but its proofs and the request that read it.
    outdated: AtomicBool,
    /// What is held of it while it is in much use; an empty pointer else.
    pub(crate) hot: HotSlot,
}

/// A size class of the allocator, with the two counts that an `Arc` adds.
#[cfg(not(test))]
const _: () = assert!(size_of::<CachedKey>() <= 144, "each byte is one for every key that a node holds");

/// A key that is held, as far as counting what it is used for goes.
pub(crate) trait InUse: OfKey {
    /// The tenant that holds it.
    fn owner(&self) -> Option<&OwnerName>;

    /// When it was last noted.
    fn noted(&self) -> &Noted;
}

/// What entries share.
#[derive(Debug)]
pub(super) struct Shared {
    /// When the cache was made.
    start: Instant,
    rules: Pool<Rules>,
    owners: Pool<HeldOwner>,
    /// The most entries since the last sweep.
    most: AtomicUsize,
    /// Tells hashes of secrets apart.
    hasher: RandomState,
}

impl Shared {
    pub(super) fn new() -> Self {
        Self {
            start: Instant::now(),
            rules: Pool::default(),
            owners: Pool::default(),
            most: AtomicUsize::new(0),
            hasher: RandomState::new(),
        }
    }

    /// An instant as entries remember it: enough for five hundred years.
    pub(super) fn nanoseconds(&self, instant: Instant) -> u64 {
        u64::try_from(instant.saturating_duration_since(self.start).as_nanos()).unwrap_or(u64::MAX)
    }

    /// Forgets what no entry has, once half of what were `entries` are gone: it takes a look at all that
    /// is shared, for which others wait. New values see to their own room.
    pub(super) fn sweep(&self, entries: usize) {
        let most = self.most.fetch_max(entries, Ordering::Relaxed);
        if entries < most.div_ceil(2) {
            self.most.store(entries, Ordering::Relaxed);
            self.rules.sweep();
            self.owners.sweep();
        }
    }

    fn owner(&self, name: Option<OwnerName>, rules: Option<OwnerRules>) -> Option<Arc<HeldOwner>> {
        let name = name?;
        // A tenant's key is never nobody's, whatever is known of him.
        let rules = rules.unwrap_or(OwnerRules { limits: RateLimits::unlimited(), generation: 0 });
        Some(self.owners.share(HeldOwner { id: name.as_str().into(), name, rules }))
    }
}

impl OfKey for CachedKey {
    fn id(&self) -> &HeldId {
        &self.id
    }
}

impl InUse for CachedKey {
    fn owner(&self) -> Option<&OwnerName> {
        self.owner.as_ref().map(|owner| &owner.name)
    }

    fn noted(&self) -> &Noted {
        &self.noted
    }
}

impl CachedKey {
    pub(super) fn new(found: FoundKey, read_at: Instant, known: &[&CachedKey], shared: &Shared) -> Self {
        let FoundKey { key, owner } = found;
        let known: Vec<&Proofs> = known.iter().map(|known| &known.proofs).collect();
        Self {
            id: HeldId::of(&key.key_id),
            generation: key.generation,
            rules: shared.rules.share(Rules { scopes: key.scopes, limits: key.limits, outage_mode: key.outage_mode }),
            owner: shared.owner(key.owner, owner),
            expires_at_ms: key.lifecycle.expires_at_ms.unwrap_or(NO_END_MS),
            read_ns: shared.nanoseconds(read_at),
            time: HeldTime::default(),
            noted: Noted::default(),
            proofs: Proofs::new(key.secrets, &known, &shared.hasher),
            status: key.lifecycle.status,
            kind: key.kind,
            outdated: AtomicBool::new(false),
            hot: HotSlot::default(),
        }
    }

    /// Its id as text: allocates. Whoever was shown the key has that text already.
    pub(crate) fn key_id(&self) -> KeyId {
        self.id.key_id()
    }

    /// All limits that a decision asks: its own and its owner's.
    pub(crate) fn limits(&self) -> impl Iterator<Item = &NamedLimit> {
        let owners = self.owner.as_ref().map(|owner| owner.rules.limits.as_slice()).unwrap_or_default();
        self.rules.limits.as_slice().iter().chain(owners)
    }

    /// Its status and its end.
    pub(crate) fn lifecycle(&self) -> Lifecycle {
        let expires_at_ms = (self.expires_at_ms != NO_END_MS).then_some(self.expires_at_ms);
        Lifecycle { status: self.status, expires_at_ms }
    }

    /// Whom a decision on it asks. `key_id` is its id.
    pub(crate) fn subjects(&self, key_id: &KeyId) -> Subjects {
        let owner = self.owner.as_ref().map(|owner| Subject {
            kind: SubjectKind::Owner,
            id: owner.id.clone(),
            generation: owner.rules.generation,
            limits: owner.rules.limits.clone(),
        });
        let limits = self.rules.limits.clone();
        let first = Subject { kind: SubjectKind::Key, id: key_id.shared(), generation: self.generation, limits };
        Subjects { first, owner }
    }

    /// The same where the fences alone are asked, and no limit. Allocates.
    pub(crate) fn fences(&self) -> Subjects {
        let mut subjects = self.subjects(&self.key_id());
        for subject in std::iter::once(&mut subjects.first).chain(&mut subjects.owner) {
            subject.limits = RateLimits::unlimited();
        }
        subjects
    }

    /// Whether its rules may have changed: this node was told so, or nobody would tell.
    pub(crate) fn is_outdated(&self) -> bool {
        self.outdated.load(Ordering::Acquire)
    }

    pub(super) fn outdate(&self) {
        self.outdated.store(true, Ordering::Release);
    }

    /// Whether a change of this key at `position` is newer than what was read.
    pub(super) fn misses(&self, position: u64) -> bool {
        self.generation < position
    }

    /// Whether one of the owners' last changes is of its owner, and newer than what was read.
    pub(super) fn misses_of_owner(&self, changed: &HashMap<&OwnerName, u64>) -> bool {
        let newer = |owner: &Arc<HeldOwner>| changed.get(&owner.name).is_some_and(|position| owner.rules.generation < *position);
        self.owner.as_ref().is_some_and(newer)
    }

    /// The generations of the key's rules and of its owner's.
    pub(crate) fn generations(&self) -> (u64, Option<u64>) {
        (self.generation, self.owner.as_ref().map(|owner| owner.rules.generation))
    }

    /// When the read that made this began, in nanoseconds since the cache was made.
    pub(super) fn read_ns(&self) -> u64 {
        self.read_ns
    }

    /// Whether a secret of this digest has been verified for this entry and is still good at `now_ms`.
    pub(crate) fn is_verified(&self, shown: &SecretDigest, now_ms: u64) -> bool {
        self.proofs.is_verified(shown, now_ms)
    }

    /// Remembers that a secret was verified, by what [`Proofs::secrets`] gave.
    pub(crate) fn set_verified(&self, secrets: &Arc<Secrets>, shown: SecretDigest, slot: Slot) {
        self.proofs.set_verified(secrets, shown, slot);
    }

    /// Whether the key's secrets are the same in both.
    pub(crate) fn has_secrets_of(&self, other: &CachedKey) -> bool {
        self.proofs.are_of_same(&other.proofs)
    }
}
