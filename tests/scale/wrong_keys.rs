//! A million wrong keys, no two the same and of every kind, beside the rightful.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use serde_json::json;
use sqlx::PgConnection;
use tollgate_testkit::{Node, TestDatabase};

use super::{
    HASHES, LOOKUPS, fleet,
    keys::{Keys, nth_id},
    resident_kib,
    volley::{Statuses, request, volley},
};
use crate::support::{Cluster, NewKey, metric};

const WRONG: usize = 1_000_000;
const REVOKED: usize = 100_000;
/// Shown for the first time while the flood goes on.
const FRESH: usize = 300;
/// Connections to each node.
const CONNECTIONS: usize = 4;
/// The first number of ids that no key has.
const STRANGERS: usize = 1 << 40;
/// Keys whose ids the flooder knows.
const KNOWN: usize = 50;
/// The defaults of `lookup.budget`.
const LOOKUPS_AT_ONCE: u64 = 50;
const LOOKUPS_PER_SECOND: u64 = 10;
/// Transactions for polls of the log and notes of last uses; and those from before, which Postgres counts late.
const OTHERS_PER_SECOND: u64 = 10;
const COUNTED_LATE: u64 = 2000;

/// What a flooder has: ids of real keys, and revoked keys with their right secrets.
struct Loot {
    signed_ids: Vec<String>,
    unsigned_ids: Vec<String>,
    revoked: Vec<String>,
}

/// Text of a secret of ours whose checksum is right.
fn with_checksum(mut text: String) -> String {
    let (mut rest, mut digits) = (crc32fast::hash(text.as_bytes()), [0; 6]);
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"[(rest % 62) as usize];
        rest /= 62;
    }
    text.extend(digits.map(char::from));
    text
}

/// In the form of ours, for no key of anybody's.
fn forged(number: usize) -> String {
    with_checksum(format!("tks_0{number:043}{:017}", number * 7))
}

fn guessed(number: usize) -> String {
    with_checksum(format!("tku_{number:043}"))
}

impl Loot {
    /// A wrong key of the number's kind; no other number has the same.
    fn wrong(&self, number: usize) -> String {
        let signed_id = &self.signed_ids[number % self.signed_ids.len()];
        let stranger = || nth_id(STRANGERS + number);
        match kind(number) {
            0 | 1 => format!("{signed_id}:{}", forged(number)),
            2 => format!("{}:{}", stranger().as_str(), forged(number)),
            3 => format!("{signed_id}:{}", guessed(number)),
            4 => format!("{}:{}", stranger().as_str(), guessed(number)),
            5 => format!("{}:hunter{number}", stranger().as_str()),
            6 => format!("brought-{number}:hunter2"),
            7 => format!("no-api-key-at-all-{number}"),
            8 => format!("{signed_id}:tks_0{number:060}abcdef"),
            _ => self.revoked[(number / 80 * 8 + number % 8) % REVOKED].clone(),
        }
    }

    fn guess_at_unsigned(&self, number: usize) -> String {
        format!("{}:{}", self.unsigned_ids[number % self.unsigned_ids.len()], guessed(number))
    }
}

/// Numbers that follow each other go to other nodes and connections: each of these gets every kind.
fn kind(number: usize) -> usize {
    number / (2 * CONNECTIONS) % 10
}

/// Half of the requests come from where the rightful are, the others from all over the world.
fn from_somewhere(number: usize) -> String {
    if (number / (20 * CONNECTIONS)).is_multiple_of(2) {
        return String::new();
    }
    format!("x-forwarded-for: 2001:db8:{:x}:{:x}::1\r\n", number / 0xffff, number % 0xffff)
}

/// What the nodes and their store have done and hold.
struct Cost {
    at: Instant,
    lookups: u64,
    hashes: u64,
    transactions: u64,
    resident_kib: Vec<u64>,
}

/// Two nodes with the budgets of the defaults, a store full of revoked keys, and a flooder.
struct Siege {
    cluster: Cluster,
    nodes: Vec<SocketAddr>,
    loot: Arc<Loot>,
    witness: PgConnection,
    _database: TestDatabase,
}

impl Siege {
    async fn lay() -> Self {
        let database = TestDatabase::migrated().await.unwrap();
        let mut witness = database.connection().await.unwrap();
        let revoked = Keys::put(&mut witness, REVOKED, "revoked", 8).await;
        let guarded = fleet(2).without("TOLLGATE_PREAUTH__ADDRESS__BURST").without("TOLLGATE_PREAUTH__KEY_TEXT__BURST");
        let cluster = Cluster::of(guarded.postgres(database.url()).env("TOLLGATE_TRUSTED_PROXIES", "127.0.0.0/8")).await;
        let revoked = revoked.api_keys(&mut witness).await;
        let ids = |keys: &[NewKey]| keys.iter().map(|key| key.key_id.clone()).collect();
        let (signed, unsigned) = (make(&cluster, KNOWN, "signed").await, make(&cluster, 3, "unsigned").await);
        let loot = Arc::new(Loot { signed_ids: ids(&signed), unsigned_ids: ids(&unsigned), revoked });
        let nodes = cluster.fleet.nodes.iter().map(Node::address).collect();
        Self { cluster, nodes, loot, witness, _database: database }
    }

    async fn flood(&self, count: usize, wrong: impl Fn(&Loot, usize) -> String + Copy + Send + 'static) -> Statuses {
        let loot = Arc::clone(&self.loot);
        volley(&self.nodes, CONNECTIONS, count, move |number| request(&wrong(&loot, number), &from_somewhere(number))).await
    }

    async fn cost(&mut self) -> Cost {
        let sql = "select xact_commit + xact_rollback from pg_stat_database where datname = current_database()";
        let transactions: i64 = sqlx::query_scalar(sql).fetch_one(&mut self.witness).await.expect("counted");
        Cost {
            at: Instant::now(),
            lookups: self.cluster.counted(LOOKUPS).await,
            hashes: self.cluster.counted(HASHES).await,
            transactions: transactions.unsigned_abs(),
            resident_kib: self.cluster.fleet.nodes.iter().map(resident_kib).collect(),
        }
    }

    /// Shows every key to both nodes, one key after the other, and `used` again and again.
    async fn rightful(&self, fresh: &[NewKey], used: &[NewKey], over: &AtomicBool) -> usize {
        let mut first_uses = 0;
        loop {
            let next = fresh.get(first_uses);
            for key in next.into_iter().chain(used) {
                for api in self.cluster.each(&key.api_key) {
                    api.authorize("").await.expect(200);
                }
            }
            first_uses += usize::from(next.is_some());
            if over.load(Ordering::Relaxed) {
                return first_uses;
            }
        }
    }
}

async fn make(cluster: &Cluster, count: usize, kind: &str) -> Vec<NewKey> {
    let mut keys = Vec::new();
    for _ in 0..count {
        keys.push(cluster.key(json!({ "kind": kind })).await);
    }
    keys
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_million_wrong_keys_cost_the_store_the_budget_and_the_rightful_nothing() {
    let mut siege = Siege::lay().await;
    let (fresh, used) = (make(&siege.cluster, FRESH, "signed").await, make(&siege.cluster, 1, "unsigned").await);
    siege.rightful(&[], &used, &AtomicBool::new(true)).await;
    // Each node holds by now what it will hold of the ids that the flooder knows.
    siege.flood(20_000, Loot::wrong).await;
    let before = siege.cost().await;
    let over = AtomicBool::new(false);
    let flood = async {
        let statuses = siege.flood(WRONG, Loot::wrong).await;
        over.store(true, Ordering::Relaxed);
        statuses
    };
    let (statuses, first_uses) = tokio::join!(flood, siege.rightful(&fresh, &used, &over));
    assert_eq!(statuses.values().sum::<usize>(), WRONG);
    assert!(statuses.keys().all(|status| matches!(status, 401 | 429)), "{statuses:?}");
    assert!(first_uses > 20, "{first_uses} keys were new: the flood was over at once");
    let after = siege.cost().await;
    let seconds = (after.at - before.at).as_secs() + 1;
    let (lookups, budget) = (after.lookups - before.lookups, 2 * (LOOKUPS_AT_ONCE + LOOKUPS_PER_SECOND * seconds));
    let due = 2 * first_uses as u64;
    assert!(lookups <= budget + due, "{lookups} look-ups in {seconds} s, {first_uses} keys used for the first time");
    let transactions = after.transactions - before.transactions;
    assert!(transactions <= budget + due + OTHERS_PER_SECOND * seconds + COUNTED_LATE, "{transactions} transactions in {seconds} s");
    assert_eq!(after.hashes - before.hashes, 0, "signed secrets are not hashed, wrong or right");
    for (before, after) in before.resident_kib.iter().zip(&after.resident_kib) {
        assert!(after.saturating_sub(*before) < 16 * 1024, "from {before} KiB to {after} KiB");
    }
    for node in &siege.cluster.fleet.nodes {
        for outcome in ["preauth_limited", "bloom_rejected", "bad_signature", "bad_secret", "unknown"] {
            let count = metric(node, &format!("api_auth_total{{outcome=\"{outcome}\"}}")).await;
            assert!(count > 10_000, "{count} {outcome}: all kinds have their share");
        }
    }
    // What is guessed at keys that must be hashed is bounded by id.
    let statuses = siege.flood(30_000, Loot::guess_at_unsigned).await;
    assert!(statuses.keys().all(|status| matches!(status, 401 | 429)), "{statuses:?}");
    let hashed = siege.cost().await;
    let budget = 2 * 3 * 2 * 20 * (1 + (hashed.at - after.at).as_secs() / 60 + 1);
    assert!((1..=budget).contains(&(hashed.hashes - after.hashes)), "{} hashes", hashed.hashes - after.hashes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_revoked_keys_replayed_cost_the_store_nothing() {
    let mut siege = Siege::lay().await;
    let before = siege.cost().await;
    // Each of them at each of the two nodes, with its right secret.
    let statuses = siege.flood(2 * REVOKED, |loot, number| loot.revoked[number / 2].clone()).await;
    assert_eq!(statuses, Statuses::from([(401, 2 * REVOKED)]));
    let after = siege.cost().await;
    assert_eq!((after.lookups - before.lookups, after.hashes - before.hashes), (0, 0));
    let seconds = (after.at - before.at).as_secs() + 1;
    let transactions = after.transactions - before.transactions;
    assert!(transactions <= OTHERS_PER_SECOND * seconds + COUNTED_LATE, "{transactions} transactions in {seconds} s");
}
