//! Keys on the move, by the command line: out of an embedded node, into a cluster, and back again.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use tollgate_testkit::{Node, NodeBuilder, Scratch, eventually};

use crate::support::{Api, Cluster, NewKey};

const HASH: &str = "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$";

/// Runs a command that must end with `status`; gives what it printed.
async fn run(builder: &NodeBuilder, arguments: &[&str], status: i32) -> (String, String) {
    let output = tokio::process::Command::from(builder.command(arguments).unwrap()).output().await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert_eq!(output.status.code(), Some(status), "{arguments:?}: {}", text(&output.stderr));
    (text(&output.stdout), text(&output.stderr))
}

/// `script` gives its command a terminal.
async fn run_on_a_terminal(builder: &NodeBuilder, arguments: &str, status: i32) -> String {
    let plain = builder.command(&[]).unwrap();
    let mut command = tokio::process::Command::new("script");
    command.args(["-qec", &format!("'{}' {arguments}", plain.get_program().display()), "/dev/null"]);
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    // On one that can do nothing, nothing is drawn.
    command.env("TERM", "xterm");
    let output = command.output().await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(status), "{arguments}: {text}");
    text
}

async fn import(builder: &NodeBuilder, file: &Path) -> Value {
    let (report, _) = run(builder, &["--output", "json", "keys", "import", file.to_str().unwrap()], 0).await;
    serde_json::from_str(&report).unwrap()
}

fn write(folder: &Scratch, lines: &[Value]) -> PathBuf {
    let file = folder.path().join("keys.jsonl");
    let text: Vec<String> = lines.iter().map(Value::to_string).collect();
    std::fs::write(&file, text.join("\n") + "\n").unwrap();
    file
}

/// As in two exports in one file: the second line of an owner finds the first there.
async fn an_owner_may_be_named_twice(cluster: &Cluster, folder: &Scratch, exported: &str) {
    let owner = exported.lines().find(|line| line.contains("acme") && !line.contains("key_id")).unwrap().replace("acme", "twice");
    let twice = folder.path().join("twice.jsonl");
    std::fs::write(&twice, format!("{owner}\n{owner}\n")).unwrap();
    let report = import(&cluster.fleet.builder, &twice).await;
    assert_eq!((&report["owners_made"], &report["owners_kept"]), (&json!(1), &json!(1)), "{report}");
}

/// A node that is slow to poll learns of the ring later.
async fn becomes_good(api: &Api) {
    let good = eventually("an imported key is good", Duration::from_mins(1), async || {
        let answer = api.authorize("").await;
        anyhow::ensure!(answer.status == 200, "{}", answer.text());
        Ok(())
    });
    good.await.unwrap();
}

#[tokio::test]
async fn a_round_trip_from_embedded_to_a_cluster_keeps_every_key_usable() {
    let (folder, data) = (Scratch::new("export").unwrap(), Scratch::new("data").unwrap());
    let embedded = Node::embedded(data.path());
    let admin_key = embedded.run(&["bootstrap"]).await.unwrap();
    let node = embedded.clone().start().await.unwrap();
    let admin = Api::of(&node).with(&admin_key);
    let limit = |burst: u32| json!({"burst": burst, "per_seconds": 60});
    let signed = NewKey::make(&admin, json!({"owner": "acme", "scopes": ["a"], "rate_limit": limit(50)})).await;
    let unsigned = NewKey::make(&admin, json!({"kind": "unsigned", "rate_limit": null, "metadata": {"a": [1, "b"]}})).await;
    let plain = async || NewKey::make(&admin, json!({})).await;
    let (rotated, revoked, suspended) = (plain().await, plain().await, plain().await);
    let new = admin.post(&format!("{}/rotate", rotated.path()), &json!({"grace_seconds": 3600})).send().await.expect(200).json();
    revoked.revoke(&admin).await;
    admin.post(&format!("{}/suspend", suspended.path()), &json!({})).send().await.expect(200);
    admin.put("/v1/owners/acme", &json!({"rate_limit": limit(70)})).send().await.expect(200);
    run(&embedded, &["keys", "export"], 8).await;
    node.stop().await.unwrap();
    let file = folder.path().join("export.jsonl");
    let (_, told) = run(&embedded, &["keys", "export", "--to", file.to_str().unwrap()], 0).await;
    assert!(told.contains("6 keys, 1 owners with limits and 1 signing keys"), "{told}");
    run(&embedded, &["keys", "export", "--to", file.to_str().unwrap()], 2).await;
    let shown = run_on_a_terminal(&embedded, "keys export", 2).await;
    assert!(shown.contains("not shown on a terminal") && !shown.contains("argon2"), "{shown}");
    let exported = std::fs::read_to_string(&file).unwrap();
    for key in [&signed, &unsigned, &rotated] {
        assert!(!exported.contains(key.api_key.split(':').next_back().unwrap()), "a secret was exported");
    }
    // The cluster has a ring of its own already, with a key under the same character.
    let cluster = Cluster::start(2).await;
    let begun = std::time::Instant::now();
    let report = import(&cluster.fleet.builder, &file).await;
    assert!(begun.elapsed() > Duration::from_secs(2), "it waits until nodes have read the log");
    assert_eq!((&report["keys_made"], &report["owners_made"], &report["signing_keys_made"]), (&json!(6), &json!(1), &json!(1)));
    let usable = [&admin_key, &signed.api_key, &unsigned.api_key, &rotated.api_key, &new["api_key"].as_str().unwrap().to_owned()];
    for key in usable {
        for api in cluster.each(key) {
            becomes_good(&api).await;
        }
    }
    for key in [&revoked, &suspended] {
        for api in cluster.each(&key.api_key) {
            api.authorize("").await.expect(401);
        }
    }
    for key in [&signed, &unsigned, &rotated, &revoked, &suspended] {
        let there = cluster.admin().get(&key.path()).send().await.expect(200).json();
        for field in ["name", "owner", "kind", "scopes", "rate_limit", "created_at", "metadata"] {
            assert_eq!(there[field], key.record[field], "{field}");
        }
    }
    assert_eq!(cluster.admin().get("/v1/owners/acme").send().await.expect(200).json()["rate_limit"], limit(70));
    // New keys are signed by the cluster's own ring, and a second time makes nothing.
    NewKey::make(&cluster.admin(), json!({})).await;
    signed.revoke(&cluster.admin()).await;
    an_owner_may_be_named_twice(&cluster, &folder, &exported).await;
    let again = import(&cluster.fleet.builder, &file).await;
    assert_eq!((&again["keys_made"], &again["keys_kept"], &again["keys_differing"]), (&json!(0), &json!(6), &json!(0)));
    assert_eq!((&again["owners_made"], &again["signing_keys_made"]), (&json!(0), &json!(0)));
    cluster.node(0).with(&signed.api_key).authorize("").await.expect(401);
}

#[tokio::test]
async fn a_hash_from_elsewhere_is_a_key_under_its_own_id() {
    let (cluster, folder) = (Cluster::start(1).await, Scratch::new("import").unwrap());
    // Argon2id of "open-sesame" by another maker, at the least cost there is.
    let hash = "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHRzYWx0c2FsdA$";
    let made = cluster.fleet.builder.run(&["keys", "import", "/dev/null"]).await.unwrap();
    assert!(made.contains("0 made"), "{made}");
    let bad = write(&folder, &[json!({"hash": hash})]);
    let (_, told) = run(&cluster.fleet.builder, &["keys", "import", bad.to_str().unwrap()], 6).await;
    assert!(told.contains("line 1") && told.contains("/hash") && !told.contains(hash), "{told}");
    let digest = |last: &str| format!("{HASH}AAECAwQFBgcICQoLDA0O{last}");
    let lines = [json!({"hash": digest("Dw"), "key_id": "customer-7", "name": "billing", "owner": "acme"}), json!({"hash": digest("EA")})];
    let file = write(&folder, &lines);
    let report = import(&cluster.fleet.builder, &file).await;
    assert_eq!(report["keys_made"], 2);
    let id = report["ids"][0][1].as_str().unwrap().to_owned();
    assert!(id.starts_with("imported-") && report["ids"][0][0] == 2, "{report}");
    for (key_id, owner) in [("customer-7", json!("acme")), (id.as_str(), Value::Null)] {
        let shown = cluster.admin().get(&format!("/v1/keys/{key_id}")).send().await.expect(200).json();
        assert_eq!((&shown["owner"], &shown["kind"], &shown["status"]), (&owner, &json!("imported"), &json!("active")));
    }
    assert_eq!(import(&cluster.fleet.builder, &file).await["keys_kept"], 2, "known again, with and without an id");
    let moved = write(&folder, &[json!({"hash": digest("Dw"), "key_id": "customer-7", "owner": "other"})]);
    assert_eq!(import(&cluster.fleet.builder, &moved).await["keys_differing"], 1);
}

#[tokio::test]
async fn how_far_it_is_is_drawn_on_a_terminal_alone() {
    let (folder, data) = (Scratch::new("import").unwrap(), Scratch::new("data").unwrap());
    let embedded = Node::embedded(data.path());
    let hash = format!("{HASH}AAECAwQFBgcICQoLDA0ODw");
    let lines: Vec<Value> = (0..250).map(|number| json!({"hash": hash, "key_id": format!("customer-{number}")})).collect();
    let file = write(&folder, &lines);
    let drawn = run_on_a_terminal(&embedded, &format!("keys import '{}'", file.display()), 0).await;
    assert!(drawn.contains("100 lines") && drawn.contains('%') && drawn.contains("250 made"), "{drawn}");
    let to = |name: &str| folder.path().join(name).display().to_string();
    let drawn = run_on_a_terminal(&embedded, &format!("keys export --to '{}'", to("seen")), 0).await;
    assert!(drawn.contains("100 lines") && drawn.contains("250 keys"), "{drawn}");
    let (report, told) = run(&embedded, &["keys", "import", file.to_str().unwrap()], 0).await;
    assert!(report.contains("250 were there") && told.is_empty(), "{report} {told}");
    let (_, told) = run(&embedded, &["keys", "export", "--to", &to("unseen")], 0).await;
    assert_eq!(told.trim_end(), "250 keys, 0 owners with limits and 0 signing keys");
}

#[tokio::test]
async fn a_store_that_cannot_be_reached_is_status_8() {
    let builder = Node::cluster("redis://127.0.0.1:1", "postgres://nobody@127.0.0.1:1/none");
    for arguments in [["keys", "import", "/dev/null"].as_slice(), &["keys", "export"]] {
        run(&builder, arguments, 8).await;
    }
}
