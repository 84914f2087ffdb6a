//! What bodies look like: the types of `tollgate-api` as JSON Schema 2020-12.
//!
//! Bodies that are sent are closed, because the surface refuses fields that it does not know. Answers
//! are open: a newer version may say more.

mod decisions;
mod health;
mod keys;
mod owners;
mod problem;
mod usage;
mod watching;

use serde_json::{Map, Value, json};
use tollgate_limits::{Cost, RateLimit};

/// Owners, scopes, namespaces and names of limits.
pub(super) const NAME_PATTERN: &str = "^[a-z0-9][a-z0-9._:-]{0,63}$";
/// The largest cost.
pub(super) const COST_MAX: u32 = Cost::MAX;
/// No control characters.
const PRINTABLE: &str = "^[^\\u0000-\\u001f\\u007f-\\u009f]+$";

/// All schemas by their names.
pub(super) fn all() -> Map<String, Value> {
    [decisions::all(), keys::all(), owners::all(), usage::all(), watching::all(), health::all(), problem::all()]
        .into_iter()
        .flatten()
        .collect()
}

/// A reference to a schema.
pub(super) fn of(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// An answer: these fields are always there, and there may be more.
fn answer(about: &str, required: &[&str], fields: Value) -> Value {
    let schema = [("type", "object".into()), ("description", about.into()), ("required", json!(required)), ("properties", fields)];
    schema.map(|(name, value)| (name.to_owned(), value)).into_iter().collect::<Map<_, _>>().into()
}

/// A body that is sent: no other fields.
fn sent(about: &str, required: &[&str], fields: Value) -> Value {
    let mut schema = answer(about, required, fields);
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("additionalProperties".to_owned(), false.into());
    }
    schema
}

/// One of these words.
fn word(about: &str, words: &[&str]) -> Value {
    json!({"type": "string", "description": about, "enum": words})
}

fn text(about: &str) -> Value {
    json!({"type": "string", "description": about})
}

fn text_or_null(about: &str) -> Value {
    json!({"type": ["string", "null"], "description": about})
}

fn printable(about: &str, characters_max: u32) -> Value {
    json!({"type": "string", "description": about, "minLength": 1, "maxLength": characters_max, "pattern": PRINTABLE})
}

fn name(about: &str) -> Value {
    json!({"type": "string", "description": about, "pattern": NAME_PATTERN})
}

fn whole(about: &str) -> Value {
    json!({"type": "integer", "description": about, "minimum": 0})
}

fn whole_or_null(about: &str) -> Value {
    json!({"type": ["integer", "null"], "description": about, "minimum": 0})
}

fn cost() -> Value {
    json!({"type": "integer", "description": "Tokens to spend; 1 where absent.", "minimum": 1, "maximum": COST_MAX})
}

fn yes_or_no(about: &str) -> Value {
    json!({"type": "boolean", "description": about})
}

fn instant(about: &str) -> Value {
    json!({"type": "string", "format": "date-time", "description": about})
}

fn instant_or_null(about: &str) -> Value {
    json!({"type": ["string", "null"], "format": "date-time", "description": about})
}

/// A reference that says what it is for here.
fn about(about: &str, schema: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{schema}"), "description": about})
}

fn or_null(about: &str, schema: &str) -> Value {
    json!({"anyOf": [of(schema), {"type": "null"}], "description": about})
}

fn list(about: &str, of: &Value) -> Value {
    json!({"type": "array", "description": about, "items": of})
}

fn burst() -> Value {
    json!({"type": "integer", "description": "Capacity in tokens.", "minimum": 1, "maximum": RateLimit::BURST_MAX})
}

fn per_seconds() -> Value {
    json!({"type": "integer", "description": "Seconds in which an empty bucket fills.", "minimum": 1, "maximum": RateLimit::PER_SECONDS_MAX})
}

/// Names and schemas of one file.
fn named<const N: usize>(schemas: [(&str, Value); N]) -> Map<String, Value> {
    schemas.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect()
}
