//! A name for a call, so that it can be sent again without being carried out again.

use std::fmt;

/// What `Idempotency-Key` is, in characters.
const CHARACTERS_MAX: usize = 255;

/// The name of one call: 1 to 255 visible ASCII characters. A node that has carried out the call of
/// this name answers it again, within 24 hours, without doing anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(String);

/// A text that cannot name a call, or no text could be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdempotencyKeyError {
    /// The text is of another form.
    #[error("an idempotency key is 1 to 255 visible ASCII characters")]
    Form,
    /// Two calls must not have one name, so there is no stand-in for randomness.
    #[error("the system gives no randomness for an idempotency key")]
    Randomness,
}

impl IdempotencyKey {
    /// Takes a name that the caller goes by already, such as the id of an order.
    pub fn parse(text: &str) -> Result<Self, IdempotencyKeyError> {
        let is_good = (1..=CHARACTERS_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        if is_good { Ok(Self(text.to_owned())) } else { Err(IdempotencyKeyError::Form) }
    }

    /// A new name: 128 random bits.
    pub fn generate() -> Result<Self, IdempotencyKeyError> {
        let bits = tollgate_keys::random_bytes().map_err(|_| IdempotencyKeyError::Randomness)?;
        Ok(Self(format!("{:032x}", u128::from_be_bytes(bits))))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_visible_ascii_of_bounded_length() {
        assert!(IdempotencyKey::parse(&"~".repeat(255)).is_ok());
        for bad in ["", "a b", "ä", "a\n", &"a".repeat(256)] {
            assert_eq!(IdempotencyKey::parse(bad), Err(IdempotencyKeyError::Form), "{bad:?}");
        }
        assert_ne!(IdempotencyKey::generate(), IdempotencyKey::generate());
    }
}
