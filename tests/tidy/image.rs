//! What is compiled into the binary from outside `crates` is let into the build of the image.

use tollgate_testkit::repository;

use super::tree::{Source, none, sources};

/// What names a file or folder that is read as a source is compiled, as a path from the source's folder, or
/// from the package's folder.
const BY_SOURCE: [&str; 2] = ["include_str!(\"", "include_bytes!(\""];
const BY_PACKAGE: &str = "migrate!(\"";

fn violations(sources: &[Source], ignore_file: &str) -> Vec<String> {
    let let_in: Vec<&str> = ignore_file.lines().filter_map(|line| line.strip_prefix('!')).collect();
    let is_let_in =
        |path: &str| let_in.iter().any(|name| path.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')));
    let shipped = sources.iter().filter(|source| is_shipped(source));
    let named = shipped.flat_map(|source| named(source).into_iter().map(|path| (&source.path, path)));
    named.filter(|(_, path)| !is_let_in(path)).map(|(source, path)| format!("{source}: .dockerignore does not let {path} in")).collect()
}

/// Tests are not compiled in the image.
fn is_shipped(source: &Source) -> bool {
    let is_test = source.path.split('/').any(|part| ["tests", "tests.rs", "benches"].contains(&part));
    source.path.starts_with("crates/") && source.extension() == "rs" && !is_test
}

/// Paths from the root of the repository.
fn named(source: &Source) -> Vec<String> {
    let (folder, _) = source.path.rsplit_once('/').expect("below crates");
    let package = source.path.split("/src/").next().unwrap_or(folder);
    let of = |marker: &str, folder: &str| -> Vec<String> {
        let ends = source.text.split(marker).skip(1).filter_map(|rest| rest.split('"').next());
        ends.map(|path| resolved(&format!("{folder}/{path}"))).collect()
    };
    [of(BY_SOURCE[0], folder), of(BY_SOURCE[1], folder), of(BY_PACKAGE, package)].concat()
}

fn resolved(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            ".." => drop(parts.pop()),
            "." => {}
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[test]
fn all_that_is_compiled_in_is_let_into_the_image() {
    let (sources, ignore_file) = (sources(), std::fs::read_to_string(repository().join(".dockerignore")).expect(".dockerignore"));
    let outside = |path: &String| !path.starts_with("crates/");
    let named: Vec<String> = sources.iter().filter(|source| is_shipped(source)).flat_map(named).filter(outside).collect();
    for known in ["lua/decide.lua", "deploy/tollgate.default.toml", "migrations"] {
        assert!(named.iter().any(|path| path == known), "{known} is not among {named:?}");
    }
    none(&violations(&sources, &ignore_file));
}

#[test]
fn seeded_faults_are_found() {
    let source = |path: &str| Source::seeded(path, "const A: &str = include_str!(\"../../../lua/a.lua\"); migrate!(\"../../migrations\")");
    let good = "*\n!crates\n!lua\n!migrations\n";
    none(&violations(&[source("crates/redis/src/a.rs")], good));
    let found = violations(&[source("crates/redis/src/a.rs"), source("crates/redis/tests/a.rs")], "*\n!crates\n!lu\n!migrations\n");
    assert_eq!(found, ["crates/redis/src/a.rs: .dockerignore does not let lua/a.lua in"]);
    let found = violations(&[source("crates/redis/src/a.rs")], "*\n!crates\n!lua\n");
    assert_eq!(found, ["crates/redis/src/a.rs: .dockerignore does not let migrations in"]);
}
