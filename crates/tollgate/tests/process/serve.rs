//! `tollgate serve` in mode embedded.

use std::{
    net::TcpListener,
    process::{Command, Stdio},
};

use tollgate_testkit::Port;

use crate::node::{Node, ran, tollgate};

#[test]
fn the_first_start_prints_a_key_and_a_curl_line_that_works_when_pasted() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_node, _, welcome) = Node::first(folder.path());
    let line = welcome.lines().map(str::trim).find(|line| line.starts_with("curl ")).expect("a line to paste");
    let pasted = ran(Command::new("sh").args(["-c", line]));
    assert_eq!(pasted.code, 0, "{}", pasted.err);
    assert!(pasted.out.starts_with("HTTP/1.1 200 OK\r\n"), "{}", pasted.out);
    assert!(pasted.out.contains("x-tollgate-scopes: admin\r\n"), "{}", pasted.out);
}

#[test]
fn a_second_start_keeps_the_keys_and_prints_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let (node, admin, welcome) = Node::first(folder.path());
    assert_eq!(welcome.matches(&admin).count(), 2, "once alone and once to paste: {welcome}");
    let created = node.ask(folder.path(), &admin, &["keys", "create", "--name", "ci", "--output", "json"]).json();
    node.stop();

    let node = Node::start(folder.path());
    let api_key = created["api_key"].as_str().expect("an api key");
    assert_eq!(node.ask(folder.path(), api_key, &["check", "--peek"]).code, 0);
    let page = node.ask(folder.path(), &admin, &["keys", "list", "--output", "json"]).json();
    assert_eq!(page["keys"].as_array().expect("keys").len(), 2);
    assert_eq!(node.stop(), "");
}

#[test]
fn keys_outlive_a_crash() {
    let folder = tempfile::tempdir().expect("a folder");
    let (node, admin, _) = Node::first(folder.path());
    let created = node.ask(folder.path(), &admin, &["keys", "create", "--name", "ci", "--output", "json"]).json();
    node.signal("KILL");
    assert_eq!(node.ended().0, None);
    let node = Node::start(folder.path());
    assert_eq!(node.ask(folder.path(), created["api_key"].as_str().expect("an api key"), &["check"]).code, 0);
}

#[test]
fn the_file_of_a_running_node_is_not_shared() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = Node::start(folder.path());
    for command in [&["serve"][..], &["bootstrap"], &["signing-keys", "list"]] {
        let second = ran(&mut tollgate(folder.path(), command));
        let said = second.failed(8);
        assert!(said.contains("keys.redb is used by another process") && said.contains("data_dir"), "{said}");
    }
    assert!(node.stop().contains("tk_"), "the first start still printed its key");
}

#[test]
fn a_port_in_use_is_told_and_no_key_is_made() {
    let folder = tempfile::tempdir().expect("a folder");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    for flag in ["--listen", "--metrics-listen"] {
        let refused = ran(&mut tollgate(folder.path(), &["serve", flag, &address]));
        let said = refused.failed(1);
        assert!(said.contains(&address) && said.contains("choose another") && said.contains(flag), "{said}");
    }
    drop(taken);
    let (_node, key, _) = Node::first(folder.path());
    assert!(key.starts_with("tk_"));
}

#[test]
fn a_data_directory_that_cannot_be_made_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("file"), "").expect("written");
    let refused = ran(&mut tollgate(folder.path(), &["serve", "--data-dir", "file/data"]));
    let said = refused.failed(8);
    assert!(said.contains("cannot open file/data") && said.contains("writable"), "{said}");
}

#[test]
fn a_node_told_to_stop_serves_on_and_is_not_ready() {
    let folder = tempfile::tempdir().expect("a folder");
    let (node, admin, _) = Node::first(folder.path());
    node.stop();
    let mut node = Node::launch(tollgate(folder.path(), &["serve"]).env("TOLLGATE_SHUTDOWN__DRAIN_DELAY", "5m"));
    node.signal("TERM");
    node.logged_with(|line| line["message"].as_str().is_some_and(|message| message.starts_with("stopping")));
    assert_eq!(node.ask(folder.path(), &admin, &["check"]).code, 0);
    let health = node.ask(folder.path(), &admin, &["health", "--output", "json"]);
    assert!(health.out.contains("\"ready\": false"), "{}", health.out);

    node.signal("INT");
    let (code, out) = node.ended();
    assert_eq!((code, out.as_str()), (Some(1), ""), "a second signal ends it at once");
}

#[test]
fn metrics_are_on_their_own_listener_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = Node::start(folder.path());
    let public = ran(Command::new("curl").args(["-s", "-o", "/dev/null", "-w", "%{http_code}", &format!("{}/metrics", node.url)]));
    assert_eq!(public.out, "404");
}

#[test]
fn the_metrics_page_is_where_the_log_says() {
    let folder = tempfile::tempdir().expect("a folder");
    let port = Port::take().expect("a port");
    let address = port.address().to_string();
    let _node = Node::launch(&mut tollgate(folder.path(), &["serve", "--metrics-listen", &address]));
    let page = ran(Command::new("curl").args(["-s", &format!("http://{address}/metrics")]));
    assert!(page.out.contains("tollgate_build_info{version="), "{}", page.out);
}

/// The limit of open files that a running node has.
fn open_files(pid: u32) -> u64 {
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).expect("the node runs");
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).expect("a limit");
    line.split_whitespace().next().and_then(|soft| soft.parse().ok()).expect("a number")
}

/// The same command under a limit of open files, as `ulimit` sets it.
fn limited(command: &Command, limit: &str) -> Command {
    let mut limited = Command::new("sh");
    limited.args(["-c", &format!("ulimit {limit} && exec \"$0\" \"$@\"")]).arg(command.get_program()).args(command.get_args());
    limited.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    limited.current_dir(command.get_current_dir().expect("a folder")).stdin(Stdio::null());
    limited
}

#[test]
fn requests_are_served_by_as_many_threads_as_the_setting_says() {
    let threads = |count: &str| {
        let folder = tempfile::tempdir().expect("a folder");
        let node = Node::launch(tollgate(folder.path(), &["serve"]).env("TOLLGATE_WORKER_THREADS", count));
        std::fs::read_dir(format!("/proc/{}/task", node.pid())).expect("the node runs").count()
    };
    // Beside them there are the first one, and a few that wait for files and hash.
    let (few, many) = (threads("1"), threads("65"));
    assert!(many > few + 48, "{few} and {many}");
}

#[test]
fn a_node_asks_for_as_many_open_files_as_it_may_need() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut serve = tollgate(folder.path(), &["serve"]);
    serve.env("TOLLGATE_HTTP__CONNECTIONS_MAX", "300");
    let node = Node::launch(&mut limited(&serve, "-Sn 200"));
    assert_eq!(open_files(node.pid()), 812, "so many connections, and 512 of its own");
}

#[test]
fn a_limit_of_open_files_that_cannot_be_raised_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let refused = ran(&mut limited(&tollgate(folder.path(), &["serve", "--listen", &address]), "-n 600"));
    let said = refused.failed(1);
    assert!(said.contains("\"wanted\":10512") && said.contains("\"given\":600") && said.contains("LimitNOFILE"), "{said}");
}
