//! T13: a node that stands still for two minutes, while ten thousand keys are revoked.

use std::time::Duration;

use tokio::time::{sleep, timeout};
use tollgate_api::RevokeKeyBody;

use crate::support::{Node, Outcomes, RunningFleet, TestClock, mint, operator, options, rules};

const REVOKED: u64 = 10_000;
/// How far they are apart: two minutes in all.
const APART: Duration = Duration::from_millis(12);
const COUNTED: &str = "tollgate_revocation_propagation_seconds_count";

#[tokio::test(start_paused = true)]
async fn a_node_that_stood_still_catches_up_with_ten_thousand_revocations() {
    let fleet = RunningFleet::with(1, |options| options.follow.page_size = 500).await;
    let mut options = options();
    options.follow.page_size = 500;
    let stores = (fleet.keys.clone() as _, std::sync::Arc::new(fleet.members[0].buckets.beside()) as _);
    let bus = fleet.hub.ear();
    let still = Node::on_bus(stores, bus.clone(), &TestClock::new(), options);
    let gate = still.gate.clone();
    let mut running = Box::pin(gate.run());
    let mut keys = Vec::new();
    for _ in 0..REVOKED {
        keys.push(mint(&*fleet.keys, rules()).await);
    }
    timeout(Duration::from_secs(3), &mut running).await.expect_err("the loops never end");
    for key in &keys[..100] {
        still.check(key).await.allowed();
    }
    // From here on nobody lets it run.
    let admin = operator(None, &["admin"]);
    for key in &keys {
        let revoke = fleet.node(0).gate.revoke_key(&admin, key.key_id.as_str(), RevokeKeyBody { reason: None });
        assert_eq!(revoke.await.expect("revoked").propagated, Some(true));
        sleep(APART).await;
    }
    // Far more than waits for anybody.
    bus.overflow();
    // Not one has been read, and each is refused all the same.
    assert_eq!(still.metric(COUNTED), 0);
    for key in keys.iter().step_by(50) {
        still.check(key).await.unauthenticated();
    }
    timeout(Duration::from_secs(2), &mut running).await.expect_err("the loops never end");
    assert_eq!(still.metric(COUNTED), REVOKED, "caught up within one turn of the log");
    let finds = fleet.keys.finds();
    for key in &keys {
        still.check(key).await.unauthenticated();
    }
    assert_eq!(fleet.keys.finds(), finds, "all are known as revoked");
}
