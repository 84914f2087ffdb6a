//! What keys were used for, on the command line.

use std::path::Path;

use serde_json::{Value, json};

use crate::node::{Node, Ran, tollgate};

/// A node that tells at once, its admin key, and a key with three tokens that has been asked for eight.
struct Used {
    folder: tempfile::TempDir,
    node: Node,
    admin: String,
    key_id: String,
}

impl Used {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (first, admin, _) = Node::first(folder.path());
        first.stop();
        let node = Node::launch(tollgate(folder.path(), &["serve"]).env("TOLLGATE_USAGE__FLUSH_INTERVAL", "100ms"));
        let limit = ["--burst", "3", "--per-seconds", "2678400", "--owner", "acme"];
        let made = node.ask(folder.path(), &admin, &[&["keys", "create", "--name", "n", "--output", "json"][..], &limit].concat()).json();
        let api_key = made["api_key"].as_str().expect("an api key");
        for asked in 0..8 {
            assert_eq!(node.ask(folder.path(), api_key, &["check"]).code, if asked < 3 { 0 } else { 7 });
        }
        Self { key_id: made["key_id"].as_str().expect("an id").to_owned(), folder, node, admin }
    }

    fn ask(&self, arguments: &[&str]) -> Ran {
        self.node.ask(Path::new(self.folder.path()), &self.admin, arguments)
    }

    /// What a command answers once it answers so.
    fn until(&self, arguments: &[&str], is_it: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        for _ in 0..200 {
            last = self.ask(&[arguments, &["--output", "json"]].concat()).json();
            if is_it(&last) {
                return last;
            }
        }
        panic!("{arguments:?} goes on answering {last}");
    }
}

#[test]
fn usage_is_told_as_a_table_and_as_json() {
    let used = Used::start();
    let usage = used.until(&["keys", "usage", &used.key_id], |usage| usage["windows"]["day"]["limited"] == 5);
    assert_eq!((&usage["owner"], usage["series"].as_array().map(Vec::len)), (&json!("acme"), Some(60)));
    let table = used.ask(&["keys", "usage", &used.key_id, "--step", "hour"]);
    assert_eq!(table.code, 0, "{}", table.err);
    assert!(table.out.contains("LAST    SINCE") && table.out.contains("\n\nAT "), "{}", table.out);
    let day = table.out.lines().find(|line| line.starts_with("day ")).expect("a line for the day");
    assert_eq!(day.split_whitespace().skip(2).collect::<Vec<_>>(), ["3", "5", "0", "3"]);
    let top = used.until(&["usage", "top", "--window", "day", "--owner", "acme"], |top| top["limited"] == 5);
    assert_eq!((&top["keys"][0]["key_id"], &top["complete"]), (&json!(used.key_id), &json!(true)));
    let table = used.ask(&["usage", "top", "--count", "1"]);
    assert!(table.out.starts_with("KEY ID") && table.out.contains(&used.key_id), "{}", table.out);
    assert_eq!((table.code, table.err.as_str()), (0, ""));
}

#[test]
fn what_cannot_be_told_has_its_exit_status() {
    let used = Used::start();
    used.ask(&["keys", "usage", "nothing"]).failed(5);
    let reader = used.ask(&["keys", "create", "--name", "n", "--scope", "keys:read", "--output", "json"]).json();
    let refused = used.node.ask(used.folder.path(), reader["api_key"].as_str().expect("an api key"), &["usage", "top"]);
    assert!(refused.failed(4).contains("usage:read"), "{}", refused.err);
    for arguments in [&["usage", "top", "--count", "0"][..], &["usage", "top", "--window", "week"], &["keys", "usage"]] {
        assert_eq!(used.ask(arguments).code, 2, "{arguments:?}");
    }
}
