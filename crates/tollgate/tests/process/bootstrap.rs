//! `tollgate bootstrap` and `signing-keys`, straight in a key file.

use std::os::unix::fs::PermissionsExt as _;

use crate::node::{Node, ran, tollgate};

#[test]
fn the_first_admin_key_is_printed_alone_and_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = ran(&mut tollgate(folder.path(), &["bootstrap"]));
    assert_eq!((first.code, first.err.as_str()), (0, ""));
    let key = first.out.trim_end();
    assert!(first.out.lines().count() == 1 && key.starts_with("tk_") && key.contains(":tks_"), "{key}");

    let second = ran(&mut tollgate(folder.path(), &["bootstrap"]));
    assert_eq!((second.code, second.out.as_str(), second.err.as_str()), (0, "", ""));

    let forced = ran(&mut tollgate(folder.path(), &["bootstrap", "--force"]));
    assert!(forced.code == 0 && forced.out.trim_end() != key, "{}", forced.err);

    let node = Node::start(folder.path());
    for admin in [key, forced.out.trim_end()] {
        assert_eq!(node.ask(folder.path(), admin, &["keys", "list"]).code, 0);
    }
    assert_eq!(node.stop(), "", "a node whose store has a key makes none");
}

#[test]
fn a_revoked_admin_is_replaced_by_bootstrap_and_never_by_the_node() {
    let folder = tempfile::tempdir().expect("a folder");
    let (node, admin, _) = Node::first(folder.path());
    let (key_id, _) = admin.split_once(':').expect("an api key");
    assert_eq!(node.ask(folder.path(), &admin, &["keys", "revoke", key_id]).code, 0);
    assert_eq!(node.ask(folder.path(), &admin, &["keys", "list"]).code, 3);
    node.stop();
    assert_eq!(Node::start(folder.path()).stop(), "");
    assert!(ran(&mut tollgate(folder.path(), &["bootstrap"])).out.starts_with("tk_"));
}

#[test]
fn a_key_file_is_private_and_not_overwritten_unasked() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("admin.key");
    let read = || std::fs::read_to_string(&path).expect("readable");
    std::fs::write(&path, "precious").expect("written");
    let refused = ran(&mut tollgate(folder.path(), &["bootstrap", "--to", "admin.key"]));
    assert!(refused.failed(1).contains("is there already"), "{}", refused.err);
    assert_eq!(read(), "precious");
    std::fs::remove_file(&path).expect("removed");

    let written = ran(&mut tollgate(folder.path(), &["bootstrap", "--to", "admin.key"]));
    assert_eq!((written.code, written.out.as_str()), (0, ""), "{}", written.err);
    assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
    let key = read();
    assert!(key.starts_with("tk_") && !written.err.contains(key.trim_end()), "{}", written.err);

    let again = ran(&mut tollgate(folder.path(), &["bootstrap", "--to", "admin.key"]));
    assert_eq!((again.code, read()), (0, key.clone()), "{}", again.err);
    let forced = ran(&mut tollgate(folder.path(), &["bootstrap", "--force", "--to", "admin.key"]));
    assert!(forced.code == 0 && read() != key, "{}", forced.err);

    let node = Node::start(folder.path());
    let listed =
        ran(tollgate(folder.path(), &["keys", "list", "--url", &node.url, "--api-key-file", "admin.key"]).env_remove("TOLLGATE_URL"));
    assert_eq!(listed.code, 0, "{}", listed.err);
}

#[test]
fn a_key_for_health_checks_can_do_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let bootstrap =
        |rest: &[&str]| ran(&mut tollgate(folder.path(), &[&["bootstrap", "--to", "admin", "--health-key-to", "health"], rest].concat()));
    let path = folder.path().join("health");
    let read = || std::fs::read_to_string(&path).expect("readable");
    let first = bootstrap(&[]);
    assert_eq!((first.code, first.out.as_str(), first.err.lines().count()), (0, "", 2), "{}", first.err);
    assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
    let key = read();
    let again = bootstrap(&[]);
    assert_eq!((again.code, again.err.as_str(), read()), (0, "", key.clone()));

    let node = Node::start(folder.path());
    let ask = |arguments: &[&str]| node.ask(folder.path(), key.trim_end(), arguments);
    assert_eq!(ask(&["health"]).code, 0);
    for refused in [&["keys", "list"][..], &["nodes"], &["keys", "create", "--name", "mine"]] {
        ask(refused).failed(4);
    }
    node.stop();

    std::fs::remove_file(&path).expect("removed");
    assert_eq!(bootstrap(&[]).code, 0);
    assert!(read() != key, "who has lost the file gets another key");
}

#[test]
fn a_health_key_that_the_store_does_not_let_in_is_replaced() {
    let folder = tempfile::tempdir().expect("a folder");
    let bootstrap = || ran(&mut tollgate(folder.path(), &["bootstrap", "--to", "admin", "--health-key-to", "health"]));
    let path = folder.path().join("health");
    let read = || std::fs::read_to_string(&path).expect("readable");
    assert_eq!(bootstrap().code, 0);
    let (first, admin) = (read(), std::fs::read_to_string(folder.path().join("admin")).expect("readable"));
    let (key_id, _) = first.split_once(':').expect("an api key");

    let node = Node::start(folder.path());
    assert_eq!(node.ask(folder.path(), admin.trim_end(), &["keys", "revoke", key_id]).code, 0);
    node.stop();
    assert_eq!(bootstrap().code, 0);
    let second = read();
    assert_ne!(second, first, "a revoked key checks nothing");
    // One that only another store knows.
    let other = tempfile::tempdir().expect("a folder");
    assert_eq!(ran(&mut tollgate(other.path(), &["bootstrap", "--health-key-to", "health"])).code, 0);
    std::fs::copy(other.path().join("health"), &path).expect("copied");
    assert_eq!(bootstrap().code, 0);
    let third = read();
    assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
    let node = Node::start(folder.path());
    assert_eq!(node.ask(folder.path(), third.trim_end(), &["health"]).code, 0);
    node.stop();
    assert_eq!((bootstrap().code, read()), (0, third));

    // What is no key at all is somebody's and stays.
    std::fs::write(&path, "precious").expect("written");
    let refused = bootstrap();
    assert!(refused.failed(2).contains("not an api key") && !refused.err.contains("precious"), "{}", refused.err);
    assert_eq!(read(), "precious");
}

#[test]
fn the_ring_is_rotated_and_old_keys_go_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let admin = ran(&mut tollgate(folder.path(), &["bootstrap"])).out;
    let ring = |arguments: &[&str]| ran(&mut tollgate(folder.path(), arguments));
    assert!(ring(&["signing-keys", "retire", "0"]).failed(6).contains("last one"));
    ring(&["signing-keys", "retire", "z"]).failed(5);
    assert_eq!(ring(&["signing-keys", "add", "--output", "json"]).json()["ring"], "1");
    assert_eq!(ring(&["signing-keys", "retire", "0"]).code, 0);
    let listed = ring(&["signing-keys", "list", "--output", "json"]).json();
    assert_eq!((&listed[0]["state"], &listed[1]["state"]), (&"retired".into(), &"signs".into()), "{listed}");

    let node = Node::start(folder.path());
    let created = node.ask(folder.path(), admin.trim_end(), &["keys", "create", "--name", "new", "--output", "json"]).json();
    assert!(created["api_key"].as_str().is_some_and(|key| key.contains(":tks_1")), "signed by the new one");
}
