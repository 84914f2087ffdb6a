//! What keys were used for, in Redis: two strings for each key in use, one for each summary.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use fred::types::Value;
use tokio::time::Instant;
use tollgate_gate::ports::{
    BoxFuture, NodeId, TopName, TopSummaries, UsageBatch, UsageCounts, UsageError, UsageRecord, UsageRow, UsageStore,
};
use tollgate_keys::KeyId;

use crate::{RedisBuckets, connection, failure::Failure, scripts::Script};

/// How long the number of a node's last batch is remembered: longer than one is sent again.
const NUMBER_TTL: Duration = Duration::from_hours(24);
/// The first byte of a record of this form.
const VERSION: u8 = 1;
/// Bytes of an entry: minute or hour, three counts of decisions, tokens.
const ENTRY_BYTES: usize = 29;
/// The largest number of six bytes, and the largest that Lua counts exactly.
const COUNT_MAX: u64 = (1 << 48) - 1;
const COST_MAX: u64 = (1 << 53) - 1;
/// Bytes before a node's summary: its id, a length.
const SUMMARY_HEAD: usize = 20;

impl UsageStore for RedisBuckets {
    fn parts(&self) -> usize {
        if self.is_sharded() { self.names().tags().into() } else { 1 }
    }

    fn top_part(&self, name: &TopName) -> usize {
        if self.is_sharded() { self.names().top_tag(name).into() } else { 0 }
    }

    fn part(&self, key_id: &KeyId) -> usize {
        if self.is_sharded() { self.names().tag_of(key_id.as_str()).into() } else { 0 }
    }

    fn add(&self, batch: UsageBatch, deadline: Instant) -> BoxFuture<'_, Result<u64, UsageError>> {
        Box::pin(async move {
            // All rows are of one part; where a part is more than one tag, any tag will do.
            let (names, tag) = (self.names(), u8::try_from(batch.part).unwrap_or(0));
            self.unless_foreign(tag)?;
            let mut keys = vec![names.usage_number(tag, batch.node)];
            for row in &batch.rows {
                keys.extend([names.usage_minutes(row.key_id.as_str()), names.usage_hours(row.key_id.as_str())]);
            }
            let numbers = [batch.number, ms(NUMBER_TTL)].map(|number| Bytes::from(number.to_string()));
            let args = numbers.into_iter().chain(batch.rows.iter().map(entry)).map(Value::Bytes).collect();
            self.by_deadline(self.usage_script(), (keys, args), deadline).await.map(|()| 0)
        })
    }

    fn read(&self, key_id: KeyId, deadline: Instant) -> BoxFuture<'_, Result<UsageRecord, UsageError>> {
        Box::pin(async move {
            let names = self.names();
            let found = self.many(vec![names.usage_minutes(key_id.as_str()), names.usage_hours(key_id.as_str())], deadline).await?;
            let mut found = found.into_iter().map(|stored| stored.as_deref().map(entries).unwrap_or_default());
            Ok(UsageRecord { minutes: found.next().unwrap_or_default(), hours: found.next().unwrap_or_default() })
        })
    }

    fn put_top(&self, name: TopName, node: NodeId, summary: Box<[u8]>, deadline: Instant) -> BoxFuture<'_, Result<(), UsageError>> {
        Box::pin(async move {
            self.unless_foreign(self.names().top_tag(&name))?;
            let ttl = Duration::from_mins(u64::from(name.span.minutes()) * u64::from(name.span.kept() + 1));
            let node = Bytes::copy_from_slice(&node.0.to_be_bytes());
            let args = [node, Vec::from(summary).into(), ms(ttl).to_string().into()].map(Value::Bytes);
            self.by_deadline(self.top_script(), (vec![self.names().top(&name)], args.into()), deadline).await
        })
    }

    fn tops(&self, names: Vec<TopName>, deadline: Instant) -> BoxFuture<'_, Result<TopSummaries, UsageError>> {
        Box::pin(async move {
            let found = self.many(names.iter().map(|name| self.names().top(name)).collect(), deadline).await?;
            Ok(found.iter().flatten().flat_map(|stored| summaries(stored)).collect())
        })
    }
}

impl RedisBuckets {
    /// A Redis that may be another deployment's is left as it is.
    fn unless_foreign(&self, tag: u8) -> Result<(), UsageError> {
        if self.is_joined(tag) { Ok(()) } else { Err(UsageError("redis has not been joined".into())) }
    }

    /// Runs a script, and waits no longer: while there is no connection the client's own time-out
    /// does not begin. What is done all the same is found done when it is tried again.
    async fn by_deadline(&self, script: &Script, (keys, args): (Vec<Bytes>, Vec<Value>), deadline: Instant) -> Result<(), UsageError> {
        let run = Box::pin(self.run(script, keys, args, left(deadline)));
        let told = tokio::time::timeout_at(deadline, run).await.unwrap_or_else(|_| Err(Failure::timed_out()));
        told.map(drop).map_err(unreached)
    }

    /// What lies under several keys of one slot; whatever is no string is not there.
    async fn many(&self, keys: Vec<Bytes>, deadline: Instant) -> Result<Vec<Option<Bytes>>, UsageError> {
        let keys: Vec<Value> = keys.into_iter().map(Value::Bytes).collect();
        let told = match connection::usable(self.connections()) {
            Some(connection) => connection.command("MGET", keys, left(deadline)).await,
            None => Err(Failure::other("no connection")),
        };
        Ok(told.map_err(unreached)?.into_array().into_iter().map(Value::into_bytes).collect())
    }
}

fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn unreached(failure: Failure) -> UsageError {
    UsageError(failure.into_error().to_string().into())
}

/// A row as an entry by minute.
fn entry(row: &UsageRow) -> Bytes {
    let UsageCounts { allowed, limited, denied, cost } = row.counts;
    let mut bytes = BytesMut::with_capacity(ENTRY_BYTES);
    bytes.put_u32(row.minute);
    for count in [allowed, limited, denied] {
        bytes.put_uint(count.min(COUNT_MAX), 6);
    }
    bytes.put_uint(cost.min(COST_MAX), 7);
    bytes.freeze()
}

/// The entries of a record; none where it is none of ours.
fn entries(stored: &[u8]) -> Vec<(u32, UsageCounts)> {
    let Some((&VERSION, stored)) = stored.split_first() else { return Vec::new() };
    let (entries, rest) = stored.as_chunks::<ENTRY_BYTES>();
    if rest.is_empty() { entries.iter().map(read_entry).collect() } else { Vec::new() }
}

fn read_entry(bytes: &[u8; ENTRY_BYTES]) -> (u32, UsageCounts) {
    let number = |from: usize, to: usize| bytes.iter().take(to).skip(from).fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
    let counts = UsageCounts { allowed: number(4, 10), limited: number(10, 16), denied: number(16, 22), cost: number(22, ENTRY_BYTES) };
    (u32::try_from(number(0, 4)).unwrap_or(u32::MAX), counts)
}

/// The nodes' summaries of one record, as far as it can be read.
fn summaries(mut stored: &[u8]) -> TopSummaries {
    let mut found = Vec::new();
    while let Some((head, rest)) = stored.split_first_chunk::<SUMMARY_HEAD>() {
        let [.., a, b, c, d] = *head;
        let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        let Some((summary, rest)) = rest.split_at_checked(length) else { break };
        found.push(summary.into());
        stored = rest;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_read_as_it_was_written() {
        for figure in [0, 1, 300, COUNT_MAX] {
            let counts = UsageCounts { allowed: figure, limited: figure / 2, denied: figure / 3, cost: figure + 7 };
            let row = UsageRow { key_id: KeyId::from_parts(1, [0; 10]), minute: 30_000_000, counts };
            let stored = [&[VERSION][..], &entry(&row), &entry(&row)].concat();
            assert_eq!(entries(&stored), [(30_000_000, counts); 2]);
        }
        assert_eq!(entries(&[]), []);
        assert_eq!(entries(&[VERSION]), []);
        assert_eq!(entries(&[VERSION, 1, 2]), []);
        assert_eq!(entries(&[2; 30]), []);
    }

    #[test]
    fn summaries_are_read_as_far_as_they_can_be() {
        let one = |length: u32, bytes: &[u8]| [&[7; 16][..], &length.to_be_bytes(), bytes].concat();
        let stored = [one(3, b"abc"), one(0, b""), one(9, b"cut")].concat();
        assert_eq!(summaries(&stored), [Box::from(&b"abc"[..]), Box::from(&b""[..])]);
        assert!(summaries(b"garbage").is_empty());
    }
}
