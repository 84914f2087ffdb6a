//! The one credential of a request, from whichever header carries it.
//!
//! Two credentials are worse than none: the gateway in front may have looked at the one and we at
//! the other. So anything that could be read in two ways is refused; anything that is merely no
//! api key is `Malformed`, and answered exactly like an unknown one.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use tollgate_gate::request::Credential;
use tollgate_keys::ApiKey;
use zeroize::Zeroizing;

use crate::problem::Failure;

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Reads the credential of a request's headers.
pub(crate) fn read(headers: &HeaderMap) -> Result<Credential, Failure> {
    refuse_aliases(headers)?;
    let authorization = single(headers, &header::AUTHORIZATION)?;
    let x_api_key = single(headers, &X_API_KEY)?;
    match (authorization, x_api_key) {
        (Some(_), Some(_)) => Err(Failure::DuplicateCredential),
        (Some(text), None) => Ok(authorized(text)),
        (None, Some(text)) => Ok(of_text(text)),
        (None, None) => Ok(Credential::Missing),
    }
}

/// The credential in the text of an api key.
pub(crate) fn of_text(text: &str) -> Credential {
    ApiKey::parse(text).map_or(Credential::Malformed, Credential::Read)
}

/// A header that stands there at most once, in plain characters, and is no list.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Failure> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Failure::DuplicateCredential);
    }
    let text = plain(value).ok_or_else(|| Failure::malformed_header("credentials are visible ASCII"))?;
    if has(text, |byte| byte == b',') {
        return Err(Failure::DuplicateCredential);
    }
    Ok(Some(text))
}

/// The text of a value without control characters and without anything beyond ASCII.
pub(super) fn plain(value: &HeaderValue) -> Option<&str> {
    // A tab is the one control character that a header's text may hold.
    value.to_str().ok().filter(|text| !has(text, |byte| byte == b'\t'))
}

/// Looks at all bytes, so that they are looked at many at a time.
fn has(text: &str, odd: impl Fn(u8) -> bool) -> bool {
    text.bytes().fold(false, |found, byte| found | odd(byte))
}

/// `Bearer key_id:secret` or `Basic base64(key_id:secret)`; another scheme is no api key.
fn authorized(text: &str) -> Credential {
    let (scheme, rest) = text.split_once(' ').unwrap_or((text, ""));
    let rest = rest.trim_matches(' ');
    if scheme.eq_ignore_ascii_case("bearer") {
        of_text(rest)
    } else if scheme.eq_ignore_ascii_case("basic") {
        basic(rest).unwrap_or(Credential::Malformed)
    } else {
        Credential::Malformed
    }
}

fn basic(text: &str) -> Option<Credential> {
    // Four characters hold three bytes: whatever decodes to more than an api key is none.
    if text.len() > (ApiKey::LENGTH_MAX + 3) / 3 * 4 {
        return None;
    }
    let decoded = base64(text.as_bytes())?;
    std::str::from_utf8(&decoded).ok().map(of_text)
}

/// Standard base64 (RFC 4648, section 4), padded or not, nothing else and no stray bits. What it held is
/// wiped when dropped, and is never moved while it grows.
fn base64(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let unpadded = match text {
        [rest @ .., b'=', b'='] | [rest @ .., b'='] if text.len().is_multiple_of(4) => rest,
        _ => text,
    };
    let mut out = Zeroizing::new(Vec::with_capacity(unpadded.len() / 4 * 3 + 2));
    for group in unpadded.chunks(4) {
        let bits = group.iter().try_fold(0_u32, |bits, byte| Some(bits << 6 | sextet(*byte)?))?;
        let bytes = (bits << (6 * (4 - group.len()))).to_be_bytes();
        let count = [0, 0, 1, 2, 3].get(group.len()).copied().filter(|count| *count > 0)?;
        let (kept, stray) = bytes.get(1..)?.split_at_checked(count)?;
        if stray.iter().any(|byte| *byte != 0) {
            return None;
        }
        out.extend_from_slice(kept);
    }
    Some(out)
}

fn sextet(byte: u8) -> Option<u32> {
    let value = match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(u32::from(value))
}

/// Refuses `X_Api_Key`, `X.Tollgate.Key.Id`, `X~Tollgate~Owner` and their like. Apps that make variables
/// of headers (CGI and its heirs) read such a name as ours, whatever stands between its words, so whoever
/// sends one is up to something or badly set up.
fn refuse_aliases(headers: &HeaderMap) -> Result<(), Failure> {
    let aliased = headers.keys().any(|name| {
        let name = name.as_str();
        name.bytes().any(|byte| byte != b'-' && !byte.is_ascii_alphanumeric())
            && is_ours(&name.replace(|letter: char| !letter.is_ascii_alphanumeric(), "-"))
    });
    if aliased { Err(Failure::malformed_header("a header's name is that of one of ours, but with something else for -")) } else { Ok(()) }
}

fn is_ours(name: &str) -> bool {
    name == X_API_KEY.as_str() || name.starts_with("x-tollgate-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_strict() {
        let decoded = |text: &str| base64(text.as_bytes()).and_then(|bytes| String::from_utf8(bytes.to_vec()).ok());
        for (text, plain) in [("", ""), ("Zg==", "f"), ("Zg", "f"), ("Zm8=", "fo"), ("Zm8", "fo"), ("Zm9v", "foo"), ("Zm9vYmFy", "foobar")]
        {
            assert_eq!(decoded(text).as_deref(), Some(plain), "{text}");
        }
        for bad in ["Z", "Zg=", "Zg===", "Z===", "=", "====", "Zh==", "Zm9", "Zm8=Zm8=", "Zm_v", "Zm 9v", "Zm9v\n"] {
            assert_eq!(decoded(bad), None, "{bad:?}");
        }
    }
}
