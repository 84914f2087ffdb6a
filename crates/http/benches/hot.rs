//! One key in much use on two nodes over one Redis: what that costs Redis, and what of the limit is admitted.
//!
//! Nodes take tokens ahead and remember denials. Each row is a load of its own on a key of its own: flooded
//! by wrk, under a limit that it does not reach and under one that it does, and asked at a fixed rate for
//! several times its limit, evenly or nearly all at one of the nodes. What is admitted is held against
//! burst + rate x time: as the most, from the first request to the last answer, and as what one bucket
//! would have let pass, from the first request to the last.
//!
//! ```text
//! cargo build --release
//! TOLLGATE_BIN=target/release/tollgate cargo bench -p tollgate-http --bench hot
//! ```
//!
//! Settings: `SECONDS` of each load (60), `RATE` of requests a second to both nodes where it is fixed (10000),
//! `CONNECTIONS` to both (64), and `NODE_SETTINGS`.
#![allow(clippy::print_stdout, reason = "a table on standard output is what a bench is for")]

mod support;

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use support::{
    bench_fleet, make_keys_with,
    paced::{load, request},
    setting,
    wrk::{Requests, flood, script_calls},
};
use tollgate_testkit::{Fleet, Node, RedisOptions, Scratch, TestRedis};

/// Of a hundred requests, or connections, so many are for the first node.
const SHARES: [(&str, u64); 2] = [("evenly", 50), ("95 of 100 at one", 95)];

fn main() -> Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(hot())
}

/// What came of a load.
struct Load {
    requests: f64,
    admitted: f64,
    /// In which a bucket refills for those that are asked for.
    asked: Duration,
    /// The longest that the admitted can have taken.
    taken: Duration,
}

struct Ground {
    fleet: Fleet,
    redis: TestRedis,
    scratch: Scratch,
}

async fn hot() -> Result<()> {
    let redis = TestRedis::with(RedisOptions::default()).await?;
    let sparing = bench_fleet(redis.url())?.env("TOLLGATE_LEASES__ENABLED", "true").env("TOLLGATE_DENY_MEMORY__DURATION_MAX", "1s");
    let mut fleet = sparing.start().await?;
    fleet.nodes.push(fleet.builder.clone().start().await?);
    let ground = Ground { fleet, redis, scratch: Scratch::new("hot")? };
    println!(
        "{:<20} {:<24} {:>10} {:>10} {:>8} {:>8} {:>12} {:>13}",
        "limit", "load", "decisions", "admitted", "% of due", "above", "calls/10^6", "for decisions"
    );
    for (burst, per_seconds) in [(1_000_000, 1), (2000, 1)] {
        for (name, share) in SHARES {
            ground.row((burst, per_seconds), &format!("flood, {name}"), share, None).await?;
            // What is never refused is not asked at a fixed rate: it would tell nothing new.
            if burst < 1_000_000 {
                ground.row((burst, per_seconds), &format!("paced, {name}"), share, Some(setting("RATE", 10_000))).await?;
            }
        }
    }
    Ok(())
}

impl Ground {
    async fn row(&self, (burst, per_seconds): (u32, u32), name: &str, share: u64, rate: Option<u64>) -> Result<()> {
        let limit = serde_json::json!({"burst": burst, "per_seconds": per_seconds});
        let keys = make_keys_with(self.fleet.node(0)?.address(), &self.fleet.admin_key, 1, &limit).await?;
        let (calls, decisions) = (script_calls(&self.redis).await, self.calls_for_decisions().await?);
        let load = match rate {
            Some(rate) => self.paced(&keys.concat(), share, rate).await?,
            None => self.flooded(&keys, share).await?,
        };
        let of_million = |before: f64, after: f64| (after - before) / load.requests * 1e6;
        let (calls, decisions) =
            (of_million(calls, script_calls(&self.redis).await), of_million(decisions, self.calls_for_decisions().await?));
        let within = |time: Duration| f64::from(burst) * (1.0 + time.as_secs_f64() / f64::from(per_seconds));
        // What comes to less than the limit is all due.
        let due = load.admitted / within(load.asked).min(load.requests) * 100.0;
        let above = (load.admitted - within(load.taken)).max(0.0);
        println!(
            "{:<20} {name:<24} {:>10} {:>10} {due:>8.2} {above:>8.0} {calls:>12.0} {decisions:>13.0}",
            format!("{burst} per {per_seconds} s"),
            load.requests,
            load.admitted
        );
        Ok(())
    }

    fn addresses(&self) -> Result<[SocketAddr; 2]> {
        Ok([self.fleet.node(0)?.address(), self.fleet.node(1)?.address()])
    }

    async fn flooded(&self, keys: &[String], share: u64) -> Result<Load> {
        let requests = Requests::get(&self.scratch, "one", keys, 1)?;
        let [one, other] = self.addresses()?.map(|address| format!("http://{address}/v1/authorize"));
        let (connections, seconds, begun) = (setting("CONNECTIONS", 64), setting("SECONDS", 60), Instant::now());
        let most = connections * share / 100;
        let (one, other) = tokio::try_join!(flood(&one, &requests, most, seconds), flood(&other, &requests, connections - most, seconds))?;
        let requests = one.requests + other.requests;
        let admitted = requests - one.other - other.other;
        Ok(Load { requests, admitted, asked: Duration::from_secs(seconds), taken: begun.elapsed() })
    }

    async fn paced(&self, key: &str, share: u64, rate: u64) -> Result<Load> {
        let visit = Arc::new(vec![request("/v1/authorize", key)]);
        let [one, other] = self.addresses()?.map(|address| [address]);
        let (connections, seconds, most) = (setting("CONNECTIONS", 64) / 2, setting("SECONDS", 60), rate * share / 100);
        let (mut answers, others) =
            tokio::try_join!(load(&one, &visit, most, connections, seconds), load(&other, &visit, rate - most, connections, seconds))?;
        answers.extend(others);
        let sent = || answers.iter().map(|answer| answer.at.0);
        let (first, last) = (sent().min().context("no answers")?, sent().max().context("no answers")?);
        let answered = answers.iter().map(|answer| answer.at.1).max().context("no answers")?;
        let (requests, admitted) = (answers.len(), answers.iter().filter(|answer| answer.status == 200).count());
        Ok(Load {
            requests: f64::from(u32::try_from(requests)?),
            admitted: f64::from(u32::try_from(admitted)?),
            asked: last - first,
            taken: answered - first,
        })
    }

    /// Calls of the script that decides, of all nodes.
    async fn calls_for_decisions(&self) -> Result<f64> {
        let mut sum = 0.0;
        for node in &self.fleet.nodes {
            sum += calls(node).await?;
        }
        Ok(sum)
    }
}

async fn calls(node: &Node) -> Result<f64> {
    let page = node.metrics().await?;
    let count = page.lines().find_map(|line| line.strip_prefix("tollgate_redis_batch_size_count ")?.trim().parse().ok());
    count.context("the metrics page counts calls")
}
