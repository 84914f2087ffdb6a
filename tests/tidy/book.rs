//! The book: no dead link, no page that is not in the summary, every decision complete.

use std::collections::BTreeSet;

use super::tree::{Source, none, sources};

const PAGES: &str = "docs/src/";
/// What begins a path from the root.
const OURS: [&str; 6] = ["crates/", "lua/", "migrations/", "deploy/", "tests/", "docs/"];
const HEADINGS: [&str; 6] = ["Status", "Date", "Context", "Decision", "Consequences", "Verification"];

fn dead_links(sources: &[Source]) -> Vec<String> {
    let paths: BTreeSet<&str> = sources.iter().map(|source| source.path.as_str()).collect();
    let linked = || {
        let pages = sources.iter().filter(|source| source.extension() == "md");
        pages.flat_map(|page| links(&page.text).into_iter().map(move |link| (page, link)))
    };
    let dead = linked().filter_map(|(page, link)| dead(page, link, &paths));
    dead.chain(linked().filter_map(|(page, link)| lost(page, link, sources))).collect()
}

/// A link to a part of a page of ours that has no such heading.
fn lost(page: &Source, link: &str, sources: &[Source]) -> Option<String> {
    let (file, anchor) = link.split_once('#').filter(|_| !link.contains("://"))?;
    let target = if file.is_empty() { page.path.clone() } else { resolve(&page.path, file) };
    let target = sources.iter().find(|source| source.path == target && source.extension() == "md")?;
    let is_there = headings(&target.text).any(|heading| slug(heading) == anchor);
    (!is_there).then(|| format!("{}: {} has no heading for {link}", page.path, target.path))
}

/// All headings outside of code blocks.
fn headings(text: &str) -> impl Iterator<Item = &str> {
    prose(text).filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim())
}

/// What a heading is linked to by: as the book's maker and the code's host both do it.
fn slug(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

fn dead(page: &Source, link: &str, paths: &BTreeSet<&str>) -> Option<String> {
    let outside = link.contains("://") || link.starts_with("mailto:");
    let file = link.split('#').next().unwrap_or_default();
    if outside || file.is_empty() {
        return None;
    }
    let target = resolve(&page.path, file);
    let folder = format!("{}/", target.trim_end_matches('/'));
    let there = paths.contains(target.as_str()) || paths.iter().any(|path| path.starts_with(&folder));
    (!there).then(|| format!("{}: no file is at {link}", page.path))
}

/// A relative link as a path from where the page's own path begins.
pub(super) fn resolve(page: &str, link: &str) -> String {
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            name => parts.push(name),
        }
    }
    parts.join("/")
}

/// The targets of all `[text](target)` outside of code blocks.
fn links(text: &str) -> Vec<&str> {
    prose(text).flat_map(|line| line.split("](").skip(1)).filter_map(|rest| rest.split(')').next()).collect()
}

/// The lines outside of code blocks.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut in_code = false;
    text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        in_code ^= fence;
        !in_code && !fence
    })
}

/// Paths in back quotes, such as "`crates/http/src/routes.rs`", that lead nowhere.
fn dead_paths(sources: &[Source]) -> Vec<String> {
    let pages = sources.iter().filter(|source| source.extension() == "md" && source.path != "CHANGELOG.md");
    let named = pages.flat_map(|page| quoted(&page.text).map(move |path| (page, path)));
    let dead = named.filter(|(_, path)| !exists(sources, path.trim_end_matches('/')));
    dead.map(|(page, path)| format!("{}: there is no {path}", page.path)).collect()
}

fn quoted(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split('`').skip(1).step_by(2);
    words.filter(|word| OURS.iter().any(|folder| word.starts_with(folder)) && !word.contains([' ', '*', '…', '<', '{', '\n']))
}

fn exists(sources: &[Source], path: &str) -> bool {
    sources.iter().any(|source| source.path.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

/// Files that a page takes in, `{{#include path}}`, and that are not there.
fn dead_includes(sources: &[Source]) -> Vec<String> {
    let pages = sources.iter().filter(|source| source.extension() == "md");
    let named = pages.flat_map(|page| included(&page.text).map(move |path| (page, path)));
    let dead = named.filter(|(page, path)| !sources.iter().any(|source| source.path == resolve(&page.path, path)));
    dead.map(|(page, path)| format!("{}: no file {path} to include", page.path)).collect()
}

fn included(text: &str) -> impl Iterator<Item = &str> {
    text.split("{{#include ").skip(1).filter_map(|rest| rest.split("}}").next())
}

/// Pages of the book that its summary does not lead to.
fn unlisted(sources: &[Source]) -> Vec<String> {
    let summary = format!("{PAGES}SUMMARY.md");
    let Some(table) = sources.iter().find(|source| source.path == summary) else {
        return vec![format!("{summary} is missing")];
    };
    let listed: BTreeSet<String> = links(&table.text).into_iter().map(|link| resolve(&summary, link)).collect();
    let pages = sources.iter().filter(|source| source.path.starts_with(PAGES) && source.extension() == "md" && source.path != summary);
    pages.filter(|page| !listed.contains(&page.path)).map(|page| format!("{} is not in the summary", page.path)).collect()
}

/// Decisions without one of the six headings.
fn incomplete(sources: &[Source]) -> Vec<String> {
    let decisions = sources.iter().filter(|source| is_decision(&source.path));
    decisions
        .flat_map(|page| HEADINGS.iter().filter(|heading| !has(page, heading)).map(|heading| format!("{}: no {heading}", page.path)))
        .collect()
}

fn is_decision(path: &str) -> bool {
    let name = path.strip_prefix("docs/src/adr/").and_then(|name| name.strip_suffix(".md"));
    name.is_some_and(|name| name.starts_with(|first: char| first.is_ascii_digit()))
}

fn has(page: &Source, heading: &str) -> bool {
    page.text.lines().any(|line| line.strip_prefix("## ") == Some(heading))
}

#[test]
fn no_link_is_dead() {
    none(&dead_links(&sources()));
}

#[test]
fn no_path_is_dead() {
    none(&dead_paths(&sources()));
}

#[test]
fn no_included_file_is_missing() {
    none(&dead_includes(&sources()));
}

#[test]
fn every_page_is_in_the_summary() {
    none(&unlisted(&sources()));
}

#[test]
fn every_decision_has_its_six_headings() {
    let sources = sources();
    assert!(sources.iter().any(|source| is_decision(&source.path)), "no decision is recorded");
    none(&incomplete(&sources));
}

#[test]
fn seeded_faults_are_found() {
    let page = |path: &str, text: &str| Source::seeded(path, text);
    let there = page("docs/src/there.md", "# Part\n");
    assert_eq!(dead_links(&[page("docs/src/a.md", "[x](gone.md)")]).len(), 1);
    let good = "[x](there.md#part) [y](https://example.org) [z](#here-and-now) [r](../../README.md)\n## Here, and `now`\n```\n[c](code)\n## code\n```\n";
    assert_eq!(dead_links(&[page("docs/src/a.md", good), there.clone(), page("README.md", "")]), Vec::<String>::new());
    for bad in ["[x](there.md#gone)", "[x](#code)\n```\n## code\n```", "[x](#part)"] {
        assert_eq!(dead_links(&[page("docs/src/a.md", bad), there.clone()]).len(), 1, "{bad}");
    }
    let named = [page("README.md", "`lua/a.lua` `lua/` `lua/gone.lua` `lua/*.lua` `lu/b`"), page("lua/a.lua", "")];
    assert_eq!(dead_paths(&named), ["README.md: there is no lua/gone.lua"]);
    let taking_in = page("docs/src/a.md", "```\n{{#include ../b.py}}\n```\n{{#include gone.py}}");
    assert_eq!(dead_includes(&[taking_in, page("docs/b.py", "")]), ["docs/src/a.md: no file gone.py to include"]);
    assert_eq!(unlisted(&[page("docs/src/SUMMARY.md", "[a](a.md)"), there]).len(), 1);
    assert_eq!(unlisted(&[]).len(), 1);
    assert_eq!(incomplete(&[page("docs/src/adr/0001-x.md", "## Status\n## Context\n")]).len(), 4);
}
