//! What the servers say of themselves, and what of it operators must hear.
//!
//! Pure: what was read and the time are passed in.

mod version;

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;
use tollgate_gate::ports::StoreLook;

use version::Version;

/// How long a server counts as one that drops what it holds after it was last seen to.
const EVICTED_FOR: Duration = Duration::from_mins(5);
const KEEPS_ALL: &str = "noeviction";

/// What one server said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    /// `master` or another word; none where it was not told.
    role: Option<String>,
    /// Process and, where it was made a master, the history that began with that: another one may
    /// hold another state.
    history: Option<(String, String)>,
    policy: Option<String>,
    /// Keys dropped for want of memory since it started.
    evicted: Option<u64>,
    /// Its clock, in µs since 1970.
    unix_us: Option<u64>,
    version: Option<Version>,
    /// Why nothing was told.
    refusal: Option<String>,
}

impl Facts {
    /// Reads the text of `INFO`. What is not there is not known.
    pub(crate) fn read(info: &str) -> Self {
        let of = |name: &str| {
            let mut lines = info.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            lines.next().map(|value| value.trim().to_owned())
        };
        Self {
            role: of("role"),
            history: of("run_id").map(|run| (run, promotion(of("master_replid"), of("master_replid2")))),
            policy: of("maxmemory_policy"),
            evicted: of("evicted_keys").and_then(|count| count.parse().ok()),
            unix_us: of("server_time_usec").and_then(|time| time.parse().ok()),
            version: Version::read(of("redis_version").as_deref(), of("valkey_version").as_deref()),
            refusal: None,
        }
    }

    /// A server that does not answer this user's question, but for its role perhaps.
    pub(crate) fn refused(why: &str, role: Option<String>) -> Self {
        Self { refusal: Some(why.to_owned()), role, ..Self::default() }
    }

    /// Why nothing may be decided there, if so.
    pub(crate) fn demoted(&self, server: &str) -> Option<String> {
        let role = self.role.as_deref().filter(|role| *role != "master")?;
        Some(format!("the redis at {server} is no master but a {role}: let redis.url name the master, or the sentinels that know it"))
    }
}

/// Which promotion a master goes back to. One that never was a replica takes another id too, when its
/// first replica comes; but then it has no second one.
fn promotion(id: Option<String>, second: Option<String>) -> String {
    id.filter(|_| second.is_some_and(|second| second.bytes().any(|digit| digit != b'0'))).unwrap_or_default()
}

/// A server, and what it said if it did.
pub(crate) type Told = (String, Option<Facts>);

/// What is remembered of the servers from one look to the next: one entry for each that was there
/// at the last.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    servers: BTreeMap<String, Seen>,
}

#[derive(Debug, Clone)]
struct Seen {
    history: Option<(String, String)>,
    evicted: Option<u64>,
    /// When keys were last seen to have been dropped, and how many that time.
    dropped: Option<(Instant, u64)>,
    version: Option<Version>,
}

/// What a look has found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) look: StoreLook,
    /// A server that has become another since the last look, though its connection stood.
    pub(crate) changed: Option<String>,
    /// Servers of a version that should not be in use, each told once.
    pub(crate) vulnerable: Vec<String>,
}

impl Watch {
    /// Takes over what all servers said. Of one that did not answer holds what it said before.
    pub(crate) fn see(&mut self, told: &[Told], now: Instant) -> Found {
        let mut found = Found::default();
        let before = std::mem::take(&mut self.servers);
        for (server, facts) in told {
            let before = before.get(server);
            let Some(facts) = facts else {
                // Another connection to it may have had an answer.
                if let Some(before) = before {
                    self.servers.entry(server.clone()).or_insert_with(|| before.clone());
                }
                continue;
            };
            let seen = Seen::after(before, facts, now);
            let is_told = self.servers.contains_key(server) || before.is_some_and(|before| before.version == seen.version);
            let vulnerable = seen.version.filter(|version| !is_told && version.is_vulnerable());
            found.vulnerable.extend(vulnerable.map(|version| format!("the redis at {server} is {version}: {}", version.advice())));
            if before.is_some_and(|before| before.history.is_some() && facts.history.is_some() && before.history != facts.history) {
                found.changed = Some(server.clone());
            }
            found.look.eviction = found.look.eviction.take().or_else(|| eviction(server, facts, &seen, now));
            found.look.unseen = found.look.unseen.take().or_else(|| unseen(server, facts));
            // Several connections may have gone to one server.
            found.look.clocks_us.extend(facts.unix_us.filter(|_| !self.servers.contains_key(server)));
            self.servers.insert(server.clone(), seen);
        }
        found
    }
}

impl Seen {
    fn after(before: Option<&Self>, facts: &Facts, now: Instant) -> Self {
        let history = facts.history.clone().or_else(|| before.and_then(|before| before.history.clone()));
        // Of a server that was not seen before nobody can say when it did; one that counts from 0 again
        // has dropped all that it counts since.
        let more = |before: &Self| match (before.evicted, facts.evicted) {
            (Some(before), Some(now)) if now < before => now,
            (Some(before), Some(now)) => now - before,
            _ => 0,
        };
        let dropped = before.map(more).filter(|count| *count > 0).map(|count| (now, count));
        let dropped = dropped.or_else(|| before.and_then(|before| before.dropped));
        let version = facts.version.or_else(|| before.and_then(|before| before.version));
        Self { history, evicted: facts.evicted.or_else(|| before.and_then(|before| before.evicted)), dropped, version }
    }
}

fn eviction(server: &str, facts: &Facts, seen: &Seen, now: Instant) -> Option<String> {
    let what_then = "revocations and limits may be forgotten";
    if let Some(policy) = facts.policy.as_deref().filter(|policy| *policy != KEEPS_ALL) {
        let policy: String = policy.chars().take(32).collect();
        return Some(format!("the redis at {server} has maxmemory-policy {policy}, so {what_then}: set it to {KEEPS_ALL}"));
    }
    let (_, count) = seen.dropped.filter(|(at, _)| now.duration_since(*at) < EVICTED_FOR)?;
    Some(format!(
        "the redis at {server} has dropped {count} of its keys for want of memory, so {what_then}: \
         set maxmemory-policy to {KEEPS_ALL} and give it more memory"
    ))
}

fn unseen(server: &str, facts: &Facts) -> Option<String> {
    let why = match &facts.refusal {
        Some(why) => format!("does not answer to INFO ({why}): allow this user +info, as deploy/redis/tollgate.acl does"),
        None if facts.policy.is_none() => "does not tell its maxmemory-policy: see that it is noeviction".to_owned(),
        None => return None,
    };
    Some(format!("whether redis drops keys cannot be checked: the one at {server} {why}"))
}

#[cfg(test)]
mod tests;
