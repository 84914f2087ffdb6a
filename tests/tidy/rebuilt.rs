//! T43: the same sources make the same binary, wherever and whenever they are built.
//!
//! `.ci/rebuild` builds it twice, which takes half an hour, every night. Here is held what that depends on.

use tollgate_testkit::repository;

use super::tree::{Source, none, sources};

/// What tells the place or the time of a build to the code; of cargo's variables those of the package are the same everywhere.
const TOLD: [&str; 3] = ["env!(\"", "option_env!(\"", "include!(concat!("];
const SAME: [&str; 2] = ["env!(\"CARGO_PKG_", "env!(\"CARGO_BIN_NAME\")"];
/// Crates that are in no binary that is shipped.
const FOR_TESTS: [&str; 2] = ["crates/testkit/", "crates/testcontainers-tollgate/"];
/// Modules of tests in the midst of code: compiled for tests alone.
const TESTS: [&str; 2] = ["tests.rs", "crates/tollgate/src/cli/book.rs"];
/// What a release build must say, and what would make it depend on the machine.
const PROFILE: &str = "codegen-units = 1";
const BY_MACHINE: [&str; 3] = ["target-cpu", "incremental = true", "link-arg"];
/// How the image is built, and `.ci/rebuild` in its place.
const ALIKE: [&str; 6] = [
    "CARGO_INCREMENTAL=0",
    "CARGO_PROFILE_RELEASE_DEBUG=none",
    "CARGO_PROFILE_RELEASE_STRIP=debuginfo",
    "SOURCE_DATE_EPOCH=1",
    "/src",
    "--locked",
];

fn places(sources: &[Source]) -> Vec<String> {
    let shipped = |source: &&Source| {
        let is_code = source.path.starts_with("crates/") && source.path.contains("/src/") && source.extension() == "rs";
        is_code && !FOR_TESTS.iter().any(|name| source.path.starts_with(name)) && !TESTS.iter().any(|name| source.path.ends_with(name))
    };
    let tells = |line: &str| TOLD.iter().any(|told| line.contains(told)) && !SAME.iter().any(|same| line.contains(same));
    let lines = sources.iter().filter(shipped).flat_map(|source| source.text.lines().map(move |line| (&source.path, line.trim())));
    lines.filter(|(_, line)| tells(line)).map(|(path, line)| format!("{path}: another binary elsewhere: {line}")).collect()
}

fn profile(manifest: &str) -> Vec<String> {
    let release = manifest.split("[profile.release]").nth(1).and_then(|rest| rest.split("\n[").next()).unwrap_or_default();
    let missing = (!release.contains(PROFILE)).then(|| format!("Cargo.toml: profile.release has no `{PROFILE}`"));
    let odd = BY_MACHINE.iter().filter(|word| manifest.contains(*word)).map(|word| format!("Cargo.toml says `{word}`"));
    missing.into_iter().chain(odd).collect()
}

fn unlike(files: &[(&str, String)]) -> Vec<String> {
    let missing = |(name, text): &(&str, String)| {
        let lacks = ALIKE.iter().filter(|said| !text.contains(*said));
        lacks.map(|said| format!("{name} does not say {said}")).collect::<Vec<_>>()
    };
    files.iter().flat_map(missing).collect()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("reading {path}: {error}"))
}

#[test]
fn nothing_that_is_shipped_depends_on_where_it_is_built() {
    none(&places(&sources()));
    none(&profile(&read("Cargo.toml")));
}

#[test]
fn it_is_built_twice_every_night_as_for_the_image() {
    none(&unlike(&[".ci/rebuild", "Dockerfile"].map(|path| (path, read(path)))));
    let nightly = read(".github/workflows/nightly.yml");
    for script in [".ci/rebuild", ".ci/upgrade", ".ci/advisories"] {
        assert!(nightly.lines().any(|line| line.trim() == format!("- run: {script}")), "nobody runs {script}");
    }
    assert!(!nightly.contains("continue-on-error"), "{nightly}");
}

#[test]
fn seeded_faults_are_found() {
    let code = |text: &str| [Source::seeded("crates/x/src/lib.rs", text)];
    for bad in
        ["a(option_env!(\"BUILD_DATE\"))", "let x = env!(\"CARGO_MANIFEST_DIR\");", "include!(concat!(env!(\"OUT_DIR\"), \"/x.rs\"));"]
    {
        assert_eq!(places(&code(bad)).len(), 1, "{bad}");
    }
    assert!(places(&code("const VERSION: &str = env!(\"CARGO_PKG_VERSION\");")).is_empty());
    assert!(places(&[Source::seeded("crates/x/src/a/tests.rs", "env!(\"CARGO_MANIFEST_DIR\")")]).is_empty());
    assert_eq!(profile("[profile.release]\nlto = true\n[profile.x]\ncodegen-units = 1\n").len(), 1);
    assert_eq!(profile("[profile.release]\ncodegen-units = 1\nrustflags = [\"-Ctarget-cpu=native\"]\n").len(), 1);
    assert_eq!(unlike(&[("x", ALIKE[1..].join(" "))]), ["x does not say CARGO_INCREMENTAL=0"]);
}
