//! What many keys and many nodes cost: a table with a row for each number of keys, and one for each
//! number of nodes.
//!
//! The keys are rows of the database, which grows from row to row; some of them are used (`ACTIVE`), evenly,
//! each with a bucket that stays in Redis. A node is started over them, all active keys are used once, and
//! then it is loaded by wrk in turns with the node of the first row: what counts is the ratio of the two.
//! With the most keys the same node is asked for more active ones after that. To more nodes requests
//! go at a fixed rate, the same for all together or the same for each, and their CPU times are added up.
//!
//! ```text
//! cargo build --release
//! TOLLGATE_BIN=target/release/tollgate cargo bench -p tollgate-http --bench scale
//! ```
//!
//! It takes 6 GB of disk and 3 GB of memory for as long as it runs, about a quarter of an hour.
//!
//! Settings: `KEYS` (`10000 100000 1000000 10000000`), `ACTIVE` (`10000 100000 1000000`) of them, `STRANGERS`
//! that the filter is asked for (100000), `NODES` (`1 2 4 8`), `ROUNDS` (5), `SECONDS` of each load (4),
//! `RATE` of requests a second for latencies and for all nodes together, at most (4000), `CONNECTIONS` of wrk (64),
//! and `NODE_SETTINGS`.
#![allow(clippy::print_stdout, reason = "a table on standard output is what a bench is for")]

mod support;

use std::{net::SocketAddr, ops::Range, sync::Arc, time::Duration, time::Instant};

use anyhow::{Context, Result};
use support::{
    bench_fleet, median,
    paced::{latency_ms, load, once, request},
    process_cpu_us, resident_mib, setting,
    wrk::{Requests, Round, Target},
};
use tollgate_testkit::{Fleet, Node, RedisOptions, Scratch, StoredKeys, TestDatabase, TestRedis, eventually};

const READY_WITHIN: Duration = Duration::from_hours(1);
/// Connections over which a fixed rate is spread.
const PACED: u64 = 32;
/// Connections over which keys are used for the first time.
const FIRST_USES: usize = 64;
/// What first uses leave to be written is written by then.
const WRITTEN_WITHIN: Duration = Duration::from_secs(25);

fn main() -> Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        keys_table().await?;
        nodes_table().await
    })
}

/// Whole numbers from the environment.
fn numbers(name: &str, default: &str) -> Result<Vec<u64>> {
    let text = std::env::var(name).unwrap_or_else(|_| default.into());
    text.split_whitespace().map(|number| number.parse().with_context(|| format!("{name} is a list of whole numbers"))).collect()
}

/// What the nodes of a table share.
struct Ground {
    fleet: Fleet,
    redis: TestRedis,
    database: TestDatabase,
    stored: StoredKeys,
    scratch: Scratch,
    /// Keys that are there.
    keys: u64,
    /// Those with higher numbers are never used.
    usable: u64,
}

impl Ground {
    async fn lay(usable: u64) -> Result<Self> {
        let (redis, database) = (TestRedis::with(RedisOptions::default()).await?, TestDatabase::migrated().await?);
        let fleet = bench_fleet(redis.url())?
            .postgres(database.url())
            .env("TOLLGATE_LOG__FILTER", "warn")
            .env("TOLLGATE_CACHE__KEYS_MAX", (2 * usable).max(100_000).to_string())
            .env("TOLLGATE_USAGE__KEYS_MAX", (2 * usable).max(100_000).to_string())
            .env("TOLLGATE_BLOOM_FILTER__LOAD_TIMEOUT", "1h");
        // None of its own yet: how long the first start takes is told by the first row.
        let mut fleet = fleet.start().await?;
        fleet.nodes.clear();
        Ok(Self { fleet, redis, database, stored: StoredKeys::generate()?, scratch: Scratch::new("scale")?, keys: 0, usable })
    }

    /// Adds keys until there are so many.
    async fn grow(&mut self, keys: u64) -> Result<()> {
        // A bucket of a day stays in Redis from one use to the next.
        let limit = serde_json::json!({"burst": 1_000_000, "per_seconds": 86_400});
        let middle = self.usable.clamp(self.keys, keys.max(self.keys));
        self.stored.put(&self.database, self.keys..middle, &limit).await?;
        self.database.fill(middle..keys).await?;
        self.keys = keys;
        Ok(())
    }

    async fn api_keys(&self, numbers: Range<u64>) -> Result<Vec<String>> {
        self.stored.api_keys(&self.database, numbers).await
    }

    /// What Redis holds.
    async fn redis_bytes(&self) -> Result<f64> {
        Ok(self.redis.info("memory", "used_memory").await?.parse()?)
    }

    async fn redis_cpu_us(&self) -> Result<f64> {
        let (user, system): (f64, f64) =
            (self.redis.info("cpu", "used_cpu_user").await?.parse()?, self.redis.info("cpu", "used_cpu_sys").await?.parse()?);
        Ok((user + system) * 1e6)
    }

    fn target(&self, node: &Node, requests: &Requests) -> Target<'_> {
        Target::new("active keys", node.address(), "/v1/authorize", node.process().id(), requests).over(&self.redis)
    }
}

/// A node over all keys that are there, as it is after its start.
struct Started {
    node: Node,
    ready_s: f64,
    filter_mb: f64,
    filter_s: f64,
    /// Of a million strangers the filter lets so many through.
    false_positives: f64,
    resident_mib: f64,
    /// Active keys that it has seen.
    seen: u64,
}

impl Started {
    async fn over(ground: &Ground) -> Result<Self> {
        let begun = Instant::now();
        let node = ground.fleet.builder.clone().start_live().await?;
        eventually("the node is ready", READY_WITHIN, async || {
            anyhow::ensure!(node.health("/health/ready").await?.0 == 200, "not ready");
            Ok(())
        })
        .await?;
        let ready_s = begun.elapsed().as_secs_f64();
        let (page, resident_mib) = (node.metrics().await?, resident_mib(node.process().id())?);
        let strangers = setting("STRANGERS", 100_000);
        let wrong = (0..strangers).map(|number| request("/v1/authorize", &format!("tk_01hq3n{number:020}:swordfish"))).collect();
        once(node.address(), &Arc::new(wrong), FIRST_USES, 401).await?;
        let taken = figure(&node.metrics().await?, "tollgate_bloom_false_positives_total");
        Ok(Self {
            node,
            ready_s,
            filter_mb: figure(&page, "tollgate_bloom_bytes") / 1e6,
            filter_s: figure(&page, "tollgate_bloom_rebuild_duration_seconds_sum"),
            false_positives: taken / f64::from(u32::try_from(strangers)?) * 1e6,
            resident_mib,
            seen: 0,
        })
    }
}

/// What active keys cost one node. Of a second node that uses the same keys, Redis' bytes are not told.
struct Cost {
    first_use_us: f64,
    key_bytes: f64,
    bucket_bytes: f64,
    p50_ms: f64,
    p99_ms: f64,
    cpu_us: f64,
    redis_us: f64,
    ratio: f64,
    redis_ratio: f64,
}

impl Cost {
    /// Uses those that this node has not seen yet, and then all of them beside the `first` node.
    async fn of(ground: &Ground, started: &mut Started, active: u64, first: Option<&Target<'_>>) -> Result<Self> {
        let made = ground.api_keys(0..active).await?;
        let visits = made.iter().map(|key| request("/v1/authorize", key)).collect::<Vec<_>>();
        let new = Arc::new(visits.get(usize::try_from(started.seen)?..).unwrap_or_default().to_vec());
        let node = &started.node;
        let (resident, used, begun) = (resident_mib(node.process().id())?, ground.redis_bytes().await?, Instant::now());
        once(node.address(), &new, FIRST_USES, 200).await?;
        let each = |sum: f64| sum / f64::from(u32::try_from(new.len()).unwrap_or(u32::MAX));
        let (first_use_us, key_bytes) =
            (each(begun.elapsed().as_secs_f64() * 1e6), each(resident_mib(node.process().id())? - resident) * 1024.0 * 1024.0);
        let bucket_bytes = each(ground.redis_bytes().await? - used);
        started.seen = active;
        let answers = load(&[node.address()], &Arc::new(visits), setting("RATE", 4000), PACED, setting("SECONDS", 4)).await?;
        let requests = Requests::get(&ground.scratch, &format!("active-{active}"), &made, 1)?;
        let mut target = ground.target(node, &requests);
        let mut beside = first.cloned();
        for _ in 0..setting("ROUNDS", 5) {
            if let Some(first) = &mut beside {
                first.round(setting("SECONDS", 4)).await?;
            }
            target.round(setting("SECONDS", 4)).await?;
        }
        let ratio = |read: fn(&Round) -> f64| beside.as_ref().map_or(1.0, |first| target.figure(read) / first.figure(read));
        Ok(Self {
            first_use_us,
            key_bytes,
            bucket_bytes,
            p50_ms: latency_ms(&answers, 50),
            p99_ms: latency_ms(&answers, 99),
            cpu_us: target.figure(|round| round.cpu_us),
            redis_us: target.figure(|round| round.redis_cpu_us),
            ratio: ratio(|round| round.cpu_us),
            redis_ratio: ratio(|round| round.redis_cpu_us),
        })
    }

    fn print(&self, keys: u64, active: u64, started: &Started) {
        let Started { ready_s, filter_mb, filter_s, false_positives, resident_mib, .. } = started;
        let Self { first_use_us, key_bytes, bucket_bytes, p50_ms, p99_ms, cpu_us, redis_us, ratio, redis_ratio } = self;
        println!(
            "{keys:>9} {active:>8} {ready_s:>8.1} {resident_mib:>8.0} {filter_mb:>10.2} {filter_s:>9.1} {false_positives:>13.0} \
             {first_use_us:>13.0} {key_bytes:>11.0} {bucket_bytes:>13.0} {p50_ms:>8.2} {p99_ms:>8.2} {cpu_us:>8.1} {ratio:>6.2} \
             {redis_us:>9.1} {redis_ratio:>6.2}"
        );
    }
}

async fn keys_table() -> Result<()> {
    let (counts, actives) = (numbers("KEYS", "10000 100000 1000000 10000000")?, numbers("ACTIVE", "10000 100000 1000000")?);
    let mut ground = Ground::lay(actives.iter().copied().max().unwrap_or(0)).await?;
    println!(
        "{:>9} {:>8} {:>8} {:>8} {:>10} {:>9} {:>13} {:>13} {:>11} {:>13} {:>8} {:>8} {:>8} {:>6} {:>9} {:>6}",
        "keys",
        "active",
        "start, s",
        "MiB then",
        "filter, MB",
        "it took s",
        "false in 10^6",
        "first use, us",
        "B a cached",
        "Redis' B each",
        "p50, ms",
        "p99, ms",
        "CPU, us",
        "ratio",
        "Redis, us",
        "ratio"
    );
    let mut first: Option<(Node, Requests)> = None;
    for (place, &keys) in counts.iter().enumerate() {
        ground.grow(keys).await?;
        let mut started = Started::over(&ground).await?;
        let wanted = if place + 1 == counts.len() { actives.as_slice() } else { actives.get(..1).unwrap_or_default() };
        for &active in wanted.iter().filter(|active| **active <= keys) {
            let beside = first.as_ref().map(|(node, requests)| ground.target(node, requests));
            let cost = Cost::of(&ground, &mut started, active, beside.as_ref()).await?;
            cost.print(keys, active, &started);
        }
        if first.is_none() {
            let requests = Requests::get(&ground.scratch, "first", &ground.api_keys(0..started.seen).await?, 1)?;
            first = Some((started.node, requests));
        }
    }
    Ok(())
}

/// A row for each number of nodes: asked for as much all together as one, and each for as much. All nodes are
/// there all the time, so that the loads can take turns.
async fn nodes_table() -> Result<()> {
    let (counts, active) = (numbers("NODES", "1 2 4 8")?, numbers("ACTIVE", "10000")?.first().copied().unwrap_or(0));
    let mut ground = Ground::lay(active).await?;
    ground.grow(active).await?;
    let made = ground.api_keys(0..active).await?;
    let visits = Arc::new(made.iter().map(|key| request("/v1/authorize", key)).collect::<Vec<_>>());
    let (rate, most) = (setting("RATE", 4000), counts.iter().copied().max().unwrap_or(1));
    for _ in 0..most {
        let node = ground.fleet.builder.clone().start().await?;
        // Each node reads each key once: that is not what is measured here.
        once(node.address(), &visits, FIRST_USES, 200).await?;
        ground.fleet.nodes.push(node);
    }
    tokio::time::sleep(WRITTEN_WITHIN).await;
    let mut rows: Vec<_> = counts.iter().map(|&count| [(count, rate, Vec::new()), (count, rate * count / most, Vec::new())]).collect();
    for _ in 0..setting("ROUNDS", 5) {
        for (count, rate, rounds) in rows.iter_mut().flatten() {
            rounds.push(nodes_round(&ground, &visits, usize::try_from(*count)?, *rate).await?);
        }
    }
    println!("{:>9} {:>10} {:>14} {:>15} {:>8} {:>8}", "nodes", "requests/s", "CPU us, nodes'", "CPU us, Redis'", "p50, ms", "p99, ms");
    for (count, rate, rounds) in rows.iter().flatten() {
        let [nodes, store, p50, p99] =
            [0, 1, 2, 3].map(|place| median(rounds.iter().filter_map(|round| round.get(place).copied()).collect()));
        println!("{count:>9} {rate:>10} {nodes:>14.1} {store:>15.1} {p50:>8.2} {p99:>8.2}");
    }
    Ok(())
}

/// Loads the first nodes: their CPU time a decision, that of Redis, and latencies.
async fn nodes_round(ground: &Ground, visits: &Arc<Vec<Vec<u8>>>, count: usize, rate: u64) -> Result<[f64; 4]> {
    let loaded = ground.fleet.nodes.get(..count).context("as many nodes")?;
    let addresses: Vec<SocketAddr> = loaded.iter().map(Node::address).collect();
    let (nodes, store) = (cpu_us(loaded)?, ground.redis_cpu_us().await?);
    let answers = load(&addresses, visits, rate, PACED, setting("SECONDS", 4)).await?;
    anyhow::ensure!(answers.iter().all(|answer| answer.status == 200), "a request was refused");
    let each = |before: f64, after: f64| (after - before) / f64::from(u32::try_from(answers.len()).unwrap_or(u32::MAX));
    let (nodes, store) = (each(nodes, cpu_us(loaded)?), each(store, ground.redis_cpu_us().await?));
    Ok([nodes, store, latency_ms(&answers, 50), latency_ms(&answers, 99)])
}

fn cpu_us(nodes: &[Node]) -> Result<f64> {
    nodes.iter().map(|node| process_cpu_us(node.process().id())).sum()
}

fn figure(page: &str, name: &str) -> f64 {
    page.lines().filter(|line| line.starts_with(name)).find_map(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(f64::NAN)
}
