//! From four sources to one checked value.
//!
//! Each source is taken apart into entries (name, value, origin). An entry whose name, kind or
//! range is wrong is reported and left out; the rest are merged by figment, which keeps for every
//! value where it came from. So one wrong value does not hide the next.

mod check;
mod entry;
mod environment;
mod schema;
mod url_file;

pub(crate) use check::Check;

use crate::{Problem, Settings, SettingsError, sections, show::shown_value};
use entry::Entry;
use figment::{Figment, error::Kind};
use schema::Schema;
use std::{fmt, path::PathBuf};

/// Where settings are taken from, besides the defaults. Later fields win over earlier ones.
#[derive(Clone, Default)]
pub struct LoadFrom {
    /// The file of `--config`, if any.
    pub config_file: Option<PathBuf>,
    /// Environment variables; those that do not begin with `TOLLGATE_` are left alone.
    pub env: Vec<(String, String)>,
    /// Dotted name and value of each setting that a flag gave.
    pub overrides: Vec<(String, String)>,
}

impl LoadFrom {
    /// Adds the variables of this process that begin with `TOLLGATE_`.
    #[must_use]
    pub fn with_environment(mut self) -> Self {
        let variables =
            std::env::vars_os().map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()));
        self.env.extend(variables.filter(|(name, _)| name.starts_with(environment::PREFIX)));
        self
    }
}

/// Names without values, which may be passwords.
impl fmt::Debug for LoadFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |pairs: &[(String, String)]| pairs.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        let mut shown = f.debug_struct("LoadFrom");
        shown.field("config_file", &self.config_file).field("env", &names(&self.env)).field("overrides", &names(&self.overrides)).finish()
    }
}

impl Settings {
    /// Reads all sources and checks the whole; every problem found is in the error.
    pub fn load(from: &LoadFrom) -> Result<Self, SettingsError> {
        let mut problems = Vec::new();
        let defaults = entry::from_toml(crate::DEFAULT_FILE, entry::DEFAULT).map_err(|problem| SettingsError::new(vec![problem]))?;
        let schema = Schema::new(defaults);
        let given = given(from, &schema, &mut problems);
        let figment = schema.defaults().chain(&given).fold(Figment::new(), |figment, entry| figment.merge(entry));
        let settings = extract(&figment, &schema, &mut problems);
        if let Some(mut settings) = settings {
            settings.validate(&mut Check::new(&figment, &schema, &mut problems));
            settings.shown = schema.defaults().filter_map(|entry| shown(&figment, &entry.name)).collect();
            if problems.is_empty() {
                return Ok(settings);
            }
        }
        Err(SettingsError::new(problems))
    }
}

/// The entries of all sources that have a known name, the right kind and a value in range.
fn given(from: &LoadFrom, schema: &Schema, problems: &mut Vec<Problem>) -> Vec<Entry> {
    let mut entries = Vec::new();
    if let Some(path) = &from.config_file {
        match entry::from_file(path) {
            Ok(of_file) => entries.extend(of_file),
            Err(problem) => problems.push(problem),
        }
    }
    entries.extend(environment::entries(&from.env));
    entries.extend(from.overrides.iter().map(|(name, text)| Entry::text(name, text, entry::COMMAND_LINE)));
    let checked = entries.into_iter().map(|entry| schema.check(entry));
    let mut checked: Vec<Entry> = checked.filter_map(|result| result.map_err(|problem| problems.extend(problem)).ok()).collect();
    let urls = url_file::entries(&checked, problems);
    checked.extend(urls);
    checked
}

/// The typed settings. A value that its type refuses is reported and its default taken instead,
/// so that the next one is reported as well.
fn extract(figment: &Figment, schema: &Schema, problems: &mut Vec<Problem>) -> Option<Settings> {
    let mut figment = figment.clone();
    for _ in schema.defaults() {
        let error = match figment.extract::<Settings>() {
            Ok(settings) => return Some(settings),
            Err(error) => error,
        };
        let path = error.path.join(".");
        let default = schema.defaults().find(|entry| path == entry.name || path.starts_with(&format!("{}.", entry.name)));
        let setting = default.map_or(path.as_str(), |entry| entry.name.as_str());
        problems.push(Problem { setting: setting.into(), origin: origin(&figment, setting), what: in_words(error.kind) });
        figment = figment.merge(default?);
    }
    None
}

/// What a type wants, without the value that it did not get: that may be a secret in the wrong
/// place.
fn in_words(kind: Kind) -> String {
    match kind {
        Kind::Message(what) => what,
        Kind::UnknownVariant(_, variants) => {
            format!("must be {}", variants.iter().map(|v| format!("{v:?}")).collect::<Vec<_>>().join(" or "))
        }
        Kind::InvalidType(_, expected) | Kind::InvalidValue(_, expected) | Kind::InvalidLength(_, expected) => {
            format!("must be {expected}")
        }
        Kind::MissingField(field) => format!("the setting {field} has no default"),
        Kind::UnknownField(..) | Kind::DuplicateField(_) | Kind::Unsupported(_) | Kind::UnsupportedKey(..) => "is not understood".into(),
        Kind::ISizeOutOfRange(_) | Kind::USizeOutOfRange(_) => "is out of range".into(),
    }
}

/// Where the value of `setting` came from.
fn origin(figment: &Figment, setting: &str) -> String {
    figment.find_metadata(setting).map_or_else(|| entry::DEFAULT.to_owned(), |metadata| metadata.name.to_string())
}

fn shown(figment: &Figment, name: &str) -> Option<crate::Shown> {
    let value = figment.find_value(name).ok()?;
    let bound = sections::bounds().find(|bound| bound.setting == name);
    Some(crate::Shown { name: name.to_owned(), value: shown_value(name, &value, bound), origin: origin(figment, name) })
}

#[cfg(test)]
mod tests;
