//! All nodes restarted at once while thousands of keys are in use.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{task::JoinSet, time::MissedTickBehavior};
use tollgate_testkit::{FleetBuilder, Node, TestDatabase, TestRedis};

use super::{
    HASHES, SOON, fleet,
    keys::Keys,
    volley::{Line, Statuses, Told, request, volley},
};
use crate::support::{Cluster, metric};

const KEYS: usize = 5000;
/// Each of so many users asks once in that time.
const USERS: usize = 8;
const PACE: Duration = Duration::from_millis(4);
/// Back to normal so soon after all are ready; normal is whatever was before, on a busy machine too.
const BACK: Duration = Duration::from_secs(2);
const NORMAL: Duration = Duration::from_millis(500);
/// Hashes that may wait at a node.
const QUEUE: u64 = 8;

/// A fleet with thousands of keys in its store.
struct Town {
    cluster: Cluster,
    nodes: Vec<SocketAddr>,
    api_keys: Arc<Vec<String>>,
    _database: TestDatabase,
}

impl Town {
    async fn of(fleet: FleetBuilder, memory_kib: u32) -> Self {
        let database = TestDatabase::migrated().await.unwrap();
        let mut witness = database.connection().await.unwrap();
        let keys = Keys::put(&mut witness, KEYS, "active", memory_kib).await;
        let cluster = Cluster::of(fleet.postgres(database.url())).await;
        let api_keys = Arc::new(keys.api_keys(&mut witness).await);
        let nodes = cluster.fleet.nodes.iter().map(Node::address).collect();
        Self { cluster, nodes, api_keys, _database: database }
    }

    /// Shows every key to both nodes once.
    async fn show_all(&self) -> Statuses {
        let api_keys = Arc::clone(&self.api_keys);
        volley(&self.nodes, 4, 2 * KEYS, move |number| request(&api_keys[number / 2], "")).await
    }

    /// Kills all nodes and waits until all are ready again.
    async fn restart(&mut self) {
        for node in &self.cluster.fleet.nodes {
            node.kill().unwrap();
        }
        let mut starting = JoinSet::new();
        for (place, mut node) in self.cluster.fleet.nodes.drain(..).enumerate() {
            starting.spawn(async move {
                node.start_again().await.unwrap();
                (place, node)
            });
        }
        let mut nodes = starting.join_all().await;
        nodes.sort_by_key(|(place, _)| *place);
        self.cluster.fleet.nodes = nodes.into_iter().map(|(_, node)| node).collect();
    }
}

/// One request of a user: when, how long until the answer, and what it was.
#[derive(Debug, Clone, Copy)]
struct Visit {
    at: Instant,
    took: Duration,
    told: Told,
}

/// Asks a node at its pace, with one key after the other, and connects again whenever the node is gone.
async fn visit(node: SocketAddr, (api_keys, first): (Arc<Vec<String>>, usize), over: Arc<AtomicBool>) -> Vec<Visit> {
    let (mut visits, mut line, mut pace) = (Vec::new(), None, tokio::time::interval(PACE));
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in first.. {
        pace.tick().await;
        if over.load(Ordering::Relaxed) {
            break;
        }
        let mut open = match line.take() {
            Some(line) => line,
            None => match Line::open(node).await {
                Ok(line) => line,
                Err(_) => continue,
            },
        };
        let at = Instant::now();
        if open.send(&request(&api_keys[number % KEYS], "")).await.is_err() {
            continue;
        }
        if let Ok(told) = open.answer().await {
            visits.push(Visit { at, took: at.elapsed(), told });
            line = Some(open);
        }
    }
    visits
}

fn p99(visits: &[Visit]) -> Duration {
    let mut all: Vec<Duration> = visits.iter().map(|visit| visit.took).collect();
    all.sort_unstable();
    all[all.len() * 99 / 100]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_with_five_thousand_keys_in_use_restarts_without_a_hash_and_refuses_nobody() {
    let mut town = Town::of(fleet(2), 64).await;
    assert_eq!(town.show_all().await, Statuses::from([(200, 2 * KEYS)]));
    let (over, mut users) = (Arc::new(AtomicBool::new(false)), JoinSet::new());
    for user in 0..USERS {
        let keys = (Arc::clone(&town.api_keys), user * KEYS / USERS);
        users.spawn(visit(town.nodes[user % town.nodes.len()], keys, Arc::clone(&over)));
    }
    tokio::time::sleep(BACK).await;
    let killed = Instant::now();
    town.restart().await;
    let ready = Instant::now();
    assert_eq!(town.show_all().await, Statuses::from([(200, 2 * KEYS)]), "every key is let in at once");
    tokio::time::sleep_until((ready + BACK * 2).into()).await;
    over.store(true, Ordering::Relaxed);
    let visits: Vec<Visit> = users.join_all().await.into_iter().flatten().collect();
    for visit in visits.iter().filter(|visit| visit.told.status != 200) {
        // Told to come back by a node that was not ready, which a balancer would not have asked.
        assert!(matches!(visit.told, Told { status: 429 | 503, says_when: true }), "{visit:?}");
        assert!((killed..ready).contains(&visit.at), "{visit:?}, {:?} after all were ready", visit.at.checked_duration_since(ready));
    }
    // A node that is not ready may not have reached Redis, where the receipts are.
    let early = visits.iter().filter(|visit| (killed..ready).contains(&visit.at)).count() as u64;
    for node in &town.cluster.fleet.nodes {
        let hashes = metric(node, HASHES).await;
        assert!(hashes <= early, "{hashes} hashes, {early} of whom came early: a receipt was there for every key");
        assert!(metric(node, "api_auth_total{outcome=\"verified\"}").await >= KEYS as u64);
    }
    let (before, after): (Vec<Visit>, Vec<Visit>) = visits.iter().partition(|visit| visit.at < killed);
    let back: Vec<Visit> = after.into_iter().filter(|visit| visit.at > ready + BACK).collect();
    assert!(before.len() > 500 && back.len() > 500, "in use before and after");
    assert!(p99(&back) <= NORMAL.max(p99(&before) * 5), "{:?} before, {:?} after", p99(&before), p99(&back));
}

/// Shows keys to a node, each again and again until it is let in; counts of all answers.
async fn insist(node: SocketAddr, keys: Vec<String>) -> Statuses {
    let (mut line, mut statuses, end) = (Line::open(node).await.expect("a connection"), Statuses::new(), Instant::now() + SOON);
    let mut waiting = std::collections::VecDeque::from(keys);
    while let Some(api_key) = waiting.pop_front() {
        line.send(&request(&api_key, "")).await.expect("sent");
        let told = line.answer().await.expect("an answer");
        *statuses.entry(told.status).or_default() += 1;
        if told.status != 200 {
            assert_eq!(told, Told { status: 503, says_when: true });
            assert!(Instant::now() < end, "{} keys did not get through", waiting.len());
            waiting.push_back(api_key);
        }
    }
    statuses
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_redis_emptied_too_five_thousand_keys_wait_in_a_bounded_queue_and_all_get_through() {
    let redis = TestRedis::start().await.unwrap();
    let tight = fleet(2).redis(redis.url()).env("TOLLGATE_ARGON2__QUEUE_MAX", QUEUE.to_string()).env("TOLLGATE_ARGON2__WAIT_MAX", "50ms");
    let mut town = Town::of(tight.env("TOLLGATE_ARGON2__THREADS", "1"), 512).await;
    redis.command(&["FLUSHALL"]).await.unwrap();
    town.restart().await;
    let mut users = JoinSet::new();
    for user in 0..64 {
        let keys = town.api_keys.iter().skip(user / 2).step_by(32).cloned().collect();
        users.spawn(insist(town.nodes[user % 2], keys));
    }
    let (mut others, mut deepest) = (0, 0);
    while !users.is_empty() {
        for node in &town.cluster.fleet.nodes {
            deepest = deepest.max(metric(node, "tollgate_argon2_queue_depth").await);
        }
        while let Some(done) = users.try_join_next() {
            others += done.expect("no panic").get(&503).copied().unwrap_or_default();
        }
    }
    assert!(others > 100, "{others} were shed: this proves nothing");
    assert!((1..=QUEUE).contains(&deepest), "{deepest} waited");
    let hashes = town.cluster.counted(HASHES).await;
    let keys = KEYS as u64;
    assert!((keys..=2 * keys).contains(&hashes), "{hashes}: each key once and node, or less, as there are receipts again");
    // What was hashed left a receipt.
    town.restart().await;
    assert_eq!(town.show_all().await, Statuses::from([(200, 2 * KEYS)]));
    assert_eq!(town.cluster.counted(HASHES).await, 0);
}
