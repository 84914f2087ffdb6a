//! Load by wrk, one target at a time, and what each cost.

use std::{fs, net::SocketAddr, path::PathBuf};

use anyhow::{Context, Result};
use tokio::process::Command;
use tollgate_testkit::{Scratch, TestRedis};

use super::{median, process_cpu_us, setting};

/// Of the answers so many may be others than expected, and are told of: a machine that does something else too may let a
/// decision wait for longer than its time.
const STRAY_MAX: f64 = 1e-3;

/// Requests that wrk makes in turn.
#[derive(Clone)]
pub(crate) struct Requests(PathBuf);

impl Requests {
    /// A GET with each of these credentials, so many of them in one go.
    pub(crate) fn get(scratch: &Scratch, name: &str, credentials: &[String], depth: u64) -> Result<Self> {
        let make = "wrk.format('GET', nil, { ['Authorization'] = 'Bearer ' .. line })";
        Self::write(scratch, name, credentials, make, depth)
    }

    /// A POST with each of these bodies of JSON.
    pub(crate) fn post(scratch: &Scratch, name: &str, bodies: &[String]) -> Result<Self> {
        Self::write(scratch, name, bodies, "wrk.format('POST', nil, { ['Content-Type'] = 'application/json' }, line)", 1)
    }

    /// Each is made once, before the load. The lines are in a file, as a script may not hold many.
    fn write(scratch: &Scratch, name: &str, lines: &[String], make: &str, depth: u64) -> Result<Self> {
        let (list, script) = (scratch.path().join(format!("{name}.txt")), scratch.path().join(format!("{name}.lua")));
        fs::write(&list, lines.join("\n"))?;
        let text = format!(
            "local requests, at, depth = {{}}, 0, {depth}\n\
             function init()\n  for line in io.lines('{list}') do\n    requests[#requests + 1] = {make}\n  end\nend\n\
             local function one()\n  at = at % #requests + 1\n  return requests[at]\nend\n\
             function request()\n  if depth == 1 then return one() end\n\
             \x20 local some = {{}}\n  for i = 1, depth do some[i] = one() end\n  return table.concat(some)\nend\n",
            list = list.display()
        );
        fs::write(&script, text)?;
        Ok(Self(script))
    }
}

/// One thing that is loaded.
#[derive(Clone)]
pub(crate) struct Target<'a> {
    pub(crate) name: &'static str,
    pub(crate) url: String,
    pub(crate) process: u32,
    /// The Redis that it asks, if it asks one.
    pub(crate) redis: Option<&'a TestRedis>,
    pub(crate) requests: Requests,
    /// Whether each answer must be 2xx; else none may be.
    pub(crate) succeeds: bool,
    pub(crate) rounds: Vec<Round>,
}

/// What one load came to.
#[derive(Clone, Copy)]
pub(crate) struct Round {
    pub(crate) per_second: f64,
    /// Of the process that answered.
    pub(crate) cpu_us: f64,
    pub(crate) redis_cpu_us: f64,
    /// Calls of a script, for each request.
    pub(crate) redis_calls: f64,
}

impl<'a> Target<'a> {
    pub(crate) fn new(name: &'static str, address: SocketAddr, path: &str, process: u32, requests: &Requests) -> Self {
        let url = format!("http://{address}{path}");
        Self { name, url, process, redis: None, requests: requests.clone(), succeeds: true, rounds: Vec::new() }
    }

    pub(crate) fn over(self, redis: &'a TestRedis) -> Self {
        Self { redis: Some(redis), ..self }
    }

    pub(crate) fn refused(self) -> Self {
        Self { succeeds: false, ..self }
    }

    /// The median over the rounds.
    pub(crate) fn figure(&self, read: fn(&Round) -> f64) -> f64 {
        median(self.rounds.iter().map(read).collect())
    }

    /// Loads it for some seconds and notes what that came to.
    pub(crate) async fn round(&mut self, seconds: u64) -> Result<()> {
        let round = self.load(seconds).await?;
        self.rounds.push(round);
        Ok(())
    }

    /// Loads it for some seconds with wrk, and reads CPU times before and after.
    pub(crate) async fn load(&self, seconds: u64) -> Result<Round> {
        let (cpu, redis) = (process_cpu_us(self.process)?, self.redis_spent().await?);
        let Flood { per_second, requests, other } = flood(&self.url, &self.requests, setting("CONNECTIONS", 64), seconds).await?;
        let expected = if self.succeeds { 0.0 } else { requests };
        let stray = (other - expected).abs();
        anyhow::ensure!(stray <= requests * STRAY_MAX, "{}: {other} of {requests} answers were not 2xx", self.name);
        if stray > 0.5 {
            println!("({}: {other} of {requests} answers were not 2xx)", self.name);
        }
        let (redis_cpu, redis_calls) = self.redis_spent().await?;
        Ok(Round {
            per_second,
            cpu_us: (process_cpu_us(self.process)? - cpu) / requests,
            redis_cpu_us: (redis_cpu - redis.0) / requests,
            redis_calls: (redis_calls - redis.1) / requests,
        })
    }

    /// Its Redis' CPU time in us, and the calls of scripts.
    async fn redis_spent(&self) -> Result<(f64, f64)> {
        let Some(redis) = self.redis else { return Ok((0.0, 0.0)) };
        let user: f64 = redis.info("cpu", "used_cpu_user").await?.parse()?;
        let system: f64 = redis.info("cpu", "used_cpu_sys").await?.parse()?;
        let calls = script_calls(redis).await;
        Ok(((user + system) * 1e6, calls))
    }
}

/// Calls of scripts that it has answered.
pub(crate) async fn script_calls(redis: &TestRedis) -> f64 {
    let calls = redis.info("commandstats", "cmdstat_evalsha").await.unwrap_or_default();
    calls.strip_prefix("calls=").and_then(|rest| rest.split(',').next()?.parse().ok()).unwrap_or(0.0)
}

/// What wrk counted.
#[derive(Clone, Copy)]
pub(crate) struct Flood {
    pub(crate) per_second: f64,
    pub(crate) requests: f64,
    /// Answers that were not 2xx.
    pub(crate) other: f64,
}

/// Sends requests with wrk, as fast as they are answered.
pub(crate) async fn flood(url: &str, requests: &Requests, connections: u64, seconds: u64) -> Result<Flood> {
    let output = Command::new("wrk")
        .args(["-t1", &format!("-c{connections}"), &format!("-d{seconds}s"), "-s"])
        .arg(&requests.0)
        .arg(url)
        .output()
        .await
        .context("wrk is not installed")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let number =
        |label: &str| text.lines().find_map(|line| line.trim().strip_prefix(label)).and_then(|rest| rest.trim().parse::<f64>().ok());
    let counted = text.lines().find_map(|line| line.split_once(" requests in ")?.0.trim().parse::<f64>().ok());
    anyhow::ensure!(!text.contains("Socket errors:"), "{url}: wrk said: {text}");
    Ok(Flood {
        per_second: number("Requests/sec:").with_context(|| format!("wrk said: {text}"))?,
        requests: counted.with_context(|| format!("wrk said: {text}"))?,
        other: number("Non-2xx or 3xx responses:").unwrap_or(0.0),
    })
}
