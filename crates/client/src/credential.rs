//! What a client shows to be let in.

use std::fmt;

use tollgate_keys::{ApiKey, ApiKeyError};
use zeroize::Zeroizing;

/// An api key of the form `key_id:secret`; there is no other form.
#[derive(Clone)]
pub struct Credential {
    key_id: String,
    text: Zeroizing<String>,
}

/// A text that is no credential. The text itself is never part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an api key: {0}")]
pub struct CredentialError(#[from] ApiKeyError);

impl Credential {
    /// Checks the form of an api key, down to the checksum of its secret.
    pub fn parse(text: &str) -> Result<Self, CredentialError> {
        let api_key = ApiKey::parse(text)?;
        Ok(Self { key_id: api_key.key_id.as_str().to_owned(), text: api_key.expose() })
    }

    /// The public part.
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// The whole text, to be sent and never shown.
    pub fn expose(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:[redacted]", self.key_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_and_errors_show_no_secret() {
        let credential = Credential::parse("mine:open-sesame").expect("an imported key");
        assert_eq!(format!("{credential:?}"), "mine:[redacted]");
        assert_eq!(credential.expose(), "mine:open-sesame");
        let error = Credential::parse("mine:open sesame").expect_err("a space");
        assert!(!format!("{error} {error:?}").contains("sesame"), "{error}");
    }
}
