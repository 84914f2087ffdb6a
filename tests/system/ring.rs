//! The ring of signing keys is rotated while nodes run: no key is refused at any step.

use std::time::Duration;

use serde_json::json;
use tollgate_testkit::{Fleet, eventually};

use crate::support::{Cluster, NewKey};

/// The ring character of a signed api key.
fn ring_of(key: &NewKey) -> char {
    let secret = key.api_key.split_once(':').expect("key_id:secret").1;
    secret.strip_prefix("tks_").and_then(|rest| rest.chars().next()).expect("a signed secret")
}

#[tokio::test]
async fn a_ring_is_rotated_without_refusing_a_key() {
    let cluster = Cluster::of(Fleet::builder(2).env("TOLLGATE_CHANGE_LOG__POLL_INTERVAL", "200ms")).await;
    let command = |arguments: &'static [&'static str]| cluster.fleet.builder.run(arguments);
    let old = cluster.key(json!({})).await;
    let good = async |key: &NewKey| {
        for api in cluster.each(&key.api_key) {
            api.authorize("").await.expect(200);
        }
    };
    command(&["signing-keys", "add"]).await.unwrap();
    // Each node signs with the new one as soon as it has read the ring; the other knows it at once.
    for node in 0..2 {
        let new = eventually("a key of the new ring", Duration::from_mins(1), async || {
            let made = NewKey::make(&cluster.admin_of(node), json!({})).await;
            good(&made).await;
            anyhow::ensure!(ring_of(&made) != ring_of(&old), "signed by the old one");
            Ok(made)
        });
        good(&new.await.unwrap()).await;
        good(&old).await;
    }
    let retired = ring_of(&old).to_string();
    cluster.fleet.builder.run(&["signing-keys", "retire", &retired]).await.unwrap();
    let listed = command(&["signing-keys", "list"]).await.unwrap();
    assert!(listed.lines().any(|line| line.starts_with(&retired) && line.contains("retired")), "{listed}");
    // Before and after the nodes have read it: looked up like an unsigned one, and good.
    good(&old).await;
    let renewed = cluster.admin().post(&format!("{}/rotate", old.path()), &json!({"grace_seconds": 0})).send().await.expect(200).json();
    let renewed = NewKey { api_key: renewed["api_key"].as_str().unwrap().to_owned(), ..old.clone() };
    assert_ne!(ring_of(&renewed), ring_of(&old));
    good(&renewed).await;
    for api in cluster.each(&old.api_key) {
        api.authorize("").await.expect(401);
    }
}
