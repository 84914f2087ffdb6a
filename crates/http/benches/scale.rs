//! What many keys and many nodes cost: a table with a row for each number of keys, and one for each
//! number of nodes.
//!
//! Some keys are made by calls and used (`ACTIVE`); the others are rows that nobody uses, made in the
//! database. A node is started over them, all active keys are used once, and then loaded evenly by wrk.
//! With more nodes, requests go to all in turn at a fixed rate, and their CPU times are added up.
//!
//! ```text
//! cargo build --release
//! TOLLGATE_BIN=target/release/tollgate cargo bench -p tollgate-http --bench scale
//! ```
//!
//! Settings: `KEYS` (`10000 100000 1000000 10000000`), `ACTIVE` (10000) of them, `NODES` (`1 2 4 8`),
//! `SECONDS` of each load (5), `RATE` (8000) of requests to several nodes a second, `CONNECTIONS` (64),
//! and `NODE_SETTINGS`.
#![allow(clippy::print_stdout, reason = "a table on standard output is what a bench is for")]

mod support;

use std::{net::SocketAddr, sync::Arc, time::Duration, time::Instant};

use anyhow::{Context, Result};
use support::{
    bench_fleet, make_keys,
    paced::{latency_ms, load, request},
    process_cpu_us, resident_mib, setting,
    wrk::{Requests, Target},
};
use tollgate_testkit::{Fleet, FleetBuilder, Node, RedisOptions, Scratch, TestDatabase, TestRedis, eventually};

const READY_WITHIN: Duration = Duration::from_hours(1);
const PACED: u64 = 32;

fn main() -> Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        println!(
            "{:>9} {:>9} {:>9} {:>10} {:>13} {:>14} {:>12} {:>16} {:>15}",
            "keys",
            "active",
            "start, s",
            "filter, MB",
            "started, MiB",
            "bytes a cached",
            "Redis' bytes",
            "CPU us/decision",
            "Redis' CPU us"
        );
        for keys in numbers("KEYS", "10000 100000 1000000 10000000")? {
            keys_cost(keys).await?;
        }
        println!("{:>9} {:>22} {:>15} {:>9} {:>9}", "nodes", "CPU us/decision, all", "Redis' CPU us", "p50, ms", "p99, ms");
        nodes_cost(&numbers("NODES", "1 2 4 8")?).await
    })
}

/// Whole numbers from the environment.
fn numbers(name: &str, default: &str) -> Result<Vec<u64>> {
    let text = std::env::var(name).unwrap_or_else(|_| default.into());
    text.split_whitespace().map(|number| number.parse().with_context(|| format!("{name} is a list of whole numbers"))).collect()
}

/// A row of the first table.
async fn keys_cost(keys: u64) -> Result<()> {
    let active = setting("ACTIVE", 10_000).min(keys);
    let (redis, database) = (TestRedis::with(RedisOptions::default()).await?, TestDatabase::migrated().await?);
    let mut fleet = large(bench_fleet(redis.url())?, active).postgres(database.url()).start().await?;
    let made = make_keys(fleet.node(0)?.address(), &fleet.admin_key, active).await?;
    fleet.nodes.clear();
    database.fill(keys - active).await?;
    let begun = Instant::now();
    let node = fleet.builder.clone().start_live().await?;
    eventually("the node is ready", READY_WITHIN, async || {
        anyhow::ensure!(node.health("/health/ready").await?.0 == 200, "not ready");
        Ok(())
    })
    .await?;
    let start = begun.elapsed().as_secs_f64();
    let filter = figure(&node.metrics().await?, "tollgate_bloom_bytes") / 1e6;
    let (resident, used) = (resident_mib(node.process().id())?, redis_bytes(&redis).await?);
    let visits = Arc::new(made.iter().map(|key| request("/v1/authorize", key)).collect::<Vec<_>>());
    let first = load(&[node.address()], &visits, active / 10, 10, 10).await?;
    anyhow::ensure!(first.iter().all(|answer| answer.status == 200), "a first use was refused");
    let of_each = |before: f64, after: f64| (after - before) / f64::from(u32::try_from(active).unwrap_or(u32::MAX));
    let cached = of_each(resident, resident_mib(node.process().id())?) * 1024.0 * 1024.0;
    let bucket = of_each(used, redis_bytes(&redis).await?);
    let scratch = Scratch::new("scale")?;
    let requests = Requests::get(&scratch, "good", &made, 1)?;
    let target = Target::new("active keys", node.address(), "/v1/authorize", node.process().id(), &requests).over(&redis);
    target.load(2).await?;
    let round = target.load(setting("SECONDS", 5)).await?;
    println!(
        "{keys:>9} {active:>9} {start:>9.1} {filter:>10.2} {resident:>13.0} {cached:>14.0} {bucket:>12.0} {:>16.1} {:>15.1}",
        round.cpu_us, round.redis_cpu_us
    );
    Ok(())
}

/// With room for as many keys, and time to load as large a filter.
fn large(builder: FleetBuilder, active: u64) -> FleetBuilder {
    builder.env("TOLLGATE_CACHE__KEYS_MAX", active.max(100_000).to_string()).env("TOLLGATE_BLOOM_FILTER__LOAD_TIMEOUT", "1h")
}

/// The rows of the second table.
async fn nodes_cost(counts: &[u64]) -> Result<()> {
    let redis = TestRedis::with(RedisOptions::default()).await?;
    let mut fleet = bench_fleet(redis.url())?.start().await?;
    let made = make_keys(fleet.node(0)?.address(), &fleet.admin_key, setting("ACTIVE", 10_000)).await?;
    let visits = Arc::new(made.iter().map(|key| request("/v1/authorize", key)).collect::<Vec<_>>());
    for &count in counts {
        while u64::try_from(fleet.nodes.len())? < count {
            fleet.nodes.push(fleet.builder.clone().start().await?);
        }
        let addresses: Vec<SocketAddr> = fleet.nodes.iter().map(Node::address).collect();
        let (rate, seconds) = (setting("RATE", 8000), setting("SECONDS", 5));
        // Each node hashes or reads each key once: that is not what is measured here.
        for &address in &addresses {
            load(&[address], &visits, setting("ACTIVE", 10_000) / 10, 10, 10).await?;
        }
        let (nodes, store) = (cpu_us(&fleet)?, redis_cpu_us(&redis).await?);
        let answers = load(&addresses, &visits, rate, PACED, seconds).await?;
        let each = |before: f64, after: f64| (after - before) / f64::from(u32::try_from(answers.len()).unwrap_or(u32::MAX));
        let (nodes, store) = (each(nodes, cpu_us(&fleet)?), each(store, redis_cpu_us(&redis).await?));
        println!("{count:>9} {nodes:>22.1} {store:>15.1} {:>9.2} {:>9.2}", latency_ms(&answers, 50), latency_ms(&answers, 99));
    }
    Ok(())
}

fn cpu_us(fleet: &Fleet) -> Result<f64> {
    fleet.nodes.iter().map(|node| process_cpu_us(node.process().id())).sum()
}

async fn redis_cpu_us(redis: &TestRedis) -> Result<f64> {
    let (user, system): (f64, f64) =
        (redis.info("cpu", "used_cpu_user").await?.parse()?, redis.info("cpu", "used_cpu_sys").await?.parse()?);
    Ok((user + system) * 1e6)
}

/// What the keys of Redis take, and what it keeps for them.
async fn redis_bytes(redis: &TestRedis) -> Result<f64> {
    Ok(redis.info("memory", "used_memory_dataset").await?.parse()?)
}

fn figure(page: &str, name: &str) -> f64 {
    page.lines().filter(|line| line.starts_with(name)).find_map(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(f64::NAN)
}
