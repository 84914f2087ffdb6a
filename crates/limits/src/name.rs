//! Names of limits.

use std::{fmt, sync::Arc};

/// The name of one limit of a key or of an owner, such as `key`, `per_second` or `day`.
///
/// A bucket belongs to a name, so a limit keeps its bucket when its figures change and the list
/// is put in another order.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct LimitName {
    text: Arc<str>,
    id: u32,
}

/// A text that cannot name a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a limit's name is 1 to 64 of a-z, 0-9 and . _ : -, and starts with a letter or a digit")]
pub struct LimitNameError;

impl LimitName {
    /// Checks the form `[a-z0-9][a-z0-9._:-]{0,63}`.
    pub fn new(text: &str) -> Result<Self, LimitNameError> {
        let starts_well = text.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let fits = text.len() <= 64 && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._:-".contains(&b));
        if !starts_well || !fits {
            return Err(LimitNameError);
        }
        Ok(Self { text: text.into(), id: fnv1a(text.as_bytes()) })
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The 32 bits that stand for the name in a bucket's state (FNV-1a). Two limits of one list
    /// never share them: `RateLimits` refuses such a list.
    pub fn id(&self) -> u32 {
        self.id
    }
}

impl fmt::Debug for LimitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.text, f)
    }
}

impl fmt::Display for LimitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn fnv1a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_documented_form_only() {
        for good in ["key", "per_second", "10s", "a.b:c-d", &"a".repeat(64)] {
            assert!(LimitName::new(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "_a", "Key", "a b", "ä", "a\n", &"a".repeat(65)] {
            assert!(LimitName::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn id_is_the_published_fnv1a() {
        assert_eq!(LimitName::new("a").map(|name| name.id()), Ok(0xe40c_292c));
        assert_eq!(LimitName::new("foobar").map(|name| name.id()), Ok(0xbf9c_f968));
    }
}
