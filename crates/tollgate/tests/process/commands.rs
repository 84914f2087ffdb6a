//! Operators' commands against a node, and their exit statuses.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    path::Path,
};

use serde_json::{Value, json};
use tollgate_testkit::Port;

use crate::node::{Node, Ran, ran, tollgate};

fn create(node: &Node, folder: &Path, admin: &str, rest: &[&str]) -> Value {
    let arguments = [&["keys", "create", "--name", "ci", "--output", "json"], rest].concat();
    node.ask(folder, admin, &arguments).json()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().expect("a text")
}

#[test]
fn a_key_is_made_shown_changed_and_revoked() {
    let folder = tempfile::tempdir().expect("a folder");
    let (node, admin, _) = Node::first(folder.path());
    let ask = |arguments: &[&str]| node.ask(folder.path(), &admin, &[arguments, &["--output", "json"]].concat());
    let rest = ["--owner", "acme", "--burst", "5", "--per-seconds", "60", "--scope", "a", "--scope", "keys:read", "--expires-in", "30d"];
    let created = create(&node, folder.path(), &admin, &rest);
    let key_id = text(&created, "key_id");
    assert_eq!(created["rate_limit"], json!({"burst": 5, "per_seconds": 60}));
    assert_eq!((&created["owner"], &created["scopes"]), (&json!("acme"), &json!(["a", "keys:read"])));
    assert!(text(&created, "api_key").starts_with(&format!("{key_id}:tks_")));

    let shown = ask(&["keys", "show", key_id]).json();
    assert_eq!((&shown["name"], &shown["expires_at"]), (&json!("ci"), &created["expires_at"]));
    assert_eq!(ask(&["keys", "list", "--owner", "acme"]).json()["keys"], json!([shown]));

    let generation = shown["generation"].to_string();
    let update = ["keys", "update", key_id, "--name", "new", "--no-scopes", "--no-expiry", "--unlimited", "--if-generation", &generation];
    let updated = ask(&update).json();
    assert_eq!((&updated["name"], &updated["scopes"], &updated["rate_limit"]), (&json!("new"), &json!([]), &Value::Null));
    assert_eq!(updated["expires_at"], Value::Null);
    assert!(ask(&update).failed(6).contains("412"), "the generation is an old one now");

    let revoked = ask(&["keys", "revoke", key_id, "--reason", "left"]).json();
    assert_eq!((&revoked["status"], &revoked["revoke_reason"]), (&json!("revoked"), &json!("left")));
    assert_eq!(ask(&["keys", "revoke", key_id]).json()["generation"], revoked["generation"], "a second time changes nothing");
    assert_eq!(ask(&["keys", "list", "--status", "revoked"]).json()["keys"].as_array().map(Vec::len), Some(1));
    assert_eq!(node.ask(folder.path(), text(&created, "api_key"), &["check"]).code, 3);
}

#[test]
fn a_key_has_an_outage_mode_of_its_own_until_it_is_taken_away() {
    let folder = tempfile::tempdir().expect("a folder");
    let (node, admin, _) = Node::first(folder.path());
    let created = create(&node, folder.path(), &admin, &["--outage-mode", "closed"]);
    assert_eq!(created["outage_mode"], "closed");
    let update = |arguments: &[&str]| {
        let all = [&["keys", "update", text(&created, "key_id"), "--output", "json"], arguments].concat();
        node.ask(folder.path(), &admin, &all).json()["outage_mode"].clone()
    };
    assert_eq!(update(&["--outage-mode", "open"]), "open");
    assert_eq!(update(&["--name", "other"]), "open");
    assert_eq!(update(&["--no-outage-mode"]), Value::Null);
}

#[test]
fn unsigned_keys_have_no_signature() {
    let folder = tempfile::tempdir().expect("a folder");
    let (node, admin, _) = Node::first(folder.path());
    let created = create(&node, folder.path(), &admin, &["--unsigned"]);
    assert!(text(&created, "api_key").contains(":tku_"));
    assert_eq!(created["kind"], "unsigned");
    assert_eq!(node.ask(folder.path(), text(&created, "api_key"), &["check"]).code, 0);
}

#[test]
fn pages_are_told_and_followed() {
    let folder = tempfile::tempdir().expect("a folder");
    let (node, admin, _) = Node::first(folder.path());
    for _ in 0..4 {
        create(&node, folder.path(), &admin, &[]);
    }
    let page = node.ask(folder.path(), &admin, &["keys", "list", "--page-size", "2", "--output", "json"]);
    assert!(page.err.contains("there are more"), "{}", page.err);
    let cursor = page.json();
    let next = node.ask(
        folder.path(),
        &admin,
        &["keys", "list", "--page-size", "2", "--cursor", text(&cursor, "next_cursor"), "--output", "json"],
    );
    assert_eq!(next.json()["keys"].as_array().map(Vec::len), Some(2));
    let all = node.ask(folder.path(), &admin, &["keys", "list", "--page-size", "2", "--all", "--output", "json"]);
    assert_eq!((all.json()["keys"].as_array().map(Vec::len), all.err.as_str()), (Some(5), ""));
}

#[test]
fn an_owner_gets_a_limit_and_loses_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let (node, admin, _) = Node::first(folder.path());
    let ask = |arguments: &[&str]| node.ask(folder.path(), &admin, &[arguments, &["--output", "json"]].concat());
    let created = create(&node, folder.path(), &admin, &["--owner", "acme"]);
    let check = || node.ask(folder.path(), text(&created, "api_key"), &["check"]);
    ask(&["owners", "show", "nobody"]).failed(5);
    ask(&["owners", "set", "acme"]).failed(2);
    assert_eq!(ask(&["owners", "set", "acme", "--burst", "1", "--per-seconds", "2678400"]).code, 0);
    assert_eq!(ask(&["owners", "show", "acme"]).json()["rate_limit"], json!({"burst": 1, "per_seconds": 2_678_400}));
    assert_eq!((check().code, check().code), (0, 7));
    assert_eq!(ask(&["owners", "set", "acme", "--unlimited"]).json()["rate_limit"], Value::Null);
    assert_eq!(check().code, 0);
}

#[test]
fn each_refusal_has_its_exit_status() {
    let folder = tempfile::tempdir().expect("a folder");
    let (node, admin, _) = Node::first(folder.path());
    let created = create(&node, folder.path(), &admin, &["--burst", "1", "--per-seconds", "2678400", "--scope", "a"]);
    let api_key = text(&created, "api_key").to_owned();
    let ask = |credential: &str, arguments: &[&str]| node.ask(folder.path(), credential, arguments);
    let said = |ran: Ran, code: i32, word: &str| assert!(ran.failed(code).contains(word), "{}", ran.err);

    said(ask("nobody:knows", &["keys", "list"]), 3, "401");
    said(ask("nobody:knows", &["health"]), 3, "401");
    said(ask(&admin, &["keys", "show", "nothing"]), 5, "404");
    said(ask(&admin, &["keys", "create", "--name", "", "--scope", "a"]), 6, "/name");
    said(ask(&admin, &["keys", "create", "--name", "n", "--burst", "0", "--per-seconds", "1"]), 6, "/rate_limit/burst");
    said(ask(&admin, &["keys", "create", "--name", "n", "--scope", "No Scope"]), 6, "/scopes/0");
    let scopeless = ask(&api_key, &["check", "--scope", "b"]);
    assert_eq!((scopeless.code, scopeless.err.starts_with("help: use a key that has the scope")), (4, true), "{}", scopeless.err);
    let unknown = ask("nobody:knows", &["check"]);
    assert_eq!((unknown.code, unknown.err.contains("(request id ")), (3, true), "{}", unknown.err);
    assert_eq!(ask(&api_key, &["check", "--peek"]).code, 0);
    assert_eq!(ask(&api_key, &["check"]).code, 0);
    let limited = ask(&api_key, &["check"]);
    assert_eq!(limited.code, 7);
    assert!(
        limited.out.contains("limited") && limited.err.contains("try again in 26") && limited.err.contains("(request id "),
        "{} {}",
        limited.out,
        limited.err
    );
    said(ask(&admin, &["check", "--cost", "1001"]), 6, "burst");
    said(ask(&admin, &["check", "--cost", "0"]), 6, "/cost");
    assert_eq!(ask(&admin, &["check", "--cost", "-1"]).code, 2);
    assert_eq!(ask(&admin, &["health"]).code, 0);

    let weak = create(&node, folder.path(), &admin, &[]);
    said(ask(text(&weak, "api_key"), &["keys", "list"]), 4, "keys:read");
    said(ask(text(&weak, "api_key"), &["health"]), 4, "health:read");
}

#[test]
fn another_key_is_checked_from_a_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let (node, admin, _) = Node::first(folder.path());
    let created = create(&node, folder.path(), &admin, &["--burst", "1", "--per-seconds", "2678400"]);
    std::fs::write(folder.path().join("key"), text(&created, "api_key")).expect("written");
    let check = || ran(&mut tollgate(folder.path(), &["check", "--url", &node.url, "--checked-key-file", "key", "--output", "json"]));
    assert_eq!(check().json()["key_id"], created["key_id"]);
    assert_eq!(check().code, 7);
    std::fs::write(folder.path().join("key"), "nobody:knows").expect("written");
    assert_eq!(check().code, 3);
}

#[test]
fn a_request_id_joins_the_command_and_the_log() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut node, admin, _) = Node::first(folder.path());
    let failed = node.ask(folder.path(), &admin, &["owners", "show", "nobody", "--request-id", "find-me"]);
    assert!(failed.failed(5).ends_with(" (request id find-me)\n"), "{}", failed.err);
    node.logged_with(|line| line["request_id"] == "find-me");
    let made = node.ask(folder.path(), &admin, &["owners", "show", "nobody"]);
    let id = made.err.rsplit_once("(request id ").expect("an id").1.trim_end().trim_end_matches(')').to_owned();
    node.logged_with(|line| line["request_id"] == id.as_str());
    assert_eq!(node.ask(folder.path(), &admin, &["health", "--request-id", "two words"]).code, 2);
}

#[test]
fn no_node_is_8_and_no_tollgate_is_1() {
    let folder = tempfile::tempdir().expect("a folder");
    // Held to the end, so that nobody else is there when nobody is to be.
    let port = Port::take().expect("a port");
    let listener = TcpListener::bind(port.address()).expect("a listener");
    let url = format!("http://{}", port.address());
    let other = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a caller");
        let mut request = [0; 4096];
        assert!(stream.read(&mut request).expect("a request") > 0);
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello").expect("answered");
    });
    let ask = || ran(tollgate(folder.path(), &["health", "--url", &url]).env("TOLLGATE_API_KEY", "mine:secret"));
    assert!(ask().failed(1).contains("--url"));
    other.join().expect("it answered");
    let nobody = ask();
    let said = nobody.failed(8);
    assert!(said.contains("cannot be reached") && said.contains("TOLLGATE_URL") && said.contains("request id"), "{said}");
}

#[test]
fn help_and_version_are_results() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = |arguments: &[&str]| {
        ran(tollgate(folder.path(), arguments).env("TOLLGATE_API_KEY", "mine:hunter2").env("TOLLGATE_URL", "http://x/hunter2"))
    };
    let version = run(&["--version"]);
    assert_eq!((version.code, version.out), (0, format!("tollgate {}\n", env!("CARGO_PKG_VERSION"))));
    for arguments in [&["--help"][..], &["keys", "create", "--help"], &["serve", "--help"]] {
        let help = run(arguments);
        assert_eq!((help.code, help.err.as_str()), (0, ""));
        assert!(help.out.contains("Usage: tollgate") && !help.out.contains("hunter2"), "{}", help.out);
    }
    for arguments in [&[][..], &["nonsense"], &["keys"], &["serve", "--nonsense"]] {
        let usage = run(arguments);
        assert_eq!((usage.code, usage.out.as_str()), (2, ""), "{arguments:?}");
        assert!(!usage.err.is_empty());
    }
}
