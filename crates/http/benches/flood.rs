//! What a flood of wrong keys costs the rightful, beside the same flood sent to `/health/live`.
//!
//! Two nodes over a real Redis and a real Postgres. Rightful requests go at a fixed rate, and beside
//! them a flood at a fixed rate from the same address: to `/v1/authorize` with wrong keys of every
//! kind, or to `/health/live` with the same headers. Both take turns. Latencies of the rightful count
//! from the instant at which a request was due, if its connection was late, so none is omitted.
//!
//! ```text
//! cargo build --release
//! TOLLGATE_BIN=target/release/tollgate cargo bench -p tollgate-http --bench flood
//! ```
//!
//! Settings: `ROUNDS` (5), `SECONDS` of each flood (5), `FLOOD` requests a second (10000), `RIGHTFUL`
//! requests a second (500), `KEYS` (100), `CONNECTIONS` of the flood (32).
#![allow(clippy::print_stdout, reason = "a table on standard output is what a bench is for")]

mod support;

use std::{net::SocketAddr, sync::Arc, time::Instant};

use anyhow::{Context, Result};
use support::{
    forge, make_keys, median,
    paced::{latency_ms, load, request},
    resident_mib, setting,
};
use tollgate_keys::{ApiKey, KeyId, RandomPart, Secret};
use tollgate_testkit::{Fleet, Node, RedisOptions, TestRedis};

/// Wrong keys of each kind; each is shown again and again, and in all there are too many to remember.
const WRONG_OF_EACH_KIND: u64 = 20_000;

fn main() -> Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(compare())
}

async fn compare() -> Result<()> {
    let redis = TestRedis::with(RedisOptions::default()).await?;
    let fleet = Fleet::builder(2).redis(redis.url()).start().await?;
    let nodes: Vec<SocketAddr> = fleet.nodes.iter().map(Node::address).collect();
    let keys = make_keys(fleet.node(0)?.address(), &fleet.admin_key, setting("KEYS", 100)).await?;
    let rightful = Arc::new(keys.iter().map(|key| request("/v1/authorize", key)).collect::<Vec<_>>());
    let wrong_keys = wrong(&keys)?;
    let wrong = Arc::new(wrong_keys.iter().map(|key| request("/v1/authorize", key)).collect::<Vec<_>>());
    let live = Arc::new(wrong_keys.iter().map(|key| request("/health/live", key)).collect::<Vec<_>>());
    // Each key's first use hashes, on each node: that is not what is measured here.
    for &node in &nodes {
        load(&[node], &rightful, setting("KEYS", 100) * 2, 2, 1).await?;
    }
    let mut before = Cost::of(&fleet).await?;
    let mut rounds: [Vec<Figures>; 2] = [Vec::new(), Vec::new()];
    let mut spent = [Cost::default(); 2];
    for _ in 0..setting("ROUNDS", 5) {
        for (place, flood) in [&live, &wrong].into_iter().enumerate() {
            let figures = round(&nodes, &rightful, flood).await?;
            if let Some(rounds) = rounds.get_mut(place) {
                rounds.push(figures);
            }
            let after = Cost::of(&fleet).await?;
            if let Some(spent) = spent.get_mut(place) {
                spent.add(after, before);
            }
            before = after;
        }
    }
    let [live, wrong] = &rounds;
    let [cost_live, cost_wrong] = spent;
    print("the flood to /health/live", live, live, cost_live);
    print("the flood of wrong keys", wrong, live, cost_wrong);
    Ok(())
}

/// Forged, of a real id with a wrong secret and no tag, unsigned and unknown, and no api key at all.
fn wrong(keys: &[String]) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for number in 0..WRONG_OF_EACH_KIND {
        let real = keys.get(usize::try_from(number)? % keys.len()).context("no keys")?;
        let key_id = ApiKey::parse(real)?.key_id;
        let nobody = KeyId::from_parts(1_600_000_000_000 + number, [7; 10]);
        wrong.push(forge(real)?);
        for key_id in [key_id, nobody] {
            let secret = Secret::unsigned(&RandomPart::generate()?);
            wrong.push(ApiKey { key_id, secret }.expose().to_string());
        }
        wrong.push(format!("no-api-key-{number}"));
    }
    Ok(wrong)
}

/// What one round came to.
struct Figures {
    p50: f64,
    p99: f64,
    flood_per_second: f64,
}

async fn round(nodes: &[SocketAddr], rightful: &Arc<Vec<Vec<u8>>>, flood: &Arc<Vec<Vec<u8>>>) -> Result<Figures> {
    let (seconds, rate) = (setting("SECONDS", 5), setting("FLOOD", 10_000));
    let began = Instant::now();
    let (good, bad) = tokio::join!(
        load(nodes, rightful, setting("RIGHTFUL", 500), 8, seconds),
        load(nodes, flood, rate, setting("CONNECTIONS", 32), seconds)
    );
    let (good, bad) = (good?, bad?);
    let refused = good.iter().filter(|answer| answer.status != 200).count();
    anyhow::ensure!(refused == 0, "{refused} rightful requests were refused");
    let flood_per_second = f64::from(u32::try_from(bad.len())?) / began.elapsed().as_secs_f64();
    Ok(Figures { p50: latency_ms(&good, 50), p99: latency_ms(&good, 99), flood_per_second })
}

/// What both nodes have spent so far.
#[derive(Clone, Copy, Default)]
struct Cost {
    lookups: f64,
    hashes: f64,
    resident_mib: f64,
}

impl Cost {
    async fn of(fleet: &Fleet) -> Result<Self> {
        let mut cost = Self::default();
        for node in &fleet.nodes {
            let page = node.metrics().await?;
            cost.lookups += sum(&page, "tollgate_postgres_lookups_total");
            cost.hashes += sum(&page, "tollgate_argon2_duration_seconds_count");
            cost.resident_mib += resident_mib(node.process().id())?;
        }
        Ok(cost)
    }

    fn add(&mut self, after: Self, before: Self) {
        self.lookups += after.lookups - before.lookups;
        self.hashes += after.hashes - before.hashes;
        self.resident_mib += after.resident_mib - before.resident_mib;
    }
}

fn sum(page: &str, name: &str) -> f64 {
    page.lines().filter(|line| line.starts_with(name)).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

fn print(name: &str, rounds: &[Figures], base: &[Figures], cost: Cost) {
    let of = |rounds: &[Figures], read: fn(&Figures) -> f64| median(rounds.iter().map(read).collect());
    let (p50, p99, rate) = (of(rounds, |one| one.p50), of(rounds, |one| one.p99), of(rounds, |one| one.flood_per_second));
    let ratios = rounds.iter().zip(base).map(|(one, base)| one.p99 / base.p99).collect();
    println!("{name}: {rate:.0} a second beside the rightful, whose p50 is {p50:.2} ms and p99 {p99:.2} ms");
    println!("  p99 {:.2} x that beside /health/live (median of the rounds' ratios {:.2})", p99 / of(base, |one| one.p99), median(ratios));
    println!("  {:.0} look-ups, {:.0} hashes, {:+.1} MiB resident in all rounds, both nodes", cost.lookups, cost.hashes, cost.resident_mib);
}
