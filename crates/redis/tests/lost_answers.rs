//! T38: connections killed between a charge and its answer, ten thousand times.

#![allow(clippy::expect_used, reason = "tests fail by panicking")]

#[path = "support/store.rs"]
mod store;

use store::{Charges, PATIENT, ask, is_allowed, joined, one, rejoin};
use tokio::time::Instant;
use tollgate_gate::ports::{BucketError, BucketStore};
use tollgate_redis::Options;
use tollgate_testkit::{Fault, Proxy, TestRedis, Way, eventually};

const ROUNDS: u64 = 40;
/// Four calls: a slow machine too can send these before their connection is given up for its silence, which takes a second.
const AT_ONCE: u64 = 250;

#[tokio::test]
async fn ten_thousand_charges_whose_answers_were_lost_are_made_once_and_admit_nobody() {
    let redis = TestRedis::start().await.expect("redis starts");
    let proxy = Proxy::start(redis.address()).await.expect("a proxy");
    // As many calls as there are batches, so that none waits for another's answer.
    let options = Options { calls_in_flight: 64, pool_size: 1, ..Options::new(redis.url_through(proxy.addr())) };
    let store = joined(&options).await;
    let mut witness = redis.connection().await.expect("redis answers");
    let counted = Charges::from_first(&mut witness, &store, "a").await;
    let mut charged = 1;
    for round in 0..ROUNDS {
        proxy.set_way(Way::Down, Fault::BlackHole);
        let asked: Vec<_> = (0..AT_ONCE).map(|_| tokio::spawn(store.decide(one("a"), Instant::now() + PATIENT))).collect();
        charged += AT_ONCE;
        let (mut last, begun) = (0, Instant::now());
        while last < charged {
            assert!(begun.elapsed() < PATIENT, "round {round}: {last} of {charged} charges came");
            last = counted.count(&mut witness).await;
            assert!(last <= charged, "round {round}: {last} charges for {charged} requests");
        }
        proxy.cut();
        for told in asked {
            let told = told.await.expect("no panic");
            assert!(matches!(told, Err(BucketError::Unreachable(_))), "round {round}: {told:?}");
        }
        proxy.mend();
        // Once there is an answer again, whatever was to be sent again has been.
        let back = eventually("a decision", PATIENT, async || {
            rejoin(&store).await;
            anyhow::ensure!(is_allowed(&ask(&store, one("b")).await), "not back");
            Ok(())
        });
        back.await.expect("the connection comes back");
        assert_eq!(counted.count(&mut witness).await, charged, "round {round}: charged again");
    }
}
