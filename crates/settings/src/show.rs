//! The effective settings, for people.

use crate::{Mode, SecretUrl, Settings, values::Bound};
use figment::value::Value;

/// One setting as it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The dotted name.
    pub name: String,
    /// The value as TOML, without secrets.
    pub value: String,
    /// Where it came from.
    pub origin: String,
}

/// Settings that hold a password.
const SECRETS: [&str; 3] = ["redis.url", "postgres.url", "telemetry.otlp_endpoint"];

impl Settings {
    /// Every setting that this mode has, by name, with its effective value and where that came
    /// from. Passwords are `***`.
    pub fn show(&self) -> Vec<Shown> {
        let of_this_mode = |shown: &&Shown| Mode::only_one_with(&shown.name).is_none_or(|mode| mode == self.mode);
        self.shown.iter().filter(of_this_mode).cloned().collect()
    }
}

/// One value as TOML.
pub(crate) fn shown_value(name: &str, value: &Value, bound: Option<&Bound>) -> String {
    match value {
        Value::String(_, url) if SECRETS.contains(&name) => format!("{:?}", SecretUrl::new(url.as_str()).redacted()),
        Value::String(_, text) => format!("{:?}", bound.map_or_else(|| text.clone(), |bound| bound.normalised(text))),
        Value::Array(_, items) => {
            let items: Vec<String> = items.iter().map(|item| shown_value(name, item, None)).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Bool(_, yes) => yes.to_string(),
        other => other.to_i128().map_or_else(|| "?".into(), |number| number.to_string()),
    }
}
