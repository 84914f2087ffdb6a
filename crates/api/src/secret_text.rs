//! Secrets in bodies.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

/// A text that is a secret: wiped when dropped, never printed. On the wire it is a string like any other.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SecretText(Zeroizing<String>);

impl SecretText {
    /// The text itself, to be read or sent and never shown.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for SecretText {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl From<&str> for SecretText {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl Serialize for SecretText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_string_on_the_wire_and_nothing_in_print() {
        let secret: SecretText = serde_json::from_str("\"a:open-sesame\"").expect("a string");
        assert_eq!(secret, SecretText::from("a:open-sesame"));
        assert_eq!(serde_json::to_string(&secret).expect("JSON"), "\"a:open-sesame\"");
        assert!(!format!("{secret:?}").contains("sesame"));
        assert!(serde_json::from_str::<SecretText>("1").is_err());
    }
}
