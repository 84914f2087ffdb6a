//! A node killed behind its balancer.

use std::time::Instant;

use tollgate_testkit::Fleet;

use super::{
    PERIOD,
    tally::{Running, back_since},
    until_counted,
};
use crate::support::{Api, Cluster, Load};

const BURST: u64 = 500;
const PLENTY: u64 = 50_000;
const CONNECTIONS: usize = 32;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_node_takes_nothing_along_but_its_last_calls() {
    let mut cluster = Cluster::of(Fleet::builder(3)).await;
    let balancer = cluster.fleet.balancer().await.unwrap();
    let (spent, ample) = (cluster.limited_key(BURST, PERIOD).await, cluster.limited_key(PLENTY, PERIOD).await);
    let begun = Instant::now();
    let through = Api::new(balancer.url());
    let load = |api_key: &str| Running::start(Load::on(vec![through.with(api_key)]).connections(CONNECTIONS));
    let (spending, going_on) = (load(&spent.api_key), load(&ample.api_key));
    until_counted(&cluster, "tollgate_decisions_total{verdict=\"allowed\",source=\"redis\"}", 200).await;
    let killed = cluster.fleet.nodes.pop().unwrap();
    killed.kill().unwrap();
    until_counted(&cluster, "tollgate_decisions_total{verdict=\"limited\"", 200).await;
    let (spending, going_on) = (spending.stop().await, going_on.stop().await);
    // nginx asks another node for what the dead one left unanswered, which is an attempt more.
    assert_eq!((spending.unavailable, going_on.unavailable, going_on.limited), (0, 0, 0), "{spending:?} {going_on:?}");
    assert!(spending.admitted <= BURST && spending.admitted + CONNECTIONS as u64 >= BURST, "{spending:?}");
    let left = cluster.node(0).with(&ample.api_key).peek().await.remaining.unwrap();
    let (charged, back) = (PLENTY - left, back_since(begun, PLENTY));
    assert!(
        (going_on.admitted.saturating_sub(back)..=going_on.attempts + CONNECTIONS as u64).contains(&charged),
        "{charged} charged, {back} came back: {going_on:?}"
    );
}
