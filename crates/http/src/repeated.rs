//! What of a request is repeated in its problem, and how much of it: whatever a client writes may hold a secret in the
//! wrong place, or be long.

use std::borrow::Cow;

/// Longest path that is repeated, in characters.
const CHARACTERS_MAX: usize = 256;
/// Where a key id is expected, and an api key is put by mistake.
const KEYS: &str = "/v1/keys/";

/// A path that is not too long, and without the secret of an api key that somebody has put into it.
pub(crate) fn path(path: &str) -> Cow<'_, str> {
    let path = cut(path);
    let after_id =
        path.strip_prefix(KEYS).and_then(|rest| rest.split_once(':').or_else(|| rest.split_once("%3A")).or_else(|| rest.split_once("%3a")));
    if let Some((key_id, _)) = after_id {
        // No key id has a colon, so that what follows can only be a secret.
        return format!("{KEYS}{key_id}:***").into();
    }
    // Looked for beforehand, as a flood of refusals comes through here.
    if path.contains("tks_") || path.contains("tku_") { tollgate_telemetry::scrub(path) } else { path.into() }
}

fn cut(path: &str) -> &str {
    let end = path.char_indices().nth(CHARACTERS_MAX).map(|(end, _)| end);
    if path.len() <= CHARACTERS_MAX { path } else { end.and_then(|end| path.get(..end)).unwrap_or(path) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_cut_between_characters() {
        assert_eq!(path("/short"), "/short");
        assert_eq!(path(&"é".repeat(300)).chars().count(), 256);
        assert_eq!(path(&"é".repeat(200)).chars().count(), 200);
    }

    #[test]
    fn no_secret_in_a_path_is_repeated() {
        for (given, told) in [
            ("/v1/keys/mine:hunter2", "/v1/keys/mine:***"),
            ("/v1/keys/mine%3Ahunter2/rotate", "/v1/keys/mine:***"),
            ("/v1/keys/mine%3ahunter2", "/v1/keys/mine:***"),
            ("/v1/keys/tk_1:tks_hunter2", "/v1/keys/tk_1:***"),
            ("/v1/keys/tks_hunter2", "/v1/keys/tks_***"),
            ("/somewhere/tk_1:tku_hunter2/else", "/somewhere/tk_1:tku_***/else"),
            ("/v1/keys/mine/rotate", "/v1/keys/mine/rotate"),
            ("/v1/owners/a:b", "/v1/owners/a:b"),
        ] {
            assert_eq!(super::path(given), told);
        }
        let at_the_end = format!("/{}tks_hunter2", "x".repeat(246));
        assert!(!path(&at_the_end).contains("hun"));
    }
}
