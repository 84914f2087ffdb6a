//! Key ids: public, sortable, and safe to print anywhere.

use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

/// The public id of a key.
///
/// Ours are `tk_` and a ULID in lower case: 48 bits of milliseconds since 1970, then 80 random
/// bits, so ids sort by the instant they were made. An imported key may keep the id it had
/// elsewhere, `[A-Za-z0-9][A-Za-z0-9._-]{0,63}`, as long as it does not begin like ours.
///
/// Cheap to clone: the text is shared.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(Arc<str>);

/// A text that is no key id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyIdError {
    /// Nothing there.
    #[error("key id is empty")]
    Empty,
    /// Longer than any key id.
    #[error("key id is longer than {max} characters", max = KeyId::LENGTH_MAX)]
    TooLong,
    /// Begins with `tk_`, but no ULID follows.
    #[error("key id begins with tk_, but 26 characters of lower-case Crockford base 32 (a ULID) do not follow")]
    NoUlid,
    /// Holds something that no id may hold.
    #[error("key id may hold only A-Z, a-z, 0-9 and . _ - and starts with a letter or a digit")]
    BadCharacter,
}

const PREFIX: &str = "tk_";
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// The value of each byte as a digit.
const VALUES: [u8; 256] = values();
const NO_DIGIT: u8 = u8::MAX;
const ULID_LENGTH: usize = 26;
const UNIX_MS_LENGTH: usize = 10;
const UNIX_MS_MAX: u64 = (1 << 48) - 1;

impl KeyId {
    /// The longest id, in bytes.
    pub const LENGTH_MAX: usize = 64;

    /// Checks the form of an id, ours or a foreign one.
    pub fn parse(text: &str) -> Result<Self, KeyIdError> {
        if text.is_empty() {
            return Err(KeyIdError::Empty);
        }
        if text.len() > Self::LENGTH_MAX {
            return Err(KeyIdError::TooLong);
        }
        match text.strip_prefix(PREFIX) {
            Some(ulid) if !is_ulid(ulid) => Err(KeyIdError::NoUlid),
            None if !is_foreign(text) => Err(KeyIdError::BadCharacter),
            _ => Ok(Self(text.into())),
        }
    }

    /// The id of a key made at `unix_ms` (milliseconds since 1970, below 2⁴⁸; later instants
    /// count as the last).
    pub fn from_parts(unix_ms: u64, entropy: [u8; 10]) -> Self {
        let random = entropy.iter().fold(0u128, |bits, byte| bits << 8 | u128::from(*byte));
        Self::from_bits(u128::from(unix_ms.min(UNIX_MS_MAX)) << 80 | random)
    }

    /// The id of ours with these bits: the instant in the highest 48, then the random ones.
    pub fn from_bits(bits: u128) -> Self {
        let mut text = String::with_capacity(PREFIX.len() + ULID_LENGTH);
        text.push_str(PREFIX);
        text.extend((0..ULID_LENGTH).rev().map(|place| digit((bits >> (5 * place) & 31) as usize)));
        Self(text.into())
    }

    /// The bits of an id of ours, from which [`KeyId::from_bits`] makes it again; `None` for a foreign id.
    pub fn bits(&self) -> Option<u128> {
        let ulid = self.0.strip_prefix(PREFIX)?;
        // In parts that a machine word holds.
        let (start, end) = ulid.split_at_checked(ULID_LENGTH / 2)?;
        Some(u128::from(digits(start)?) << 65 | u128::from(digits(end.get(..1)?)?) << 60 | u128::from(digits(end.get(1..)?)?))
    }

    /// The instant in an id of ours, in milliseconds since 1970; `None` for a foreign id.
    pub fn unix_ms(&self) -> Option<u64> {
        digits(self.0.strip_prefix(PREFIX)?.get(..UNIX_MS_LENGTH)?)
    }

    /// Whether the id was brought along from elsewhere.
    pub fn is_foreign(&self) -> bool {
        !self.0.starts_with(PREFIX)
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same text to be shared.
    pub fn shared(&self) -> Arc<str> {
        self.0.clone()
    }
}

fn is_ulid(text: &str) -> bool {
    // 26 digits hold 130 bits: a first digit above 7 would not fit the 128.
    text.len() == ULID_LENGTH && text.bytes().all(|byte| value_of(byte).is_some()) && text.starts_with(|first| first <= '7')
}

fn is_foreign(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler, which would refuse a place out of bounds")]
const fn values() -> [u8; 256] {
    let mut values = [NO_DIGIT; 256];
    let mut value = 0;
    while value < 32 {
        values[ALPHABET[value as usize] as usize] = value;
        value += 1;
    }
    values
}

fn digit(value: usize) -> char {
    ALPHABET.get(value).map_or('0', |byte| char::from(*byte))
}

fn value_of(byte: u8) -> Option<u64> {
    VALUES.get(usize::from(byte)).filter(|value| **value != NO_DIGIT).map(|value| u64::from(*value))
}

/// The number that up to twelve digits, or thirteen of an id's start, write.
fn digits(text: &str) -> Option<u64> {
    text.bytes().try_fold(0u64, |number, byte| Some(number << 5 | value_of(byte)?))
}

impl FromStr for KeyId {
    type Err = KeyIdError;

    fn from_str(text: &str) -> Result<Self, KeyIdError> {
        Self::parse(text)
    }
}

/// Lets a map keyed by ids be asked with plain text.
impl Borrow<str> for KeyId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests;
