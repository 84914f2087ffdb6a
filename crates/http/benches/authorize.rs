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

use std::{fs, net::SocketAddr, process::Command, time::Instant};

use anyhow::{Context, Result};
use axum::{Router, response::Response, routing::any};
use http::{HeaderName, HeaderValue, StatusCode};
use support::{forge, make_keys, median, process_cpu_us, setting};
use tokio::sync::watch;
use tollgate_http::{Phase, Server, ServerOptions, Surface};
use tollgate_testkit::{Fleet, FleetBuilder, RedisOptions, Scratch, TestRedis};

/// As in the binary: like is compared with like.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What a constant answer carries: the header bytes of an allowed decision.
const HEADERS: [(&str, &str); 5] = [
    ("x-tollgate-key-id", "tk_01kakq7v8xv6a0w3f5m9c2d4e7"),
    ("x-tollgate-owner", ""),
    ("x-tollgate-scopes", ""),
    ("ratelimit-policy", "\"key\";q=1000000000;w=1"),
    ("ratelimit", "\"key\";r=999999999;t=1"),
];

/// The same of a refusal.
const REFUSED_HEADERS: [(&str, &str); 2] =
    [("content-type", "application/problem+json"), ("www-authenticate", "Bearer realm=\"tollgate\"")];
const REFUSED_BODY: &str = concat!(
    "{\"type\":\"urn:tollgate:problem:unauthenticated\",\"title\":\"Not authenticated\",\"status\":401,",
    "\"detail\":\"send a valid api key as \\\"Authorization: Bearer key_id:secret\\\"\",",
    "\"instance\":\"/v1/authorize\",\"request_id\":\"6a3f81457893cff78d9f13b2b247a3a7\"}"
);

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match arguments.iter().position(|argument| argument == "empty-handler").and_then(|at| arguments.get(at + 1)) {
        Some(address) => runtime.block_on(empty_handler(address.parse()?)),
        None => runtime.block_on(compare()),
    }
}

async fn empty_handler(address: SocketAddr) -> Result<()> {
    let routes = Router::new().route("/v1/authorize", any(async || constant(200))).route("/v1/refused", any(async || constant(401)));
    let surface = Surface::new(routes);
    let server = Server::bind(address, ServerOptions::default()).await?;
    let (_serving, phase) = watch::channel(Phase::Serve);
    server.serve(surface, phase).await;
    Ok(())
}

fn constant(status: u16) -> Response {
    let (headers, body) = if status == 200 { (HEADERS.as_slice(), "") } else { (REFUSED_HEADERS.as_slice(), REFUSED_BODY) };
    let mut response = Response::new(body.into());
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
    for (name, value) in headers {
        response.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    response
}

/// One thing that is loaded.
struct Target {
    name: &'static str,
    url: String,
    process: u32,
    script: std::path::PathBuf,
    rounds: Vec<Round>,
}

struct Round {
    per_second: f64,
    cpu_us: f64,
    other_than_2xx: u64,
}

/// The node under load, with the settings that the caller wants.
fn fleet(redis_url: String) -> Result<FleetBuilder> {
    // One machine forges all: its failures are to be refused for what they are, not for their number.
    let mut builder = Fleet::builder(1).redis(redis_url);
    for budget in ["ADDRESS", "KEY_TEXT"] {
        builder = builder.env(&format!("TOLLGATE_PREAUTH__{budget}__BURST"), "1000000000");
    }
    for setting in std::env::var("NODE_SETTINGS").unwrap_or_default().split_whitespace() {
        let (name, value) = setting.split_once('=').context("NODE_SETTINGS has the form NAME=value NAME=value")?;
        builder = builder.env(name, value);
    }
    Ok(builder)
}

async fn compare() -> Result<()> {
    let redis = TestRedis::with(RedisOptions::default()).await?;
    let fleet = fleet(redis.url())?.start().await?;
    let node = fleet.node(0)?;
    let scratch = Scratch::new("bench")?;
    let keys = make_keys(node.address(), &fleet.admin_key, setting("KEYS", 1000)).await?;
    let good = script(&scratch, "good", &keys)?;
    let forged_keys = keys.iter().map(|key| forge(key)).collect::<Result<Vec<_>>>()?;
    let forged_key = forged_keys.first().context("no keys")?.clone();
    let forged = script(&scratch, "forged", &forged_keys)?;
    let port = tollgate_testkit::Port::take()?;
    let mut empty = Command::new(std::env::current_exe()?).args(["empty-handler", &port.address().to_string()]).spawn()?;
    tollgate_testkit::eventually("the empty handler", std::time::Duration::from_secs(10), async || {
        tokio::net::TcpStream::connect(port.address()).await.map(drop).context("not listening yet")
    })
    .await?;
    let target = |name, address: SocketAddr, path: &str, process, script: &std::path::Path| Target {
        name,
        url: format!("http://{address}/v1/{path}"),
        process,
        script: script.to_owned(),
        rounds: Vec::new(),
    };
    let (served, process) = (node.address(), node.process().id());
    let mut targets = [
        target("empty handler, 200", port.address(), "authorize", empty.id(), &good),
        target("verified keys, through Redis", served, "authorize", process, &good),
        target("empty handler, 401", port.address(), "refused", empty.id(), &forged),
        target("forged keys", served, "authorize", process, &forged),
    ];
    // Each key's first use hashes: that is not what is measured here.
    for target in &targets {
        load(target, 3)?;
    }
    same_bytes(&forged_key, port.address(), served).await?;
    let redis_before = redis_cpu_us(&redis).await?;
    let mut decided = 0.0;
    for _ in 0..setting("ROUNDS", 5) {
        for target in &mut targets {
            let seconds = setting("SECONDS", 4);
            let round = load(target, seconds)?;
            if target.name.starts_with("verified") {
                anyhow::ensure!(round.other_than_2xx == 0, "{} answers were not 2xx", round.other_than_2xx);
                decided += round.per_second * f64::from(u32::try_from(seconds)?);
            }
            target.rounds.push(round);
        }
    }
    let redis_us = (redis_cpu_us(&redis).await? - redis_before) / decided;
    same_bytes(&forged_key, port.address(), served).await?;
    empty.kill()?;
    empty.wait()?;
    print(&targets, redis_us);
    Ok(())
}

/// Each row beside the empty handler of the same answer, which comes before it.
fn print(targets: &[Target], redis_us: f64) {
    let figure = |target: &Target, read: fn(&Round) -> f64| median(target.rounds.iter().map(read).collect());
    println!("{:<32} {:>12} {:>8} {:>18}", "median of the rounds", "requests/s", "ratio", "CPU us/request");
    for pair in targets.chunks(2) {
        let base = pair.first().map_or(f64::NAN, |empty| figure(empty, |round| round.per_second));
        for target in pair {
            let per_second = figure(target, |round| round.per_second);
            println!("{:<32} {per_second:>12.0} {:>8.2} {:>18.1}", target.name, per_second / base, figure(target, |round| round.cpu_us));
        }
    }
    println!("Redis CPU us/decision: {redis_us:.1}");
}

/// Loads a target with wrk and reads its own CPU time before and after.
fn load(target: &Target, seconds: u64) -> Result<Round> {
    let before = process_cpu_us(target.process)?;
    let begun = Instant::now();
    let output = Command::new("wrk")
        .args(["-t1", &format!("-c{}", setting("CONNECTIONS", 64)), &format!("-d{seconds}s"), "-s"])
        .arg(&target.script)
        .arg(&target.url)
        .output()
        .context("wrk is not installed")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let number =
        |label: &str| text.lines().find_map(|line| line.trim().strip_prefix(label)).and_then(|rest| rest.trim().parse::<f64>().ok());
    let per_second = number("Requests/sec:").with_context(|| format!("wrk said: {text}"))?;
    let requests = per_second * begun.elapsed().as_secs_f64();
    let other = text.lines().find_map(|line| line.trim().strip_prefix("Non-2xx or 3xx responses:")?.trim().parse().ok());
    Ok(Round { per_second, cpu_us: (process_cpu_us(target.process)? - before) / requests, other_than_2xx: other.unwrap_or(0) })
}

async fn redis_cpu_us(redis: &TestRedis) -> Result<f64> {
    let (user, system): (f64, f64) =
        (redis.info("cpu", "used_cpu_user").await?.parse()?, redis.info("cpu", "used_cpu_sys").await?.parse()?);
    Ok((user + system) * 1e6)
}

/// A forged key and the empty handler are answered 401 with as many bytes.
async fn same_bytes(forged_key: &str, empty: SocketAddr, node: SocketAddr) -> Result<()> {
    let mut lengths = Vec::new();
    for url in [format!("http://{empty}/v1/refused"), format!("http://{node}/v1/authorize")] {
        let answer = reqwest::Client::new().get(&url).bearer_auth(forged_key).send().await?;
        anyhow::ensure!(answer.status() == 401, "{url} answers {}", answer.status());
        lengths.push(answer.text().await?.len());
    }
    anyhow::ensure!(lengths.first() == lengths.last(), "bodies of {lengths:?} bytes are compared");
    Ok(())
}

/// A wrk script that takes the keys in turn; each request is made once, before the load.
fn script(scratch: &Scratch, name: &str, keys: &[String]) -> Result<std::path::PathBuf> {
    let list = keys.join("\",\n  \"");
    let text = format!(
        "local keys = {{\n  \"{list}\"\n}}\nlocal requests, at = {{}}, 0\n\
         function init()\n  for i, key in ipairs(keys) do\n    requests[i] = wrk.format('GET', nil, {{ ['Authorization'] = 'Bearer ' .. key }})\n  end\nend\n\
         function request()\n  at = at % #requests + 1\n  return requests[at]\nend\n"
    );
    let path = scratch.path().join(format!("{name}.lua"));
    fs::write(&path, text)?;
    Ok(path)
}
