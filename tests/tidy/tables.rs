//! The tables of the book against the code: metrics, settings.

use std::collections::BTreeSet;

use tollgate_settings::DEFAULT_FILE;
use tollgate_telemetry::CATALOGUE;

use super::tree::{Source, none, sources};

const METRICS_PAGE: &str = "docs/src/metrics.md";
const SETTINGS_PAGE: &str = "docs/src/settings.md";
const DEFAULTS: &str = "tollgate.default.toml}}";

/// A name and what must stand in its row.
type Row = (String, Vec<String>);

/// Rows of the form "| `name…` | …" must name exactly what is expected.
fn violations(page: &str, expected: &[Row]) -> Vec<String> {
    let rows: Vec<(String, &str)> = page.lines().filter_map(|line| Some((row_name(line)?, line))).collect();
    let missing = expected.iter().filter(|(name, _)| !rows.iter().any(|(found, _)| found == name));
    let unknown = rows.iter().filter(|(found, _)| !expected.iter().any(|(name, _)| name == found));
    let incomplete = expected.iter().flat_map(|(name, words)| {
        let row = rows.iter().find(|(found, _)| found == name).map(|(_, line)| *line);
        words
            .iter()
            .filter(move |word| row.is_some_and(|row| !row.contains(word.as_str())))
            .map(move |word| format!("{name}: the row lacks {word}"))
    });
    let missing = missing.map(|(name, _)| format!("{name} has no row"));
    missing.chain(unknown.map(|(name, _)| format!("{name} is not known"))).chain(incomplete).collect()
}

/// What the first cell of a row has in back quotes, up to a brace.
fn row_name(line: &str) -> Option<String> {
    let quoted = line.trim_start().strip_prefix('|')?.trim_start().strip_prefix('`')?;
    let end = quoted.find(['`', '{'])?;
    Some(quoted[..end].to_owned())
}

/// Every field of a settings file, as `section.field`.
fn fields(file: &str) -> Vec<Row> {
    let mut section = String::new();
    let mut found = BTreeSet::new();
    for line in file.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            section = format!("{name}.");
        } else if let Some((name, _)) = line.split_once('=').filter(|(name, _)| !name.starts_with('#')) {
            found.insert(format!("{section}{}", name.trim()));
        }
    }
    found.into_iter().map(|name| (name, Vec::new())).collect()
}

/// A page that takes the default file in as it is cannot differ from it.
fn settings_violations(page: &str) -> Vec<String> {
    let whole = page.lines().any(|line| line.trim_start().starts_with("{{#include") && line.trim_end().ends_with(DEFAULTS));
    if whole { Vec::new() } else { violations(page, &fields(DEFAULT_FILE)) }
}

fn page<'a>(sources: &'a [Source], path: &str) -> &'a str {
    let found = sources.iter().find(|source| source.path == path);
    &found.unwrap_or_else(|| panic!("{path} is missing")).text
}

#[test]
fn the_metrics_page_lists_the_catalogue() {
    let expected: Vec<Row> = CATALOGUE
        .iter()
        .map(|metric| (metric.name.to_owned(), metric.labels.iter().map(|label| label.name.to_owned()).collect()))
        .collect();
    none(&violations(page(&sources(), METRICS_PAGE), &expected));
}

#[test]
fn the_settings_page_lists_the_default_file() {
    none(&settings_violations(page(&sources(), SETTINGS_PAGE)));
}

#[test]
fn every_field_of_the_default_file_is_found() {
    let names: Vec<String> = fields(DEFAULT_FILE).into_iter().map(|(name, _)| name).collect();
    for expected in ["mode", "redis.decision_timeout", "keys.default_rate_limit.burst"] {
        assert!(names.iter().any(|name| name == expected), "{expected} is missing from {names:?}");
    }
}

#[test]
fn seeded_faults_are_found() {
    let expected = [("a_total".to_owned(), vec!["kind".to_owned()]), ("b".to_owned(), Vec::new())];
    let good = "| metric | what |\n|---|---|\n| `a_total{kind}` | x |\n| `b` | y |\n";
    assert_eq!(violations(good, &expected), Vec::<String>::new());
    assert_eq!(violations(&good.replace("{kind}", ""), &expected), ["a_total: the row lacks kind"]);
    assert_eq!(violations(&good.replace("`b`", "`c`"), &expected), ["b has no row", "c is not known"]);
    assert!(!settings_violations("| `mode` | x |").is_empty());
    assert_eq!(settings_violations("{{#include ../../deploy/tollgate.default.toml}}"), Vec::<String>::new());
}
