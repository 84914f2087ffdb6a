//! The second net: what looks like a credential is not written.
//!
//! The first net is that secrets have types which cannot be printed. This one catches what a
//! library says in its own words: an api key in an error, a URL with a password, a header.

use std::{borrow::Cow, ops::Range};

/// What stands in place of a credential.
const REPLACEMENT: &str = "***";

/// Where the credential lies in the text after a mark, if one does.
type Find = fn(&str) -> Option<Range<usize>>;

/// What announces a credential, and what finds it.
const MARKS: [(&str, Find); 7] = [
    ("tks_", secret),
    ("tku_", secret),
    ("://", password),
    ("Bearer ", header),
    ("bearer ", header),
    ("Basic ", header),
    ("basic ", header),
];

/// The shortest word after `Bearer` or `Basic` that is taken for a credential: prose has shorter
/// ones.
const HEADER_BYTES_MIN: usize = 16;

/// The text with every secret, every password of a URL and every credential of a header replaced.
pub fn scrub(text: &str) -> Cow<'_, str> {
    MARKS.iter().fold(Cow::Borrowed(text), |text, (mark, credential)| match replaced(&text, mark, *credential) {
        Some(clean) => Cow::Owned(clean),
        None => text,
    })
}

/// The text with what `credential` finds after each `mark` replaced; `None` where it finds nothing.
fn replaced(text: &str, mark: &str, credential: Find) -> Option<String> {
    let mut clean = String::new();
    let mut rest = text;
    let mut found_any = false;
    while let Some((before, after)) = rest.split_once(mark) {
        let found = credential(after);
        found_any |= found.is_some();
        let (start, end) = found.map_or((0, 0), |found| (found.start, found.end));
        let hidden = if end > start { REPLACEMENT } else { "" };
        let kept = after.get(..start).unwrap_or_default();
        clean.extend([before, mark, kept, hidden]);
        rest = after.get(end..).unwrap_or_default();
    }
    found_any.then(|| clean + rest)
}

/// The word right after `tks_`.
fn secret(after: &str) -> Option<Range<usize>> {
    run(after, |byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// What is between the first colon and the last at sign of `user:…@host`.
fn password(after: &str) -> Option<Range<usize>> {
    let authority = after.get(run(after, |byte| !b" \t\r\n\"'/\\<>".contains(&byte))?)?;
    let (user_info, _) = authority.rsplit_once('@')?;
    let colon = user_info.find(':')?;
    Some(colon + 1..user_info.len())
}

/// The word of `Bearer …` or `Basic …`.
fn header(after: &str) -> Option<Range<usize>> {
    run(after, |byte| byte.is_ascii_alphanumeric() || b":_-.~+/=".contains(&byte)).filter(|found| found.len() >= HEADER_BYTES_MIN)
}

/// The leading bytes that `belongs` takes; `None` where there are none.
fn run(text: &str, belongs: impl Fn(u8) -> bool) -> Option<Range<usize>> {
    let length = text.bytes().take_while(|byte| belongs(*byte)).count();
    (length > 0).then_some(0..length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hides_credentials_wherever_they_stand() {
        for (given, clean) in [
            ("key tk_01:tks_Ahunter2 is bad", "key tk_01:tks_*** is bad"),
            ("tku_hunter2tku_hunter2", "tku_***"),
            ("tks_hunter2, tku_hunter2;tks_hunter2", "tks_***, tku_***;tks_***"),
            ("redis://u:hunter2@h:1/0 and postgres://hunter2:hunter2", "redis://u:***@h:1/0 and postgres://hunter2:hunter2"),
            ("redis://:hunter2@h \"postgres://u:hu@nter2@h\"", "redis://:***@h \"postgres://u:***@h\""),
            ("authorization: Bearer tk_01:hunter2hunter2", "authorization: Bearer ***"),
            ("{\"authorization\":\"Basic aHVudGVyMmh1bnRlcjI=\"}", "{\"authorization\":\"Basic ***\"}"),
            ("tks_", "tks_"),
            ("bearer of news, basic arithmetic, http://host/path:a@b", "bearer of news, basic arithmetic, http://host/path:a@b"),
            ("", ""),
            ("ключ tks_hunter2 é", "ключ tks_*** é"),
        ] {
            assert_eq!(scrub(given), clean);
        }
    }

    #[test]
    fn a_clean_text_is_not_copied() {
        assert!(matches!(scrub("GET http://host/v1/check 200"), Cow::Borrowed(_)));
    }

    #[test]
    fn scrubbing_twice_changes_nothing_more() {
        let once = scrub("tks_hunter2 redis://u:hunter2@h Bearer hunter2hunter2hunter2").into_owned();
        assert!(!once.contains("hunter2"));
        assert_eq!(scrub(&once), once);
    }
}
