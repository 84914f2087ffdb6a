//! What the benches of real nodes have in common: settings, keys, forgeries.
#![allow(dead_code, reason = "each bench uses its part")]

use std::{fs, net::SocketAddr};

use anyhow::{Context, Result};
use tollgate_keys::{ApiKey, RandomPart, RingChar, Secret, SigningKey};

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

/// Keys with a limit that no load reaches.
pub(crate) async fn make_keys(node: SocketAddr, admin_key: &str, count: u64) -> Result<Vec<String>> {
    // reqwest is built without a provider of its own; set already is fine.
    rustls::crypto::ring::default_provider().install_default().ok();
    let client = reqwest::Client::new();
    let mut keys = Vec::new();
    for number in 0..count {
        let body = serde_json::json!({"name": format!("bench {number}"), "rate_limit": {"burst": 1_000_000_000, "per_seconds": 1}});
        let call = client.post(format!("http://{node}/v1/keys")).bearer_auth(admin_key).json(&body).send().await?;
        let made: serde_json::Value = call.error_for_status()?.json().await?;
        keys.push(made.get("api_key").and_then(serde_json::Value::as_str).context("a created key shows its api key")?.to_owned());
    }
    Ok(keys)
}

/// The same key id and ring character, signed by somebody else: right in form, forged.
pub(crate) fn forge(api_key: &str) -> Result<String> {
    let real = ApiKey::parse(api_key)?;
    let ring = real.secret.ring().unwrap_or(RingChar::new('0')?);
    let secret = Secret::signed(&SigningKey::generate(ring)?, &real.key_id, &RandomPart::generate()?);
    Ok(ApiKey { key_id: real.key_id, secret }.expose().to_string())
}
