//! The keys that sign secrets.

use std::fmt;

use zeroize::Zeroizing;

use crate::{
    KeyId, RandomnessError,
    mac::{self, HmacSha256},
    random_bytes,
};

/// The character that names a signing key inside the secrets it signed: one of `0-9A-Za-z`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RingChar(char);

/// A character that cannot name a signing key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a signing key is named by one character of 0-9, A-Z and a-z")]
pub struct RingCharError;

impl RingChar {
    /// Checks that the character is one of the 62.
    pub fn new(character: char) -> Result<Self, RingCharError> {
        if character.is_ascii_alphanumeric() { Ok(Self(character)) } else { Err(RingCharError) }
    }

    /// The character.
    pub fn as_char(self) -> char {
        self.0
    }

    /// All 62, in order.
    pub fn all() -> impl Iterator<Item = Self> {
        ('0'..='9').chain('A'..='Z').chain('a'..='z').map(Self)
    }
}

impl fmt::Debug for RingChar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for RingChar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// 32 bytes that sign secrets, under the character that the secrets carry. Wiped when dropped.
///
/// A tag is the first 96 bits of HMAC-SHA256 under these bytes over three fields (ring
/// character, key id, random part), each after its length as eight bytes, big-endian.
///
/// A *retired* key signs no more, and its tags prove nothing: whoever has stolen it could make
/// them. Secrets it signed stay good, but are treated like unsigned ones.
#[derive(Clone)]
pub struct SigningKey {
    ring: RingChar,
    key: Zeroizing<[u8; 32]>,
    retired: bool,
    foreign: bool,
    held_back: bool,
    tag_mac: HmacSha256,
    receipt_mac: HmacSha256,
}

impl SigningKey {
    /// An active key from stored bytes.
    pub fn new(ring: RingChar, key: [u8; 32]) -> Self {
        let key = Zeroizing::new(key);
        let tag_mac = mac::keyed(&key);
        let receipt_mac = mac::sub_keyed(&key, b"receipt");
        Self { ring, key, retired: false, foreign: false, held_back: false, tag_mac, receipt_mac }
    }

    /// An active key from fresh randomness.
    pub fn generate(ring: RingChar) -> Result<Self, RandomnessError> {
        Ok(Self::new(ring, random_bytes()?))
    }

    /// The same key, retired.
    #[must_use]
    pub fn retire(self) -> Self {
        Self { retired: true, ..self }
    }

    /// The same key as one that was brought along from another ring: it never signs here, and may
    /// share its character with a key of this ring.
    #[must_use]
    pub fn foreign(self) -> Self {
        Self { foreign: true, ..self }
    }

    /// The same key as one that signs nothing yet: others may not have heard of it. Its tags are as
    /// good as any.
    #[must_use]
    pub fn hold_back(self) -> Self {
        Self { held_back: true, ..self }
    }

    /// Whether it signs nothing yet.
    pub fn is_held_back(&self) -> bool {
        self.held_back
    }

    /// Whether it was brought along from another ring.
    pub fn is_foreign(&self) -> bool {
        self.foreign
    }

    /// The character that names it.
    pub fn ring(&self) -> RingChar {
        self.ring
    }

    /// Whether it signs no more.
    pub fn is_retired(&self) -> bool {
        self.retired
    }

    /// The bytes, for storing them.
    pub fn expose(&self) -> &[u8; 32] {
        &self.key
    }

    /// The 96 bits that bind the random part of a secret to a key id and to this key.
    pub(crate) fn tag(&self, key_id: &KeyId, random: &str) -> [u8; 12] {
        tag_of(&self.full_mac(key_id, random))
    }

    /// All bits of the MAC whose first 96 are the tag.
    pub(crate) fn full_mac(&self, key_id: &KeyId, random: &str) -> [u8; 32] {
        let mut mac = self.tag_mac.clone();
        mac::field(&mut mac, self.ring.0.encode_utf8(&mut [0; 4]).as_bytes());
        mac::field(&mut mac, key_id.as_str().as_bytes());
        mac::field(&mut mac, random.as_bytes());
        mac::finish(&mut mac)
    }

    /// The MAC that receipts are made with: a sub-key, so a receipt never helps to forge a tag.
    pub(crate) fn receipt_mac(&self) -> HmacSha256 {
        self.receipt_mac.clone()
    }
}

/// The tag in all bits of its MAC.
pub(crate) fn tag_of(full_mac: &[u8; 32]) -> [u8; 12] {
    let mut tag = [0; 12];
    for (to, from) in tag.iter_mut().zip(full_mac) {
        *to = *from;
    }
    tag
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("ring", &self.ring).field("retired", &self.retired).finish_non_exhaustive()
    }
}
