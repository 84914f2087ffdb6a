//! Secrets: their text, what it tells by itself, and how one is made.
//!
//! | kind | text | characters |
//! |---|---|--:|
//! | signed | `tks_` ring character, 43 random, 17 tag, 6 checksum | 71 |
//! | unsigned | `tku_` 43 random, 6 checksum | 53 |
//! | imported | anything else of 1 to 256 visible ASCII characters | |
//!
//! All parts are base 62 (`0-9A-Za-z`) at a fixed width. The random part holds 256 bits. The tag
//! is the first 96 bits of an HMAC-SHA256 (see [`SigningKey`]). The checksum is the CRC-32
//! (IEEE) of everything before it, prefix included: it finds typing errors and lets a scanner
//! for leaked secrets be sure without asking a server.
//!
//! For secret scanners there is [`SECRET_PATTERN`]; a whole api key has `tk_`, 26 characters and
//! a colon before it. A match whose last six characters are the CRC-32 of the rest is a secret.

use std::fmt;

use zeroize::Zeroizing;

use crate::{KeyId, RandomnessError, RingChar, SigningKey, base62, random_bytes};

/// The regular expression that finds our secrets in any text.
pub const SECRET_PATTERN: &str = r"\btk(?:s_[0-9A-Za-z]{67}|u_[0-9A-Za-z]{49})\b";

const SIGNED_PREFIX: &str = "tks_";
const UNSIGNED_PREFIX: &str = "tku_";
const PREFIX_LENGTH: usize = 4;
const RANDOM_LENGTH: usize = 43;
const TAG_LENGTH: usize = 17;
const CHECKSUM_LENGTH: usize = 6;
const UNSIGNED_LENGTH: usize = PREFIX_LENGTH + RANDOM_LENGTH + CHECKSUM_LENGTH;
const SIGNED_LENGTH: usize = UNSIGNED_LENGTH + 1 + TAG_LENGTH;

/// The text of a secret. Wiped when dropped; never printed, compared or copied.
pub struct Secret {
    text: Zeroizing<String>,
    kind: SecretKind,
}

/// How a secret was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SecretKind {
    /// Here, with a tag that tells a forgery without any look-up.
    Signed,
    /// Here, from random characters and a checksum alone.
    Unsigned,
    /// Elsewhere; its form is unknown.
    Imported,
}

/// A text that cannot be a secret. The text itself is never part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Nothing there.
    #[error("secret is empty")]
    Empty,
    /// Longer than any secret.
    #[error("secret is longer than {max} characters", max = Secret::LENGTH_MAX)]
    TooLong,
    /// Holds a space, a control character or anything outside ASCII; or, after our prefix,
    /// anything but `0-9A-Za-z`.
    #[error("secret holds a character that no secret may hold")]
    BadCharacter,
    /// Has our prefix, but something was cut off or added.
    #[error("secret has the wrong length: it was cut or something was added")]
    WrongLength,
    /// Has our form, but was mistyped.
    #[error("secret has a bad checksum: it was mistyped")]
    BadChecksum,
}

/// The parts of a signed secret that its tag depends on, and the tag.
pub(crate) struct SignedParts<'a> {
    pub(crate) ring: RingChar,
    pub(crate) random: &'a str,
    /// `None` where the digits say more than 96 bits: no key makes such a tag.
    pub(crate) tag: Option<[u8; 12]>,
}

impl Secret {
    /// The longest secret, in bytes.
    pub const LENGTH_MAX: usize = 256;

    /// Checks form, length and checksum; says nothing about whether anybody issued the secret.
    ///
    /// A text with the length and checksum of ours behind another prefix is a mistyped secret of
    /// ours, not an imported one.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        if text.is_empty() {
            return Err(SecretError::Empty);
        }
        if text.len() > Self::LENGTH_MAX {
            return Err(SecretError::TooLong);
        }
        if !text.bytes().fold(true, |all, byte| all & byte.is_ascii_graphic()) {
            return Err(SecretError::BadCharacter);
        }
        let kind = kind_of(text)?;
        Ok(Self { text: Zeroizing::new(text.to_owned()), kind })
    }

    /// A secret whose tag binds it to `key_id`.
    pub fn signed(signer: &SigningKey, key_id: &KeyId, random: &RandomPart) -> Self {
        let tag = signer.tag(key_id, random.expose());
        let mut text = Zeroizing::new(String::with_capacity(SIGNED_LENGTH));
        text.push_str(SIGNED_PREFIX);
        text.push(signer.ring().as_char());
        text.push_str(random.expose());
        base62::push::<TAG_LENGTH>(&mut text, tag.iter().fold(0, |bits, byte| bits << 8 | u128::from(*byte)));
        Self::with_checksum(text, SecretKind::Signed)
    }

    /// A secret without a tag.
    pub fn unsigned(random: &RandomPart) -> Self {
        let mut text = Zeroizing::new(String::with_capacity(UNSIGNED_LENGTH));
        text.push_str(UNSIGNED_PREFIX);
        text.push_str(random.expose());
        Self::with_checksum(text, SecretKind::Unsigned)
    }

    fn with_checksum(mut text: Zeroizing<String>, kind: SecretKind) -> Self {
        let checksum = crc32fast::hash(text.as_bytes());
        base62::push::<CHECKSUM_LENGTH>(&mut text, checksum.into());
        Self { text, kind }
    }

    /// How it was made.
    pub fn kind(&self) -> SecretKind {
        self.kind
    }

    /// The character that names its signing key; `None` where it is not signed.
    pub fn ring(&self) -> Option<RingChar> {
        self.signed_parts().map(|parts| parts.ring)
    }

    /// What is hashed for storage: the random part of a secret made here (so the hash can be had
    /// before key id and tag are known), the whole text of an imported one.
    pub fn hash_input(&self) -> &str {
        let start = match self.kind {
            SecretKind::Signed => PREFIX_LENGTH + 1,
            SecretKind::Unsigned => PREFIX_LENGTH,
            SecretKind::Imported => return &self.text,
        };
        self.text.get(start..start + RANDOM_LENGTH).unwrap_or(&self.text)
    }

    /// The text itself, for the one moment in which it is shown or compared.
    pub fn expose(&self) -> &str {
        &self.text
    }

    pub(crate) fn signed_parts(&self) -> Option<SignedParts<'_>> {
        let body = self.text.strip_prefix(SIGNED_PREFIX).filter(|_| self.kind == SecretKind::Signed)?;
        let (ring, body) = body.split_at_checked(1)?;
        let (random, body) = body.split_at_checked(RANDOM_LENGTH)?;
        let tag = base62::read(body.get(..TAG_LENGTH)?).filter(|tag| *tag >> 96 == 0);
        let ring = ring.chars().next().and_then(|ring| RingChar::new(ring).ok())?;
        Some(SignedParts { ring, random, tag: tag.and_then(low_96_bits) })
    }
}

fn low_96_bits(bits: u128) -> Option<[u8; 12]> {
    bits.to_be_bytes().last_chunk().copied()
}

fn kind_of(text: &str) -> Result<SecretKind, SecretError> {
    let (kind, length) = match text.get(..PREFIX_LENGTH) {
        Some(SIGNED_PREFIX) => (SecretKind::Signed, SIGNED_LENGTH),
        Some(UNSIGNED_PREFIX) => (SecretKind::Unsigned, UNSIGNED_LENGTH),
        _ if is_ours_mistyped(text) => return Err(SecretError::BadChecksum),
        _ => return Ok(SecretKind::Imported),
    };
    if text.len() != length {
        return Err(SecretError::WrongLength);
    }
    let (prefix, body) = text.split_at_checked(PREFIX_LENGTH).ok_or(SecretError::WrongLength)?;
    if !base62::is_base62(body) {
        return Err(SecretError::BadCharacter);
    }
    if checksum_fits(prefix, body) { Ok(kind) } else { Err(SecretError::BadChecksum) }
}

fn is_ours_mistyped(text: &str) -> bool {
    let prefix = match text.len() {
        SIGNED_LENGTH => SIGNED_PREFIX,
        UNSIGNED_LENGTH => UNSIGNED_PREFIX,
        _ => return false,
    };
    text.get(PREFIX_LENGTH..).is_some_and(|body| checksum_fits(prefix, body))
}

fn checksum_fits(prefix: &str, body: &str) -> bool {
    let Some((body, checksum)) = body.len().checked_sub(CHECKSUM_LENGTH).and_then(|end| body.split_at_checked(end)) else {
        return false;
    };
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(prefix.as_bytes());
    hasher.update(body.as_bytes());
    base62::read(checksum) == Some(hasher.finalize().into())
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// The 43 random characters that a secret is made from. Wiped when dropped, never printed.
///
/// Drawn first: its hash can be computed before the key has an id.
pub struct RandomPart(Zeroizing<String>);

impl RandomPart {
    /// Draws 43 characters from the operating system: 62⁴³ is just above 2²⁵⁶.
    pub fn generate() -> Result<Self, RandomnessError> {
        let mut text = Zeroizing::new(String::with_capacity(RANDOM_LENGTH));
        while text.len() < RANDOM_LENGTH {
            let bytes = Zeroizing::new(random_bytes::<64>()?);
            // 248 = 4 × 62: larger bytes would make some characters likelier than others.
            let fair = bytes.iter().filter(|byte| **byte < 248).map(|byte| base62::digit(byte % 62));
            let missing = RANDOM_LENGTH - text.len();
            text.extend(fair.take(missing));
        }
        Ok(Self(text))
    }

    /// The characters.
    pub fn expose(&self) -> &str {
        &self.0
    }

    #[cfg(test)]
    pub(crate) fn fixed() -> Self {
        Self(Zeroizing::new("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg".to_owned()))
    }
}

impl fmt::Debug for RandomPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests;
