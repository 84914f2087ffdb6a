//! One Rust version, said in two places.

use super::metadata::{Package, workspace};
use super::tree::none;
use std::process::Command;
use tollgate_testkit::{Scratch, repository};

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

/// A package whose code needs 1.91 (`Duration::from_mins`), declared for another version.
fn declared_for(version: &str) -> Scratch {
    let folder = Scratch::new("declared").expect("a folder");
    let manifest =
        format!("[package]\nname = \"declared\"\nversion = \"0.1.0\"\nedition = \"2024\"\nrust-version = \"{version}\"\n\n[workspace]\n");
    let code = "//! Waits.\n\n/// A minute.\npub const fn minute() -> std::time::Duration {\n    std::time::Duration::from_mins(1)\n}\n";
    std::fs::create_dir(folder.path().join("src")).expect("made");
    std::fs::write(folder.path().join("Cargo.toml"), manifest).expect("written");
    std::fs::write(folder.path().join("src/lib.rs"), code).expect("written");
    folder
}

/// What the step "lints" of `.ci/run` says of a package.
fn linted(folder: &Scratch) -> (bool, String) {
    let mut cargo = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()));
    cargo.args(["clippy", "--offline", "--quiet", "--all-targets", "--", "-D", "warnings"]).current_dir(folder.path());
    let output = cargo.env("CARGO_TARGET_DIR", folder.path().join("target")).output().expect("cargo runs");
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_rust_version_that_is_older_than_the_code_needs_fails_the_lints() {
    let ci = std::fs::read_to_string(repository().join(".ci/run")).expect(".ci/run can be read");
    assert!(ci.lines().any(|line| line == "cargo clippy --locked --workspace --all-targets -- -D warnings"), "{ci}");
    let (passed, said) = linted(&declared_for("1.90"));
    assert!(!passed && said.contains("1.91") && said.contains("1.90"), "{said}");
    let (passed, said) = linted(&declared_for("1.91"));
    assert!(passed, "{said}");
    // And one that is newer than the compiler: nothing is built at all.
    let (passed, said) = linted(&declared_for("1.999"));
    assert!(!passed && said.contains("1.999"), "{said}");
}

#[test]
fn seeded_faults_are_found() {
    let declared = |version: &str| Package { rust_version: Some(version.into()), ..Package::default() };
    let file = "[toolchain]\nchannel = \"1.95.0\"\n";
    assert_eq!(violations(file, &[declared("1.95"), declared("1.95.0")]), Vec::<String>::new());
    assert_eq!(violations(file, &[declared("1.9"), declared("1.94"), Package::default()]).len(), 3);
    assert_eq!(violations("", &[]).len(), 1);
}
