//! Who goes by `RateLimit` and `Retry-After` and shares his limits with nobody is never limited: the
//! clients of the book, and random limits.

use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tollgate_client::{Client, ClientOptions, Credential, RetryPolicy};
use tollgate_testkit::repository;

use crate::support::{Cluster, NewKey};

#[allow(dead_code, reason = "its main function is for readers of the book")]
#[path = "../../crates/client/examples/obedient.rs"]
mod example;

const THROTTLED: &str = "api_rate_limit_throttled_total";
const ALLOWED: &str = "tollgate_decisions_total{verdict=\"allowed\"";

/// Numbers without a pattern (SplitMix64), the same again for the same seed.
struct Dice {
    seed: u64,
    state: u64,
}

impl Dice {
    fn new(seed: u64) -> Self {
        Self { seed, state: seed }
    }

    /// 1 to `most`.
    fn roll(&mut self, most: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let bits = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)) % most + 1
    }

    /// One to three limits, and the smallest burst among them.
    fn limits(&mut self) -> (Value, u64) {
        let list: Vec<(u64, u64)> = (0..self.roll(3)).map(|_| (self.roll(60), self.roll(3))).collect();
        let smallest = list.iter().map(|(burst, _)| *burst).min().unwrap();
        let named = |(place, (burst, per_seconds)): (usize, &(u64, u64))| json!({"name": format!("l{place}"), "burst": burst, "per_seconds": per_seconds});
        (list.iter().enumerate().map(named).collect(), smallest)
    }
}

/// Clients of one key, one for each node; they send nothing again, so that nothing goes unseen.
fn clients(cluster: &Cluster, key: &NewKey) -> Vec<Client> {
    let options = ClientOptions { retry: RetryPolicy::never(), ..ClientOptions::default() };
    let client = |node: &tollgate_testkit::Node| {
        let credential = Credential::parse(&key.api_key).unwrap();
        Client::with_options(&node.url(), Some(credential), &options).unwrap()
    };
    cluster.fleet.nodes.iter().map(client).collect()
}

/// Sends requests one after the other, to any node: at least three, and more while there is time.
async fn obey(clients: Vec<Client>, mut dice: Dice, burst_min: u64, until: Instant) -> u32 {
    let (mut last, mut count) = (None, 0);
    while count < 3 || (count < 100 && Instant::now() < until) {
        let node = usize::try_from(dice.roll(1 << 20)).unwrap() % clients.len();
        let cost = dice.roll(burst_min);
        let sent = example::send(&clients[node], last, cost).await;
        last = sent.unwrap_or_else(|error| panic!("request {count} of cost {cost}, seed {}: {error}", dice.seed));
        assert!(last.is_some(), "the answer tells no limits");
        count += 1;
    }
    count
}

async fn nobody_is_limited_on(nodes: usize) {
    let seed = u64::from_be_bytes(tollgate_keys::random_bytes().unwrap());
    let cluster = Cluster::start(nodes).await;
    let before = cluster.counted(THROTTLED).await;
    let (mut dice, mut users) = (Dice::new(seed), JoinSet::new());
    let mut made = Vec::new();
    for user in 0..16 {
        let ((limits, key_min), (owners, owner_min)) = (dice.limits(), dice.limits());
        let owner = format!("owner{user}");
        cluster.limit_owner(&owner, owners).await;
        let key = cluster.key(json!({"owner": owner, "rate_limit": limits})).await;
        made.push((clients(&cluster, &key), Dice::new(dice.roll(u64::MAX - 1)), key_min.min(owner_min)));
    }
    let until = Instant::now() + Duration::from_secs(3);
    for (clients, dice, burst_min) in made {
        users.spawn(obey(clients, dice, burst_min, until));
    }
    let sent: u32 = users.join_all().await.into_iter().sum();
    assert!(sent >= 3 * 16, "only {sent} requests");
    assert_eq!(cluster.counted(THROTTLED).await, before, "{sent} requests, seed {seed}");
}

#[tokio::test]
async fn an_obedient_client_of_one_node_is_never_limited_whatever_its_limits() {
    nobody_is_limited_on(1).await;
}

#[tokio::test]
async fn an_obedient_client_of_three_nodes_is_never_limited_whatever_its_limits() {
    nobody_is_limited_on(3).await;
}

/// Runs a client of the book to its end, and returns the last line that it printed.
async fn run(program: &str, file: &str, url: &str, key: &NewKey) -> String {
    let mut command = Command::new(program);
    command.arg(repository().join("docs/clients").join(file)).args(["12", "7"]);
    command.env("TOLLGATE_URL", url).env("TOLLGATE_API_KEY", &key.api_key).stdin(Stdio::null()).kill_on_drop(true);
    let output = command.output().await.unwrap_or_else(|error| panic!("{program} (tests/run installs it): {error}"));
    assert!(output.status.success(), "{file}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

#[tokio::test]
async fn the_clients_of_the_book_are_never_limited() {
    let cluster = Cluster::start(3).await;
    let balancer = cluster.fleet.balancer().await.unwrap();
    let mut keys = Vec::new();
    for owner in ["python", "javascript", "rust"] {
        cluster.limit_owner(owner, json!({"burst": 40, "per_seconds": 1})).await;
        let limits = json!([{"name": "second", "burst": 30, "per_seconds": 1}, {"name": "longer", "burst": 64, "per_seconds": 2}]);
        keys.push(cluster.key(json!({"owner": owner, "rate_limit": limits})).await);
    }
    let (throttled, allowed) = (cluster.counted(THROTTLED).await, cluster.counted(ALLOWED).await);
    let url = balancer.url();
    let rust = async {
        let client = Client::new(&url, Some(Credential::parse(&keys[2].api_key).unwrap())).unwrap();
        let mut last = None;
        for _ in 0..12 {
            last = example::send(&client, last, 7).await.unwrap();
        }
        "12 allowed".to_owned()
    };
    let (python, javascript, rust) =
        tokio::join!(run("python3", "obedient.py", &url, &keys[0]), run("node", "obedient.mjs", &url, &keys[1]), rust);
    assert_eq!([python, javascript, rust], ["12 allowed"; 3]);
    // Each sent 12 requests and not one more.
    assert_eq!((cluster.counted(THROTTLED).await, cluster.counted(ALLOWED).await), (throttled, allowed + 36));
}
