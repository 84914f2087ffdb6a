//! What a decision costs the Redis server, in µs of its CPU (`INFO cpu`), batch by batch.
//!
//! Run with a `redis-server` on the path: `cargo bench -p tollgate-redis --bench decide`. The
//! figures are the server's, so `--profile dev` shows the same and builds faster. Variants take
//! turns; each shows its least, its median and its most of several rounds, and its ratio to one
//! bucket in the same round (median and span), which what else the machine does hurts least.
//! `TOLLGATE_BENCH_ROUNDS` and `TOLLGATE_BENCH_BATCHES` set how much is done, `TOLLGATE_BENCH_DEPTH`
//! how many decisions are in a call (64), a word after `--` runs only the variants with that word in
//! their names.

#![allow(clippy::expect_used, clippy::print_stdout, clippy::unwrap_used, reason = "a program that is watched by who runs it")]

use std::sync::LazyLock;

use bytes::Bytes;
use redis::Connection;
use tollgate_gate::ports::{Decision, Subject, SubjectKind, Subjects};
use tollgate_limits::{Cost, LimitName, RateLimit, RateLimits};
use tollgate_redis::{
    codec::{Batch, Request},
    names::Names,
    scripts,
};
use tollgate_testkit::TestRedis;

const KEYS: usize = 100_000;
const MARK: &str = r#"{"state_id":"00112233445566778899aabbccddeeff","log_id":"00112233445566778899aabbccddeeff","tags":16}"#;

/// What the others are compared with.
const BASE: &str = "one bucket";

/// One way to decide: makes the `turn`-th call.
struct Variant {
    name: &'static str,
    call: Box<dyn Fn(usize) -> redis::Cmd>,
    rounds_us: Vec<f64>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let redis = TestRedis::start().await.expect("redis starts");
    let mut connection = redis::Client::open(redis.url()).and_then(|client| client.get_connection()).expect("redis answers");
    let names = Names::new("tg:", 16).expect("good names");
    for tag in 0..16 {
        redis::cmd("SET").arg(&names.state_id(tag)[..]).arg(MARK).exec(&mut connection).expect("redis answers");
    }
    let load = |connection: &mut Connection, text: &str| -> String {
        redis::cmd("SCRIPT").arg("LOAD").arg(text).query(connection).expect("a script without errors")
    };
    let decide = load(&mut connection, scripts::DECIDE);
    let bare = load(&mut connection, include_str!("bare.lua"));
    let mut variants = vec![variant("bare: one bucket, nothing else", move |turn| bare_call(&bare, turn))];
    for (name, shape) in [
        (BASE, Shape { owner: false, limits: 1, keys: KEYS, burst: 1000, peek: false }),
        ("key and owner", Shape { owner: true, limits: 1, keys: KEYS, burst: 1000, peek: false }),
        ("one subject, two limits", Shape { owner: false, limits: 2, keys: KEYS, burst: 1000, peek: false }),
        ("fence alone", Shape { owner: false, limits: 0, keys: KEYS, burst: 1000, peek: false }),
        ("one bucket, limited", Shape { owner: false, limits: 1, keys: KEYS, burst: 1, peek: false }),
        ("one bucket, ten hot keys", Shape { owner: false, limits: 1, keys: 10, burst: 1_000_000_000, peek: false }),
    ] {
        let (names, decide) = (names.clone(), decide.clone());
        variants.push(variant(name, move |turn| decide_call(&decide, &names, shape, turn)));
    }
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with("--")).unwrap_or_default();
    variants.retain(|variant| variant.name.contains(&wanted) || variant.name == BASE);
    let (rounds, batches) = (setting("TOLLGATE_BENCH_ROUNDS", 15), setting("TOLLGATE_BENCH_BATCHES", 800));
    // The first round makes the records.
    for round in 0..=rounds {
        for variant in &mut variants {
            let spent = measure(&mut connection, variant, batches);
            if round > 0 {
                variant.rounds_us.push(spent);
            }
        }
    }
    print(&variants, rounds);
}

/// Decisions in one call.
fn depth() -> usize {
    static DEPTH: LazyLock<usize> = LazyLock::new(|| setting("TOLLGATE_BENCH_DEPTH", 64));
    *DEPTH
}

fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Least, median and most.
fn spread(values: impl IntoIterator<Item = f64>) -> (f64, f64, f64) {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let at = |place: usize| values.get(place).copied().unwrap_or(f64::NAN);
    (at(0), at(values.len() / 2), at(values.len().saturating_sub(1)))
}

fn print(variants: &[Variant], rounds: usize) {
    let base = variants.iter().find(|variant| variant.name == BASE).map(|variant| variant.rounds_us.clone()).unwrap_or_default();
    println!("{} decisions a call, {KEYS} keys, {rounds} rounds: us of redis cpu a decision, and times that of one bucket", depth());
    println!("{:32} {:>6} {:>6} {:>6}   {:>6} {:>6} {:>6}", "", "least", "median", "most", "least", "median", "most");
    for Variant { name, rounds_us, .. } in variants {
        let (least, median, most) = spread(rounds_us.iter().copied());
        let (low, ratio, high) = spread(rounds_us.iter().zip(&base).map(|(us, base)| us / base));
        println!("{name:32} {least:6.2} {median:6.2} {most:6.2}   {low:6.2} {ratio:6.2} {high:6.2}");
    }
}

fn variant(name: &'static str, call: impl Fn(usize) -> redis::Cmd + 'static) -> Variant {
    Variant { name, call: Box::new(call), rounds_us: Vec::new() }
}

/// µs of the server's CPU a decision.
fn measure(connection: &mut Connection, variant: &Variant, batches: usize) -> f64 {
    let calls: Vec<redis::Cmd> = (0..batches).map(|turn| (variant.call)(turn)).collect();
    let before = cpu_us(connection);
    for call in &calls {
        call.exec(connection).expect("the script raises no error");
    }
    let spent = cpu_us(connection) - before;
    spent / f64::from(u32::try_from(batches * depth()).expect("small"))
}

fn cpu_us(connection: &mut Connection) -> f64 {
    let text: String = redis::cmd("INFO").arg("cpu").query(connection).expect("redis answers");
    let seconds = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.parse::<f64>().ok()).expect("INFO cpu");
    (seconds("used_cpu_sys:") + seconds("used_cpu_user:")) * 1e6
}

/// What the decisions of a variant look like.
#[derive(Clone, Copy)]
struct Shape {
    owner: bool,
    limits: usize,
    keys: usize,
    burst: u64,
    peek: bool,
}

fn decide_call(sha: &str, names: &Names, shape: Shape, turn: usize) -> redis::Cmd {
    let limits: Vec<_> =
        ["key", "per_second"].iter().take(shape.limits).map(|name| (LimitName::new(name).unwrap(), limit(shape.burst))).collect();
    let list = limits.into_iter().map(|(name, limit)| tollgate_limits::NamedLimit { name, limit }).collect();
    let limits = RateLimits::new(list).expect("different names");
    let subject = |kind, id: String| Subject { kind, id: id.into(), generation: 7, limits: limits.clone() };
    let request = |place: usize| {
        let id = scattered(turn * depth() + place) % shape.keys;
        let first = subject(SubjectKind::Key, format!("tk_{id:026}-{}-{}", shape.limits, shape.burst));
        let owner = shape.owner.then(|| subject(SubjectKind::Owner, format!("owner-{id:012}")));
        Request::new(Decision { subjects: Subjects { first, owner }, cost: Cost::ONE, peek: shape.peek }, names)
    };
    let requests: Vec<Request> = (0..depth()).map(request).collect();
    let batch = Batch::pack(requests.iter(), names, |_| Bytes::from_static(MARK.as_bytes())).expect("costs fit");
    evalsha(sha, &batch.keys, &batch.args)
}

fn bare_call(sha: &str, turn: usize) -> redis::Cmd {
    let keys: Vec<Bytes> = (0..depth()).map(|place| format!("bare:tk_{:026}", scattered(turn * depth() + place) % KEYS).into()).collect();
    let one = [&60_000_u64.to_be_bytes()[1..], &[0; 4], &60_000_000_u64.to_be_bytes()[1..], &1000_u32.to_be_bytes()].concat();
    evalsha(sha, &keys, &[one.repeat(depth()).into()])
}

fn evalsha(sha: &str, keys: &[Bytes], args: &[Bytes]) -> redis::Cmd {
    let mut call = redis::cmd("EVALSHA");
    call.arg(sha).arg(keys.len());
    for part in keys.iter().chain(args) {
        call.arg(&part[..]);
    }
    call
}

fn limit(burst: u64) -> RateLimit {
    RateLimit::new(burst, 60).expect("in range")
}

/// A fixed order without a pattern.
fn scattered(n: usize) -> usize {
    n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 24
}
