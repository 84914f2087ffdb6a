//! Words that must not be in the code.

use super::tree::{Source, none, sources};

/// In two parts each, so that this file is clean itself.
const FORBIDDEN: [(&str, &str, &str); 6] = [
    ("#[ig", "nore", "a test that is not run proves nothing: run it or delete it"),
    ("to", "do!(", "finish it"),
    ("unimpl", "emented!(", "finish it"),
    ("thread::", "sleep", "wait for the condition, not for a time"),
    ("serial_", "test", "give the test a database and a prefix of its own"),
    ("FIX", "ME", "fix it"),
];

fn violations(sources: &[Source]) -> Vec<String> {
    let code = sources.iter().filter(|source| ["rs", "lua", "sql"].contains(&source.extension()));
    code.flat_map(|source| FORBIDDEN.iter().flat_map(|word| violations_of(source, *word))).collect()
}

fn violations_of(source: &Source, (first, second, advice): (&str, &str, &str)) -> Vec<String> {
    let word = format!("{first}{second}");
    let lines = source.text.lines().enumerate().filter(|(_, line)| line.contains(&word));
    lines.map(|(index, _)| format!("{}:{}: {word} ({advice})", source.path, index + 1)).collect()
}

#[test]
fn no_forbidden_word_is_used() {
    none(&violations(&sources()));
}

#[test]
fn seeded_faults_are_found() {
    for (first, second, _) in FORBIDDEN {
        let text = format!("fn a() {{}}\n    {first}{second} \n");
        let found = violations(&[Source::seeded("a.rs", &text)]);
        assert_eq!(found.len(), 1, "{first}{second}");
        assert!(found[0].starts_with("a.rs:2: "), "{found:?}");
    }
}
