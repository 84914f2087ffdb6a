//! Every command of the book is one: read from its blocks of shell, and parsed.

use std::{fs, path::Path};

use clap::CommandFactory as _;

use super::Cli;

/// The words of a line of shell up to a comment, a pipe or a redirection; quotes hold words together.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    for character in line.chars() {
        match (quote, character) {
            (Some(open), _) if open == character => quote = None,
            (None, '\'' | '"') => quote = Some(character),
            (None, '|' | '>' | '#' | '&' | ';') => break,
            (None, ' ') if word.is_empty() => {}
            (None, ' ') => words.push(std::mem::take(&mut word)),
            _ => word.push(character),
        }
    }
    words.extend(Some(word).filter(|word| !word.is_empty()));
    words
}

/// The lines of a page's blocks of shell that begin with the program's name.
fn commands(page: &str) -> Vec<Vec<String>> {
    let blocks = page.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let lines = blocks.flat_map(str::lines).map(str::trim).filter(|line| line.starts_with("tollgate "));
    lines.map(words).collect()
}

/// All pages below a folder.
fn pages(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            pages(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(fs::read_to_string(&path).expect("text"));
        }
    }
}

#[test]
fn every_command_of_the_book_can_be_given() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut all = vec![fs::read_to_string(root.join("README.md")).expect("text")];
    pages(&root.join("docs/src"), &mut all);
    let commands: Vec<Vec<String>> = all.iter().flat_map(|page| commands(page)).collect();
    assert!(commands.len() > 15, "{commands:?}");
    for command in commands {
        let parsed = Cli::command().try_get_matches_from(&command);
        assert!(parsed.is_ok(), "{command:?}: {:?}", parsed.err().map(|error| error.to_string()));
    }
}

#[test]
fn a_line_ends_where_the_command_does() {
    assert_eq!(words("tollgate bench -H 'a: b c'  --keys 1 > x"), ["tollgate", "bench", "-H", "a: b c", "--keys", "1"]);
    assert_eq!(commands("```sh\n$ x\ntollgate a # b\n```\ntollgate no\n"), [["tollgate", "a"]]);
}
