//! Wrong keys cost the key store next to nothing, and its operators no time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use serde_json::json;
use tokio::time::Instant;
use tollgate_testkit::{Fleet, FleetBuilder, eventually};

use crate::support::{Cluster, NewKey, metric};

const LOOKUPS: &str = "tollgate_postgres_lookups_total";

/// Failures from one place are somebody else's test.
fn without_preauth(nodes: usize) -> FleetBuilder {
    let boundless = "1000000000";
    let fleet = Fleet::builder(nodes).env("TOLLGATE_PREAUTH__ADDRESS__BURST", boundless);
    fleet.env("TOLLGATE_PREAUTH__KEY_TEXT__BURST", boundless).env("TOLLGATE_PREAUTH__KEY_ID__BURST", boundless)
}

/// An id as it was given out long ago, and a secret of any form.
fn stranger(nth: usize) -> String {
    format!("tk_01hq3m4n5p6q7r8s9t0v{nth:06}:swordfish")
}

#[tokio::test]
async fn unknown_and_revoked_keys_are_refused_from_memory() {
    let cluster = Cluster::of(without_preauth(2)).await;
    let mut revoked = Vec::new();
    for round in 0..20 {
        let key = NewKey::make(&cluster.admin_of(round), json!({})).await;
        key.revoke(&cluster.admin_of(round + 1)).await;
        revoked.push(key);
    }
    for node in &cluster.fleet.nodes {
        // Tombstones come with the change log.
        eventually("the change log is read", Duration::from_secs(30), async || {
            let seen = metric(node, "tollgate_revocation_propagation_seconds_count").await;
            if seen == 20 { Ok(()) } else { Err(std::io::Error::other(format!("{seen} revocations")).into()) }
        })
        .await
        .expect("read");
    }
    let before = cluster.counted(LOOKUPS).await;
    for round in 0..50 {
        for key in &revoked {
            cluster.node(round).with(&key.api_key).authorize("").await.expect(401);
        }
        for nth in 0..20 {
            cluster.node(round).with(&stranger(round * 20 + nth)).authorize("").await.expect(401);
        }
    }
    assert_eq!(cluster.counted("api_auth_total{outcome=\"tombstone\"}").await, 1000);
    // One in a thousand may be an error of the filters, which have room for far more keys than there are.
    assert!(cluster.counted("api_auth_total{outcome=\"bloom_rejected\"}").await >= 998);
    assert!(cluster.counted(LOOKUPS).await - before <= 2);
}

#[tokio::test]
async fn new_ids_that_nobody_can_tell_spend_the_budget_and_are_told_to_wait() {
    let fleet = without_preauth(1).env("TOLLGATE_LOOKUP__BUDGET__BURST", "5").env("TOLLGATE_LOOKUP__BUDGET__PER_SECOND", "1");
    let cluster = Cluster::of(fleet).await;
    let before = cluster.counted(LOOKUPS).await;
    let started = Instant::now();
    let mut told = Vec::new();
    for nth in 0..100 {
        let answer = cluster.node(0).with(&format!("elsewhere-{nth}:swordfish")).authorize("").await;
        if answer.refusal().0 == 429 {
            assert_eq!(answer.problem().kind, "https://iana.org/assignments/http-problem-types#abnormal-usage-detected");
            assert!(!answer.header("retry-after").is_empty());
        }
        told.push(answer.refusal().0);
    }
    let budget = 5 + started.elapsed().as_secs() + 1;
    let unknown = told.iter().filter(|status| **status == 401).count() as u64;
    assert!((5..=budget).contains(&unknown) && told.iter().all(|status| [401, 429].contains(status)), "{told:?}");
    assert_eq!(cluster.counted(LOOKUPS).await - before, unknown);
    // A signed key is no guess, and an operator is known.
    let key = cluster.key(json!({})).await;
    cluster.node(0).with(&key.api_key).authorize("").await.expect(200);
}

/// T6: a pool of five, and more look-ups than it can do.
#[tokio::test]
async fn operators_are_answered_while_look_ups_are_as_many_as_may_be() {
    let fleet = without_preauth(1).env("TOLLGATE_POSTGRES__POOL_SIZE", "5").env("TOLLGATE_POSTGRES__LOOKUPS_IN_FLIGHT", "3");
    let fleet = fleet.env("TOLLGATE_LOOKUP__BUDGET__BURST", "1000000").env("TOLLGATE_LOOKUP__BUDGET__PER_SECOND", "1000000");
    let cluster = Cluster::of(fleet).await;
    let key = cluster.key(json!({})).await;
    let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let flood: Vec<_> = (0..32)
        .map(|flooder| {
            let (stop, sent, node) = (stop.clone(), sent.clone(), cluster.node(0).apart());
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let nth = sent.fetch_add(1, Ordering::Relaxed);
                    node.with(&format!("guess-{flooder}-{nth}:swordfish")).authorize("").await;
                }
            })
        })
        .collect();
    let mut took = Vec::new();
    for round in 0..30 {
        let started = Instant::now();
        cluster.admin().get(&key.path()).send().await.expect(200);
        key.patch(&cluster.admin(), json!({"name": format!("round {round}")})).await;
        took.push(started.elapsed());
    }
    stop.store(true, Ordering::Relaxed);
    for flooder in flood {
        flooder.await.expect("no panic");
    }
    assert!(sent.load(Ordering::Relaxed) > 100, "a flood");
    took.sort();
    assert!(took[took.len() / 2] < Duration::from_secs(1), "{took:?}");
}
