mod defaults;
mod refusals;
mod sources;
mod url_files;

use super::*;
use crate::{Mode, OutageMode, RateLimitHeaders};
use std::{fs, path::Path};

fn pairs(given: &[(&str, &str)]) -> Vec<(String, String)> {
    given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn from_env(env: &[(&str, &str)]) -> Result<Settings, SettingsError> {
    Settings::load(&LoadFrom { env: pairs(env), ..LoadFrom::default() })
}

fn from_flags(overrides: &[(&str, &str)]) -> Result<Settings, SettingsError> {
    Settings::load(&LoadFrom { overrides: pairs(overrides), ..LoadFrom::default() })
}

/// A directory with one file of settings.
fn file(text: &str) -> (tempfile::TempDir, LoadFrom) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tollgate.toml");
    fs::write(&path, text).unwrap();
    (dir, LoadFrom { config_file: Some(path), ..LoadFrom::default() })
}

fn from_file(text: &str) -> Result<Settings, SettingsError> {
    let (_dir, from) = file(text);
    Settings::load(&from)
}

/// The least that a node of a cluster needs.
const CLUSTER: [(&str, &str); 3] = [
    ("TOLLGATE_MODE", "cluster"),
    ("TOLLGATE_REDIS__URL", "redis://:hunter2@localhost"),
    ("TOLLGATE_POSTGRES__URL", "postgres://u:hunter2@localhost/db"),
];

fn in_cluster(more: &[(&str, &str)]) -> Result<Settings, SettingsError> {
    let mut env = pairs(&CLUSTER);
    env.extend(pairs(more));
    Settings::load(&LoadFrom { env, ..LoadFrom::default() })
}
