//! Whoever is told of a component, a guard rail or a problem finds a page of its name that says what to do.

use std::collections::BTreeSet;

use tollgate_telemetry::Component;

use super::tree::{Source, none, sources};

const RUNBOOKS: &str = "docs/src/runbooks/";
const PROBLEMS: &str = "docs/src/problems/";
/// Where every type of problem stands.
const TABLE: &str = "crates/http/src/problem.rs";
const TYPES: [&str; 2] = ["urn:tollgate:problem:", "https://iana.org/assignments/http-problem-types#"];
const HEADINGS: [&str; 4] = ["What it means", "How it shows", "What to do", "When it goes away"];
/// A page is read in need.
const LINES_MAX: usize = 50;

/// What a page must be there for: its name, and what its first lines must say.
#[derive(Debug, Clone)]
struct Subject {
    name: String,
    said: String,
}

/// Every component and guard rail, under the name that metrics, events and `/health/full` have for it.
fn components() -> Vec<Subject> {
    let told = Component::ALL.iter().map(|component| {
        let name = component.as_str().to_owned();
        let on_the_wire: tollgate_api::Component = serde_json::from_value(name.clone().into()).expect("a component of the wire too");
        let what = if on_the_wire.is_guard_rail() { "Guard rail" } else { "Component" };
        Subject { said: format!("{what} `{name}`: "), name }
    });
    told.collect()
}

/// Every type of problem, under its last word.
fn problems(sources: &[Source]) -> Vec<Subject> {
    let table = sources.iter().find(|source| source.path == TABLE).expect("the table of problems");
    let quoted = table.text.split('"').skip(1).step_by(2);
    let types: BTreeSet<&str> = quoted.filter(|text| TYPES.iter().any(|start| text.starts_with(start))).collect();
    let named = types.into_iter().filter_map(|kind| Some((kind, kind.rsplit([':', '#']).next()?)));
    named.map(|(kind, name)| Subject { name: name.to_owned(), said: format!("`{kind}`, status ") }).collect()
}

fn violations(sources: &[Source], folder: &str, subjects: &[Subject]) -> Vec<String> {
    let path = |subject: &Subject| format!("{folder}{}.md", subject.name);
    let page = |subject: &Subject| sources.iter().find(|source| source.path == path(subject));
    let missing = subjects.iter().filter(|subject| page(subject).is_none()).map(|subject| format!("{} is missing", path(subject)));
    let found = subjects.iter().filter_map(|subject| Some((subject, page(subject)?)));
    let bad = found.flat_map(|(subject, page)| violations_of(subject, page));
    let known: BTreeSet<String> = subjects.iter().map(path).collect();
    let stray = sources.iter().filter(|source| source.path.starts_with(folder) && !known.contains(&source.path));
    missing.chain(bad).chain(stray.map(|source| format!("{} is a page of nothing", source.path))).collect()
}

fn violations_of(subject: &Subject, page: &Source) -> Vec<String> {
    let headings: Vec<&str> = page.text.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let mut found = Vec::new();
    if headings != HEADINGS {
        found.push(format!("{}: its headings are {headings:?}", page.path));
    }
    if !page.text.lines().nth(2).is_some_and(|line| line.starts_with(&subject.said)) {
        found.push(format!("{}: its third line is not \"{}…\"", page.path, subject.said));
    }
    let parts = page.text.split("\n## ").skip(1).filter(|part| part.split_once('\n').is_none_or(|(_, text)| text.trim().is_empty()));
    found.extend(parts.map(|part| format!("{}: nothing is said under {part:?}", page.path)));
    if page.text.lines().count() > LINES_MAX {
        found.push(format!("{}: more than {LINES_MAX} lines", page.path));
    }
    found
}

#[test]
fn every_component_and_guard_rail_has_its_page() {
    let subjects = components();
    assert!(subjects.len() >= 12);
    none(&violations(&sources(), RUNBOOKS, &subjects));
}

#[test]
fn every_problem_has_its_page() {
    let sources = sources();
    let subjects = problems(&sources);
    assert!(subjects.len() >= 22, "{subjects:?}");
    none(&violations(&sources, PROBLEMS, &subjects));
}

/// What a page sends its reader to look at is there: metrics with labels, alerts.
#[test]
fn pages_name_metrics_and_alerts_that_exist() {
    let sources = sources();
    let rules = sources.iter().find(|source| source.path == "deploy/prometheus/tollgate.rules.yml").expect("the rules");
    let pages = sources.iter().filter(|source| source.path.starts_with(RUNBOOKS) || source.path.starts_with(PROBLEMS));
    let words = pages.flat_map(|page| page.text.split('`').skip(1).step_by(2).map(move |word| (page, word)));
    let unknown = words.filter(|(_, word)| {
        let name = word.split('{').next().unwrap_or_default();
        let is_metric = name.starts_with("tollgate_") || name.starts_with("api_");
        let is_alert = name.starts_with("Tollgate");
        (is_metric && name != "api_key" && !tollgate_telemetry::CATALOGUE.iter().any(|metric| metric.name == name))
            || (is_alert && !rules.text.contains(&format!("alert: {name}\n")))
    });
    none(&unknown.map(|(page, word)| format!("{}: there is no {word}", page.path)).collect::<Vec<_>>());
}

#[test]
fn seeded_faults_are_found() {
    let subject = [Subject { name: "redis".into(), said: "Component `redis`: ".into() }];
    let found = |path: &str, text: &str| violations(&[Source::seeded(path, text)], RUNBOOKS, &subject).len();
    let good = "# Redis\n\nComponent `redis`: x\n\n## What it means\na\n## How it shows\nb\n## What to do\nc\n## When it goes away\nd\n";
    assert_eq!(found("docs/src/runbooks/redis.md", good), 0);
    assert_eq!(found("docs/src/runbooks/redis.md", &good.replace("Component", "Guard rail")), 1);
    assert_eq!(found("docs/src/runbooks/redis.md", &good.replace("## What to do\nc\n", "")), 1);
    assert_eq!(found("docs/src/runbooks/redis.md", &good.replace("\nc\n", "\n\n")), 1);
    assert_eq!(found("docs/src/runbooks/redis.md", &(good.to_owned() + &"more\n".repeat(60))), 1);
    assert_eq!(found("docs/src/runbooks/gone.md", good), 2, "one is missing, and one is of nothing");
    let table = [Source::seeded(
        TABLE,
        "kind(S, \"urn:tollgate:problem:a-b\", \"A\") kind(S, \"https://iana.org/assignments/http-problem-types#c\", \"C\")",
    )];
    assert_eq!(problems(&table).into_iter().map(|subject| subject.name).collect::<Vec<_>>(), ["c", "a-b"]);
}
