use std::collections::BTreeSet;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::*;

fn document() -> Value {
    document::write("1.2.3")
}

/// All values under this name, anywhere.
fn all_named<'a>(value: &'a Value, name: &str, found: &mut Vec<&'a Value>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get(name));
            fields.values().for_each(|field| all_named(field, name, found));
        }
        Value::Array(items) => items.iter().for_each(|item| all_named(item, name, found)),
        _ => {}
    }
}

#[test]
fn every_reference_leads_somewhere_and_every_component_is_used() {
    let document = document();
    let mut references = Vec::new();
    all_named(&document, "$ref", &mut references);
    let used: BTreeSet<&str> = references.iter().filter_map(|reference| reference.as_str()).collect();
    for reference in &used {
        assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
    }
    for kind in ["schemas", "headers", "responses"] {
        for name in document["components"][kind].as_object().expect("components").keys() {
            // 405 answers what is not in the document.
            let spare = ["Problem405", "Allow"].contains(&name.as_str());
            assert!(spare || used.contains(format!("#/components/{kind}/{name}").as_str()), "{kind}/{name} is used by nothing");
        }
    }
}

#[test]
fn every_call_has_an_id_of_its_own_and_an_answer() {
    let document = document();
    let mut ids = Vec::new();
    all_named(&document, "operationId", &mut ids);
    let different: BTreeSet<&str> = ids.iter().filter_map(|id| id.as_str()).collect();
    assert_eq!(different.len(), ids.len());
    assert!(ids.len() > 30, "{}", ids.len());
    for operation in operations::all() {
        assert!(!operation.answers.is_empty() && !operation.summary.ends_with('.'), "{}", operation.id);
        let in_path: Vec<&str> = operation.path.split(['{', '}']).skip(1).step_by(2).collect();
        let named: Vec<&str> = operation.parameters.iter().filter(|one| one.place == parameters::Place::Path).map(|one| one.name).collect();
        assert_eq!(in_path, named, "{}", operation.id);
    }
}

#[test]
fn schemas_are_schemas() {
    for (name, schema) in schemas::all() {
        jsonschema::meta::validate(&schema).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[test]
fn the_problems_are_those_of_the_book() {
    let book = include_str!("../../../../docs/src/http.md");
    let rows = book.lines().filter_map(|line| {
        let mut cells = line.strip_prefix('|')?.split('|').map(str::trim);
        let status: u16 = cells.next()?.parse().ok()?;
        Some((status, cells.next()?.trim_matches('`').to_owned()))
    });
    let told: BTreeSet<(u16, String)> = rows.collect();
    // The book says in words that a limit may be told as 403.
    let ours = problems::ALL.iter().filter(|kind| kind.status != 403 || !kind.uri.starts_with("https:"));
    let ours: BTreeSet<(u16, String)> = ours.map(|kind| (kind.status, kind.uri.to_owned())).collect();
    assert_eq!(ours, told, "problems.rs and the table of problems in docs/src/http.md tell the same");
}

#[test]
fn the_policy_of_the_page_lets_its_own_style_through_and_nothing_else() {
    let page = page::write("<1>\"&");
    let (_, rest) = page.split_once("<style>").expect("a style");
    let (style, rest) = rest.split_once("</style>").expect("its end");
    let hash = base64(&Sha256::digest(style));
    assert!(page::POLICY.contains(&format!("style-src 'sha256-{hash}';")), "the style's hash is {hash}");
    assert!(page::POLICY.starts_with("default-src 'none';") && page::POLICY.contains("frame-ancestors 'none'"));
    assert!(!rest.contains("<style") && !page.contains(" style="), "one style");
    for what in ["<script", "javascript:", " on", "src=", "<link", "<img", "@import", "url(", "<form", "<iframe"] {
        let found = page.match_indices(what).find(|(at, _)| page[..*at].rfind('<') > page[..*at].rfind('>') || what.starts_with('<'));
        assert_eq!(found, None, "{what}");
    }
    assert!(page.contains("<h1>Tollgate &lt;1&gt;&quot;&amp;</h1>"), "what comes from outside is text");
}

#[test]
fn the_page_names_every_call_every_body_and_every_problem_and_its_links_lead_somewhere() {
    let page = page::write("1.2.3");
    for operation in operations::all() {
        assert!(page.contains(&format!("id=\"{}\"", operation.id)) && page.contains(operation.path), "{}", operation.id);
    }
    for name in schemas::all().keys() {
        assert!(page.contains(&format!("<h3 id=\"{name}\">")), "{name}");
    }
    for kind in problems::ALL {
        assert!(page.contains(kind.uri), "{}", kind.uri);
    }
    for link in page.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
        let there = link == "/openapi.json" || link.strip_prefix('#').is_some_and(|id| page.contains(&format!("id=\"{id}\"")));
        assert!(there, "{link}");
    }
}

/// Standard base64.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        (0..=group.len()).for_each(|place| out.push(char::from(DIGITS[(bits >> (18 - 6 * place) & 63) as usize])));
        (group.len()..3).for_each(|_| out.push('='));
    }
    out
}
