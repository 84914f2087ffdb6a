//! `tollgate events` as a process.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    time::Duration,
};

use serde_json::Value;
use tollgate_testkit::Port;

use crate::node::{Node, ran, tollgate};

/// No machine is so slow.
const WITHIN: Duration = Duration::from_mins(1);

/// `tollgate events` while it runs; killed on drop.
struct Following {
    child: Child,
    lines: Receiver<String>,
}

impl Following {
    fn start(folder: &Path, url: &str, api_key: &str, rest: &[&str]) -> Self {
        let arguments = [&["events", "--url", url], rest].concat();
        let mut command = tollgate(folder, &arguments);
        let mut child = command.env("TOLLGATE_API_KEY", api_key).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts");
        let (told, lines) = channel();
        let out = BufReader::new(child.stdout.take().expect("standard output"));
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                told.send(line).ok();
            }
        });
        Self { child, lines }
    }

    /// The next event of this type, as JSON.
    fn until(&self, kind: &str) -> Value {
        loop {
            let line = self.next().expect("another line");
            let event: Value = serde_json::from_str(&line).expect("a line of JSON");
            if event["type"] == kind {
                return event;
            }
        }
    }

    /// Its exit status once it has ended by itself.
    fn code(mut self) -> i32 {
        while let Some(line) = self.next() {
            assert!(!line.is_empty());
        }
        self.child.wait().expect("a child").code().expect("an exit status")
    }

    /// The next line; `None` once the process has ended.
    fn next(&self) -> Option<String> {
        match self.lines.recv_timeout(WITHIN) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("it says nothing and does not end"),
        }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// `serve` at a port that stays ours while there is no node.
fn serve_at(port: &Port, folder: &Path) -> Command {
    let mut command = tollgate(folder, &["serve"]);
    command.env("TOLLGATE_LISTEN", port.address().to_string());
    command
}

fn create(node: &Node, folder: &Path, admin: &str, rest: &[&str]) -> Value {
    let arguments = [&["keys", "create", "--name", "ci", "--output", "json"], rest].concat();
    node.ask(folder, admin, &arguments).json()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().expect("a text")
}

#[test]
fn events_go_on_after_the_last_one_when_the_node_comes_back() {
    let (folder, port) = (tempfile::tempdir().expect("a folder"), Port::take().expect("a port"));
    let (node, admin, _) = Node::first_of(&mut serve_at(&port, folder.path()));
    let following = Following::start(folder.path(), &node.url, &admin, &["--output", "json"]);
    following.until("health");
    let first = create(&node, folder.path(), &admin, &[]);
    let told = following.until("created");
    assert_eq!(text(&told, "key_id"), text(&first, "key_id"));
    assert_eq!(text(&told, "id"), format!("L{}", told["position"]));
    node.stop();
    let node = Node::launch(&mut serve_at(&port, folder.path()));
    let second = create(&node, folder.path(), &admin, &[]);
    assert_eq!(text(&following.until("created"), "key_id"), text(&second, "key_id"), "each once");
    // Everything from the beginning, for people: three keys were made, and how the node is may be told at any time.
    let following = Following::start(folder.path(), &node.url, &admin, &["--last-event-id", "L0"]);
    let mut lines = Vec::new();
    while lines.iter().filter(|line: &&String| !line.contains("  health")).count() < 3 {
        lines.push(following.next().expect("another line"));
    }
    let changes: Vec<&String> = lines.iter().filter(|line| !line.contains("  health")).collect();
    assert!(lines[0].contains("  health  ") && changes.iter().all(|line| line.contains("  created  ")), "{lines:?}");
    assert!(changes[1].contains(text(&first, "key_id")) && changes[2].contains(text(&second, "key_id")), "{lines:?}");
    // And no more than was asked for.
    let ran = node.ask(folder.path(), &admin, &["events", "--last-event-id", "L0", "--count", "4"]);
    assert_eq!((ran.code, ran.out.lines().count()), (0, 4), "{} {}", ran.out, ran.err);
    assert!(!ran.out.contains("tks_") && !lines.concat().contains("tks_"), "{} {lines:?}", ran.out);
}

#[test]
fn the_exit_status_says_why_events_cannot_be_followed() {
    let (folder, port) = (tempfile::tempdir().expect("a folder"), Port::take().expect("a port"));
    let (node, admin, _) = Node::first_of(&mut serve_at(&port, folder.path()));
    let ask = |api_key: &str, rest: &[&str]| node.ask(folder.path(), api_key, &[&["events", "--count", "1"], rest].concat());
    let reader = create(&node, folder.path(), &admin, &["--scope", "events:read"]);
    let other = create(&node, folder.path(), &admin, &["--scope", "keys:read"]);
    ask(text(&other, "api_key"), &[]).failed(4);
    ask("nobody:knows", &[]).failed(3);
    assert_eq!(ask(&admin, &["--last-event-id", "7"]).code, 2);
    let following = Following::start(folder.path(), &node.url, text(&reader, "api_key"), &["--output", "json"]);
    following.until("health");
    assert_eq!(node.ask(folder.path(), &admin, &["keys", "revoke", text(&reader, "key_id")]).code, 0);
    assert_eq!(text(&following.until("ended"), "reason"), "not_allowed");
    assert_eq!(following.code(), 3, "revoked");
    let url = node.url.clone();
    node.stop();
    let gone = ran(tollgate(folder.path(), &["events", "--url", &url]).env("TOLLGATE_API_KEY", &admin));
    gone.failed(8);
}
