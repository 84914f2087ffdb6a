//! What the benches of real nodes have in common: settings, keys, forgeries.
#![allow(dead_code, reason = "each bench uses its part")]

pub(crate) mod constant;
pub(crate) mod paced;
pub(crate) mod wrk;

use std::{fs, net::SocketAddr};

use anyhow::{Context, Result};
use futures_util::{StreamExt, TryStreamExt};
use tollgate_keys::{ApiKey, RandomPart, RingChar, Secret, SigningKey};
use tollgate_testkit::{Fleet, FleetBuilder};

/// A whole number from the environment.
pub(crate) fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// The median; NaN of nothing.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// User and system time of a process, from the 14th and 15th field of its `stat`, in 1/100 s.
pub(crate) fn process_cpu_us(process: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    let after_name = stat.rsplit_once(')').context("a process has a name")?.1;
    let ticks: u64 = after_name.split_whitespace().skip(11).take(2).map(|field| field.parse::<u64>().unwrap_or(0)).sum();
    Ok(f64::from(u32::try_from(ticks)?) * 10_000.0)
}

/// What a process holds in memory.
pub(crate) fn resident_mib(process: u32) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("a process has a size")?;
    let kib: u32 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(f64::from(kib) / 1024.0)
}

/// A burst that no load spends, with as much a second.
pub(crate) const UNLIMITED: u64 = 1_000_000_000;
/// Keys that are made at one time.
const MADE_AT_ONCE: usize = 16;

/// A node for loads, with the settings that the caller wants.
pub(crate) fn bench_fleet(redis_url: String) -> Result<FleetBuilder> {
    // One machine forges all: its failures are to be refused for what they are, not for their number.
    // And the operator makes more keys than one may by default.
    let mut builder = Fleet::builder(1).redis(redis_url).env("TOLLGATE_KEYS__DEFAULT_RATE_LIMIT__BURST", "1000000000");
    for budget in ["ADDRESS", "KEY_TEXT"] {
        builder = builder.env(&format!("TOLLGATE_PREAUTH__{budget}__BURST"), "1000000000");
    }
    for setting in std::env::var("NODE_SETTINGS").unwrap_or_default().split_whitespace() {
        let (name, value) = setting.split_once('=').context("NODE_SETTINGS has the form NAME=value NAME=value")?;
        builder = builder.env(name, value);
    }
    Ok(builder)
}

/// Keys with a limit that no load reaches.
pub(crate) async fn make_keys(node: SocketAddr, admin_key: &str, count: u64) -> Result<Vec<String>> {
    make_keys_with(node, admin_key, count, &serde_json::json!({"burst": UNLIMITED, "per_seconds": 1})).await
}

/// Keys with a rate limit.
pub(crate) async fn make_keys_with(node: SocketAddr, admin_key: &str, count: u64, limit: &serde_json::Value) -> Result<Vec<String>> {
    // reqwest is built without a provider of its own; set already is fine.
    rustls::crypto::ring::default_provider().install_default().ok();
    let client = reqwest::Client::new();
    let one = async |number| {
        let body = serde_json::json!({"name": format!("bench {number}"), "rate_limit": limit});
        let call = client.post(format!("http://{node}/v1/keys")).bearer_auth(admin_key).json(&body).send().await?;
        let made: serde_json::Value = call.error_for_status()?.json().await?;
        Ok(made.get("api_key").and_then(serde_json::Value::as_str).context("a created key shows its api key")?.to_owned())
    };
    futures_util::stream::iter(0..count).map(one).buffered(MADE_AT_ONCE).try_collect().await
}

/// The same key id and ring character, signed by somebody else: right in form, forged.
pub(crate) fn forge(api_key: &str) -> Result<String> {
    let real = ApiKey::parse(api_key)?;
    let ring = real.secret.ring().unwrap_or(RingChar::new('0')?);
    let secret = Secret::signed(&SigningKey::generate(ring)?, &real.key_id, &RandomPart::generate()?);
    Ok(ApiKey { key_id: real.key_id, secret }.expose().to_string())
}
