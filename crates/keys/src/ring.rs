//! The ring of signing keys: signs with the newest, checks with any, and needs no look-up.

use std::fmt;

use subtle::ConstantTimeEq;

use crate::{KeyId, RandomPart, RingChar, Secret, SecretDigest, SecretKind, SigningKey, signing_key::tag_of};

/// All signing keys that a node knows, oldest first.
#[derive(Clone, Default)]
pub struct SigningRing(Vec<SigningKey>);

/// Keys that cannot form a ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("two signing keys of this ring share the ring character {0}")]
pub struct RingError(pub RingChar);

/// What the tag of a secret says. Only [`TagCheck::Good`] is worth anything, and even that is
/// a filter, not the authority: the stored hash decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TagCheck {
    /// Made with one of our active keys for this key id.
    Good,
    /// Not made by us for this key id: refuse, without any look-up.
    Forged,
    /// Made with a key that is retired: treat as unsigned.
    Retired,
    /// Names a key this ring lacks: load the ring anew, then ask again.
    UnknownRing,
    /// Carries no tag.
    NotSigned,
}

impl SigningRing {
    /// A ring of keys given oldest first: the last one that is neither retired nor foreign nor held
    /// back signs.
    /// Foreign keys may share ring characters.
    pub fn new(keys: Vec<SigningKey>) -> Result<Self, RingError> {
        for (place, key) in keys.iter().enumerate() {
            let is_same = |earlier: &SigningKey| earlier.ring() == key.ring() && !earlier.is_foreign();
            if !key.is_foreign() && keys.iter().take(place).any(is_same) {
                return Err(RingError(key.ring()));
            }
        }
        Ok(Self(keys))
    }

    /// The keys, oldest first.
    pub fn keys(&self) -> &[SigningKey] {
        &self.0
    }

    /// The newest key of this ring that is neither retired nor held back; `None` where nothing can
    /// be signed.
    pub fn signer(&self) -> Option<&SigningKey> {
        self.0.iter().rev().find(|key| !key.is_retired() && !key.is_foreign() && !key.is_held_back())
    }

    /// Whether a key that is only held back will sign.
    pub fn will_sign(&self) -> bool {
        self.0.iter().any(|key| !key.is_retired() && !key.is_foreign() && key.is_held_back())
    }

    /// The key that a ring character names, one of this ring before a foreign one.
    pub fn get(&self, ring: RingChar) -> Option<&SigningKey> {
        self.named(ring).min_by_key(|key| key.is_foreign())
    }

    fn named(&self, ring: RingChar) -> impl Iterator<Item = &SigningKey> {
        self.0.iter().filter(move |key| key.ring() == ring)
    }

    /// A character for the next key: the first that no key has ever had.
    pub fn free_char(&self) -> Option<RingChar> {
        RingChar::all().find(|ring| self.get(*ring).is_none())
    }

    /// A secret signed by the newest key; `None` where nothing can be signed.
    pub fn sign(&self, key_id: &KeyId, random: &RandomPart) -> Option<Secret> {
        self.signer().map(|signer| Secret::signed(signer, key_id, random))
    }

    /// What the tag of `secret` says for `key_id`: one HMAC for each key of that ring character,
    /// which is one where none was brought along, compared in constant time.
    ///
    /// A wrong tag is a forgery even under a retired key: the right secret has the right one.
    pub fn verify(&self, key_id: &KeyId, secret: &Secret) -> TagCheck {
        self.examine(key_id, secret).0
    }

    /// The same, and what to remember the secret by where its tag is right: the HMAC is computed
    /// for the tag anyway, and covers all of the secret that another one could differ in.
    pub fn examine(&self, key_id: &KeyId, secret: &Secret) -> (TagCheck, Option<SecretDigest>) {
        if secret.kind() != SecretKind::Signed {
            return (TagCheck::NotSigned, None);
        }
        let Some(parts) = secret.signed_parts() else { return (TagCheck::Forged, None) };
        if self.named(parts.ring).next().is_none() {
            return (TagCheck::UnknownRing, None);
        }
        let Some(tag) = parts.tag else { return (TagCheck::Forged, None) };
        for key in self.named(parts.ring) {
            let full_mac = key.full_mac(key_id, parts.random);
            if tag_of(&full_mac).ct_eq(&tag).into() {
                let check = if key.is_retired() { TagCheck::Retired } else { TagCheck::Good };
                return (check, Some(SecretDigest::of_mac(full_mac)));
            }
        }
        (TagCheck::Forged, None)
    }
}

impl fmt::Debug for SigningRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.0).finish()
    }
}

#[cfg(test)]
mod tests;
