//! T30: another Redis takes over, and has not heard of all that the one before has decided.
//!
//! Copying is not waited for, so what is lost is lost; what is held here is that it costs one burst of a key at most,
//! each time. Replicas are cut off before anything is spent: all of it is lost, which no real failover exceeds.

use std::time::Duration;

use tokio::task::JoinSet;
use tollgate_testkit::{Fleet, TestRedisPairs, TestRedisSentinels, eventually};

use super::PERIOD;
use crate::support::{Api, Cluster, NewKey};

/// Keys of each test.
const KEYS: usize = 96;
const BURST: u64 = 4;
const TAGS: usize = 16;
/// A bound for what is expected to happen, whenever.
const WITHIN: Duration = Duration::from_mins(1);
/// Keys that are asked for at a time.
const AT_A_TIME: usize = 24;

/// Keys, and what was ever admitted for each.
struct Ledger {
    keys: Vec<Vec<Api>>,
    names: Vec<NewKey>,
}

impl Ledger {
    async fn open(cluster: &Cluster) -> Self {
        let mut names = Vec::new();
        for _ in 0..KEYS {
            names.push(cluster.limited_key(BURST, PERIOD).await);
        }
        Self { keys: names.iter().map(|key| cluster.each(&key.api_key)).collect(), names }
    }

    /// Spends all that is left of every key, at all nodes in turn; what was admitted for each.
    async fn spend(&self) -> Vec<u64> {
        let mut admitted = vec![0; self.keys.len()];
        let mut asking = JoinSet::new();
        for first in 0..AT_A_TIME {
            let share: Vec<(usize, Vec<Api>)> =
                (first..self.keys.len()).step_by(AT_A_TIME).map(|key| (key, self.keys[key].clone())).collect();
            asking.spawn(async move {
                let mut spent = Vec::new();
                for (key, nodes) in share {
                    spent.push((key, spend(&nodes).await));
                }
                spent
            });
        }
        for (key, count) in asking.join_all().await.into_iter().flatten() {
            admitted[key] = count;
        }
        admitted
    }
}

/// Asks until the key is limited. While nobody can decide nobody is admitted.
async fn spend(nodes: &[Api]) -> u64 {
    let mut admitted = 0;
    for api in nodes.iter().cycle() {
        let decided = eventually("a decision", WITHIN, async || {
            let answer = api.authorize("").await;
            anyhow::ensure!(answer.status != 503 || answer.refusal().1 != "temporary-reduced-capacity", "{}", answer.text());
            Ok(answer)
        });
        match decided.await.unwrap().status {
            200 => admitted += 1,
            status => {
                assert_eq!(status, 429);
                return admitted;
            }
        }
    }
    admitted
}

/// What a round after a loss may be: nothing where nothing was lost, else at most one burst; and that something was lost.
fn within_one_burst(admitted: &[u64], is_lost: impl Fn(usize) -> bool) {
    for (key, count) in admitted.iter().enumerate() {
        let bound = if is_lost(key) { BURST } else { 0 };
        assert!(*count <= bound, "key {key}: {count} more admitted, at most {bound}");
    }
    let most = (0..admitted.len()).filter(|key| is_lost(*key)).map(|key| admitted[key]).max();
    assert_eq!(most, Some(BURST), "nothing was lost: this proves nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_fails_over_admits_one_burst_more_at_most_for_each_state_that_is_lost() {
    let redis = TestRedisPairs::start(3).await.unwrap();
    let cluster = Cluster::of(Fleet::builder(3).redis(redis.url())).await;
    let ledger = Ledger::open(&cluster).await;
    let mut owners = Vec::new();
    for tag in 0..TAGS {
        let slot = redis.masters.slot_of(&format!("{{s{tag:02}}}")).await.unwrap();
        owners.push(redis.masters.owner_of(slot).await.unwrap());
    }
    let masters: Vec<usize> = ledger.names.iter().map(|key| owners[tag_of(&key.key_id)]).collect();
    redis.cut_off().await.unwrap();
    assert!(ledger.spend().await.iter().all(|admitted| *admitted == BURST), "nothing is lost yet");
    for (lost, is_killed) in [(0, true), (1, false)] {
        let (master, replica) = (redis.masters.node(lost).unwrap(), &redis.replicas[lost]);
        // One is dead; the other is cut off, and comes back when another one serves.
        if is_killed { master.kill() } else { master.stop() }.unwrap();
        replica.cont().unwrap();
        redis.take_over(lost).await.unwrap();
        within_one_burst(&ledger.spend().await, |key| masters[key] == lost);
    }
    redis.masters.node(1).unwrap().cont().unwrap();
    assert_eq!(ledger.spend().await.iter().sum::<u64>(), 0, "who comes back gives nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_sentinels_replace_costs_one_burst_more_at_most() {
    let redis = TestRedisSentinels::start().await.unwrap();
    let cluster = Cluster::of(Fleet::builder(3).redis(redis.url())).await;
    let ledger = Ledger::open(&cluster).await;
    redis.cut_off(1).await.unwrap();
    assert!(ledger.spend().await.iter().all(|admitted| *admitted == BURST), "nothing is lost yet");
    // Cut off as in a partition: it comes back, with all that it knows, when another one serves.
    redis.redis[0].stop().unwrap();
    redis.redis[1].cont().unwrap();
    redis.master_is(1).await.unwrap();
    within_one_burst(&ledger.spend().await, |_| true);
    redis.redis[0].cont().unwrap();
    redis.copies(0).await.unwrap();
    assert_eq!(ledger.spend().await.iter().sum::<u64>(), 0, "who comes back gives nothing");
}

/// The tag of a key without an owner: FNV-1a, 64 bits, modulo the number of tags.
fn tag_of(key_id: &str) -> usize {
    let hash = key_id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    usize::try_from(hash % TAGS as u64).unwrap()
}
