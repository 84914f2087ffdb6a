//! The id that joins a call here with the log lines and audit rows there.

use std::fmt;

use tollgate_api::is_sane_request_id;

/// The id of one or more calls: 1 to 128 visible ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(String);

/// A text that is no request id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a request id is 1 to 128 visible ASCII characters")]
pub struct RequestIdError;

impl RequestId {
    /// Takes an id that the caller goes by already.
    pub fn parse(text: &str) -> Result<Self, RequestIdError> {
        if is_sane_request_id(text) { Ok(Self(text.to_owned())) } else { Err(RequestIdError) }
    }

    /// A new id: 128 random bits. All zeroes where the system has none to give: an id is no secret,
    /// and a poor one is better than none.
    pub fn generate() -> Self {
        let bits = tollgate_keys::random_bytes().map_or(0, u128::from_be_bytes);
        Self(format!("{bits:032x}"))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_ids_are_sane_and_differ() {
        let (one, other) = (RequestId::generate(), RequestId::generate());
        assert_ne!(one, other);
        assert!(is_sane_request_id(one.as_str()));
        assert_eq!(RequestId::parse("a b"), Err(RequestIdError));
    }
}
