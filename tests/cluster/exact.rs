//! Exactly the burst is admitted, every other answer is 429.

use serde_json::json;

use super::MONTH;
use crate::support::{Api, Cluster, Load, admitted, costs_admitted};

/// Fires well over the burst at all nodes and expects exactly the burst.
async fn expect_exactly(cluster: &Cluster, burst: u64) {
    let key = cluster.limited_key(burst, MONTH).await;
    let requests = usize::try_from(burst + burst / 2).unwrap() + 130;
    let shots = Load::on(cluster.each(&key.api_key)).fire(requests).await;
    assert_eq!(shots.len(), requests);
    assert_eq!(admitted(&shots), usize::try_from(burst).unwrap(), "a burst of {burst}");
}

#[tokio::test]
async fn three_nodes_admit_exactly_the_burst() {
    let cluster = Cluster::start(3).await;
    for burst in [1, 7, 100, 1000] {
        expect_exactly(&cluster, burst).await;
    }
}

#[tokio::test]
async fn one_node_admits_exactly_the_burst() {
    let cluster = Cluster::start(1).await;
    for burst in [1, 100] {
        expect_exactly(&cluster, burst).await;
    }
}

#[tokio::test]
async fn eight_nodes_admit_exactly_the_burst() {
    let cluster = Cluster::start(8).await;
    let key = cluster.limited_key(100, MONTH).await;
    let shots = Load::on(cluster.each(&key.api_key)).connections(256).fire(2000).await;
    assert_eq!((shots.len(), admitted(&shots)), (2000, 100));
}

#[tokio::test]
async fn through_a_balancer_exactly_the_burst_is_admitted() {
    let cluster = Cluster::start(3).await;
    let balancer = cluster.fleet.balancer().await.unwrap();
    let key = cluster.limited_key(100, MONTH).await;
    let shots = Load::on(vec![Api::new(balancer.url()).with(&key.api_key)]).fire(300).await;
    assert_eq!(admitted(&shots), 100);
    for node in &cluster.fleet.nodes {
        let asked = crate::support::metric(node, "tollgate_decisions_total").await;
        assert!(asked > 0, "nginx sends to every node");
    }
}

#[tokio::test]
async fn of_mixed_costs_the_sum_is_the_burst_and_none_that_fits_is_refused() {
    let cluster = Cluster::start(3).await;
    for burst in [10, 100, 500] {
        let key = cluster.limited_key(burst, MONTH).await;
        let requests = usize::try_from(burst).unwrap() + 150;
        let shots = Load::on(cluster.each(&key.api_key)).costs(&[7, 1, 3]).fire(requests).await;
        // A cost of 1 fits as long as there is a token, and more of them than tokens were asked for.
        assert_eq!(costs_admitted(&shots), burst);
        let standing = |header: &str| header.split("r=").nth(1).and_then(|rest| rest.split(';').next()?.parse::<u64>().ok());
        for shot in shots.iter().filter(|shot| !shot.is_admitted()) {
            let left = standing(shot.answer.header("ratelimit")).expect("r=");
            assert!(left < shot.cost, "refused {} with {left} left", shot.cost);
        }
    }
}

#[tokio::test]
async fn a_flooded_key_leaves_its_neighbours_alone() {
    let cluster = Cluster::start(3).await;
    let flooded = cluster.limited_key(5, MONTH).await;
    let mut neighbours = Vec::new();
    for burst in 20..30 {
        neighbours.push((burst, cluster.limited_key(burst, MONTH).await));
    }
    let flood = Load::on(cluster.each(&flooded.api_key)).connections(48);
    let stop = std::sync::Arc::default();
    let others = async {
        for (burst, key) in &neighbours {
            let shots = Load::on(cluster.each(&key.api_key)).connections(16).fire(40).await;
            assert_eq!(admitted(&shots), usize::try_from(*burst).unwrap());
        }
        std::sync::atomic::AtomicBool::store(&stop, true, std::sync::atomic::Ordering::Relaxed);
    };
    let (shots, ()) = tokio::join!(flood.fire_until_told(&stop), others);
    assert_eq!(admitted(&shots), 5);
}

#[tokio::test]
async fn things_that_a_back_end_names_are_limited_exactly() {
    let cluster = Cluster::start(3).await;
    let key = cluster.key(json!({"scopes": ["limit:write"], "rate_limit": {"burst": 1_000_000, "per_seconds": 1}})).await;
    let body = json!({"namespace": "users", "id": "ä/7", "rate_limit": {"burst": 40, "per_seconds": MONTH}});
    let mut calls = tokio::task::JoinSet::new();
    for number in 0..120 {
        let call = cluster.node(number).with(&key.api_key).post("/v1/limit", &body);
        calls.spawn(async move { call.send().await.check().verdict });
    }
    let verdicts = calls.join_all().await;
    assert_eq!(verdicts.iter().filter(|verdict| **verdict == tollgate_api::VerdictName::Allowed).count(), 40);
}
