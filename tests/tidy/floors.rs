//! A crate depends only on lower floors, and each outside library has its one home.

use super::metadata::{Package, workspace};
use super::tree::{entries, none};
use tollgate_testkit::repository;

/// Which floor a crate is on.
const FLOORS: [(&str, u8); 13] = [
    ("tollgate-api", 0),
    ("tollgate-keys", 0),
    ("tollgate-limits", 0),
    ("tollgate-settings", 0),
    ("tollgate-telemetry", 0),
    ("tollgate-gate", 1),
    ("tollgate-embedded", 2),
    ("tollgate-postgres", 2),
    ("tollgate-redis", 2),
    ("tollgate-client", 3),
    ("tollgate-http", 3),
    ("tollgate", 4),
    ("tollgate-layer", 4),
];

/// Outside the house: nothing that is shipped depends on them.
const TESTS: [&str; 3] = ["testcontainers-tollgate", "tollgate-testkit", "tollgate-tests"];

/// Libraries that only these crates may ship with.
const HOMES: [(&str, &[&str]); 16] = [
    ("argon2", &["tollgate-keys"]),
    ("axum", &["tollgate-http"]),
    ("clap", &["tollgate"]),
    ("figment", &["tollgate-settings"]),
    ("fred", &["tollgate-redis"]),
    ("hmac", &["tollgate-keys"]),
    // The server, and the load tool, which has to cost little.
    ("hyper", &["tollgate-http", "tollgate"]),
    ("hyper-util", &["tollgate-http", "tollgate"]),
    ("metrics-exporter-prometheus", &["tollgate-telemetry"]),
    ("redb", &["tollgate-embedded"]),
    ("redis", &["tollgate-redis"]),
    ("redis-macros", &["tollgate-redis"]),
    ("reqwest", &["tollgate-client"]),
    ("rpassword", &["tollgate"]),
    ("sqlx", &["tollgate-postgres"]),
    ("tracing-subscriber", &["tollgate-telemetry"]),
];

/// What the ground floor, which does no I/O and knows no runtime, must not have.
const NOT_ON_THE_GROUND: [&str; 4] = ["tokio", "futures-util", "http", "async-trait"];

fn floor(name: &str) -> Option<u8> {
    FLOORS.iter().find(|(known, _)| *known == name).map(|(_, floor)| *floor)
}

fn violations(packages: &[Package]) -> Vec<String> {
    let house = packages.iter().filter(|package| !TESTS.contains(&package.name.as_str()));
    house.flat_map(violations_of).collect()
}

fn violations_of(package: &Package) -> Vec<String> {
    let name = package.name.as_str();
    let Some(own) = floor(name) else {
        return vec![format!("{name} has no floor: add it to FLOORS")];
    };
    let wrong = package.shipped().filter_map(|dependency| {
        let home = HOMES.iter().find(|(library, _)| *library == dependency).map(|(_, home)| *home);
        match floor(dependency) {
            Some(below) if below >= own => Some(format!("{name} (floor {own}) depends on {dependency} (floor {below})")),
            None if TESTS.contains(&dependency) => Some(format!("{name} ships with {dependency}")),
            None if home.is_some_and(|home| !home.contains(&name)) => {
                Some(format!("{name} depends on {dependency}, which only {home:?} may"))
            }
            None if own == 0 && NOT_ON_THE_GROUND.contains(&dependency) => {
                Some(format!("{name} is on the ground and depends on {dependency}"))
            }
            _ => None,
        }
    });
    wrong.collect()
}

/// Folders under `crates/` against package names.
fn strays(folders: &[String], packages: &[Package]) -> Vec<String> {
    let stray = folders.iter().filter(|folder| {
        let own = ["tollgate", "testcontainers-tollgate"].contains(&folder.as_str());
        let expected = if own { folder.as_str().to_owned() } else { format!("tollgate-{folder}") };
        !packages.iter().any(|package| package.name == expected)
    });
    stray.map(|folder| format!("crates/{folder} does not hold package tollgate-{folder}")).collect()
}

#[test]
fn every_crate_depends_on_lower_floors_only() {
    none(&violations(&workspace()));
}

#[test]
fn every_folder_of_crates_holds_the_package_of_its_name() {
    let paths = entries(&repository().join("crates"));
    let names = paths.iter().filter_map(|path| path.file_name()).map(|name| name.to_string_lossy().into_owned());
    none(&strays(&names.collect::<Vec<_>>(), &workspace()));
}

#[test]
fn the_architecture_page_names_every_crate() {
    let page = std::fs::read_to_string(repository().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md can be read");
    let folders = FLOORS.iter().map(|(name, _)| format!("`crates/{}`", name.trim_start_matches("tollgate-")));
    let missing = folders.filter(|folder| !page.contains(folder.as_str()));
    none(&missing.map(|folder| format!("ARCHITECTURE.md says nothing of {folder}")).collect::<Vec<_>>());
}

#[test]
fn seeded_faults_are_found() {
    for (name, dependency) in [
        ("tollgate-limits", "tollgate-gate"),
        ("tollgate-keys", "tollgate-limits"),
        ("tollgate-redis", "tollgate-postgres"),
        ("tollgate-gate", "fred"),
        ("tollgate-http", "sqlx"),
        ("tollgate-limits", "tokio"),
        ("tollgate", "tollgate-testkit"),
        ("tollgate-client", "tollgate-layer"),
        ("tollgate-layer", "axum"),
        ("tollgate-new", "serde"),
    ] {
        let found = violations(&[Package::seeded(name, &[dependency])]);
        assert_eq!(found.len(), 1, "{name} on {dependency}: {found:?}");
    }
    assert_eq!(violations(&[Package::seeded("tollgate-http", &["tollgate-gate", "axum", "serde"])]), Vec::<String>::new());
    assert_eq!(strays(&["odd".into()], &[]).len(), 1);
}

#[test]
fn dependencies_of_tests_are_free() {
    let mut package = Package::seeded("tollgate-gate", &[]);
    package.dependencies.push(("tollgate-testkit".into(), "dev".into()));
    assert_eq!(violations(&[package]), Vec::<String>::new());
}
