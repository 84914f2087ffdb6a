//! The root of the repository holds what the design says and nothing else.

use super::tree::{entries, ignored, none};
use tollgate_testkit::repository;

const NEEDED: [&str; 15] = [
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "Dockerfile",
    "LICENSE",
    "README.md",
    "crates",
    "deploy",
    "docker-compose.yml",
    "docs",
    "lua",
    "migrations",
    "rust-toolchain.toml",
    "tests",
];

fn violations(found: &[String], ignored: &[String]) -> Vec<String> {
    let extra = found.iter().filter(|name| !NEEDED.contains(&name.as_str()) && !name.starts_with('.') && !ignored.contains(name));
    let missing = NEEDED.iter().filter(|needed| !found.iter().any(|name| name == *needed));
    extra.map(|name| format!("{name} does not belong into the root")).chain(missing.map(|name| format!("{name} is missing"))).collect()
}

#[test]
fn the_root_is_exactly_so() {
    let paths = entries(&repository());
    let names = paths.iter().filter_map(|path| path.file_name()).map(|name| name.to_string_lossy().into_owned());
    none(&violations(&names.collect::<Vec<_>>(), &ignored()));
}

#[test]
fn seeded_faults_are_found() {
    let mut found: Vec<String> = NEEDED.iter().map(|name| (*name).to_owned()).collect();
    found.extend([".git".into(), "target".into()]);
    assert_eq!(violations(&found, &["target".into()]), Vec::<String>::new());
    assert_eq!(violations(&found, &[]), ["target does not belong into the root"]);
    found.remove(0);
    assert_eq!(violations(&found, &["target".into()]), ["ARCHITECTURE.md is missing"]);
}
