//! Every failure, its exit status and its one line of help: a contract with scripts and with people.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    path::Path,
};

use crate::node::{Ran, ran, tollgate};

/// The table. A line that changes here changes for everybody who reads exit statuses or help.
const TABLE: &str = include_str!("failures.txt");

/// Hears one request to the end of its headers, and does this with the connection.
fn server(answer: impl FnOnce(TcpStream) + Send + 'static) -> String {
    server_of(|heard| heard.ends_with(b"\r\n\r\n"), answer)
}

/// Hears one caller until it has heard enough.
fn server_of(enough: fn(&[u8]) -> bool, answer: impl FnOnce(TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a caller");
        let (mut heard, mut byte) = (Vec::new(), [0]);
        while (heard.is_empty() || !enough(&heard)) && stream.read(&mut byte).is_ok_and(|count| count == 1) {
            heard.push(byte[0]);
        }
        answer(stream);
    });
    format!("http://{address}")
}

/// A server that gives one answer.
fn answering(status: u16, headers: &str, kind: &str, body: &str) -> String {
    let head =
        format!("HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n", body.len());
    let answer = head + body;
    server(move |mut stream| stream.write_all(answer.as_bytes()).expect("answered"))
}

fn problem(status: u16) -> String {
    let waits = if matches!(status, 429 | 503) { "retry-after: 17\r\n" } else { "" };
    let body = format!(
        "{{\"type\":\"urn:tollgate:problem:x\",\"title\":\"Title\",\"status\":{status},\"detail\":\"why\",\"instance\":\"/\",\"request_id\":\"r-1\"}}"
    );
    answering(status, waits, "application/problem+json", &body)
}

fn ask(folder: &Path, url: &str) -> Ran {
    ran(tollgate(folder, &["keys", "show", "some", "--request-id", "r-1", "--url", url]).env("TOLLGATE_API_KEY", "mine:hunter2"))
}

/// One line of the table.
fn line(what: &str, ran: &Ran) -> String {
    assert_eq!(ran.out, "", "{what}");
    let helps: Vec<&str> = ran.err.lines().filter_map(|line| line.strip_prefix("help: ")).collect();
    assert_eq!(helps.len(), 1, "{what}: one line of help: {}", ran.err);
    assert!(ran.err.starts_with("error: ") && !ran.err.contains("hunter2"), "{what}: {}", ran.err);
    format!("{what} | {} | {}\n", ran.code, helps[0])
}

/// Compares with the part of the table under this heading.
#[track_caller]
fn same(heading: &str, lines: &[String]) {
    let (_, rest) = TABLE.split_once(&format!("## {heading}\n")).expect("a heading");
    let told = rest.split("\n## ").next().unwrap_or_default();
    assert_eq!(told.trim_end(), lines.concat().trim_end(), "crates/tollgate/tests/process/failures.txt, {heading}");
}

#[test]
fn every_status_of_a_node_has_its_exit_status_and_help() {
    let folder = tempfile::tempdir().expect("a folder");
    let statuses = [400, 401, 403, 404, 405, 408, 409, 412, 413, 415, 422, 429, 500, 503];
    let lines: Vec<String> = statuses.iter().map(|status| line(&status.to_string(), &ask(folder.path(), &problem(*status)))).collect();
    same("A node's problem", &lines);
}

#[test]
fn what_is_no_node_has_its_exit_status_and_help() {
    let folder = tempfile::tempdir().expect("a folder");
    let say = |what: &str, url: &str| line(what, &ask(folder.path(), url));
    // It answers a client's greeting as it answers everything, without an end of headers, and hears him out:
    // what is unread at the end would be told as a connection that broke.
    let plain = server_of(
        |_| true,
        |mut stream| {
            stream.write_all(b"HTTP/1.1 400 X\r\n\r\n").expect("answered");
            stream.shutdown(Shutdown::Write).expect("said");
            std::io::copy(&mut stream, &mut std::io::sink()).ok();
        },
    );
    let plain = plain.replace("http:", "https:");
    let lines = [
        say("502 of a balancer", &answering(502, "", "text/html", "bad gateway")),
        say("504 of a balancer", &answering(504, "", "text/html", "too late")),
        say("200 that is no answer", &answering(200, "", "text/html", "hello")),
        say("a redirect", &answering(302, "location: http://127.0.0.1:1/\r\n", "text/html", "")),
        say("connection refused", "http://127.0.0.1:1"),
        say("connection that breaks", &server(drop)),
        say("TLS that is none", &plain),
    ];
    same("No node", &lines);
}

#[test]
fn a_name_that_nobody_knows_is_8() {
    let folder = tempfile::tempdir().expect("a folder");
    let unknown = ask(folder.path(), "http://tollgate.invalid");
    // A machine without a name server may find that out by waiting, and then knows less.
    assert!(unknown.failed(8).contains("--url"), "{}", unknown.err);
}

#[test]
fn a_node_that_does_not_answer_is_8() {
    let folder = tempfile::tempdir().expect("a folder");
    let (done, wait) = std::sync::mpsc::channel::<()>();
    let silent = server(move |stream| {
        wait.recv().ok();
        drop(stream);
    });
    let lines = [line("no answer in time", &ask(folder.path(), &silent))];
    drop(done);
    same("No answer", &lines);
}

#[test]
fn what_is_wrong_here_has_its_exit_status_and_help() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("key"), "hunter2 without an id").expect("written");
    std::fs::create_dir(folder.path().join("closed")).expect("made");
    std::fs::write(folder.path().join("closed/keys.redb"), "no such store").expect("written");
    let nowhere = "http://127.0.0.1:1";
    let run = |arguments: &[&str], environment: &[(&str, &str)]| ran(tollgate(folder.path(), arguments).envs(environment.iter().copied()));
    let key = ("TOLLGATE_API_KEY", "mine:hunter2");
    let cluster = [
        ("TOLLGATE_MODE", "cluster"),
        ("TOLLGATE_REDIS__URL", "redis://127.0.0.1:1"),
        ("TOLLGATE_POSTGRES__URL", "postgres://me:hunter2@127.0.0.1:1/db"),
    ];
    let lines = [
        line("no credential", &run(&["keys", "list", "--url", nowhere], &[])),
        line("a credential of another form", &run(&["keys", "list", "--api-key-file", "key", "--url", nowhere], &[])),
        line("a credential among the arguments", &run(&["keys", "list", "--api-key", "mine:hunter2"], &[])),
        line("a file that is not there", &run(&["keys", "list", "--api-key-file", "none"], &[])),
        line("a URL that is none", &run(&["keys", "list", "--url", "ftp://x"], &[key])),
        line("a request id that is none", &run(&["keys", "list", "--request-id", "two words"], &[key])),
        line("certificates that are none", &run(&["keys", "list", "--ca-file", "none"], &[key])),
        line("settings that are invalid", &run(&["serve"], &[("TOLLGATE_LISTEM", "x")])),
        line("a store that is not there", &run(&["migrate"], &cluster)),
        line("a store that is none", &run(&["signing-keys", "list", "--data-dir", "closed"], &[])),
    ];
    same("Here", &lines);
    for usage in [&["nonsense"][..], &["keys"], &["keys", "create"], &["check", "--cost", "x"], &[]] {
        assert_eq!(run(usage, &[]).code, 2, "{usage:?}");
    }
}
