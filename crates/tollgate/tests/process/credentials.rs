//! The operator's credential: its one form, and that it is never shown.

use std::{io::ErrorKind, net::TcpListener, process::Command};

use crate::node::{Node, ran, tollgate};

/// A word that no output may hold.
const CANARY: &str = "hunter2";

/// Forty texts that are no `key_id:secret`.
fn malformed() -> Vec<String> {
    let ulid = "01jd8zq7k3m5n7p9r1s3t5v7w9";
    let signed = format!("tks_{}", "A".repeat(67));
    let mut texts: Vec<String> = [
        " ",
        "hunter2",
        ":",
        "::",
        "a:",
        ":hunter2",
        " a:hunter2",
        "a:hunter2 ",
        "a :hunter2",
        "a: hunter2",
        "a:hun ter2",
        "a:hunter2\n",
        "\ta:hunter2",
        "a/b:hunter2",
        "a?b:hunter2",
        "-a:hunter2",
        ".a:hunter2",
        "_a:hunter2",
        "ä:hunter2",
        "a:hünter2",
        "a:hunter2\u{7f}",
        "a:hunter2\u{1b}[0m",
        "tk_:hunter2",
        "tk_1:hunter2",
        "Bearer a:hunter2",
        "Basic YTpodW50ZXIy=hunter2",
        "{\"api_key\":\"a:hunter2\"}",
        "\"a:hunter2\"",
        "a;hunter2",
        "a=hunter2",
        "a hunter2",
    ]
    .map(str::to_owned)
    .to_vec();
    texts.push(format!("tk_{}:hunter2", ulid.to_uppercase()));
    texts.push(format!("tk_{}u:hunter2", &ulid[1..]));
    texts.push(format!("tk_8{}:hunter2", &ulid[1..]));
    texts.push(format!("tk_{ulid}0:hunter2"));
    texts.push(format!("tk_{ulid}:{signed}"));
    texts.push(format!("tk_{ulid}:{}", &signed[..70]));
    texts.push(format!("tk_{ulid}:tku_hunter2"));
    texts.push(format!("a:{}", "hunter2".repeat(37)));
    texts.push(format!("{}:hunter2", "a".repeat(65)));
    texts
}

#[test]
fn a_malformed_credential_is_2_before_anything_is_sent() {
    let folder = tempfile::tempdir().expect("a folder");
    let nobody = TcpListener::bind("127.0.0.1:0").expect("a port");
    nobody.set_nonblocking(true).expect("set");
    let url = format!("http://{}", nobody.local_addr().expect("an address"));
    let texts = malformed();
    assert_eq!(texts.len(), 40);
    for text in texts {
        std::fs::write(folder.path().join("key"), &text).expect("written");
        let by_variable = ran(tollgate(folder.path(), &["keys", "list", "--url", &url]).env("TOLLGATE_API_KEY", &text));
        let by_file =
            (!text.ends_with('\n')).then(|| ran(&mut tollgate(folder.path(), &["check", "--url", &url, "--api-key-file", "key"])));
        for refused in [Some(by_variable), by_file].into_iter().flatten() {
            let said = refused.failed(2);
            assert!(!said.contains(CANARY), "{text:?}: {said}");
        }
    }
    assert_eq!(nobody.accept().expect_err("nobody came").kind(), ErrorKind::WouldBlock);
}

#[test]
fn no_credential_is_2_and_says_how_to_give_one() {
    let folder = tempfile::tempdir().expect("a folder");
    for command in [&["keys", "list"][..], &["health"], &["check"], &["keys", "list", "--api-key-file", "none"]] {
        let refused = ran(&mut tollgate(folder.path(), command));
        assert!(refused.failed(2).contains("--api-key-file"), "{}", refused.err);
    }
}

#[test]
fn a_credential_on_the_command_line_is_refused_and_not_repeated() {
    let folder = tempfile::tempdir().expect("a folder");
    let signed = format!("tk_01jd8zq7k3m5n7p9r1s3t5v7w9:tks_{CANARY}{}", "A".repeat(60));
    for command in [
        &["keys", "list", "--api-key", "mine:hunter2"][..],
        &["--api-key=mine:hunter2", "health"],
        &["--api-key", "health"],
        &["keys", "show", &signed],
        &["check", &signed],
    ] {
        let refused = ran(&mut tollgate(folder.path(), command));
        let said = refused.failed(2);
        assert!(said.contains("command line") && said.contains("TOLLGATE_API_KEY") && !said.contains(CANARY), "{said}");
    }
    for command in
        [&["check", "mine:hunter2"][..], &["keys", "show", "mine:hunter2"], &["--url", "http://mine:hunter2@127.0.0.1:1", "health"]]
    {
        let refused = ran(tollgate(folder.path(), command).env("TOLLGATE_API_KEY", "mine:other"));
        assert_eq!((refused.code, refused.out.as_str()), (2, ""), "{}", refused.err);
        assert!(!refused.err.contains(CANARY), "{}", refused.err);
    }
}

#[test]
fn a_secret_is_shown_at_creation_and_nowhere_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut node, admin, _) = Node::first(folder.path());
    let created = node.ask(folder.path(), &admin, &["keys", "create", "--name", "ci"]);
    assert!(created.out.contains("shown this once"), "{}", created.out);
    let api_key = created.out.lines().find_map(|line| line.strip_prefix("api key ")).expect("an api key").trim().to_owned();
    let (key_id, secret) = api_key.split_once(':').expect("both");
    let mut shown = created.err;
    for command in [
        &["keys", "list"][..],
        &["keys", "show", key_id],
        &["check"],
        &["keys", "update", key_id, "--name", "x"],
        &["keys", "revoke", key_id],
        &["check"],
    ] {
        for format in ["table", "json"] {
            let command = [command, &["--output", format]].concat();
            for credential in [&admin, &api_key] {
                let said = node.ask(folder.path(), credential, &command);
                shown.extend([said.out, said.err]);
            }
        }
    }
    node.signal("TERM");
    node.logged_with(|line| {
        shown.push_str(&line.to_string());
        line["message"] == "stopped"
    });
    let (_, admin_secret) = admin.split_once(':').expect("both");
    assert!(shown.contains(key_id), "the output is there");
    assert!(!shown.contains(secret) && !shown.contains(admin_secret), "{shown}");
}

#[test]
fn a_node_that_logs_everything_logs_no_secret() {
    let folder = tempfile::tempdir().expect("a folder");
    let (node, admin, _) = Node::first(folder.path());
    node.stop();
    let mut node = Node::launch(tollgate(folder.path(), &["serve"]).env("TOLLGATE_LOG__FILTER", "trace"));
    let encoded = ran(Command::new("sh").args(["-c", "printf %s \"$1\" | base64 | tr -d '\\n'", "sh", &admin])).out;
    let (bearer, header) = (format!("Authorization: Bearer {admin}"), format!("X-Api-Key: {admin}"));
    let body = format!("{{\"api_key\":\"{admin}\"}}");
    let (authorize, check) = (format!("{}/v1/authorize", node.url), format!("{}/v1/check", node.url));
    let query = format!("{authorize}?api_key={admin}");
    let json = "Content-Type: application/json";
    for (arguments, status) in [
        (&["-H", &bearer, &authorize][..], "200"),
        (&["-H", &header, &authorize], "200"),
        (&["-u", &admin, &authorize], "200"),
        (&["-H", &bearer, "-H", &header, &authorize], "400"),
        (&["-H", json, "-d", &body, &check], "200"),
        (&[&query], "400"),
    ] {
        let asked = ran(Command::new("curl").args(["-s", "-o", "/dev/null", "-w", "%{http_code}"]).args(arguments));
        assert_eq!(asked.out, status, "{}", arguments[0]);
    }
    node.signal("TERM");
    let (_, secret) = admin.split_once(':').expect("both");
    let mut lines = 0;
    node.logged_with(|line| {
        let text = line.to_string();
        assert!(!text.contains(secret) && !text.contains(&encoded), "{text}");
        lines += 1;
        line["message"] == "stopped"
    });
    assert!(encoded.len() > secret.len() && lines > 6, "{lines} lines for six requests");
}
