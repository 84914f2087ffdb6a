//! One value as one source gave it.

use crate::Problem;
use figment::{
    Metadata, Profile, Provider,
    providers::{Format, Toml},
    util::nest,
    value::{Dict, Map, Value},
};
use std::path::Path;

/// Origin of what the compiled-in file says.
pub(super) const DEFAULT: &str = "default";
/// Origin of what a flag says.
pub(super) const COMMAND_LINE: &str = "command line";

/// A dotted name, a value, and where both stood. Has no `Debug`: the value may be a password.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) value: Given,
    pub(super) origin: String,
}

/// A value of a known kind, or the text of an environment variable or a flag, whose kind depends
/// on the setting.
#[derive(Clone)]
pub(super) enum Given {
    Typed(Value),
    Text(String),
}

impl Entry {
    /// A value without a kind.
    pub(super) fn text(name: &str, text: &str, origin: impl Into<String>) -> Self {
        Self { name: name.into(), value: Given::Text(text.into()), origin: origin.into() }
    }

    /// A problem with this entry.
    pub(super) fn problem(&self, what: impl Into<String>) -> Problem {
        Problem { setting: self.name.clone(), origin: self.origin.clone(), what: what.into() }
    }
}

/// An entry is a source of its own for figment, so each value keeps its own origin.
impl Provider for &Entry {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.origin.clone())
    }

    fn data(&self) -> figment::Result<Map<Profile, Dict>> {
        let value = match &self.value {
            Given::Typed(value) => value.clone(),
            Given::Text(text) => Value::from(text.as_str()),
        };
        let dict = nest(&self.name, value).into_dict().unwrap_or_default();
        Ok(Profile::Default.collect(dict))
    }
}

/// The entries of a text that stands for one setting, or for a section as a table in one line.
pub(super) fn from_text(name: &str, text: &str, origin: String) -> Vec<Entry> {
    let mut entries = Vec::new();
    match text.parse::<Value>() {
        Ok(Value::Dict(_, table)) if !table.is_empty() => flatten(table, &format!("{name}."), &origin, &mut entries),
        _ => entries.push(Entry::text(name, text, origin)),
    }
    entries
}

/// The entries of a file.
pub(super) fn from_file(path: &Path) -> Result<Vec<Entry>, Problem> {
    let origin = format!("file {}", path.display());
    let unreadable =
        |error: std::io::Error| Problem { setting: "--config".into(), origin: origin.clone(), what: format!("cannot be read: {error}") };
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    from_toml(&text, origin)
}

/// The entries of a TOML text.
pub(super) fn from_toml(text: &str, origin: impl Into<String>) -> Result<Vec<Entry>, Problem> {
    let origin = origin.into();
    let dict: Dict = <Toml as Format>::from_str(text).map_err(|error| {
        // The error's own Display would print the line, and with it a password.
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        Problem { setting: format!("line {line}"), origin: origin.clone(), what: format!("is no TOML: {}", error.message()) }
    })?;
    let mut entries = Vec::new();
    flatten(dict, "", &origin, &mut entries);
    Ok(entries)
}

/// Tables to dotted names. An empty table stays, so that an unknown one is not overlooked.
fn flatten(dict: Dict, prefix: &str, origin: &str, entries: &mut Vec<Entry>) {
    for (key, value) in dict {
        let name = format!("{prefix}{key}");
        match value {
            Value::Dict(_, inner) if !inner.is_empty() => flatten(inner, &format!("{name}."), origin, entries),
            value => entries.push(Entry { name, value: Given::Typed(value), origin: origin.to_owned() }),
        }
    }
}
