//! The root of the repository holds what the design says and nothing else.

use super::tree::{entries, ignored, none};
use tollgate_testkit::repository;

const NEEDED: [&str; 13] = [
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "crates",
    "deploy",
    "docs",
    "lua",
    "migrations",
    "rust-toolchain.toml",
    "tests",
];

const ALLOWED: [&str; 1] = ["docker-compose.yml"];

fn violations(found: &[String], ignored: &[String]) -> Vec<String> {
    let extra = found.iter().filter(|name| {
        let known = NEEDED.contains(&name.as_str()) || ALLOWED.contains(&name.as_str());
        !known && !name.starts_with('.') && !ignored.contains(name)
    });
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
    let mut found: Vec<String> = NEEDED.iter().chain(&ALLOWED).map(|name| (*name).to_owned()).collect();
    found.extend([".git".into(), "target".into()]);
    assert_eq!(violations(&found, &["target".into()]), Vec::<String>::new());
    assert_eq!(violations(&found, &[]), ["target does not belong into the root"]);
    found.remove(0);
    assert_eq!(violations(&found, &["target".into()]), ["ARCHITECTURE.md is missing"]);
}
