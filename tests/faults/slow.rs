//! A Redis that is slow, silent or gone: the outage modes.

use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tollgate_testkit::{Fault, Fleet, Node, Proxy, RedisOptions, TestRedis};

use super::{BACK_WITHIN, PERIOD, SOON, until};
use crate::support::{Answer, Api, Cluster, NewKey, metric};

const DECISION_TIMEOUT: &str = "100ms";
/// Fifty times the time-out (two busy cores, and a build that is not optimised), and much less than any pause of these
/// tests.
const ANSWERED_WITHIN: Duration = Duration::from_secs(5);
/// The target is about a second for the fence.
const CHANGED_WITHIN: Duration = Duration::from_secs(10);
/// Of which each of the three nodes has a third.
const BURST: u64 = 12;

/// Three nodes of one cluster that meet outages in the three ways, behind one proxy.
struct Modes {
    redis: TestRedis,
    proxy: Proxy,
    cluster: Cluster,
    /// Mode `open`, mode `closed`.
    others: Vec<Node>,
}

impl Modes {
    async fn start() -> Self {
        let redis = TestRedis::with(RedisOptions::default().line("enable-debug-command yes")).await.unwrap();
        let proxy = Proxy::start(redis.address()).await.unwrap();
        let fleet = Fleet::builder(1)
            .redis(redis.url_through(proxy.addr()))
            .without("TOLLGATE_OUTAGE__MODE")
            .env("TOLLGATE_REDIS__DECISION_TIMEOUT", DECISION_TIMEOUT)
            .env("TOLLGATE_OUTAGE__NODES_MIN", "2");
        let cluster = Cluster::of(fleet).await;
        let mut others = Vec::new();
        for mode in ["open", "closed"] {
            others.push(cluster.fleet.builder.clone().env("TOLLGATE_OUTAGE__MODE", mode).start().await.unwrap());
        }
        let modes = Self { redis, proxy, cluster, others };
        for node in modes.nodes() {
            until("all nodes are seen", SOON, async || Ok(metric(node, "tollgate_nodes").await == 3)).await;
        }
        modes
    }

    fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.cluster.fleet.nodes.iter().chain(&self.others)
    }

    /// A key that every node has in memory: a peek charges nothing.
    async fn key(&self) -> NewKey {
        self.key_of(BURST).await
    }

    async fn key_of(&self, burst: u64) -> NewKey {
        let key = self.cluster.limited_key(burst, PERIOD).await;
        for node in self.nodes() {
            let api = Api::of(node).with(&key.api_key);
            until("decided by redis", BACK_WITHIN, async || Ok(api.post("/v1/check", &json!({"peek": true})).send().await.status == 200))
                .await;
        }
        key
    }

    /// What each mode answers to twice the burst, at once.
    async fn statuses(&self, key: &NewKey) -> Vec<Vec<u16>> {
        let mut all = Vec::new();
        for node in self.nodes() {
            let mut asking = JoinSet::new();
            for _ in 0..2 * BURST {
                let api = Api::of(node).with(&key.api_key);
                asking.spawn(async move { in_time(ANSWERED_WITHIN, api).await });
            }
            let mut statuses: Vec<u16> = asking.join_all().await.iter().map(expected_form).collect();
            statuses.sort_unstable();
            all.push(statuses);
        }
        all
    }

    /// Changes are made at every node and say that they could not be fenced.
    async fn changes(&self, key: &NewKey, round: &str) {
        for (number, node) in self.nodes().enumerate() {
            let admin = Api::of(node).with(&self.cluster.fleet.admin_key);
            let call = admin.patch(&key.path(), &json!({"name": format!("{round} {number}")})).send();
            let changed = tokio::time::timeout(CHANGED_WITHIN, call).await.expect("changed in time").expect(200);
            assert_eq!(changed.json()["propagated"], false, "node {number}, {round}");
            let made = tokio::time::timeout(CHANGED_WITHIN, admin.post("/v1/keys", &json!({"name": "n"})).send());
            let made = made.await.expect("made in time").expect(201);
            assert_eq!(made.json()["propagated"], false, "nobody could be told: node {number}, {round}");
        }
    }

    /// Every node decides by Redis again.
    async fn back(&self, round: &str) {
        let key = self.key_of(1_000_000).await;
        for node in self.nodes() {
            let (before, api) = (metric(node, BY_REDIS).await, Api::of(node).with(&key.api_key));
            until(&format!("exact after {round}"), BACK_WITHIN, async || {
                api.authorize("").await;
                Ok(metric(node, BY_REDIS).await > before && metric(node, "tollgate_outage_mode").await == 0)
            })
            .await;
        }
    }
}

const BY_REDIS: &str = "tollgate_decisions_total{verdict=\"allowed\",source=\"redis\"}";

async fn in_time(bound: Duration, api: Api) -> Answer {
    // The connection is not what is measured.
    api.get("/health/live").send().await.expect(200);
    let started = Instant::now();
    let answer = api.authorize("").await;
    assert!(started.elapsed() < bound, "answered {} after {:?}", answer.status, started.elapsed());
    answer
}

fn expected_form(answer: &Answer) -> u16 {
    if answer.status == 503 {
        assert_eq!(answer.problem().kind, "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity");
    }
    answer.status
}

fn statuses(admitted: u64, status: u16, refused: u64) -> Vec<u16> {
    let (admitted, refused) = (usize::try_from(admitted).unwrap(), usize::try_from(refused).unwrap());
    [vec![200; admitted], vec![status; refused]].concat()
}

/// What the modes answer to twice the burst while Redis does not: a third of the burst, for there
/// are three nodes; all; nothing.
fn in_outage() -> Vec<Vec<u16>> {
    vec![statuses(BURST / 3, 429, 2 * BURST - BURST / 3), statuses(2 * BURST, 429, 0), statuses(0, 503, 2 * BURST)]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_mode_answers_in_time_whatever_redis_does() {
    let modes = Modes::start().await;
    for fault in [Fault::BlackHole, Fault::Delay(Duration::from_millis(500)), Fault::Cut] {
        let round = format!("{fault:?}");
        let key = modes.key().await;
        modes.proxy.set(fault);
        assert_eq!(modes.statuses(&key).await, in_outage(), "{round}");
        modes.changes(&key, &round).await;
        modes.proxy.mend();
        modes.back(&round).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_hangs_is_an_outage_and_is_left_alone() {
    let modes = Modes::start().await;
    let key = modes.key().await;
    // Longer than it takes to ask all nodes.
    modes.redis.command(&["client", "pause", "15000", "all"]).await.unwrap();
    assert_eq!(modes.statuses(&key).await, in_outage(), "paused");
    modes.redis.command(&["ping"]).await.unwrap();
    modes.back("a pause").await;

    // T34: as a script that takes seconds.
    let key = modes.key().await;
    let mut debugger = TcpStream::connect(modes.redis.address()).await.unwrap();
    debugger.write_all(b"DEBUG SLEEP 15\r\n").await.unwrap();
    until_asleep(&modes.redis).await;
    assert_eq!(modes.statuses(&key).await, in_outage(), "asleep");
    modes.redis.command(&["ping"]).await.unwrap();
    modes.back("a sleep").await;

    let key = modes.key().await;
    let before = calls(&modes.redis).await;
    modes.redis.stop().unwrap();
    assert_eq!(modes.statuses(&key).await, in_outage(), "frozen");
    for _ in 0..5 {
        modes.statuses(&key).await;
    }
    modes.redis.cont().unwrap();
    let woken = Instant::now();
    // When it wakes it finds the few calls that were on their way, not one for each request: two of
    // each node, and those by which nodes take the buckets up again. What nodes ask by themselves from then on counts too.
    let made = calls(&modes.redis).await - before;
    let most = 3 * (2 + 2 * 16) + 3 * 20 * woken.elapsed().as_secs();
    assert!(made <= most, "{made} calls for {} requests", 6 * 3 * 2 * BURST);
    modes.back("a freeze").await;

    let key = modes.key().await;
    modes.redis.stop().unwrap();
    modes.changes(&key, "frozen").await;
    modes.redis.cont().unwrap();
    modes.back("another freeze").await;
}

/// Until Redis has begun to sleep, and answers nobody.
async fn until_asleep(redis: &TestRedis) {
    until("redis sleeps", SOON, async || {
        let mut witness = TcpStream::connect(redis.address()).await?;
        witness.write_all(b"PING\r\n").await?;
        Ok(tokio::time::timeout(Duration::from_millis(200), witness.read_exact(&mut [0; 7])).await.is_err())
    })
    .await;
}

/// How many scripts were run so far.
async fn calls(redis: &TestRedis) -> u64 {
    let statistics = redis.info("commandstats", "cmdstat_evalsha").await.unwrap();
    statistics.split([',', '=']).nth(1).unwrap().parse().unwrap()
}
