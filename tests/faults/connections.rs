//! Connections to Redis killed: under load, and between a call and its answer.

use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval};
use tollgate_testkit::{Fault, Fleet, Proxy, TestRedis, Way};

use super::{
    BACK_WITHIN, PERIOD, SOON, remaining,
    tally::{Running, Tally, back_since},
    until,
};
use crate::support::{Api, Cluster, Load};

const KILLS: u32 = 20;
const KILLS_EVERY: Duration = Duration::from_millis(100);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_connections_charge_no_attempt_twice() {
    let redis = TestRedis::start().await.unwrap();
    let cluster = Cluster::of(Fleet::builder(3).redis(redis.url())).await;
    // One that is exhausted early on, and one that never is.
    let bursts = [500, 50_000];
    let begun = Instant::now();
    let mut loads = Vec::new();
    for burst in bursts {
        let key = cluster.limited_key(burst, PERIOD).await;
        let each = cluster.each(&key.api_key);
        loads.push((burst, Running::start(Load::on(each.clone()).connections(32)), each));
    }
    let mut connection = redis.connection().await.unwrap();
    let mut ticks = interval(KILLS_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut killed = 0;
    // A node takes its time to connect again, and then there is nothing to kill.
    for tick in 0.. {
        if tick >= KILLS && killed >= 2 * u64::from(KILLS) {
            break;
        }
        assert!(tick < 10 * KILLS, "only {killed} connections were killed");
        ticks.tick().await;
        // Not the one that asks.
        let count: u64 = redis::cmd("CLIENT").arg(&["KILL", "TYPE", "normal", "SKIPME", "yes"]).query_async(&mut connection).await.unwrap();
        killed += count;
    }
    for (burst, running, each) in loads {
        for api in &each {
            remaining(api, BACK_WITHIN).await;
        }
        let tally = running.stop().await;
        let charged = burst - remaining(&each[0], BACK_WITHIN).await;
        tally.accounts_for(charged, back_since(begun, burst));
        assert!(tally.admitted <= burst && tally.admitted > 0, "{tally:?} of {burst}");
        for api in &each {
            assert!(matches!(api.authorize("").await.status, 200 | 429), "exact again");
        }
    }
}

const ROUNDS: u64 = 10;
const AT_ONCE: usize = 16;

/// The hardest case of a charge whose answer was lost: Redis has made it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_charge_whose_answer_was_lost_is_not_sent_again() {
    let redis = TestRedis::start().await.unwrap();
    let cluster = Cluster::of(Fleet::builder(1).redis(redis.url())).await;
    let proxy = Proxy::start(redis.address()).await.unwrap();
    // Each charge may have a call of its own, so that none waits for the others' answers, nor for
    // whatever else the node asks just then.
    let behind = cluster.fleet.builder.clone().env("TOLLGATE_REDIS__CALLS_IN_FLIGHT", (AT_ONCE * 4).to_string());
    let behind =
        behind.env("TOLLGATE_REDIS__POOL_SIZE", "1").env("TOLLGATE_REDIS__URL", redis.url_through(proxy.addr())).start().await.unwrap();
    let key = cluster.limited_key(1000, PERIOD).await;
    let (witness, asker) = (cluster.node(0).with(&key.api_key), Api::of(&behind).with(&key.api_key));
    // No round has to ask Redis for more than its charges.
    asker.authorize("").await.expect(200);
    let (mut left, mut lost, mut rounds) = (999, 0, 0);
    for round in 0..2 * ROUNDS {
        proxy.set_way(Way::Down, Fault::BlackHole);
        let load = Load::on(vec![asker.clone()]).connections(AT_ONCE);
        let firing = tokio::spawn(async move { load.fire(AT_ONCE).await });
        // A node that is slow to ask finds its connection given up, and those charges are not made.
        let half = AT_ONCE as u64 / 2;
        until("half are charged", SOON, async || Ok(firing.is_finished() || witness.peek().await.remaining <= Some(left - half))).await;
        proxy.cut();
        let tally = Tally::of(&firing.await.unwrap());
        assert_eq!(tally.unavailable, AT_ONCE as u64, "round {round}: {tally:?}");
        let charged = left - witness.peek().await.remaining.unwrap();
        assert!(charged <= AT_ONCE as u64, "round {round}: {charged} charges");
        proxy.mend();
        assert_eq!(remaining(&asker, BACK_WITHIN).await, left - charged, "round {round}: charged again");
        asker.authorize("").await.expect(200);
        (left, lost, rounds) = (left - charged - 1, lost + charged, rounds + u64::from(charged >= half));
        if rounds == ROUNDS {
            return;
        }
    }
    panic!("{lost} answers were lost, half of all in {rounds} rounds");
}
