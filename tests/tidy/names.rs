//! Names of files and modules.

use super::tree::{Source, none, sources};

/// Names that say nothing, so that anything ends up under them.
const EMPTY_NAMES: [&str; 9] = ["core", "common", "util", "utils", "helper", "helpers", "types", "misc", "manager"];

fn violations(sources: &[Source]) -> Vec<String> {
    sources.iter().filter(|source| source.extension() == "rs").filter_map(|source| violation(&source.path)).collect()
}

fn violation(path: &str) -> Option<String> {
    let (folders, file) = path.rsplit_once('/').unwrap_or(("", path));
    if file == "mod.rs" {
        return Some(format!("{path}: the module's file is named after it and lies beside its folder"));
    }
    let empty = folders.split('/').chain(file.strip_suffix(".rs")).find(|name| EMPTY_NAMES.contains(name));
    empty.map(|name| format!("{path}: {name:?} says nothing"))
}

#[test]
fn files_are_named_for_what_they_hold() {
    none(&violations(&sources()));
}

#[test]
fn seeded_faults_are_found() {
    for path in ["crates/http/src/routes/mod.rs", "crates/gate/src/util.rs", "crates/core/src/lib.rs", "tests/common/client.rs"] {
        assert_eq!(violations(&[Source::seeded(path, "")]).len(), 1, "{path}");
    }
    assert_eq!(violations(&[Source::seeded("crates/gate/src/ports.rs", "")]), Vec::<String>::new());
}
