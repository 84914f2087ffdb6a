//! The page of requirements names files that exist, and for each threat tests that exist there.

use super::tree::{Source, none, sources};

const PAGE: &str = "docs/src/requirements.md";

/// Threats that must have a row: those that what is built is exposed to.
const THREATS: [u32; 44] = [
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 26, 27, 30, 31, 32, 33, 34, 35, 36, 38, 39, 40,
    41, 42, 43, 45, 46, 47, 48, 50,
];

/// A threat and what its row has in back quotes.
type Row<'a> = (u32, Vec<&'a str>);

fn rows(page: &str) -> Vec<Row<'_>> {
    let rows = page.lines().filter_map(|line| {
        let (threat, rest) = line.strip_prefix("| T")?.split_once(' ')?;
        Some((threat.parse().ok()?, rest.split('`').skip(1).step_by(2).collect()))
    });
    rows.collect()
}

fn violations(sources: &[Source], expected: &[u32]) -> Vec<String> {
    let page = sources.iter().find(|source| source.path == PAGE).expect("the page is there");
    let rows = rows(&page.text);
    let missing = expected.iter().filter(|threat| !rows.iter().any(|(found, _)| found == *threat));
    let missing = missing.map(|threat| format!("T{threat} has no row"));
    missing.chain(rows.iter().flat_map(|row| violations_of(row, sources))).collect()
}

/// A file of the row that is not there, a test that is in none of its files, a row without a test.
fn violations_of((threat, quoted): &Row<'_>, sources: &[Source]) -> Vec<String> {
    let (paths, others): (Vec<&str>, Vec<&str>) = quoted.iter().partition(|text| text.contains('/'));
    let named: Vec<&Source> = sources.iter().filter(|source| paths.contains(&source.path.as_str())).collect();
    let lost =
        paths.iter().filter(|path| !named.iter().any(|source| source.path == **path)).map(|path| format!("T{threat}: no file {path}"));
    let tests: Vec<&str> = others.into_iter().filter(|text| is_test_name(text)).collect();
    let unknown = tests.iter().filter(|test| !named.iter().any(|source| has_test(source, test)));
    let unknown = unknown.map(|test| format!("T{threat}: no test {test} in {}", paths.join(", ")));
    let none = tests.is_empty().then(|| format!("T{threat}: no test is named"));
    lost.chain(unknown).chain(none).collect()
}

fn is_test_name(text: &str) -> bool {
    text.contains('_') && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

/// Whether there is a function of that name with an attribute that makes it a test just before it.
fn has_test(source: &Source, name: &str) -> bool {
    let lines: Vec<&str> = source.text.lines().map(str::trim).collect();
    let is_it = |line: &str| {
        line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ").is_some_and(|rest| rest.starts_with(&format!("{name}(")))
    };
    let marked = |at: usize| {
        lines[..at].iter().rev().take_while(|line| line.starts_with('#') || line.starts_with("//")).any(|line| line.contains("test"))
    };
    let in_macro = || source.text.contains("proptest!");
    lines.iter().enumerate().any(|(at, line)| is_it(line) && (marked(at) || in_macro()))
}

#[test]
fn every_threat_names_tests_that_exist() {
    none(&violations(&sources(), &THREATS));
}

#[test]
fn seeded_faults_are_found() {
    let code = Source::seeded("tests/a.rs", "#[test]\nfn it_holds() {}\nfn it_helps() {}\n#[tokio::test]\nasync fn so_it_does() {}\n");
    let found = |rows: &str| violations(&[code.clone(), Source::seeded(PAGE, rows)], &[1]);
    assert_eq!(found("| T1 | x | `tests/a.rs` (`it_holds`, `so_it_does`, with `TOLLGATE_X=1`) |\n"), Vec::<String>::new());
    assert_eq!(found("| S1 | x | `tests/a.rs` (`it_holds`) |\n"), ["T1 has no row"]);
    assert_eq!(found("| T1 | x | `tests/a.rs` (`it_held`) |\n"), ["T1: no test it_held in tests/a.rs"]);
    assert_eq!(found("| T1 | x | `tests/a.rs` (`it_helps`) |\n"), ["T1: no test it_helps in tests/a.rs"]);
    assert_eq!(found("| T1 | x | `tests/b.rs`, `tests/a.rs` (`it_holds`) |\n"), ["T1: no file tests/b.rs"]);
    assert_eq!(found("| T1 | x | `tests/a.rs` |\n"), ["T1: no test is named"]);
}
