//! Many keys of one shard, and what was ever admitted for each of them while Redises replaced each other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::JoinSet;
use tollgate_testkit::eventually;

use super::{PERIOD, remaining};
use crate::support::{Api, Cluster, NewKey, owner_of};

/// What each key may spend. No token comes back while a test runs: the period is the longest there is.
pub(super) const BURST: u64 = 2;
/// Keys that are asked for at a time.
const AT_A_TIME: usize = 16;
/// Who goes on asking while a master is replaced.
const CLIENTS: usize = 2;
/// Between two questions of a client that nobody could answer.
const BREATH: Duration = Duration::from_millis(10);
/// A bound for what is expected to happen, whenever.
const WITHIN: Duration = Duration::from_mins(1);

/// Keys as every node sees them. All that they have is spent, except while a test says otherwise.
#[derive(Debug)]
pub(super) struct Ledger {
    keys: Arc<Vec<Vec<Api>>>,
}

/// Clients that go on asking for keys in turn, at nodes in turn.
#[derive(Debug)]
pub(super) struct Asking {
    stop: Arc<AtomicBool>,
    clients: JoinSet<Vec<u64>>,
}

/// What a loss has cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lost {
    /// Keys that got anything again.
    pub(super) keys: usize,
    /// The most that any of them got.
    pub(super) most: u64,
}

impl Ledger {
    /// So many keys whose buckets have one of these tags.
    pub(super) async fn open(cluster: &Cluster, keys: usize, tags: &[usize]) -> Self {
        let owners: Vec<String> = tags.iter().map(|tag| owner_of(*tag)).collect();
        let mut making = JoinSet::new();
        for first in 0..AT_A_TIME {
            let (admin, owners) = (cluster.admin_of(first), owners.clone());
            making.spawn(async move {
                let mut made = Vec::new();
                for key in (first..keys).step_by(AT_A_TIME) {
                    let rate_limit = json!({"burst": BURST, "per_seconds": PERIOD});
                    made.push(NewKey::make(&admin, json!({"owner": owners[key % owners.len()], "rate_limit": rate_limit})).await.api_key);
                }
                made
            });
        }
        let made = making.join_all().await.concat();
        Self { keys: Arc::new(made.iter().map(|key| cluster.each(key)).collect()) }
    }

    /// Spends all that is left of every key, at all nodes in turn; what was admitted for each.
    pub(super) async fn spend(&self) -> Vec<u64> {
        let mut asking = JoinSet::new();
        for first in 0..AT_A_TIME {
            let keys = Arc::clone(&self.keys);
            asking.spawn(async move {
                let mut spent = Vec::new();
                for key in (first..keys.len()).step_by(AT_A_TIME) {
                    spent.push((key, spend(&keys[key]).await));
                }
                spent
            });
        }
        let mut admitted = vec![0; self.keys.len()];
        for (key, count) in asking.join_all().await.into_iter().flatten() {
            admitted[key] = count;
        }
        admitted
    }

    /// Spends all for the first time: each key gets what it may, and not more.
    pub(super) async fn spend_what_they_may(&self) {
        assert!(self.spend().await.iter().all(|admitted| *admitted == BURST), "nothing is lost yet");
    }

    /// Nobody may get anything: all was spent, and that is known.
    pub(super) async fn gives_nothing(&self) {
        assert_eq!(self.spend().await.iter().sum::<u64>(), 0, "nothing was lost");
    }

    /// Clients that go on asking until they are told to stop.
    pub(super) fn ask_on(&self) -> Asking {
        let (stop, mut clients) = (Arc::new(AtomicBool::new(false)), JoinSet::new());
        for first in 0..CLIENTS {
            clients.spawn(ask_on(Arc::clone(&self.keys), first, Arc::clone(&stop)));
        }
        Asking { stop, clients }
    }

    /// Waits until every node can say how one of the keys stands; how long that took.
    pub(super) async fn until_decided(&self) -> Duration {
        let begun = Instant::now();
        for api in &self.keys[0] {
            remaining(api, WITHIN).await;
        }
        begun.elapsed()
    }

    /// What was spent is lost: each key gets one burst again at most, of which a part was admitted already while clients
    /// went on asking.
    pub(super) async fn costs_one_burst_at_most(&self, asking: Asking) -> Lost {
        let so_far = asking.stop().await;
        let admitted: Vec<u64> = self.spend().await.iter().zip(so_far).map(|(later, sooner)| later + sooner).collect();
        let lost =
            Lost { keys: admitted.iter().filter(|count| **count > 0).count(), most: admitted.iter().max().copied().unwrap_or_default() };
        assert!(lost.most <= BURST, "more than a burst was admitted again: {lost:?}");
        lost
    }
}

impl Asking {
    /// Stops all of them; what was admitted for each key.
    async fn stop(self) -> Vec<u64> {
        self.stop.store(true, Ordering::Relaxed);
        let each = self.clients.join_all().await;
        let sum = |key: usize| each.iter().map(|admitted| admitted[key]).sum();
        (0..each[0].len()).map(sum).collect()
    }
}

/// Asks for one key after the other, from its own place on.
async fn ask_on(keys: Arc<Vec<Vec<Api>>>, first: usize, stop: Arc<AtomicBool>) -> Vec<u64> {
    let mut admitted = vec![0; keys.len()];
    let order = (0..keys.len()).cycle().skip(first * keys.len() / CLIENTS).enumerate();
    for (number, key) in order {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        match decided(&keys[key][number % keys[key].len()]).await {
            Some(true) => admitted[key] += 1,
            Some(false) => {}
            None => tokio::time::sleep(BREATH).await,
        }
    }
    admitted
}

/// Asks until the key is limited. While nobody can decide nobody is admitted.
async fn spend(nodes: &[Api]) -> u64 {
    let mut admitted = 0;
    for api in nodes.iter().cycle() {
        let decided = eventually("a decision", WITHIN, async || decided(api).await.ok_or_else(|| anyhow::anyhow!("nobody decides")));
        if !decided.await.unwrap() {
            break;
        }
        admitted += 1;
    }
    admitted
}

/// Whether one more was admitted; `None` where that cannot be decided now.
async fn decided(api: &Api) -> Option<bool> {
    let answer = api.authorize("").await;
    match answer.status {
        200 => Some(true),
        429 => Some(false),
        _ => {
            assert_eq!(answer.refusal(), (503, "temporary-reduced-capacity".to_owned()), "{}", answer.text());
            None
        }
    }
}
