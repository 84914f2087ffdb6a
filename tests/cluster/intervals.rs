//! No interval, however chosen, sees more than the burst and what refills in it.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use crate::support::{Cluster, Load, Shot, admitted};

/// A client's clock and Redis' may run apart by so much.
const DRIFT: f64 = 1.001;

/// For every interval that begins with a sending and ends with a receipt: whatever was sent and
/// answered within it was certainly decided within it.
pub(super) fn expect_bounded(shots: &[Shot], burst: f64, per_second: f64) {
    let mut good: Vec<&Shot> = shots.iter().filter(|shot| shot.is_admitted()).collect();
    good.sort_by_key(|shot| shot.received);
    for start in &good {
        let mut tokens = 0;
        for end in good.iter().filter(|shot| shot.sent >= start.sent) {
            tokens += end.cost;
            let length = (end.received - start.sent).as_secs_f64() * DRIFT;
            let bound = burst + per_second * length;
            let count = u32::try_from(tokens).unwrap();
            assert!(f64::from(count) <= bound, "{count} tokens in {length} s, at most {bound}");
        }
    }
}

async fn expect_bounded_under_load(nodes: usize, (burst, per_seconds): (u32, u32), costs: &[u64]) {
    let cluster = Cluster::start(nodes).await;
    let key = cluster.key(json!({"rate_limit": {"burst": burst, "per_seconds": per_seconds}})).await;
    let length = Duration::from_secs(3);
    let shots = Load::on(cluster.each(&key.api_key)).costs(costs).fire_until(Instant::now() + length).await;
    admitted(&shots);
    let (burst, per_second) = (f64::from(burst), f64::from(burst) / f64::from(per_seconds));
    expect_bounded(&shots, burst, per_second);
    // And it is used: under such a load no token waits for long.
    let spent: u64 = shots.iter().filter(|shot| shot.is_admitted()).map(|shot| shot.cost).sum();
    let [first, last] = [shots.iter().map(|shot| shot.sent).min(), shots.iter().map(|shot| shot.received).max()].map(Option::unwrap);
    let refilled = per_second * (last - first).as_secs_f64();
    assert!(f64::from(u32::try_from(spent).unwrap()) > burst + refilled / 5.0, "only {spent} tokens were spent");
}

#[tokio::test]
async fn one_node_keeps_a_refilling_limit_in_every_interval() {
    expect_bounded_under_load(1, (50, 1), &[1]).await;
}

#[tokio::test]
async fn three_nodes_keep_a_refilling_limit_in_every_interval_at_mixed_costs() {
    expect_bounded_under_load(3, (97, 2), &[1, 5, 2, 11]).await;
}

#[tokio::test]
async fn eight_nodes_keep_a_refilling_limit_in_every_interval() {
    expect_bounded_under_load(8, (50, 1), &[1]).await;
}
