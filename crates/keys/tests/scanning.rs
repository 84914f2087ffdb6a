//! T50: who scans texts for leaked secrets, by the pattern that the book gives him, finds all of ours and nothing else.

#![allow(clippy::expect_used, reason = "all of this is test code, also what is outside of a test function")]

use std::path::{Path, PathBuf};

use regex::bytes::Regex;
use tollgate_keys::{KeyId, RandomPart, RingChar, SECRET_PATTERN, Secret, SigningKey, random_bytes};
use tollgate_testkit::repository;

/// Secrets that are made, half of each kind.
const SECRETS: usize = 100_000;
/// The most source text that is looked through, in bytes, and the least.
const TEXT_BYTES_MAX: usize = 48 << 20;
const TEXT_BYTES_MIN: usize = 1 << 20;
/// Tests of the form itself: they hold two secrets of nobody's.
const OF_THE_FORM: [&str; 2] = ["crates/keys/src/secret/tests.rs", "crates/keys/src/api_key/tests.rs"];

fn pattern() -> Regex {
    Regex::new(SECRET_PATTERN).expect("a regular expression")
}

/// Whether the last six characters are the checksum: what a scanner does with a match.
fn is_secret(found: &[u8]) -> bool {
    std::str::from_utf8(found).is_ok_and(|text| Secret::parse(text).is_ok())
}

#[test]
fn the_pattern_finds_each_of_a_hundred_thousand_secrets() {
    let pattern = pattern();
    let signer = SigningKey::new(RingChar::new('Q').expect("a ring character"), random_bytes().expect("randomness"));
    for number in 0..SECRETS / 2 {
        let random = RandomPart::generate().expect("randomness");
        let key_id = KeyId::from_parts(number as u64, random_bytes().expect("randomness"));
        for secret in [Secret::signed(&signer, &key_id, &random), Secret::unsigned(&random)] {
            let text = match number % 4 {
                0 => format!("curl -H 'X-Api-Key: {key_id}:{}' https://t/v1/authorize", secret.expose()),
                1 => format!("{{\"api_key\":\"{key_id}:{}\"}}", secret.expose()),
                2 => format!("TOLLGATE_API_KEY={key_id}:{}\n", secret.expose()),
                _ => format!("let secret = \"{}\";", secret.expose()),
            };
            let found = pattern.find(text.as_bytes()).expect("a match");
            assert_eq!(found.as_bytes(), secret.expose().as_bytes());
            assert!(is_secret(found.as_bytes()));
        }
    }
}

/// Where cargo keeps the sources of what the product is built with, as long as it keeps them where it usually does.
fn sources_of_others() -> Option<PathBuf> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".cargo")))?;
    Some(home.join("registry/src")).filter(|folder| folder.is_dir())
}

/// Looks through every file below a folder that is source; gives how much that was, and what was found where.
fn look_through(folder: &Path, bytes_max: usize, pattern: &Regex) -> (usize, Vec<String>) {
    let (mut seen, mut found, mut folders) = (0, Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() && !path.ends_with("target") && !path.ends_with(".git") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") && seen < bytes_max {
                let text = std::fs::read(&path).unwrap_or_default();
                seen += text.len();
                let hits = pattern.find_iter(&text).map(|hit| format!("{}: {}", path.display(), String::from_utf8_lossy(hit.as_bytes())));
                found.extend(hits);
            }
        }
    }
    (seen, found)
}

#[test]
fn the_pattern_finds_nothing_in_source_text() {
    let (ours, mut found) = look_through(&repository(), TEXT_BYTES_MAX, &pattern());
    found.retain(|hit| !OF_THE_FORM.iter().any(|path| hit.contains(path)));
    let mut seen = ours;
    if let Some(others) = sources_of_others() {
        let (of_others, in_others) = look_through(&others, TEXT_BYTES_MAX - ours.min(TEXT_BYTES_MAX), &pattern());
        seen += of_others;
        found.extend(in_others);
    }
    assert_eq!(found, Vec::<String>::new());
    assert!(seen > TEXT_BYTES_MIN, "{seen} bytes were looked through");
}

#[test]
fn the_book_has_the_same_pattern() {
    let page = std::fs::read_to_string(repository().join("docs/src/keys.md")).expect("the page");
    assert!(page.contains(&format!("\n{SECRET_PATTERN}\n")), "docs/src/keys.md does not have {SECRET_PATTERN}");
}
