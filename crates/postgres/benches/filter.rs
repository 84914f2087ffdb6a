//! What very many keys cost one node: to start, in memory, and while it makes its filter anew.
//!
//! The keys are made in the database. Requests go to the node at a fixed rate, half of them of a good
//! key and half of strangers; each is put down to the time in which ids were streamed, as Postgres
//! tells, or to the time between. Latencies count from the instant a request was due, if its connection
//! was late.
//!
//! ```text
//! cargo build --release
//! TOLLGATE_BIN=target/release/tollgate cargo bench -p tollgate-postgres --bench filter
//! ```
//!
//! Settings: `KEYS` (10000000, which take 4 GB and some minutes to make), `SECONDS` of requests (180),
//! `RATE` of them a second (500), `INTERVAL` of rebuilds in seconds (20).
#![allow(clippy::print_stdout, reason = "a table on standard output is what a bench is for")]

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use sqlx::PgConnection;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};
use tollgate_testkit::{Fleet, Node, TestDatabase, eventually};

const CONNECTIONS: u64 = 8;
const READY_WITHIN: Duration = Duration::from_hours(1);

fn main() -> Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(measure())
}

/// A whole number from the environment.
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

async fn measure() -> Result<()> {
    let keys = setting("KEYS", 10_000_000);
    let database = TestDatabase::migrated().await?;
    let made = Instant::now();
    database.fill(1..keys + 1).await?;
    println!("{keys} keys made in {:.0} s", made.elapsed().as_secs_f64());
    let started = Instant::now();
    let fleet = Fleet::builder(0)
        .postgres(database.url())
        .env("TOLLGATE_LOG__FILTER", "warn")
        .env("TOLLGATE_KEYS__DEFAULT_RATE_LIMIT__BURST", "1000000000")
        .env("TOLLGATE_BLOOM_FILTER__REBUILD_INTERVAL", format!("{}s", setting("INTERVAL", 20)))
        .env("TOLLGATE_BLOOM_FILTER__LOAD_TIMEOUT", "1h")
        .env("TOLLGATE_BLOOM_FILTER__PAGE", "1000");
    let fleet = fleet.start().await?;
    // Ready it is only with its filter, which may take longer than a start usually may.
    let node = &fleet.builder.clone().start_live().await?;
    let ready = async || {
        anyhow::ensure!(node.health("/health/ready").await?.0 == 200, "not ready");
        Ok(())
    };
    eventually("it is ready", READY_WITHIN, ready).await?;
    println!("ready after {:.1} s", started.elapsed().as_secs_f64());
    print_memory("after the start", node).await?;
    let rebuilding = Arc::new(AtomicBool::new(false));
    let watch = tokio::spawn(watch(database.connection().await?, Arc::clone(&rebuilding)));
    let visits = load(node.address(), &fleet.admin_key, &rebuilding).await?;
    watch.abort();
    print_memory("after the rebuilds", node).await?;
    let page = node.metrics().await?;
    let (count, sum) =
        (figure(&page, "tollgate_bloom_rebuild_duration_seconds_count"), figure(&page, "tollgate_bloom_rebuild_duration_seconds_sum"));
    println!("{count:.0} filters made, {:.1} s each", sum / count);
    let [quiet, during] = [false, true].map(|rebuilding| tell(&visits, rebuilding));
    println!("a rebuild adds {:.2} ms to the p99", during - quiet);
    Ok(())
}

/// Looks whether ids are streamed just now, again and again.
async fn watch(mut connection: PgConnection, rebuilding: Arc<AtomicBool>) -> Result<()> {
    loop {
        let sql =
            "select exists (select from pg_stat_activity where application_name = 'tollgate key ids' and datname = current_database())";
        let is: bool = sqlx::query_scalar(sql).fetch_one(&mut connection).await?;
        rebuilding.store(is, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

struct Visit {
    rebuilding: bool,
    latency: Duration,
}

/// Requests at a fixed rate over several connections.
async fn load(node: SocketAddr, good: &str, rebuilding: &Arc<AtomicBool>) -> Result<Vec<Visit>> {
    let (rate, seconds) = (setting("RATE", 500), setting("SECONDS", 180));
    let pause = Duration::from_micros(1_000_000 * CONNECTIONS / rate);
    let (stranger, mut running) = (Arc::new(AtomicU64::new(0)), JoinSet::new());
    for _ in 0..CONNECTIONS {
        let (good, stranger, rebuilding) = (good.to_owned(), Arc::clone(&stranger), Arc::clone(rebuilding));
        running.spawn(async move {
            let (mut stream, mut visits) = (TcpStream::connect(node).await?, Vec::new());
            stream.set_nodelay(true)?;
            let begun = Instant::now();
            for number in 0..u32::try_from(rate * seconds / CONNECTIONS)? {
                let due = begun + pause * number;
                let late = Instant::now() > due;
                if !late {
                    tokio::time::sleep_until(due.into()).await;
                }
                // Our own timer's lateness is not the server's.
                let (from, was) = (if late { due } else { Instant::now() }, rebuilding.load(Ordering::Relaxed));
                let is_good = number.is_multiple_of(2);
                let wrong = || format!("tk_01hq3n{:020}:swordfish", stranger.fetch_add(1, Ordering::Relaxed));
                let status = ask(&mut stream, &if is_good { good.clone() } else { wrong() }).await?;
                anyhow::ensure!(status == if is_good { 200 } else { 401 }, "{status}");
                visits.push(Visit { rebuilding: was || rebuilding.load(Ordering::Relaxed), latency: from.elapsed() });
            }
            Ok(visits)
        });
    }
    let mut visits = Vec::new();
    while let Some(some) = running.join_next().await {
        visits.extend(some??);
    }
    Ok(visits)
}

async fn ask(stream: &mut TcpStream, api_key: &str) -> Result<u16> {
    let request = format!("GET /v1/authorize HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {api_key}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut bytes = Vec::new();
    loop {
        anyhow::ensure!(stream.read_buf(&mut bytes).await? > 0, "the node closed a connection");
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok()).unwrap_or(0);
        if body.len() >= length {
            return head.split(' ').nth(1).and_then(|status| status.parse().ok()).context("an answer has a status");
        }
    }
}

/// Prints the latencies of one time; gives the p99 in milliseconds.
fn tell(visits: &[Visit], rebuilding: bool) -> f64 {
    let mut all: Vec<Duration> = visits.iter().filter(|visit| visit.rebuilding == rebuilding).map(|visit| visit.latency).collect();
    all.sort_unstable();
    let at = |share: usize| all.get(all.len() * share / 1000).map_or(f64::NAN, |latency| latency.as_secs_f64() * 1e3);
    let when = if rebuilding { "while ids are streamed" } else { "between" };
    println!("{when}: {} requests, p50 {:.2} ms, p99 {:.2} ms, p99.9 {:.2} ms", all.len(), at(500), at(990), at(999));
    at(990)
}

async fn print_memory(when: &str, node: &Node) -> Result<()> {
    let (status, page) = (std::fs::read_to_string(format!("/proc/{}/status", node.process().id()))?, node.metrics().await?);
    let kib = |name: &str| -> Result<f64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).context("a process has a size")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
    };
    let (keys, bytes) = (figure(&page, "tollgate_bloom_keys"), figure(&page, "tollgate_bloom_bytes"));
    println!("{when}: {keys:.0} ids in {:.2} MB, {:.0} MiB resident, at most {:.0} MiB", bytes / 1e6, kib("VmRSS:")?, kib("VmHWM:")?);
    Ok(())
}

fn figure(page: &str, name: &str) -> f64 {
    page.lines().filter(|line| line.starts_with(name)).find_map(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(f64::NAN)
}
