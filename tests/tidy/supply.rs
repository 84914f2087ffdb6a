//! T43: what the product is made of comes from one registry, is what the lock file says, and has no unsafe code of ours.

use tollgate_testkit::repository;

use super::tree::{Source, none, sources};

const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";
/// Second ways to do what there is a way for, of the system or in another language.
const BANNED: [&str; 6] = ["aws-lc-sys", "git2", "libgit2-sys", "native-tls", "openssl", "openssl-sys"];
/// Commands that build or fetch.
const BUILDERS: [&str; 6] = ["cargo build", "cargo install", "cargo test", "cargo clippy", "cargo doc", "cargo nextest run"];

/// A package of the lock file: its name, and its source and checksum where it has them.
struct Locked<'a> {
    name: &'a str,
    source: Option<&'a str>,
    checksum: Option<&'a str>,
}

fn locked(file: &str) -> Vec<Locked<'_>> {
    let packages = file.split("[[package]]").skip(1);
    packages
        .map(|block| {
            let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = \"")?.strip_suffix('"'));
            Locked { name: field("name").unwrap_or_default(), source: field("source"), checksum: field("checksum") }
        })
        .collect()
}

fn is_ours(name: &str) -> bool {
    name.starts_with("tollgate") || name == "testcontainers-tollgate"
}

fn strangers(file: &str) -> Vec<String> {
    let odd = |package: &Locked<'_>| match package {
        Locked { source: None, .. } => (!is_ours(package.name)).then_some("has no source"),
        Locked { source: Some(source), .. } if *source != REGISTRY => Some("is from elsewhere than the registry"),
        Locked { checksum, .. } if !checksum.is_some_and(|sum| sum.len() == 64) => Some("has no checksum"),
        _ => BANNED.contains(&package.name).then_some("is banned"),
    };
    locked(file).iter().filter_map(|package| odd(package).map(|what| format!("{}: {what}", package.name))).collect()
}

/// Manifests of ours that do not take the workspace's lints, and a workspace that allows unsafe code.
fn unsafe_code(sources: &[Source]) -> Vec<String> {
    let manifests = sources.iter().filter(|source| source.path.ends_with("Cargo.toml"));
    let loose = manifests.filter_map(|source| {
        let is_root = source.path == "Cargo.toml";
        let wanted = if is_root { "unsafe_code = \"forbid\"" } else { "[lints]\nworkspace = true" };
        (!source.text.contains(wanted)).then(|| format!("{}: no `{wanted}`", source.path))
    });
    let builders = sources.iter().filter(|source| source.path.ends_with("/build.rs"));
    let built =
        builders.filter(|source| !source.text.lines().all(is_harmless)).map(|source| format!("{}: acts while it is built", source.path));
    loose.chain(built).collect()
}

/// Of a build script: that it tells cargo when to build anew, and nothing else.
fn is_harmless(line: &str) -> bool {
    let line = line.trim();
    ["", "fn main() {", "}"].contains(&line) || line.starts_with("//") || line.starts_with("println!(\"cargo::rerun-if-changed=")
}

/// Builds that might take something else than what is locked, and Python packages of any version.
fn unlocked(files: &[Source]) -> Vec<String> {
    let builds = |file: &Source| {
        let lines = file.text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
        let loose = lines.filter(|line| BUILDERS.iter().any(|builder| line.contains(builder)) && !line.contains("--locked"));
        loose.map(|line| format!("{}: not --locked: {line}", file.path)).collect::<Vec<_>>()
    };
    let pinned = |file: &Source| {
        let lines = file.text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(['#', '-']));
        let loose = |line: &str| match line {
            _ if !line.contains("==") => Some("any version of"),
            // The next line is its first hash.
            _ if !line.ends_with('\\') => Some("whatever is given out as"),
            _ => None,
        };
        lines.filter_map(|line| Some(format!("{}: {} {line}", file.path, loose(line)?))).collect::<Vec<_>>()
    };
    files.iter().flat_map(|file| if file.path.ends_with("requirements.txt") { pinned(file) } else { builds(file) }).collect()
}

/// What builds, and what installs.
fn builders() -> Vec<Source> {
    let named = ["Dockerfile", "tests/run", ".ci/run", ".ci/rebuild", ".ci/upgrade", ".ci/advisories"].map(|path| Source {
        path: path.into(),
        text: std::fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("reading {path}: {error}")),
    });
    let lists = sources().into_iter().filter(|source| source.path.ends_with("requirements.txt"));
    named.into_iter().chain(lists).collect()
}

#[test]
fn every_package_is_of_the_registry_with_its_checksum() {
    let file = std::fs::read_to_string(repository().join("Cargo.lock")).expect("Cargo.lock can be read");
    assert!(locked(&file).len() > 100, "the lock file is not read as it is written");
    none(&strangers(&file));
}

#[test]
fn no_code_of_ours_is_unsafe_or_acts_while_it_is_built() {
    none(&unsafe_code(&sources()));
}

#[test]
fn nothing_is_built_from_other_versions_than_those_that_are_locked() {
    let builders = builders();
    assert!(builders.len() >= 9, "{:?}", builders.iter().map(|file| &file.path).collect::<Vec<_>>());
    none(&unlocked(&builders));
}

#[test]
fn seeded_faults_are_found() {
    let package = |name: &str, rest: &str| format!("[[package]]\nname = \"{name}\"\nversion = \"1.0.0\"\n{rest}\n");
    let good = format!("source = \"{REGISTRY}\"\nchecksum = \"{}\"\n", "a".repeat(64));
    let file = [
        package("tollgate-x", ""),
        package("serde", &good),
        package("forked", "source = \"git+https://github.com/a/forked#1\"\n"),
        package("beside", ""),
        package("bare", &format!("source = \"{REGISTRY}\"\n")),
        package("openssl-sys", &good),
    ];
    let found = strangers(&file.concat());
    let expected =
        ["forked: is from elsewhere than the registry", "beside: has no source", "bare: has no checksum", "openssl-sys: is banned"];
    assert_eq!(found, expected);
    let loose = Source::seeded("crates/x/Cargo.toml", "[package]\nname = \"x\"\n");
    let lenient = Source::seeded("Cargo.toml", "[workspace.lints.rust]\nunsafe_code = \"warn\"\n");
    assert_eq!(
        unsafe_code(&[loose, lenient, Source::seeded("crates/x/build.rs", "fn main() {\n    std::process::Command::new(\"curl\");\n}")])
            .len(),
        3
    );
    let files = [
        Source::seeded("Dockerfile", "RUN cargo build --release\n"),
        Source::seeded("requirements.txt", "# x\nwheel\nattrs==1 \\\n    --hash=sha256:0\nsix==1\n"),
    ];
    assert_eq!(
        unlocked(&files),
        [
            "Dockerfile: not --locked: RUN cargo build --release",
            "requirements.txt: any version of wheel",
            "requirements.txt: whatever is given out as six==1"
        ]
    );
}
