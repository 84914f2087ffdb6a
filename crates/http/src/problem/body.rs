//! The body of a problem. A flood of wrong keys is answered with one each, so what is the same in
//! all of those is written once.

use std::sync::OnceLock;

use http::StatusCode;
use serde::Serialize;

use super::{Failure, Kind, violated};
use crate::ratelimit_headers;

/// Longest body that is written without its buffer growing, in the usual case.
const USUAL_BYTES: usize = 512;

/// What a kind of failure says of itself. With [`Own`] it is a [`tollgate_api::Problem`].
#[derive(Serialize)]
struct Common<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    detail: &'a str,
}

/// What only this request has.
#[derive(Serialize)]
struct Own<'a> {
    instance: &'a str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pointer: Option<String>,
    #[serde(rename = "violated-policies", skip_serializing_if = "Vec::is_empty")]
    violated_policies: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
}

/// Writes the problem of a failure as JSON.
pub(super) fn write(failure: &Failure, path: &str, request_id: &str) -> Vec<u8> {
    match kept(failure) {
        Some(common) if is_plain(path) && is_plain(request_id) => {
            // As serde writes it, in one piece of just that size.
            [common, b",\"instance\":\"", path.as_bytes(), b"\",\"request_id\":\"", request_id.as_bytes(), b"\"}"].concat()
        }
        Some(common) => write_after(common, failure, path, request_id),
        None => write_after(&open_object(failure), failure, path, request_id),
    }
}

/// Whether JSON writes a text as it is.
fn is_plain(text: &str) -> bool {
    text.bytes().fold(true, |all, byte| all & matches!(byte, b' ' | b'!' | b'#'..=b'[' | b']'..=b'~'))
}

fn write_after(common: &[u8], failure: &Failure, path: &str, request_id: &str) -> Vec<u8> {
    let limited = failure.limited();
    let own = Own {
        instance: path,
        request_id,
        pointer: failure.pointer(),
        violated_policies: limited.map(violated).unwrap_or_default(),
        retry_after_ms: limited.map(|passed| ratelimit_headers::retry_after_ms(&passed.standings)),
    };
    let mut body = Vec::with_capacity(USUAL_BYTES);
    body.extend_from_slice(common);
    // Goes on in the same object: its brace becomes a comma.
    let seam = body.len();
    if serde_json::to_writer(&mut body, &own).is_ok()
        && let Some(brace) = body.get_mut(seam)
    {
        *brace = b',';
    }
    body
}

/// The object of [`Common`] without its last brace, where it is kept. What a flood is answered with
/// says the same whatever was wrong, and must.
fn kept(failure: &Failure) -> Option<&'static [u8]> {
    static UNAUTHENTICATED: OnceLock<Vec<u8>> = OnceLock::new();
    static ABNORMAL_USAGE: OnceLock<Vec<u8>> = OnceLock::new();
    let kept = match failure {
        Failure::Unauthenticated { .. } => &UNAUTHENTICATED,
        Failure::AbnormalUsage { told_as: StatusCode::TOO_MANY_REQUESTS, .. } => &ABNORMAL_USAGE,
        _ => return None,
    };
    Some(kept.get_or_init(|| open_object(failure)))
}

/// The object of [`Common`] without its last brace.
fn open_object(failure: &Failure) -> Vec<u8> {
    let Kind { status, uri, title } = failure.kind();
    let common = Common { kind: uri, title, status: status.as_u16(), detail: &failure.detail() };
    let mut object = serde_json::to_vec(&common).unwrap_or_default();
    object.pop();
    object
}
