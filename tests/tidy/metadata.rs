//! What cargo knows of the packages.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;
use tollgate_testkit::repository;

/// Folders of packages that are no part of the product.
const OF_TESTS: [&str; 2] = ["/crates/testkit#", "/tests#"];

/// A package and what it depends on.
#[derive(Debug, Clone, Default)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) licence: Option<String>,
    pub(crate) rust_version: Option<String>,
    /// Name and kind (`normal`, `dev`, `build`) of each dependency.
    pub(crate) dependencies: Vec<(String, String)>,
}

impl Package {
    #[cfg(test)]
    pub(crate) fn seeded(name: &str, dependencies: &[&str]) -> Self {
        let dependencies = dependencies.iter().map(|name| ((*name).to_owned(), "normal".to_owned())).collect();
        Self { name: name.into(), dependencies, ..Self::default() }
    }

    /// Dependencies of the product, as opposed to those of its tests.
    pub(crate) fn shipped(&self) -> impl Iterator<Item = &str> {
        self.dependencies.iter().filter(|(_, kind)| kind != "dev").map(|(name, _)| name.as_str())
    }
}

/// The packages of this workspace.
pub(crate) fn workspace() -> Vec<Package> {
    metadata(&["--no-deps"])
}

/// All packages that the product is made of on this machine; what only its tests and benches need is not
/// given on.
pub(crate) fn shipped() -> Vec<Package> {
    metadata(&["--locked", "--filter-platform", &host()])
}

fn metadata(arguments: &[&str]) -> Vec<Package> {
    let all = [&["metadata", "--offline", "--format-version", "1"], arguments].concat();
    let text = run(&std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()), &all);
    let json: Value = serde_json::from_str(&text).expect("cargo metadata prints JSON");
    let resolved = resolved(&json);
    let packages = json["packages"].as_array().expect("a list of packages").iter();
    packages.filter(|package| resolved.is_empty() || resolved.contains(text_of(&package["id"]).as_str())).map(package).collect()
}

/// The ids of what the product's packages need, and what that needs; nothing without a graph.
fn resolved(json: &Value) -> BTreeSet<String> {
    let nodes = json["resolve"]["nodes"].as_array().map(Vec::as_slice).unwrap_or_default();
    let is_of_product = |node: &&Value| is_member(json, node) && !OF_TESTS.iter().any(|name| text_of(&node["id"]).contains(name));
    let mut waiting: Vec<&Value> = nodes.iter().filter(is_of_product).collect();
    let mut found = BTreeSet::new();
    while let Some(node) = waiting.pop() {
        if found.insert(text_of(&node["id"])) {
            let below: Vec<&Value> = node["deps"].as_array().expect("dependencies").iter().filter(|one| is_shipped(one)).collect();
            waiting.extend(nodes.iter().filter(|node| below.iter().any(|one| one["pkg"] == node["id"])));
        }
    }
    found
}

fn is_member(json: &Value, node: &Value) -> bool {
    json["workspace_members"].as_array().expect("members").contains(&node["id"])
}

/// Whether a dependency is also one of the product and not of its tests alone.
fn is_shipped(dependency: &Value) -> bool {
    dependency["dep_kinds"].as_array().expect("kinds").iter().any(|kind| kind["kind"] != "dev")
}

fn package(json: &Value) -> Package {
    let dependencies = json["dependencies"].as_array().expect("a list of dependencies").iter();
    Package {
        name: text_of(&json["name"]),
        licence: json["license"].as_str().map(str::to_owned),
        rust_version: json["rust_version"].as_str().map(str::to_owned),
        dependencies: dependencies.map(|one| (text_of(&one["name"]), one["kind"].as_str().unwrap_or("normal").to_owned())).collect(),
    }
}

fn text_of(json: &Value) -> String {
    json.as_str().unwrap_or_default().to_owned()
}

fn host() -> String {
    let version = run("rustc", &["--version", "--verbose"]);
    version.lines().find_map(|line| line.strip_prefix("host: ")).expect("rustc names its host").to_owned()
}

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(repository()).output().expect("the toolchain is on the path");
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("it prints UTF-8")
}
