//! The product beside others, all in one run on the same cores.
//!
//! One node over a real Redis and a real Postgres, loaded by wrk in every way that costs another
//! price; beside it the same node without batches, a handler that answers the node's own bytes behind
//! the same accept loop, the same behind `axum::serve`, nginx that answers 204 by itself, and
//! throttlecrab over HTTP, which holds its buckets in its own memory. All take turns, several rounds;
//! what counts are the ratios of the medians. `docs/src/speed.md` says how to read the table.
//!
//! ```text
//! cargo build --release
//! cargo install throttlecrab-server --root target/bench-programs
//! TOLLGATE_BIN=target/release/tollgate THROTTLECRAB=target/bench-programs/bin/throttlecrab-server \
//!     cargo bench -p tollgate-http --bench compare
//! ```
//!
//! Settings: `ROUNDS` (5), `SECONDS` of each load (4), `CONNECTIONS` (64), `KEYS` (20000), and
//! `NODE_SETTINGS` of the node, such as `TOLLGATE_REDIS__CALLS_IN_FLIGHT=1`. Without `THROTTLECRAB` its
//! row is left out.
#![allow(clippy::print_stdout, reason = "a table on standard output is what a bench is for")]

mod support;

use std::{net::SocketAddr, process::Child, process::Command, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use support::{
    UNLIMITED, bench_fleet,
    constant::{Constant, EmptyHandler, Loop, was_asked_for},
    forge, make_keys, make_keys_with, median,
    paced::{latency_ms, load, request},
    setting,
    wrk::{Requests, Target},
};
use tollgate_testkit::{Port, RedisOptions, Scratch, TestNginx, TestRedis, eventually};

/// As in the binary: like is compared with like.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Requests that a client sends before it reads an answer, where it does so.
const DEPTH: u64 = 16;
/// Connections over which a fixed rate is spread.
const PACED: u64 = 32;

fn main() -> Result<()> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(async { if was_asked_for().await? { Ok(()) } else { compare().await } })
}

/// A row of the table: what is loaded, and the place of the row that it is measured against.
struct Row<'a>(Target<'a>, usize);

async fn compare() -> Result<()> {
    let redis = TestRedis::with(RedisOptions::default()).await?;
    let fleet = bench_fleet(redis.url())?.start().await?;
    let node = fleet.node(0)?;
    let naive = fleet.builder.clone().env("TOLLGATE_REDIS__BATCH_MAX", "1").env("TOLLGATE_REDIS__CALLS_IN_FLIGHT", "64").start().await?;
    let scratch = Scratch::new("compare")?;
    let keys = make_keys(node.address(), &fleet.admin_key, setting("KEYS", 20_000)).await?;
    let spent = make_keys_with(node.address(), &fleet.admin_key, 1, &serde_json::json!({"burst": 1, "per_seconds": 2_678_400})).await?;
    let forged = keys.iter().map(|key| forge(key)).collect::<Result<Vec<_>>>()?;
    let one = keys.get(..1).context("no keys")?;
    let get = |name, keys: &[String], depth| Requests::get(&scratch, name, keys, depth);
    let (hot, many, exhausted, wrong) = (get("hot", one, 1)?, get("many", &keys, 1)?, get("spent", &spent, 1)?, get("forged", &forged, 1)?);
    let pipelined = get("pipelined", one, DEPTH)?;
    let url = format!("http://{}/v1/authorize", node.address());
    // The first use takes the only token.
    Constant::like("/spent", &url, &spent.concat()).await?;
    let mut answers = Vec::new();
    for (path, keys) in [("/allowed", one), ("/spent", &spent), ("/refused", &forged)] {
        answers.push(Constant::like(path, &url, keys.first().context("no keys")?).await?);
    }
    let empty = EmptyHandler::start(Loop::Own, &answers, scratch.path()).await?;
    let plain = EmptyHandler::start(Loop::Axum, &answers, scratch.path()).await?;
    let nginx = TestNginx::silent().await?;
    let nothing = |name, path, requests| Target::new(name, empty.address, path, empty.id(), requests);
    let ours = |name, requests| Target::new(name, node.address(), "/v1/authorize", node.process().id(), requests).over(&redis);
    let mut rows = vec![
        Row(nothing("empty handler, 200", "/allowed", &hot), 0),
        Row(Target::new("the same behind axum::serve", plain.address, "/allowed", plain.id(), &hot), 0),
        Row(Target::new("nginx, 204", nginx.address(), "/", nginx.id(), &hot), 0),
        Row(ours("one key", &hot), 0),
        Row(ours("many keys", &many), 0),
        Row(Target::new("many keys, a call each", naive.address(), "/v1/authorize", naive.process().id(), &many).over(&redis), 4),
        Row(nothing("empty handler, 429", "/spent", &exhausted).refused(), 6),
        Row(ours("an exhausted key", &exhausted).refused(), 6),
        Row(nothing("empty handler, 401", "/refused", &wrong).refused(), 8),
        Row(ours("forged keys", &wrong).refused(), 8),
        Row(nothing("empty handler, 16 at a time", "/allowed", &pipelined), 10),
        Row(ours("one key, 16 at a time", &pipelined), 10),
    ];
    let throttlecrab = Throttlecrab::start(&scratch, &keys).await?;
    if let Some((other, requests)) = &throttlecrab {
        rows.push(Row(Target::new("throttlecrab, many keys", other.port.address(), "/throttle", other.process.id(), requests), 4));
    }
    // Each key's first use hashes: that is not what is measured here.
    let warm_up = setting("KEYS", 20_000).div_ceil(5000).max(2);
    for Row(target, _) in &rows {
        target.load(warm_up).await?;
    }
    for _ in 0..setting("ROUNDS", 5) {
        for Row(target, _) in &mut rows {
            target.round(setting("SECONDS", 4)).await?;
        }
    }
    print(&rows);
    let top = rows.get(3).map_or(0.0, |Row(hot, _)| hot.figure(|round| round.per_second));
    latencies(&[(empty.address, "/allowed"), (node.address(), "/v1/authorize")], one, top / 2.0).await
}

fn print(rows: &[Row]) {
    println!(
        "{:<30} {:>11} {:>6} {:>22} {:>22} {:>15}",
        "median of the rounds", "requests/s", "ratio", "CPU s/10^6 requests", "Redis' CPU s/10^6", "its calls/10^6"
    );
    for Row(target, base) in rows {
        let per_second = target.figure(|round| round.per_second);
        let ratio = per_second / rows.get(*base).map_or(f64::NAN, |Row(base, _)| base.figure(|round| round.per_second));
        let (cpu, redis) = (target.figure(|round| round.cpu_us), target.figure(|round| round.redis_cpu_us));
        let calls = target.figure(|round| round.redis_calls) * 1e6;
        println!("{:<30} {per_second:>11.0} {ratio:>6.2} {cpu:>22.1} {redis:>22.1} {calls:>15.0}", target.name);
    }
}

/// Latency of one key at half of its top load, beside the empty handler at that rate.
async fn latencies(servers: &[(SocketAddr, &str)], keys: &[String], per_second: f64) -> Result<()> {
    let rate = format!("{per_second:.0}").parse()?;
    let mut figures = vec![(Vec::new(), Vec::new()); servers.len()];
    for _ in 0..setting("ROUNDS", 5) {
        for ((address, path), (p50, p99)) in servers.iter().zip(&mut figures) {
            let requests = Arc::new(keys.iter().map(|key| request(path, key)).collect::<Vec<_>>());
            let answers = load(&[*address], &requests, rate, PACED, setting("SECONDS", 4)).await?;
            p50.push(latency_ms(&answers, 50));
            p99.push(latency_ms(&answers, 99));
        }
    }
    for ((_, path), (p50, p99)) in servers.iter().zip(figures) {
        println!("{path} at {per_second:.0} a second: p50 {:.2} ms, p99 {:.2} ms", median(p50), median(p99));
    }
    Ok(())
}

/// The other limiter, over HTTP, with a bucket for each key.
struct Throttlecrab {
    process: Child,
    port: Port,
}

impl Throttlecrab {
    /// Where the environment names its program.
    async fn start(scratch: &Scratch, keys: &[String]) -> Result<Option<(Self, Requests)>> {
        let Ok(program) = std::env::var("THROTTLECRAB") else { return Ok(None) };
        let port = Port::take()?;
        let address = port.address();
        let process = Command::new(program)
            .args(["--http", "--http-host", &address.ip().to_string(), "--http-port", &address.port().to_string(), "--log-level", "warn"])
            .spawn()?;
        let other = Self { process, port };
        eventually("throttlecrab", Duration::from_secs(10), async || {
            tokio::net::TcpStream::connect(address).await.map(drop).context("not listening yet")
        })
        .await?;
        let bodies: Vec<String> = (0..keys.len())
            .map(|number| format!(r#"{{"key": "{number}", "max_burst": {UNLIMITED}, "count_per_period": {UNLIMITED}, "period": 1}}"#))
            .collect();
        Ok(Some((other, Requests::post(scratch, "throttlecrab", &bodies)?)))
    }
}

impl Drop for Throttlecrab {
    fn drop(&mut self) {
        self.process.kill().and_then(|()| self.process.wait()).ok();
    }
}
