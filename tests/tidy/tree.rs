//! The files of the repository.

use std::path::{Path, PathBuf};

use tollgate_testkit::repository;

/// A text file: its path from the root of the repository and its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Source {
    pub(crate) fn extension(&self) -> &str {
        Path::new(&self.path).extension().and_then(|extension| extension.to_str()).unwrap_or_default()
    }

    #[cfg(test)]
    pub(crate) fn seeded(path: &str, text: &str) -> Self {
        Self { path: path.into(), text: text.into() }
    }
}

/// What `.gitignore` names at the root: never ours.
pub(crate) fn ignored() -> Vec<String> {
    let text = std::fs::read_to_string(repository().join(".gitignore")).expect(".gitignore can be read");
    text.lines().filter_map(|line| line.strip_prefix('/')).map(str::to_owned).collect()
}

/// Every file below the root that is text, dot folders and ignored ones left out.
pub(crate) fn sources() -> Vec<Source> {
    let (root, ignored) = (repository(), ignored());
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for path in entries(&folder) {
            let relative = path.strip_prefix(&root).expect("below the root").to_string_lossy().into_owned();
            let hidden = relative.rsplit('/').next().is_some_and(|name| name.starts_with('.'));
            if hidden || ignored.contains(&relative) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(text) = std::fs::read_to_string(&path) {
                found.push(Source { path: relative, text });
            }
        }
    }
    found.sort_by(|left, right| left.path.cmp(&right.path));
    found
}

/// What a folder holds, in order.
pub(crate) fn entries(folder: &Path) -> Vec<PathBuf> {
    let listed = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("reading {}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = listed.map(|entry| entry.expect("an entry can be read").path()).collect();
    paths.sort();
    paths
}

/// Fails with every finding on a line of its own.
#[track_caller]
pub(crate) fn none(findings: &[String]) {
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}

#[test]
fn the_sources_are_found() {
    let paths: Vec<String> = sources().into_iter().map(|source| source.path).collect();
    for expected in ["Cargo.toml", "tests/tidy/tree.rs", "crates/limits/src/lib.rs"] {
        assert!(paths.iter().any(|path| path == expected), "{expected} is missing");
    }
    assert!(!paths.iter().any(|path| path.starts_with("target/")));
}
