//! Who is calling, as API and command line both tell it.

use serde::{Deserialize, Serialize};

/// The header that joins a command, a server's log lines, an audit row and a problem.
pub const REQUEST_ID_HEADER: &str = "x-request-id";

/// The header that tells whose key was used, by its public id.
pub const KEY_ID_HEADER: &str = "x-tollgate-key-id";

/// The header that tells the tenant that holds the key; empty where there is none.
pub const OWNER_HEADER: &str = "x-tollgate-owner";

/// The header that tells what the key may do: scopes with spaces between them.
pub const SCOPES_HEADER: &str = "x-tollgate-scopes";

/// The longest request id that is taken from a caller, in bytes.
pub const REQUEST_ID_BYTES_MAX: usize = 128;

/// Whether a caller's request id may be used: 1 to 128 visible ASCII characters, no spaces. It is told
/// everywhere, so a text with a secret of ours in it may not.
pub fn is_sane_request_id(text: &str) -> bool {
    let is_plain = (1..=REQUEST_ID_BYTES_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    is_plain && !text.contains("tks_") && !text.contains("tku_")
}

/// What is known of a caller once a key has been verified: never its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthContext {
    /// The public id of the key that was used.
    pub key_id: String,
    /// The tenant that holds the key; none for an operator's key.
    pub owner: Option<String>,
    /// What the key may do.
    pub scopes: Vec<String>,
    /// The id of the request.
    pub request_id: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_ids_are_visible_ascii_of_bounded_length() {
        assert!(is_sane_request_id("a"));
        assert!(is_sane_request_id(&"~".repeat(128)));
        for bad in ["", " ", "a b", "a\n", "ä", "\u{7f}", "tk_1:tks_A", "tku_A", &"a".repeat(129)] {
            assert!(!is_sane_request_id(bad), "{bad:?}");
        }
    }
}
