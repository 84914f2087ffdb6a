//! T30: another Redis takes over, and has not heard of all that the one before has decided.
//!
//! Copying is not waited for, so what is lost is lost; what is held here is that it costs one burst of a key at most,
//! each time, for a thousand keys each time. Replicas are cut off before anything is spent: all of it is lost, which no
//! real failover exceeds. Clients go on asking while one takes over. Each loss is told, with the time in which nobody decided.

use std::time::Duration;

use tollgate_testkit::{Fleet, TestRedisPairs, TestRedisSentinels};

use super::ledger::{BURST, Ledger, Lost};
use crate::support::{Cluster, TAGS};

/// Keys that lose all that they have spent, with each master that is replaced.
const KEYS: usize = 1024;
/// Of these so many must be seen to have lost it: a charge whose answer was lost tells nobody.
const LOST_MIN: usize = 1000;
/// Keys of a master that stays: they lose nothing.
const KEYS_THAT_STAY: usize = 32;

/// Nodes of the release build, as there are ten thousand calls to answer.
async fn three_nodes(redis_url: String) -> Cluster {
    Cluster::of(Fleet::builder(3).redis(redis_url).released().env("TOLLGATE_LOG__FILTER", "warn")).await
}

/// The tags of each master.
async fn tags_of(redis: &TestRedisPairs) -> [Vec<usize>; 3] {
    let mut tags: [Vec<usize>; 3] = Default::default();
    for tag in 0..TAGS {
        let slot = redis.masters.slot_of(&format!("{{s{tag:02}}}")).await.unwrap();
        tags[redis.masters.owner_of(slot).await.unwrap()].push(tag);
    }
    tags
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_fails_over_admits_one_burst_more_at_most_for_each_state_that_is_lost() {
    let redis = TestRedisPairs::start(3).await.unwrap();
    let cluster = three_nodes(redis.url()).await;
    let mut shards = Vec::new();
    for (tags, keys) in tags_of(&redis).await.iter().zip([KEYS, KEYS, KEYS_THAT_STAY]) {
        shards.push(Ledger::open(&cluster, keys, tags).await);
    }
    redis.cut_off().await.unwrap();
    for shard in &shards {
        shard.spend_what_they_may().await;
    }
    for (lost, what) in [(0, "a master of a Cluster that was killed"), (1, "a master of a Cluster that was cut off")] {
        let (master, replica, asking) = (redis.masters.node(lost).unwrap(), &redis.replicas[lost], shards[lost].ask_on());
        // One is dead; the other is cut off, and comes back when another one serves.
        if lost == 0 { master.kill() } else { master.stop() }.unwrap();
        let replaced = async {
            replica.cont().unwrap();
            redis.take_over(lost).await.unwrap();
        };
        let (took, ()) = tokio::join!(shards[lost].until_decided(), replaced);
        println!("{}", told(what, shards[lost].costs_one_burst_at_most(asking).await, took));
        shards[2].gives_nothing().await;
    }
    redis.masters.node(1).unwrap().cont().unwrap();
    shards[1].gives_nothing().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_sentinels_replace_costs_one_burst_more_at_most() {
    let redis = TestRedisSentinels::start().await.unwrap();
    let cluster = three_nodes(redis.url()).await;
    let tags: Vec<usize> = (0..TAGS).collect();
    let [first, second] = [Ledger::open(&cluster, KEYS, &tags).await, Ledger::open(&cluster, KEYS, &tags).await];
    // Cut off as in a partition: it comes back, with all that it knows, when another one serves.
    redis.cut_off(1).await.unwrap();
    first.spend_what_they_may().await;
    let asking = first.ask_on();
    redis.redis[0].stop().unwrap();
    let took = replaced(&redis, 1, &first).await;
    println!("{}", told("a master that sentinels replaced, cut off", first.costs_one_burst_at_most(asking).await, took));
    redis.redis[0].cont().unwrap();
    redis.copies(0).await.unwrap();
    first.gives_nothing().await;
    // And the other way round, by its death.
    redis.agreed().await.unwrap();
    redis.cut_off(0).await.unwrap();
    second.spend_what_they_may().await;
    let asking = second.ask_on();
    redis.redis[1].kill().unwrap();
    let took = replaced(&redis, 0, &second).await;
    println!("{}", told("a master that sentinels replaced, killed", second.costs_one_burst_at_most(asking).await, took));
    first.gives_nothing().await;
}

/// Lets the replica be found again, until the sentinels have made it the master and nodes decide.
async fn replaced(redis: &TestRedisSentinels, replica: usize, keys: &Ledger) -> Duration {
    let elected = async {
        redis.redis[replica].cont().unwrap();
        redis.master_is(replica).await.unwrap();
    };
    tokio::join!(keys.until_decided(), elected).0
}

/// Says what was seen, so that figures can be compared; and holds that something was lost, or else this proves nothing.
fn told(what: &str, lost: Lost, took: Duration) -> String {
    let Lost { keys, most } = lost;
    let told =
        format!("{what}: {keys} keys have lost what they had spent, {most} of at most {BURST} more admitted, decided again after {took:?}");
    assert!(keys >= LOST_MIN, "this proves nothing: {told}");
    told
}
