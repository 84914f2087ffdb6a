//! A node that speaks TLS: what the commands need to speak to it, and certificates that change.

use std::{path::Path, process::Command};

use tollgate_testkit::{TestAuthority, TestCertificate, replace_file};

use crate::node::{Node, ran, tollgate};

fn authority() -> TestAuthority {
    TestAuthority::new().expect("an authority")
}

/// `serve` under this certificate, whose files are looked at often.
fn serve(folder: &Path, certificate: &TestCertificate) -> Command {
    let mut command = tollgate(folder, &["serve"]);
    command
        .env("TOLLGATE_TLS__CERT_FILE", certificate.chain_file())
        .env("TOLLGATE_TLS__KEY_FILE", certificate.key_file())
        .env("TOLLGATE_TLS__RELOAD_INTERVAL", "100ms");
    command
}

/// What another client makes of a URL: its output, or none.
fn curl(url: &str, authority: &TestAuthority) -> Option<String> {
    let mut command = Command::new("curl");
    command.args(["--silent", "--fail", "--noproxy", "*", "--max-time", "30", "--cacert"]).arg(authority.file()).arg(url);
    let output = command.output().expect("curl is installed");
    output.status.success().then(|| String::from_utf8(output.stdout).expect("text"))
}

#[test]
fn a_node_is_spoken_to_where_its_authority_is_known_and_nowhere_else() {
    let (folder, ours) = (tempfile::tempdir().expect("a folder"), authority());
    let certificate = ours.issue(&["127.0.0.1"]).expect("a certificate");
    let (node, key, welcome) = Node::first_of(&mut serve(folder.path(), &certificate));
    assert!(node.url.starts_with("https://") && welcome.contains(&format!(" {}/v1/authorize", node.url)), "{welcome}");
    let ca_file = |authority: &TestAuthority| authority.file().display().to_string();
    let listed = node.ask(folder.path(), &key, &["keys", "list", "--output", "json", "--ca-file", &ca_file(&ours)]);
    assert!(listed.json().is_object() || listed.json().is_array(), "{}", listed.out);
    let mut health = tollgate(folder.path(), &["health"]);
    health.env("TOLLGATE_URL", &node.url).env("TOLLGATE_API_KEY", &key).env("TOLLGATE_CA_FILE", ours.file());
    let told = ran(&mut health);
    assert_eq!(told.code, 0, "{}", told.err);
    let by_name = node.url.replace("127.0.0.1", "localhost");
    for (arguments, why) in [
        (vec!["keys", "list"], "certificate"),
        (vec!["keys", "list", "--ca-file", &ca_file(&authority())], "certificate"),
        (vec!["keys", "list", "--ca-file", &ca_file(&ours), "--url", &by_name], "not valid for name"),
    ] {
        let refused = node.ask(folder.path(), &key, &arguments);
        let said = refused.failed(8);
        assert!(said.contains(why) && said.contains("--ca-file") && !said.contains(&key), "{said}");
    }
}

#[test]
fn a_node_whose_certificate_has_expired_is_refused() {
    let (folder, ours) = (tempfile::tempdir().expect("a folder"), authority());
    let good = ours.issue(&["127.0.0.1"]).expect("a certificate");
    let expired = ours.issue_expired(&["127.0.0.1"], &good).expect("a certificate");
    let mut node = Node::launch(&mut serve(folder.path(), &expired));
    let refused = node.ask(folder.path(), "mine:secret", &["keys", "list", "--ca-file", &ours.file().display().to_string()]);
    assert!(refused.failed(8).contains("certificate expired"), "{}", refused.err);
    // It has said so, and is good as soon as there is a good one.
    good.write_to(&expired.chain_file(), &expired.key_file()).expect("written");
    node.logged("the new certificate of tls.cert_file is shown from now on");
    assert!(curl(&format!("{}/health/live", node.url), &ours).is_some());
}

#[test]
fn both_listeners_show_a_new_certificate_and_never_a_broken_one() {
    let (folder, ours, next) = (tempfile::tempdir().expect("a folder"), authority(), authority());
    let certificate = ours.issue(&["127.0.0.1"]).expect("a certificate");
    let mut node = Node::launch(&mut serve(folder.path(), &certificate));
    let (live, page) = (format!("{}/health/live", node.url), format!("https://{}/metrics", node.metrics_address));
    let counted = |trusted: &TestAuthority, outcome: &str| {
        let page = curl(&page, trusted).expect("a page");
        let series = format!("tollgate_certificate_reloads_total{{outcome=\"{outcome}\"}} ");
        page.lines().find_map(|line| line.strip_prefix(&series)).expect("the metric").parse::<u64>().expect("a number")
    };
    let shows = |authority: &TestAuthority| curl(&live, authority).is_some();
    assert!(shows(&ours) && !shows(&next));
    let refused = "the new certificate cannot be used: the one before it stays";
    let expired = ours.issue_expired(&["127.0.0.1"], &certificate).expect("a certificate");
    let early = ours.issue_early(&["127.0.0.1"], &certificate).expect("a certificate");
    for (text, why) in [
        ("", "has no certificate"),
        (expired.chain(), "has expired"),
        (early.chain(), "is not valid yet"),
        (next.issue(&["127.0.0.1"]).expect("one").chain(), "not that of"),
    ] {
        replace_file(&certificate.chain_file(), text).expect("written");
        let told = node.logged(refused)["why"].as_str().expect("a reason").to_owned();
        assert!(told.contains(why), "{told}");
        assert!(shows(&ours) && !shows(&next), "{why}");
    }
    assert!(counted(&ours, "refused") >= 4);
    assert_eq!(counted(&ours, "taken"), 0);
    next.issue(&["127.0.0.1"]).expect("a certificate").write_to(&certificate.chain_file(), &certificate.key_file()).expect("written");
    node.logged("the new certificate of tls.cert_file is shown from now on");
    assert!(shows(&next) && !shows(&ours));
    assert_eq!(counted(&next, "taken"), 1);
    assert!(curl(&page, &next).expect("a page").contains("tollgate_certificate_not_after_seconds 6"), "the year 4096");
}

#[test]
fn metrics_are_plain_where_that_is_said() {
    let (folder, ours) = (tempfile::tempdir().expect("a folder"), authority());
    let certificate = ours.issue(&["127.0.0.1"]).expect("a certificate");
    let node = Node::launch(serve(folder.path(), &certificate).env("TOLLGATE_TLS__METRICS", "false"));
    assert!(curl(&format!("{}/health/live", node.url), &ours).is_some());
    assert!(curl(&format!("http://{}/metrics", node.metrics_address), &ours).expect("a page").contains("tollgate_build_info"));
    assert!(curl(&format!("https://{}/metrics", node.metrics_address), &ours).is_none());
}

#[test]
fn a_certificate_that_cannot_be_used_is_64() {
    let (folder, ours) = (tempfile::tempdir().expect("a folder"), authority());
    let (one, two) = (ours.issue(&["a"]).expect("a certificate"), ours.issue(&["b"]).expect("a certificate"));
    let missing = folder.path().join("none");
    for (chain, key, why) in [
        (&missing, &one.key_file(), "tls.cert_file: cannot read"),
        (&one.chain_file(), &missing, "tls.key_file: cannot read"),
        (&one.key_file(), &one.key_file(), "no certificate in PEM form"),
        (&one.chain_file(), &one.chain_file(), "no private key in PEM form"),
        (&one.chain_file(), &two.key_file(), "not that of the certificate"),
    ] {
        for arguments in [["serve"].as_slice(), &["config", "check"]] {
            let mut command = tollgate(folder.path(), arguments);
            let refused = ran(command.env("TOLLGATE_TLS__CERT_FILE", chain).env("TOLLGATE_TLS__KEY_FILE", key));
            assert!(refused.failed(64).contains(why), "{why}: {}", refused.err);
        }
    }
    assert!(!folder.path().join("tollgate-data").exists(), "nothing was made");
}
