//! `tollgate signing-keys …`: the ring that signs api keys, straight in the store.

use serde::Serialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tollgate_gate::{Clock as _, SystemClock, add_signing_key, ports::StoredSigningKey};

use crate::{
    cli::{SettingsArgs, SigningKeysCommand},
    exit::{Exit, Failure},
    output::Output,
    store::{Keys, rules},
    table,
};

#[derive(Serialize)]
struct ShownKey {
    ring: char,
    /// The log of the store that it was brought from; nothing for a key of this one.
    #[serde(skip_serializing_if = "String::is_empty")]
    origin: String,
    state: &'static str,
    added_at: String,
    retired_at: Option<String>,
}

pub(crate) async fn run(command: &SigningKeysCommand, output: Output) -> Result<Exit, Failure> {
    match command {
        SigningKeysCommand::List { settings } => list(settings, output).await?,
        SigningKeysCommand::Add { settings } => add(settings, output).await?,
        SigningKeysCommand::Retire { settings, ring } => retire(settings, *ring, output).await?,
    }
    Ok(Exit::Done)
}

async fn list(args: &SettingsArgs, output: Output) -> Result<(), Failure> {
    let keys = Keys::open(&super::settings(args, Vec::new())?)?.port();
    let shown = shown(keys.signing_keys().await?);
    output.result(&shown, |shown| {
        let row = |key: &ShownKey| {
            let retired_at = key.retired_at.clone().unwrap_or_default();
            [key.ring.to_string(), key.state.to_owned(), key.added_at.clone(), retired_at, key.origin.clone()]
        };
        table::columns(["RING", "STATE", "ADDED", "RETIRED", "BROUGHT FROM"], &shown.iter().map(row).collect::<Vec<_>>())
    })
}

async fn add(args: &SettingsArgs, output: Output) -> Result<(), Failure> {
    let settings = super::settings(args, Vec::new())?;
    let (rules, keys) = (rules(&settings)?, Keys::open(&settings)?.port());
    let ring = add_signing_key(&*keys, rules.master_key.as_ref(), false, SystemClock.unix_ms()).await?;
    output.result(&serde_json::json!({ "ring": ring }), |_| {
        format!("signing key {ring} is added; new api keys are signed with it as soon as every node knows it")
    })
}

async fn retire(args: &SettingsArgs, ring: char, output: Output) -> Result<(), Failure> {
    let keys = Keys::open(&super::settings(args, Vec::new())?)?.port();
    let ring_now = keys.signing_keys().await?;
    if !ring_now.iter().any(|key| key.ring == ring) {
        return Err(Failure::new(Exit::NotFound, format!("there is no signing key {ring}"), "see `tollgate signing-keys list`"));
    }
    if !ring_now.iter().any(|key| key.ring != ring && key.origin.is_empty() && key.retired_at_ms.is_none()) {
        return Err(Failure::new(Exit::Refused, format!("{ring} is the last one that can sign"), "run `tollgate signing-keys add` first"));
    }
    keys.retire_signing_key(ring, SystemClock.unix_ms()).await?;
    output.result(&serde_json::json!({ "ring": ring }), |_| format!("signing key {ring} is retired"))
}

/// The ring from the oldest to the newest; the newest that is not retired signs.
fn shown(mut keys: Vec<StoredSigningKey>) -> Vec<ShownKey> {
    keys.sort_by(|a, b| (a.added_at_ms, a.ring, &a.origin).cmp(&(b.added_at_ms, b.ring, &b.origin)));
    let signs = keys.iter().rfind(|key| key.origin.is_empty() && key.retired_at_ms.is_none()).map(|key| key.ring);
    let one = |key: &StoredSigningKey| ShownKey {
        ring: key.ring,
        origin: key.origin.clone(),
        state: match key.retired_at_ms {
            Some(_) => "retired",
            None if key.origin.is_empty() && signs == Some(key.ring) => "signs",
            None => "verifies",
        },
        added_at: instant(key.added_at_ms),
        retired_at: key.retired_at_ms.map(instant),
    };
    keys.iter().map(one).collect()
}

fn instant(unix_ms: u64) -> String {
    let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(unix_ms) * 1_000_000).ok();
    at.and_then(|at| at.format(&Rfc3339).ok()).unwrap_or_else(|| format!("{unix_ms} ms after 1970"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(ring: char, added_at_ms: u64, retired_at_ms: Option<u64>) -> StoredSigningKey {
        StoredSigningKey { ring, origin: String::new(), sealed: vec![], added_at_ms, retired_at_ms }
    }

    #[test]
    fn the_newest_that_is_not_retired_signs() {
        let brought = StoredSigningKey { origin: "log".to_owned(), ..key('1', 4, None) };
        let ring = shown(vec![brought, key('2', 3, Some(9)), key('0', 1, None), key('1', 2, None)]);
        let states: Vec<_> = ring.iter().map(|key| (key.ring, key.state)).collect();
        assert_eq!(states, [('0', "verifies"), ('1', "signs"), ('2', "retired"), ('1', "verifies")]);
        assert_eq!(ring[0].added_at, "1970-01-01T00:00:00.001Z");
    }
}
