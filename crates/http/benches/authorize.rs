//! What a decision costs beside a handler that does nothing.
//!
//! One node over a real Redis and a real Postgres, and beside it, in a process of its own, a
//! handler that answers the same bytes behind the same accept loop and runtime: those of a 200 and
//! those of a 401. wrk loads them in turn, several rounds, on the same cores; what counts are the
//! ratios of the medians.
//!
//! ```text
//! cargo build --release
//! TOLLGATE_BIN=target/release/tollgate cargo bench -p tollgate-http --bench authorize
//! ```
//!
//! Settings: `ROUNDS` (5), `SECONDS` of each load (4), `CONNECTIONS` (64), `KEYS` (1000), and
//! `NODE_SETTINGS` of the node, such as `TOLLGATE_REDIS__CALLS_IN_FLIGHT=1`.
#![allow(clippy::print_stdout, reason = "a table on standard output is what a bench is for")]

mod support;

use anyhow::{Context, Result};
use support::{
    bench_fleet,
    constant::{Constant, EmptyHandler, Loop, was_asked_for},
    forge, make_keys, setting,
    wrk::{Requests, Target},
};
use tollgate_testkit::{RedisOptions, Scratch, TestRedis};

/// As in the binary: like is compared with like.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<()> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(async { if was_asked_for().await? { Ok(()) } else { compare().await } })
}

async fn compare() -> Result<()> {
    let redis = TestRedis::with(RedisOptions::default()).await?;
    let fleet = bench_fleet(redis.url())?.start().await?;
    let node = fleet.node(0)?;
    let scratch = Scratch::new("bench")?;
    let keys = make_keys(node.address(), &fleet.admin_key, setting("KEYS", 1000)).await?;
    let forged_keys = keys.iter().map(|key| forge(key)).collect::<Result<Vec<_>>>()?;
    let good = Requests::get(&scratch, "good", &keys, 1)?;
    let forged = Requests::get(&scratch, "forged", &forged_keys, 1)?;
    let (served, process) = (node.address(), node.process().id());
    let url = format!("http://{served}/v1/authorize");
    let allowed = Constant::like("/allowed", &url, keys.first().context("no keys")?).await?;
    let refused = Constant::like("/refused", &url, forged_keys.first().context("no keys")?).await?;
    let empty = EmptyHandler::start(Loop::Own, &[allowed, refused], scratch.path()).await?;
    let mut targets = [
        Target::new("empty handler, 200", empty.address, "/allowed", empty.id(), &good),
        Target::new("verified keys, through Redis", served, "/v1/authorize", process, &good).over(&redis),
        Target::new("empty handler, 401", empty.address, "/refused", empty.id(), &forged).refused(),
        Target::new("forged keys", served, "/v1/authorize", process, &forged).over(&redis).refused(),
    ];
    // Each key's first use hashes: that is not what is measured here.
    for target in &targets {
        target.load(3).await?;
    }
    for _ in 0..setting("ROUNDS", 5) {
        for target in &mut targets {
            target.round(setting("SECONDS", 4)).await?;
        }
    }
    print(&targets);
    Ok(())
}

/// Each row beside the empty handler of the same answer, which comes before it.
fn print(targets: &[Target]) {
    println!("{:<32} {:>12} {:>8} {:>18} {:>24}", "median of the rounds", "requests/s", "ratio", "CPU us/request", "Redis CPU us/request");
    for pair in targets.chunks(2) {
        let base = pair.first().map_or(f64::NAN, |empty| empty.figure(|round| round.per_second));
        for target in pair {
            let per_second = target.figure(|round| round.per_second);
            let (cpu, redis) = (target.figure(|round| round.cpu_us), target.figure(|round| round.redis_cpu_us));
            println!("{:<32} {per_second:>12.0} {:>8.2} {cpu:>18.1} {redis:>24.1}", target.name, per_second / base);
        }
    }
}
