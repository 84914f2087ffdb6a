//! What has been found out of a key's secrets, and what it takes to find out more.
//!
//! A key that was never rotated has one secret. Once that is known by its digest, every other text
//! is wrong, and nobody needs the hash any more: it is dropped, with all that belongs to hashing.

use std::{
    collections::VecDeque,
    hash::BuildHasher,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use arc_swap::ArcSwapOption;
use tollgate_keys::{PreviousHash, SecretDigest, SecretHash, SecretHashes, SecretKind, Slot};

use crate::{kinds::may_be_shown_as, ports::FoundKey, receipts::Found};

/// Wrong secrets with a good tag that are remembered of a key: there are as many as it has had
/// rotations, and only their holder can show them.
const REFUTED_MAX: usize = 4;

/// A secret that ended so long ago, in milliseconds, has ended by whatever clock turns out to be right.
const LONG_ENDED_MS: u64 = 86_400_000;

/// Leaves out of a record that was read what nobody needs: the hash of a secret that has long ended.
pub(crate) fn without_long_ended(mut found: FoundKey, now_ms: u64) -> FoundKey {
    let is_over = |previous: &PreviousHash| previous.valid_until_ms.saturating_add(LONG_ENDED_MS) < now_ms;
    if found.key.secrets.previous.as_ref().is_some_and(is_over) {
        found.key.secrets.previous = None;
    }
    found
}

/// What is known of a key's secrets.
#[derive(Debug)]
pub(crate) struct Proofs {
    /// The newest secret, once it was shown.
    current: OnceLock<SecretDigest>,
    /// Stands for the hash of the newest secret among those that the key has or has had: 64 bits
    /// under a key of this process, so that nobody can make two hashes that are taken for one.
    current_hash: u64,
    /// As long as there is something to be found out, or a second secret.
    secrets: ArcSwapOption<Secrets>,
}

/// The hashes of a key's secrets, and the way to verifying one. All entries with the same hashes
/// share them, so that a change of a key's rules, or a crowd of first uses, costs no other hash.
#[derive(Debug)]
pub(crate) struct Secrets {
    pub(crate) hashes: SecretHashes,
    current: OnceLock<SecretDigest>,
    previous: OnceLock<SecretDigest>,
    /// The last secrets with a good tag that were found wrong, oldest first: of an older rotation.
    refuted: Mutex<VecDeque<SecretDigest>>,
    /// The receipts that were found last. Held while they are being looked for.
    pub(crate) receipts: tokio::sync::Mutex<Option<Found>>,
    /// Held while a secret is being hashed: one at a time, and the others find it done.
    pub(crate) verifying: tokio::sync::Mutex<()>,
}

impl Proofs {
    /// Of secrets that were read, with what earlier entries of the key say of them.
    pub(crate) fn new(hashes: SecretHashes, known: &[&Proofs], fingers: &impl BuildHasher) -> Self {
        let current_hash = fingers.hash_one(hashes.current.as_str());
        let same = known.iter().find_map(|known| known.secrets().filter(|secrets| secrets.hashes == hashes));
        let secrets = same.unwrap_or_else(|| {
            let secrets = Secrets::new(hashes);
            for known in known {
                known.carry(&secrets, current_hash, fingers);
            }
            Arc::new(secrets)
        });
        let proofs = Self { current: OnceLock::new(), current_hash, secrets: ArcSwapOption::new(Some(secrets.clone())) };
        proofs.settle(&secrets);
        proofs
    }

    /// Hands on what is known of secrets that others have too.
    fn carry(&self, to: &Secrets, current_hash: u64, fingers: &impl BuildHasher) {
        let (secrets, new) = (self.secrets(), to.hashes.previous.as_ref());
        let newest = self.current.get().or_else(|| secrets.as_ref()?.current.get());
        if self.current_hash == current_hash {
            carry(newest, &to.current);
        }
        let old = secrets.as_ref().and_then(|secrets| secrets.hashes.previous.as_ref());
        if new.is_some() && old == new {
            carry(secrets.as_ref().and_then(|secrets| secrets.previous.get()), &to.previous);
        }
        // A rotation: what was the newest secret is the one before.
        if new.is_some_and(|previous| fingers.hash_one(previous.hash.as_str()) == self.current_hash) {
            carry(newest, &to.previous);
        }
    }

    /// Whether a secret of this digest has been verified and is still good at `now_ms`.
    pub(crate) fn is_verified(&self, shown: &SecretDigest, now_ms: u64) -> bool {
        let is_current = || self.current.get().is_some_and(|known| known.matches(shown));
        if is_current() {
            return true;
        }
        // By another entry with the same hashes, or the secret before: rare.
        let secrets = self.secrets.load();
        let Some(secrets) = secrets.as_deref() else {
            // Dropped, maybe since that look: by whoever found out what was left.
            return is_current();
        };
        self.settle(secrets);
        secrets.is_verified(shown, now_ms)
    }

    /// Remembers that a secret was verified.
    pub(crate) fn set_verified(&self, secrets: &Arc<Secrets>, shown: SecretDigest, slot: Slot) {
        // Set already means by another request, with the same secret.
        secrets.digest(slot).get_or_init(|| shown);
        self.settle(secrets);
    }

    /// Takes over what was found out, and drops what it takes to find out more if that was all.
    fn settle(&self, secrets: &Secrets) {
        let Some(digest) = secrets.current.get() else { return };
        self.current.get_or_init(|| *digest);
        if secrets.hashes.previous.is_none() {
            self.secrets.store(None);
        }
    }

    /// What it takes to verify a secret. None where every secret that is not verified is wrong: who
    /// finds none must look after that whether the one that was shown has become verified.
    pub(crate) fn secrets(&self) -> Option<Arc<Secrets>> {
        self.secrets.load_full()
    }

    /// Whether a secret has been verified.
    pub(crate) fn are_any(&self) -> bool {
        self.current.get().is_some() || self.secrets().is_some_and(|secrets| secrets.are_any())
    }

    /// The second of the two secrets that a key may have.
    pub(crate) fn previous(&self) -> Option<PreviousHash> {
        self.secrets()?.hashes.previous.clone()
    }

    /// Whether they are of the same secrets. One of two readings may be without a second that has
    /// long ended.
    pub(crate) fn are_of_same(&self, other: &Self) -> bool {
        let is_same_before = self.previous().zip(other.previous()).is_none_or(|(one, other)| one == other);
        self.current_hash == other.current_hash && is_same_before
    }
}

impl Secrets {
    fn new(hashes: SecretHashes) -> Self {
        Self {
            hashes,
            current: OnceLock::new(),
            previous: OnceLock::new(),
            refuted: Mutex::default(),
            receipts: tokio::sync::Mutex::default(),
            verifying: tokio::sync::Mutex::default(),
        }
    }

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

    /// The hash of the secret in a slot.
    pub(crate) fn hash(&self, slot: Slot) -> Option<&SecretHash> {
        match slot {
            Slot::Current => Some(&self.hashes.current),
            Slot::Previous => self.hashes.previous.as_ref().map(|previous| &previous.hash),
        }
    }

    /// The hashes that a secret of the form that was shown may match, of a key whose newest secret was
    /// made as `kind`. One that can be written in several forms is right in its own alone.
    pub(crate) fn candidates(&self, kind: SecretKind, shown: SecretKind, now_ms: u64) -> impl Iterator<Item = (Slot, &SecretHash)> {
        let kind_of = move |slot| match slot {
            Slot::Current => Some(kind),
            Slot::Previous => self.hashes.previous.as_ref().map(|previous| previous.kind),
        };
        self.hashes.usable(now_ms).filter(move |(slot, _)| kind_of(*slot).is_some_and(|kind| may_be_shown_as(kind, shown)))
    }

    fn is_verified(&self, shown: &SecretDigest, now_ms: u64) -> bool {
        self.hashes.usable(now_ms).any(|(slot, _)| self.digest(slot).get().is_some_and(|known| known.matches(shown)))
    }

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

fn carry(from: Option<&SecretDigest>, to: &OnceLock<SecretDigest>) {
    if let Some(digest) = from {
        to.get_or_init(|| *digest);
    }
}
