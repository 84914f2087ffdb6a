//! What server, client, command line and layer say to each other is defined once.

use std::collections::BTreeMap;

use tollgate_api::AuthContext;

use super::tree::{Source, none, sources};

/// Where the words of the wire and of telemetry are defined.
const HOMES: [&str; 2] = ["crates/api/src/", "crates/telemetry/src/"];
/// Who must use those.
const USERS: [&str; 4] = ["crates/client/src/", "crates/http/src/", "crates/layer/src/", "crates/tollgate/src/"];
/// Names that are said in one place; everybody else has the constant.
const WORDS: [&str; 5] = ["\"x-tollgate-key-id\"", "\"x-tollgate-owner\"", "\"x-tollgate-scopes\"", "\"traceparent\"", "_span!("];

/// Does not compile unless server, client and layer mean the same by who calls.
const _: fn(&tollgate_gate::control::Operator) -> AuthContext = tollgate_gate::control::Operator::auth_context;
const _: fn(tollgate_client::Authorized) -> AuthContext = |authorized| authorized.context;
const _: fn(tollgate_layer::AuthContext) -> AuthContext = |context| context;
/// Nor unless server, client and layer mean the same by a problem.
const _: fn(tollgate_client::Refusal) -> tollgate_api::Problem = |refusal| refusal.problem;

/// Types and words of the wire that have a second definition.
fn doubles(sources: &[Source]) -> Vec<String> {
    let mut homes: BTreeMap<&str, &str> = BTreeMap::new();
    for source in within(sources, &HOMES) {
        homes.extend(types(&source.text).map(|name| (name, source.path.as_str())));
    }
    let users: Vec<&Source> = within(sources, &USERS).collect();
    let again = users.iter().flat_map(|source| {
        let twice = types(&source.text).filter_map(|name| Some((name, *homes.get(name)?)));
        twice.map(|(name, home)| format!("{}: {name} is defined in {home} already", source.path))
    });
    let words = users.iter().flat_map(|source| {
        let said = WORDS.iter().filter(|word| code(&source.text).contains(**word));
        said.map(|word| format!("{}: {word} is said in {}", source.path, HOMES.join(" or ")))
    });
    again.chain(words).collect()
}

fn within<'a>(sources: &'a [Source], folders: &'a [&str]) -> impl Iterator<Item = &'a Source> {
    let is_code = |source: &&Source| source.extension() == "rs" && !source.path.contains("tests");
    sources.iter().filter(is_code).filter(|source| folders.iter().any(|folder| source.path.starts_with(folder)))
}

/// The types that a file defines for others: what it keeps to itself may have any name.
fn types(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| {
        let line = line.strip_prefix("pub ").or_else(|| line.strip_prefix("pub(crate) "))?;
        let name = line.strip_prefix("struct ").or_else(|| line.strip_prefix("enum "))?;
        name.split(|character: char| !character.is_ascii_alphanumeric()).next()
    })
}

/// The text up to its tests.
fn code(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap_or_default()
}

#[test]
fn nothing_of_the_wire_or_of_telemetry_is_defined_twice() {
    none(&doubles(&sources()));
}

#[test]
fn seeded_faults_are_found() {
    let home = Source::seeded("crates/api/src/auth.rs", "pub struct AuthContext {\n");
    let user = |path: &str, text: &str| [home.clone(), Source::seeded(path, text)];
    assert_eq!(doubles(&user("crates/client/src/a.rs", "pub(crate) struct AuthContext(u8);\n")).len(), 1);
    assert_eq!(doubles(&user("crates/http/src/a.rs", "const A: &str = \"x-tollgate-owner\";\n")).len(), 1);
    assert_eq!(doubles(&user("crates/tollgate/src/a.rs", "let span = tracing::info_span!(\"mine\");\n")).len(), 1);
    assert_eq!(
        doubles(&user("crates/layer/src/a.rs", "pub struct AuthContexts;\nstruct AuthContext;\n#[cfg(test)]\n_span!(")),
        Vec::<String>::new()
    );
    // The gate has its own words for what it holds, such as a key.
    assert_eq!(doubles(&user("crates/gate/src/a.rs", "pub struct AuthContext;\n")), Vec::<String>::new());
}
