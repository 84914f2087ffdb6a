//! What guards `main`: every test, on every change, each once.

use std::fs;

use tollgate_testkit::repository;

use super::tree::{Source, none, sources};

const GATE: &str = ".ci/run";
const WORKFLOW: &str = ".github/workflows/ci.yml";
const RUN: &str = "tests/run";
const NEXTEST: &str = "tests/nextest.toml";

/// What a file of the gate must say, each on a line of its own, and what it must not say anywhere.
struct Rule {
    path: &'static str,
    lines: &'static [&'static str],
    never: &'static [&'static str],
}

const RULES: [Rule; 4] = [
    Rule { path: GATE, lines: &["set -euo pipefail", "tests/run"], never: &["|| true", "set +e"] },
    Rule { path: WORKFLOW, lines: &["push:", "pull_request:", "- run: .ci/run"], never: &["continue-on-error", "paths-ignore"] },
    Rule { path: RUN, lines: &["set -euo pipefail", "packages=(--workspace)"], never: &["set +e"] },
    Rule { path: NEXTEST, lines: &["fail-fast = false"], never: &["retries", "default-filter"] },
];

fn violations(sources: &[Source]) -> Vec<String> {
    let text = |path: &str| sources.iter().find(|source| source.path == path).map_or("", |source| source.text.as_str());
    let broken = RULES.iter().flat_map(|Rule { path, lines, never }| {
        let said: Vec<&str> = text(path).lines().map(str::trim).filter(|line| !line.starts_with('#')).collect();
        let missing = lines.iter().filter(|wanted| !said.contains(wanted)).map(move |wanted| format!("{path} has no line `{wanted}`"));
        let odd =
            never.iter().filter(|never| said.iter().any(|line| line.contains(*never))).map(move |never| format!("{path} says `{never}`"));
        missing.chain(odd).collect::<Vec<_>>()
    });
    let left_out = sources.iter().filter(|source| source.extension() == "rs").flat_map(|source| {
        let is_left_out = |line: &&str| line.trim().starts_with(concat!("#[", "ignore"));
        source.text.lines().filter(is_left_out).map(|_| format!("{}: a test is left out", source.path))
    });
    broken.chain(left_out).collect()
}

/// The sources, and those files of the gate that lie in dot folders.
fn all() -> Vec<Source> {
    let hidden = [GATE, WORKFLOW].map(|path| {
        let text = fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("reading {path}: {error}"));
        Source { path: path.into(), text }
    });
    sources().into_iter().chain(hidden).collect()
}

#[test]
fn every_test_is_run_before_a_change_is_taken() {
    none(&violations(&all()));
}

#[test]
fn a_way_round_the_gate_is_found() {
    let whole = all();
    let with = |path: &str, from: &str, to: &str| {
        let change = |source: &Source| {
            let text = if source.path == path { source.text.replace(from, to) } else { source.text.clone() };
            Source { path: source.path.clone(), text }
        };
        violations(&whole.iter().map(change).collect::<Vec<_>>())
    };
    for (path, from, to) in [
        (GATE, "\ntests/run\n", "\ntests/run -p tollgate-limits\n"),
        (GATE, "\ntests/run\n", "\ntests/run || true\n"),
        (WORKFLOW, "- run: .ci/run", "- run: cargo test"),
        (WORKFLOW, "pull_request:", "pull_request_review:"),
        (RUN, "packages=(--workspace)", "packages=(--package tollgate)"),
        (NEXTEST, "fail-fast = false", "fail-fast = false\nretries = 2"),
    ] {
        assert!(!with(path, from, to).is_empty(), "{path}: {to}");
    }
    let seeded = Source::seeded("crates/x/src/lib.rs", concat!("#[test]\n    #[", "ignore = \"flaky\"]\nfn x() {}"));
    assert_eq!(violations(&[whole, vec![seeded]].concat()), ["crates/x/src/lib.rs: a test is left out"]);
}
