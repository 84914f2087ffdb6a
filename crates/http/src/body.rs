//! JSON bodies: of bounded size and time, of the right type, and with errors that name the field.
//!
//! What a serde error says of a *value* is never repeated: a secret may have been put into the
//! wrong field. Names of fields and what would have been right are.

use axum::{body::Body, http::HeaderMap};
use bytes::Bytes;
use http::header;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_path_to_error::{Path, Segment};

use crate::{options::HttpOptions, problem::Failure};

/// Longest pointer that is told, in bytes; a longer one is cut to the whole document.
const POINTER_BYTES_MAX: usize = 256;

/// Reads a body that must be there.
pub(crate) async fn json<T: DeserializeOwned>(options: &HttpOptions, headers: &HeaderMap, body: Body) -> Result<T, Failure> {
    let bytes = bytes(options, headers, body).await?;
    require_json(headers)?;
    read(&bytes)
}

/// Reads a body whose fields are all optional: none at all is an empty object.
pub(crate) async fn json_or_default<T: DeserializeOwned + Default>(
    options: &HttpOptions,
    headers: &HeaderMap,
    body: Body,
) -> Result<T, Failure> {
    let bytes = bytes(options, headers, body).await?;
    if bytes.is_empty() {
        return Ok(T::default());
    }
    require_json(headers)?;
    read(&bytes)
}

async fn bytes(options: &HttpOptions, headers: &HeaderMap, body: Body) -> Result<Bytes, Failure> {
    let bytes_max = options.body_bytes_max;
    let told = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()).and_then(|text| text.parse::<usize>().ok());
    if told.is_some_and(|length| length > bytes_max) {
        return Err(Failure::BodyTooLarge { bytes_max });
    }
    let collected = tokio::time::timeout(options.request_timeout, Limited::new(body, bytes_max).collect()).await;
    match collected {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Failure::BodyTooLarge { bytes_max }),
        Ok(Err(_)) => Err(Failure::malformed_body("the body broke off")),
        Err(_) => Err(Failure::BodyTooSlow),
    }
}

/// Exactly one `Content-Type`, `application/json`, with or without parameters.
fn require_json(headers: &HeaderMap) -> Result<(), Failure> {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return Err(Failure::UnsupportedMediaType) };
    let essence = value.to_str().ok().and_then(|text| text.split(';').next()).unwrap_or_default();
    if essence.trim().eq_ignore_ascii_case("application/json") { Ok(()) } else { Err(Failure::UnsupportedMediaType) }
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Failure> {
    require_object(bytes)?;
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| refused(bytes, &error))?;
    deserializer.end().map_err(|_| not_json())?;
    Ok(value)
}

/// A derived struct would also be read from an array of its fields' values.
fn require_object(bytes: &[u8]) -> Result<(), Failure> {
    if bytes.trim_ascii_start().first() == Some(&b'{') {
        return Ok(());
    }
    serde_json::from_slice::<IgnoredAny>(bytes).map_err(|_| not_json())?;
    Err(Failure::InvalidField { pointer: String::new(), detail: "the body must be a JSON object".to_owned() })
}

fn not_json() -> Failure {
    Failure::malformed_body("the body is not JSON")
}

fn refused(bytes: &[u8], error: &serde_path_to_error::Error<serde_json::Error>) -> Failure {
    // A wrong field may come before the place where the text stops being JSON.
    if !error.inner().is_data() || serde_json::from_slice::<IgnoredAny>(bytes).is_err() {
        return not_json();
    }
    let message = error.inner().to_string();
    let field = ["missing field `", "unknown field `", "duplicate field `"]
        .into_iter()
        .find_map(|start| message.strip_prefix(start).and_then(|rest| rest.split('`').next()));
    let pointer = pointer(error.path(), field);
    let about_value = field.is_none() || message.starts_with("missing");
    let detail = range_of(&pointer).filter(|_| about_value).unwrap_or_else(|| told(&message));
    Failure::InvalidField { pointer, detail }
}

/// Which values are right, for the fields that have a range.
fn range_of(pointer: &str) -> Option<String> {
    let limit = |burst, per_seconds| tollgate_limits::RateLimit::new(burst, per_seconds).err().map(|error| error.to_string());
    match pointer.rsplit('/').next() {
        Some("burst") => limit(0, 1),
        Some("per_seconds") => limit(1, 0),
        Some("cost") => tollgate_limits::Cost::new(0).err().map(|error| error.to_string()),
        _ => None,
    }
}

/// What may be repeated of a message: its first words, and what was expected.
fn told(message: &str) -> String {
    let known = ["missing field", "unknown field", "duplicate field"];
    if let Some(start) = known.into_iter().find(|start| message.starts_with(start)) {
        return start.to_owned();
    }
    let expected = message.rsplit_once("expected ").map(|(_, rest)| rest.split(" at line ").next().unwrap_or(rest));
    expected.map_or_else(|| "the value is not of the documented form".to_owned(), |expected| format!("expected {expected}"))
}

/// A JSON pointer (RFC 6901) to where reading stopped; `field` where the parent is all the path says.
fn pointer(path: &Path, field: Option<&str>) -> String {
    let mut pointer = String::new();
    let mut last = None;
    for segment in path {
        match segment {
            Segment::Seq { index } => push(&mut pointer, &index.to_string()),
            Segment::Map { key } => {
                push(&mut pointer, key);
                last = Some(key.as_str());
            }
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    if let Some(field) = field.filter(|field| last != Some(field)) {
        push(&mut pointer, field);
    }
    if pointer.len() > POINTER_BYTES_MAX { String::new() } else { pointer }
}

fn push(pointer: &mut String, name: &str) {
    pointer.push('/');
    pointer.push_str(&name.replace('~', "~0").replace('/', "~1"));
}

#[cfg(test)]
mod tests;
