//! What is broken while nodes serve: Redis and Postgres, the wire to them, single buckets, nodes.
//!
//! Each test breaks servers of its own. In all of them an answer is 200, 429 or, where the outage
//! mode is `closed`, 503; nothing is charged twice; and nodes come back by themselves.

mod broken;
mod connections;
mod failover;
mod fences;
mod flush;
mod kill;
mod leases;
mod ledger;
mod memory;
mod outage;
mod postgres;
mod receipts;
mod reshard;
mod restart;
mod setup;
mod slot;
mod slow;
mod tally;
mod upgrade;
mod usage;
mod wire;

use std::time::Duration;

use anyhow::Result;
use serde_json::json;
use tollgate_testkit::eventually;

use crate::support::{Api, Cluster, metric};

/// The longest period there is: a bucket of up to a thousand tokens gets none back during a test.
const PERIOD: u64 = 2_678_400;
/// How long nodes may take to be exact again: ten times the target, which is 1 s, beside other tests.
const BACK_WITHIN: Duration = Duration::from_secs(10);
/// A bound for what is expected to happen, whenever.
const SOON: Duration = Duration::from_secs(30);

const LOST: &str = "tollgate_redis_state_lost_total";

/// What is left of the key's burst, once this node can say so.
async fn remaining(api: &Api, within: Duration) -> u64 {
    let told = eventually("a bucket can be read", within, async || {
        let answer = api.post("/v1/check", &json!({"peek": true})).send().await;
        anyhow::ensure!(answer.status == 200, "{}: {}", answer.status, answer.text());
        // What is allowed without a figure was not asked of any bucket.
        answer.check().remaining.ok_or_else(|| anyhow::anyhow!("no figure: {}", answer.text()))
    });
    told.await.unwrap()
}

/// Waits until every node has counted that Redis lost its state: one that had nothing to ask notices at its next look.
async fn each_counts_the_loss_once(cluster: &Cluster) {
    for node in &cluster.fleet.nodes {
        until("the loss is noticed", SOON, async || Ok(metric(node, LOST).await > 0)).await;
        assert_eq!(metric(node, LOST).await, 1, "each node counts it once");
    }
}

/// Waits until the counter, summed over all nodes, has risen by `more`.
async fn until_counted(cluster: &Cluster, name: &str, more: u64) {
    let before = cluster.counted(name).await;
    let counted = eventually("nodes go on", SOON, async || {
        let now = cluster.counted(name).await;
        anyhow::ensure!(now >= before + more, "{name} rose from {before} to {now}");
        Ok(())
    });
    counted.await.unwrap();
}

/// Waits until `what` holds.
async fn until(what: &str, within: Duration, holds: impl AsyncFn() -> Result<bool>) {
    let held = eventually(what, within, async || {
        anyhow::ensure!(holds().await?, "not so");
        Ok(())
    });
    held.await.unwrap();
}
