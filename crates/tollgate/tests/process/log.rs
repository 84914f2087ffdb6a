//! `tollgate log reset`, straight in the store.

use crate::node::{Node, ran, tollgate};

#[test]
fn a_reset_says_where_the_log_goes_on_and_keeps_every_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let admin = ran(&mut tollgate(folder.path(), &["bootstrap"])).out;
    let reset = |arguments: &[&str]| ran(&mut tollgate(folder.path(), &[&["log", "reset"], arguments].concat()));
    let said = reset(&[]);
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    assert_eq!(said.out.trim_end(), format!("the change log goes on from position {}", 1_u64 << 32));
    assert_eq!(reset(&["--output", "json"]).json(), serde_json::json!({"position": 2_u64 << 32}), "further every time");

    let node = Node::start(folder.path());
    let shown = node.ask(folder.path(), admin.trim_end(), &["keys", "list", "--output", "json"]).json();
    assert_eq!(shown["keys"][0]["generation"], 2_u64 << 32, "{shown}");
    // A node has the file to itself.
    assert!(!reset(&[]).failed(8).is_empty());
    let created = node.ask(folder.path(), admin.trim_end(), &["keys", "create", "--name", "after", "--output", "json"]).json();
    assert_eq!(created["generation"], (2_u64 << 32) + 1, "and it goes on");
}

#[test]
fn a_store_that_cannot_be_reached_is_status_8_and_nothing_on_stdout() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = tollgate(folder.path(), &["log", "reset"]);
    command.env("TOLLGATE_MODE", "cluster").env("TOLLGATE_REDIS__URL", "redis://127.0.0.1:1/");
    command.env("TOLLGATE_POSTGRES__URL", "postgres://nobody:open-sesame@127.0.0.1:1/none");
    let told = ran(&mut command);
    assert!(!told.failed(8).contains("sesame"), "{}", told.err);
    assert_eq!(told.out, "");
}
