//! API keys: a key id and a secret with a colon between them.

use zeroize::Zeroizing;

use crate::{KeyId, KeyIdError, Secret, SecretError};

/// What a client presents: `key_id:secret`.
#[derive(Debug)]
pub struct ApiKey {
    /// The public part.
    pub key_id: KeyId,
    /// The part that proves it.
    pub secret: Secret,
}

/// A text that is no api key. The text itself is never part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ApiKeyError {
    /// Nothing there.
    #[error("api key is empty")]
    Empty,
    /// Longer than any api key.
    #[error("api key is longer than {max} bytes", max = ApiKey::LENGTH_MAX)]
    TooLong,
    /// No colon between key id and secret.
    #[error("api key has no colon: it has the form key_id:secret")]
    MissingColon,
    /// The part before the colon.
    #[error(transparent)]
    KeyId(#[from] KeyIdError),
    /// The part after the colon.
    #[error(transparent)]
    Secret(#[from] SecretError),
}

impl ApiKey {
    /// The longest text that is looked at, in bytes.
    pub const LENGTH_MAX: usize = 512;

    /// Splits at the first colon and checks both parts. An imported secret may hold colons.
    pub fn parse(text: &str) -> Result<Self, ApiKeyError> {
        if text.is_empty() {
            return Err(ApiKeyError::Empty);
        }
        if text.len() > Self::LENGTH_MAX {
            return Err(ApiKeyError::TooLong);
        }
        let (key_id, secret) = text.split_once(':').ok_or(ApiKeyError::MissingColon)?;
        Self::from_parts(key_id, secret)
    }

    /// Checks both parts of an api key that came apart, such as user and password.
    pub fn from_parts(key_id: &str, secret: &str) -> Result<Self, ApiKeyError> {
        Ok(Self { key_id: KeyId::parse(key_id)?, secret: Secret::parse(secret)? })
    }

    /// The whole text, for showing it once.
    pub fn expose(&self) -> Zeroizing<String> {
        let (key_id, secret) = (self.key_id.as_str(), self.secret.expose());
        let mut text = Zeroizing::new(String::with_capacity(key_id.len() + 1 + secret.len()));
        text.push_str(key_id);
        text.push(':');
        text.push_str(secret);
        text
    }
}

#[cfg(test)]
mod tests;
