//! A file is split before it has 500 lines.

use super::tree::{Source, none, sources};

const LINES_MAX: usize = 500;
const KINDS: [&str; 7] = ["rs", "lua", "sql", "toml", "sh", "yml", "yaml"];

fn violations(sources: &[Source]) -> Vec<String> {
    let scripts = |source: &&Source| KINDS.contains(&source.extension()) || source.text.starts_with("#!");
    let long = sources.iter().filter(scripts).map(|source| (source, source.text.lines().count())).filter(|(_, lines)| *lines > LINES_MAX);
    long.map(|(source, lines)| format!("{}: {lines} lines, at most {LINES_MAX}", source.path)).collect()
}

#[test]
fn no_file_is_too_long() {
    none(&violations(&sources()));
}

#[test]
fn the_bound_is_exact() {
    let longest = "x\n".repeat(LINES_MAX);
    assert_eq!(violations(&[Source::seeded("a.rs", &longest)]), Vec::<String>::new());
    assert_eq!(violations(&[Source::seeded("a.rs", &(longest.clone() + "x\n"))]).len(), 1);
    assert_eq!(violations(&[Source::seeded("run", &("#!/bin/sh\n".to_owned() + &longest))]).len(), 1);
}
