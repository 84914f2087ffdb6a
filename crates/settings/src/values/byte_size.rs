//! Sizes in bytes as people write them.

use std::{fmt, str::FromStr};

/// A size: a whole number and a unit (`B`, `KiB`, `MiB`, `GiB`), such as `16KiB`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(u64);

/// A text that is no size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a whole number and a unit (B, KiB, MiB or GiB), such as \"16KiB\"")]
pub struct ByteSizeError;

/// Units from the largest to the smallest.
const UNITS: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

impl ByteSize {
    /// So many times 1024 bytes.
    pub const fn kib(kib: u64) -> Self {
        Self(kib << 10)
    }

    /// So many times 1024 times 1024 bytes.
    pub const fn mib(mib: u64) -> Self {
        Self(mib << 20)
    }

    /// The size in bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// The size in bytes, for lengths in memory.
    pub fn as_len(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl FromStr for ByteSize {
    type Err = ByteSizeError;

    fn from_str(text: &str) -> Result<Self, ByteSizeError> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at_checked(digits).ok_or(ByteSizeError)?;
        let (_, unit_bytes) = UNITS.iter().find(|(name, _)| *name == unit).ok_or(ByteSizeError)?;
        let number: u64 = number.parse().map_err(|_| ByteSizeError)?;
        number.checked_mul(*unit_bytes).map(Self).ok_or(ByteSizeError)
    }
}

impl fmt::Display for ByteSize {
    /// The largest unit that leaves a whole number, so that reading it gives the same again.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fitting = UNITS.iter().find(|(_, unit_bytes)| self.0 > 0 && self.0.is_multiple_of(*unit_bytes));
        match fitting {
            Some((unit, unit_bytes)) => write!(f, "{}{unit}", self.0 / unit_bytes),
            None => f.write_str("0B"),
        }
    }
}

impl fmt::Debug for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<'de> serde::Deserialize<'de> for ByteSize {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl serde::Serialize for ByteSize {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_unit() {
        for (text, bytes) in [("7B", 7), ("16KiB", 16_384), ("1MiB", 1_048_576), ("2GiB", 2_147_483_648), ("0B", 0)] {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_size() {
        for text in ["", "16", "KiB", "-1B", "16 KiB", "16kib", "16KB", "16K", "1.5MiB", "99999999999GiB"] {
            assert_eq!(text.parse::<ByteSize>(), Err(ByteSizeError), "{text}");
        }
    }

    #[test]
    fn what_is_shown_reads_back_the_same() {
        for (text, shown) in [("1024B", "1KiB"), ("1536B", "1536B"), ("1024MiB", "1GiB"), ("0KiB", "0B")] {
            let size: ByteSize = text.parse().unwrap();
            assert_eq!(size.to_string(), shown);
            assert_eq!(shown.parse(), Ok(size));
        }
    }
}
