//! One key that is held: what every decision on it needs, and no more. A node holds millions.

use std::{collections::HashMap, hash::RandomState, sync::Arc};

use tokio::time::Instant;
use tollgate_keys::{KeyId, Lifecycle, OwnerName, SecretDigest, SecretKind, Slot, Status};
use tollgate_limits::{NamedLimit, RateLimits};

use super::{
    held_id::HeldId,
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
    read_at: Instant,
    pub(crate) time: HeldTime,
    pub(crate) noted: Noted,
    pub(crate) proofs: Proofs,
    status: Status,
    pub(crate) kind: SecretKind,
    /// Its rules have changed, or it is not held, so that nobody would tell it if they had: good for
    /// nothing but its proofs and the request that read it.
    outdated: AtomicBool,
    /// What is held of it while it is in much use; an empty pointer else.
    pub(crate) hot: HotSlot,
}

/// What entries share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    rules: Pool<Rules>,
    owners: Pool<HeldOwner>,
    /// Tells hashes of secrets apart.
    hasher: RandomState,
}

impl Shared {
    /// Forgets what no entry has.
    pub(super) fn sweep(&self) {
        self.rules.sweep();
        self.owners.sweep();
    }

    fn owner(&self, name: Option<OwnerName>, rules: Option<OwnerRules>) -> Option<Arc<HeldOwner>> {
        let (name, rules) = name.zip(rules)?;
        Some(self.owners.share(HeldOwner { id: name.as_str().into(), name, rules }))
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
            read_at,
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

    pub(super) fn id(&self) -> &HeldId {
        &self.id
    }

    /// The tenant that holds it.
    pub(crate) fn owner(&self) -> Option<&OwnerName> {
        self.owner.as_ref().map(|owner| &owner.name)
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

    pub(super) fn read_at(&self) -> Instant {
        self.read_at
    }

    /// Whether the read that made this began after `instant`.
    pub(crate) fn is_read_after(&self, instant: Instant) -> bool {
        self.read_at > instant
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
