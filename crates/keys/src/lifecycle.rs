//! Where a key is in its life, and which of its secrets may be used.

use crate::{SecretHash, SecretKind};

/// What operators have made of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// May be used.
    Active,
    /// Out of use until it is resumed.
    Suspended,
    /// Out of use for ever.
    Revoked,
}

/// Status and end of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifecycle {
    /// What operators have made of it.
    pub status: Status,
    /// The first instant at which it is over, in milliseconds since 1970; `None` for never.
    pub expires_at_ms: Option<u64>,
}

/// Why a key may not be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// Out of use until it is resumed.
    #[error("key is suspended")]
    Suspended,
    /// Out of use for ever.
    #[error("key is revoked")]
    Revoked,
    /// Past its end.
    #[error("key has expired")]
    Expired,
}

impl Lifecycle {
    /// The life of a key just made.
    pub fn active(expires_at_ms: Option<u64>) -> Self {
        Self { status: Status::Active, expires_at_ms }
    }

    /// Whether the key may be used at `now_ms`. At its end exactly it may not. Of several
    /// reasons the most final is given.
    pub fn usable(&self, now_ms: u64) -> Result<(), Unusable> {
        match self.status {
            Status::Revoked => Err(Unusable::Revoked),
            _ if self.expires_at_ms.is_some_and(|end_ms| now_ms >= end_ms) => Err(Unusable::Expired),
            Status::Suspended => Err(Unusable::Suspended),
            Status::Active => Ok(()),
        }
    }
}

/// The hashes of a key's secrets: after a rotation the old secret is good for a grace period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretHashes {
    /// Of the newest secret.
    pub current: SecretHash,
    /// Of the one before it, if there was a rotation.
    pub previous: Option<PreviousHash>,
}

/// The hash of the secret before the last rotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviousHash {
    /// The hash.
    pub hash: SecretHash,
    /// How that secret was made, which may be another way than the newest was.
    pub kind: SecretKind,
    /// The first instant at which it is no longer good, in milliseconds since 1970.
    pub valid_until_ms: u64,
}

/// Which of a key's two secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Slot {
    /// The newest.
    Current,
    /// The one before it.
    Previous,
}

impl SecretHashes {
    /// The hashes of a key that was never rotated.
    pub fn only(current: SecretHash) -> Self {
        Self { current, previous: None }
    }

    /// The hashes that a secret presented at `now_ms` may match, newest first: one or two.
    pub fn usable(&self, now_ms: u64) -> impl Iterator<Item = (Slot, &SecretHash)> {
        let previous = self.previous.as_ref().filter(|previous| now_ms < previous.valid_until_ms);
        std::iter::once((Slot::Current, &self.current)).chain(previous.map(|previous| (Slot::Previous, &previous.hash)))
    }

    /// The first instant at which the secret in `slot` is no longer good; `None` for the newest,
    /// which ends only with its key. A slot that is empty is over since 1970.
    pub fn valid_until_ms(&self, slot: Slot) -> Option<u64> {
        match slot {
            Slot::Current => None,
            Slot::Previous => Some(self.previous.as_ref().map_or(0, |previous| previous.valid_until_ms)),
        }
    }

    /// The hashes after a rotation at `now_ms`. The secret that was newest, of this `kind`, is good
    /// until `until_ms` at most, not at all if that is no later than now; an older one ends at once.
    #[must_use]
    pub fn rotated(self, current: SecretHash, kind: SecretKind, now_ms: u64, until_ms: u64) -> Self {
        let previous = (until_ms > now_ms).then_some(PreviousHash { hash: self.current, kind, valid_until_ms: until_ms });
        Self { current, previous }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$AAECAwQFBgcICQoLDA0ODw";
    const OTHER: &str = "$argon2id$v=19$m=8,t=1,p=1$b3RoZXJzYWx0b3RoZXJzYQ$AAECAwQFBgcICQoLDA0ODw";

    fn hash(text: &str) -> SecretHash {
        SecretHash::parse(text).expect("a good hash")
    }

    #[test]
    fn a_key_ends_exactly_at_its_end() {
        let key = Lifecycle::active(Some(1000));
        assert_eq!(key.usable(999), Ok(()));
        assert_eq!(key.usable(1000), Err(Unusable::Expired));
        assert_eq!(key.usable(1001), Err(Unusable::Expired));
        assert_eq!(Lifecycle::active(None).usable(u64::MAX), Ok(()));
        assert_eq!(Lifecycle::active(Some(0)).usable(0), Err(Unusable::Expired));
    }

    #[test]
    fn the_most_final_reason_is_given() {
        let at = |status, now_ms| Lifecycle { status, expires_at_ms: Some(1000) }.usable(now_ms);
        assert_eq!(at(Status::Suspended, 999), Err(Unusable::Suspended));
        assert_eq!(at(Status::Suspended, 1000), Err(Unusable::Expired));
        assert_eq!(at(Status::Revoked, 999), Err(Unusable::Revoked));
        assert_eq!(at(Status::Revoked, 1000), Err(Unusable::Revoked));
    }

    #[test]
    fn both_secrets_are_good_within_the_grace_period() {
        let rotated = SecretHashes::only(hash(HASH)).rotated(hash(OTHER), SecretKind::Signed, 1000, 1500);
        let slots = |now_ms| rotated.usable(now_ms).map(|(slot, hash)| (slot, hash.clone())).collect::<Vec<_>>();
        assert_eq!(slots(1499), [(Slot::Current, hash(OTHER)), (Slot::Previous, hash(HASH))]);
        assert_eq!(slots(1500), [(Slot::Current, hash(OTHER))]);
        assert_eq!(rotated.valid_until_ms(Slot::Current), None);
        assert_eq!(rotated.valid_until_ms(Slot::Previous), Some(1500));
    }

    #[test]
    fn without_a_grace_period_the_old_secret_ends_at_once() {
        let rotated = SecretHashes::only(hash(HASH)).rotated(hash(OTHER), SecretKind::Signed, 1000, 1000);
        assert_eq!(rotated.usable(1000).count(), 1);
        assert_eq!(rotated.previous, None);
        assert_eq!(rotated.valid_until_ms(Slot::Previous), Some(0));
    }

    #[test]
    fn a_second_rotation_ends_the_oldest_secret() {
        let twice = SecretHashes::only(hash(HASH)).rotated(hash(OTHER), SecretKind::Imported, 1000, 1500).rotated(
            hash(HASH),
            SecretKind::Signed,
            1001,
            u64::MAX,
        );
        let hashes: Vec<_> = twice.usable(1002).map(|(_, hash)| hash.clone()).collect();
        assert_eq!(hashes, [hash(HASH), hash(OTHER)]);
        assert_eq!(twice.valid_until_ms(Slot::Previous), Some(u64::MAX));
    }
}
