//! Alerts and dashboard against the catalogue: they ask for no metric and no label that is not there.

use std::collections::BTreeSet;

use tollgate_telemetry::{CATALOGUE, Component};

use super::tree::{Source, none, sources};

const RULES: &str = "deploy/prometheus/tollgate.rules.yml";
const DASHBOARD: &str = "deploy/grafana/tollgate.json";
/// Labels that a scraper or a query adds.
const OTHER_LABELS: [&str; 4] = ["instance", "job", "le", "$instance"];

/// What a query says that no node has.
fn violations(query: &str) -> Vec<String> {
    let words: Vec<&str> = query.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).collect();
    let ours = words.iter().filter(|word| ["tollgate_", "api_", "process_"].iter().any(|prefix| word.starts_with(prefix)));
    ours.filter(|name| !is_known(name)).map(|name| format!("no metric {name}: {query}")).chain(unknown_labels(query)).collect()
}

fn is_known(name: &str) -> bool {
    let of_histogram = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
    CATALOGUE.iter().any(|metric| metric.name == name || of_histogram == Some(metric.name))
}

/// Values of labels, such as `component="redis"` or `outcome=~"a|b"`, that no label of ours can have.
fn unknown_labels(query: &str) -> Vec<String> {
    let selectors = query.split('{').skip(1).filter_map(|rest| rest.split('}').next());
    let pairs = selectors.flat_map(|selector| selector.split("\",")).filter_map(|pair| pair.split_once('='));
    let named = pairs.map(|(label, values)| (label.trim(), values.trim_start_matches('~').trim_matches('"')));
    let known = |label: &str, value: &str| {
        CATALOGUE.iter().flat_map(|metric| metric.labels).any(|own| own.name == label && own.values.contains(&value))
    };
    named
        .filter(|(label, _)| !OTHER_LABELS.contains(label))
        .flat_map(|(label, values)| values.split('|').map(move |value| (label, value)))
        .filter(|(label, value)| !known(label, value))
        .map(|(label, value)| format!("no label {label} is {value}: {query}"))
        .collect()
}

fn text(path: &str) -> String {
    let found = sources().into_iter().find(|source: &Source| source.path == path);
    found.unwrap_or_else(|| panic!("{path} is missing")).text
}

fn queries_of_rules() -> Vec<String> {
    text(RULES).lines().filter_map(|line| line.trim().strip_prefix("expr: ").map(str::to_owned)).collect()
}

pub(crate) fn queries_of_dashboard() -> Vec<String> {
    let dashboard: serde_json::Value = serde_json::from_str(&text(DASHBOARD)).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels").clone();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().expect("targets").clone());
    targets.map(|target| target["expr"].as_str().expect("a query").to_owned()).collect()
}

#[test]
fn alerts_and_dashboard_ask_for_what_there_is() {
    let (rules, panels) = (queries_of_rules(), queries_of_dashboard());
    assert!(rules.len() > 10 && panels.len() > 15, "{} rules and {} queries were found", rules.len(), panels.len());
    none(&rules.iter().chain(&panels).flat_map(|query| violations(query)).collect::<Vec<_>>());
}

/// What is measured and never shown is of no use to anybody.
#[test]
fn the_dashboard_shows_the_catalogue() {
    let shown = queries_of_dashboard().join("\n") + &queries_of_rules().join("\n");
    // The filter's size and its making are looked up where something is wrong with it.
    let left_out = BTreeSet::from(["tollgate_bloom_bytes", "tollgate_bloom_rebuild_duration_seconds"]);
    let ours = CATALOGUE.iter().map(|metric| metric.name).filter(|name| !left_out.contains(name));
    none(&ours.filter(|name| !shown.contains(name)).map(|name| format!("{name} is not shown")).collect::<Vec<_>>());
}

#[test]
fn each_alert_leads_to_a_page() {
    let text = text(RULES);
    let (alerts, pages): (Vec<_>, Vec<_>) = text
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with("- alert:") || line.starts_with("runbook:"))
        .partition(|line| line.starts_with("- alert:"));
    assert_eq!(alerts.len(), pages.len());
    let there: BTreeSet<String> = sources().into_iter().map(|source| source.path).collect();
    let dead = pages.iter().flat_map(|line| led_to(line)).filter(|page| !there.contains(page));
    none(&dead.map(|page| format!("no page {page}")).collect::<Vec<_>>());
}

/// The pages that an alert leads to: one, or one for each component.
fn led_to(line: &str) -> Vec<String> {
    const BY_COMPONENT: &str = "{{ $labels.component }}";
    let page = line.trim_start_matches("runbook: ").trim_matches('"');
    let components = if page.contains(BY_COMPONENT) { Component::ALL } else { &Component::ALL[..1] };
    components.iter().map(|component| page.replace(BY_COMPONENT, component.as_str())).collect()
}

/// Where Grafana of the stack looks, there the dashboard is; and its panels lie on no other.
#[test]
fn grafana_finds_the_dashboard_and_shows_every_panel() {
    let (compose, provider) = (text("docker-compose.yml"), text("deploy/compose/grafana-dashboards.yml"));
    let folder = provider.lines().find_map(|line| line.trim().strip_prefix("path: ")).expect("a folder");
    assert!(compose.contains(&format!("./{DASHBOARD}:{folder}/tollgate.json:ro")), "{folder}");
    let source = text("deploy/compose/grafana-datasource.yml");
    let host = source.lines().find_map(|line| line.trim().strip_prefix("url: http://")?.strip_suffix(":9090")).expect("a source");
    assert!(compose.lines().any(|line| line == format!("  {host}:")), "no service {host}");
    let dashboard: serde_json::Value = serde_json::from_str(&text(DASHBOARD)).expect("JSON");
    let (mut cells, mut ids) = (BTreeSet::new(), BTreeSet::new());
    for panel in dashboard["panels"].as_array().expect("panels") {
        let at = |name: &str| panel["gridPos"][name].as_u64().expect("a number");
        assert!(ids.insert(panel["id"].as_u64()) && at("x") + at("w") <= 24, "{}", panel["title"]);
        for (x, y) in (at("x")..at("x") + at("w")).flat_map(|x| (at("y")..at("y") + at("h")).map(move |y| (x, y))) {
            assert!(cells.insert((x, y)), "{} lies on another", panel["title"]);
        }
    }
}

#[test]
fn seeded_faults_are_found() {
    assert_eq!(violations("rate(tollgate_decisions_total{verdict=\"denied\", source=~\"redis|local\"}[5m]) / up"), Vec::<String>::new());
    assert_eq!(violations("tollgate_decision_duration_seconds_bucket{le=\"1\"}"), Vec::<String>::new());
    assert_eq!(led_to("runbook: docs/src/metrics.md"), ["docs/src/metrics.md"]);
    assert!(led_to("runbook: \"docs/src/runbooks/{{ $labels.component }}.md\"").contains(&"docs/src/runbooks/redis.md".to_owned()));
    for bad in ["tollgate_decided_total", "api_auth_total{outcome=\"good\"}", "tollgate_nodes_bucketed", "up{zone=\"a\"}"] {
        assert_eq!(violations(bad).len(), 1, "{bad}");
    }
}
