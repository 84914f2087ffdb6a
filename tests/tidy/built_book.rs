//! The book as its readers get it: made by mdbook's own library, then every link of every page is tried.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use mdbook_driver::MDBook;
use tollgate_testkit::{Scratch, repository};

use super::book::resolve;
use super::tree::{entries, none};

/// All pages in one, for the printer, of which each was looked at; and the page of who has lost his way, whose links
/// begin at the root of a site.
const NOT_OURS: [&str; 2] = ["print.html", "404.html"];

/// What a reader's browser gets: pages by their paths in the book, and all other files.
struct Built {
    pages: BTreeMap<String, String>,
    files: BTreeSet<String>,
}

/// Makes the book of this folder.
fn build(source: &Path, to: &Path) -> Result<Built, String> {
    let mut book = MDBook::load(source).map_err(|error| format!("{error:?}"))?;
    to.clone_into(&mut book.config.build.build_dir);
    book.build().map_err(|error| format!("{error:?}"))?;
    let mut built = Built { pages: BTreeMap::new(), files: BTreeSet::new() };
    read(to, to, &mut built);
    Ok(built)
}

fn read(root: &Path, folder: &Path, built: &mut Built) {
    for path in entries(folder) {
        if path.is_dir() {
            read(root, &path, built);
            continue;
        }
        let name = path.strip_prefix(root).expect("below the root").to_string_lossy().into_owned();
        if path.extension().is_some_and(|extension| extension == "html") && !NOT_OURS.contains(&name.as_str()) {
            built.pages.insert(name.clone(), fs::read_to_string(&path).expect("a page is text"));
        }
        built.files.insert(name);
    }
}

/// The values of an attribute.
fn values<'a>(page: &'a str, attribute: &str) -> impl Iterator<Item = &'a str> {
    page.split(&format!(" {attribute}=\"")).skip(1).filter_map(|rest| rest.split('"').next()).collect::<Vec<_>>().into_iter()
}

/// What is wrong with the pages: links that lead nowhere, files that were to be taken in and are not there.
fn faults(built: &Built) -> Vec<String> {
    let links = built.pages.iter().flat_map(|(name, page)| {
        let links = values(page, "href").chain(values(page, "src"));
        links.filter_map(move |link| Some(format!("{name}: {} {link}", dead(built, name, link)?)))
    });
    let left = built.pages.iter().filter(|(_, page)| page.contains("{{#")).map(|(name, _)| format!("{name}: a file was not taken in"));
    links.chain(left).collect()
}

/// What is wrong with a link, if anything is.
fn dead(built: &Built, page: &str, link: &str) -> Option<&'static str> {
    if link.contains("://") || link.starts_with("mailto:") || link.starts_with("data:") {
        return None;
    }
    let (file, anchor) = link.split_once('#').map_or((link, None), |(file, anchor)| (file, Some(anchor)));
    let target = if file.is_empty() { page.to_owned() } else { resolve(page, file) };
    if !built.files.contains(&target) {
        return Some("there is no page for");
    }
    let anchor = anchor.filter(|anchor| !anchor.is_empty())?;
    let is_there = built.pages.get(&target).is_none_or(|page| values(page, "id").any(|id| id == anchor));
    (!is_there).then_some("there is no heading for")
}

/// A book of these files.
fn seeded(scratch: &Scratch, files: &[(&str, &str)]) -> PathBuf {
    let folder = scratch.path().join("seeded");
    fs::create_dir_all(folder.join("src")).expect("made");
    fs::write(folder.join("book.toml"), "[book]\ntitle = \"t\"\n").expect("written");
    for (name, text) in files {
        fs::write(folder.join("src").join(name), text).expect("written");
    }
    folder
}

#[test]
fn the_book_can_be_made_searched_and_every_link_followed() {
    let scratch = Scratch::new("book").expect("a folder");
    let built = build(&repository().join("docs"), &scratch.path().join("book")).expect("a book");
    none(&faults(&built));
    let summary = fs::read_to_string(repository().join("docs/src/SUMMARY.md")).expect("a summary");
    let listed = summary.matches(".md)").count();
    assert!(listed > 50 && built.pages.len() >= listed, "{} pages for {listed} of the summary", built.pages.len());
    let index = built.files.iter().filter(|name| name.starts_with("searchindex")).map(|name| scratch.path().join("book").join(name));
    let index: String = index.map(|path| fs::read_to_string(path).expect("an index is text")).collect();
    assert!(index.contains("rotation"), "the index for searching has {} bytes and not this word", index.len());
}

#[test]
fn seeded_faults_are_found() {
    let scratch = Scratch::new("seeded-book").expect("a folder");
    let faults_of = |name: &str, page: &str| {
        let folder =
            seeded(&scratch, &[("SUMMARY.md", "# Summary\n\n- [A](a.md)\n- [B](b.md)\n"), ("b.md", "# B\n\n## Part\n"), ("a.md", page)]);
        faults(&build(&folder, &scratch.path().join(name)).expect("a book"))
    };
    assert_eq!(faults_of("good", "# A\n[x](b.md#part) [y](https://example.org/) [z](#a)\n"), Vec::<String>::new());
    for (name, page, count) in [
        ("page", "[x](gone.md)", 1),
        ("heading", "[x](b.md#gone)", 1),
        ("own", "[x](#gone)", 1),
        ("file", "```\n{{#include gone.py}}\n```", 1),
    ] {
        let found: BTreeSet<String> = faults_of(name, page).into_iter().filter(|fault| fault.starts_with("a.html")).collect();
        assert_eq!(found.len(), count, "{name}: {found:?}");
    }
    let broken = seeded(&scratch, &[("SUMMARY.md", "# Summary\n\n- [A](\n")]);
    assert!(build(&broken, &scratch.path().join("broken")).is_err(), "a summary that cannot be read");
}
