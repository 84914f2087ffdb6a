//! One Rust version, said in two places.

use super::metadata::{Package, workspace};
use super::tree::none;
use tollgate_testkit::repository;

/// The channel of `rust-toolchain.toml`.
fn channel(file: &str) -> Option<&str> {
    file.lines().find_map(|line| line.strip_prefix("channel = \"")?.strip_suffix('"'))
}

fn violations(file: &str, packages: &[Package]) -> Vec<String> {
    let Some(channel) = channel(file) else {
        return vec!["rust-toolchain.toml names no channel".into()];
    };
    let other = packages.iter().filter(|package| {
        let Some(version) = &package.rust_version else { return true };
        channel != version && !channel.starts_with(&format!("{version}."))
    });
    other.map(|package| format!("{}: rust-version {:?}, toolchain {channel}", package.name, package.rust_version)).collect()
}

#[test]
fn packages_are_declared_for_the_toolchain_that_builds_them() {
    let file = std::fs::read_to_string(repository().join("rust-toolchain.toml")).expect("rust-toolchain.toml can be read");
    none(&violations(&file, &workspace()));
}

#[test]
fn seeded_faults_are_found() {
    let declared = |version: &str| Package { rust_version: Some(version.into()), ..Package::default() };
    let file = "[toolchain]\nchannel = \"1.95.0\"\n";
    assert_eq!(violations(file, &[declared("1.95"), declared("1.95.0")]), Vec::<String>::new());
    assert_eq!(violations(file, &[declared("1.9"), declared("1.94"), Package::default()]).len(), 3);
    assert_eq!(violations("", &[]).len(), 1);
}
