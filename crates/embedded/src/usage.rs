//! What keys were used for, in this process' memory: it goes with it.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::time::Instant;
use tollgate_gate::ports::{
    BoxFuture, NodeId, TopName, TopSummaries, USAGE_HOURS, USAGE_MINUTES, UsageBatch, UsageCounts, UsageError, UsageRecord, UsageRow,
    UsageStore,
};
use tollgate_keys::KeyId;

const HOUR_MINUTES: u32 = 60;

/// Counts of one process.
pub struct MemoryUsage {
    keys_max: usize,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    /// The newest minute that anything was added for; an older one once the clock was set back.
    newest: u32,
    /// When keys that are not used any more were last looked for.
    swept: u32,
    /// The last batch of each node.
    numbers: HashMap<(NodeId, usize), u64>,
    keys: HashMap<KeyId, Counted>,
    tops: BTreeMap<TopName, HashMap<NodeId, Box<[u8]>>>,
}

#[derive(Default)]
struct Counted {
    minutes: BTreeMap<u32, UsageCounts>,
    hours: BTreeMap<u32, UsageCounts>,
}

impl Counted {
    fn add(&mut self, row: &UsageRow, newest: u32) {
        self.minutes.entry(row.minute).or_default().add(&row.counts);
        self.hours.entry(row.minute / HOUR_MINUTES).or_default().add(&row.counts);
        // What lies ahead is of a clock that has been set back since.
        self.minutes.retain(|minute, _| minute.abs_diff(newest) < USAGE_MINUTES);
        self.hours.retain(|hour, _| hour.abs_diff(newest / HOUR_MINUTES) < USAGE_HOURS);
    }
}

impl Held {
    /// Adds a row; the decisions that there was no room for.
    fn add(&mut self, row: &UsageRow, keys_max: usize) -> u64 {
        let is_set_back = row.minute.saturating_add(HOUR_MINUTES * USAGE_HOURS) <= self.newest;
        self.newest = if is_set_back { row.minute } else { self.newest.max(row.minute) };
        if !self.keys.contains_key(&row.key_id) && self.keys.len() >= keys_max {
            self.sweep();
            if self.keys.len() >= keys_max {
                return row.counts.decisions();
            }
        }
        self.keys.entry(row.key_id.clone()).or_default().add(row, self.newest);
        0
    }

    /// Forgets keys that were not used for as long as anything is told of; once a minute at most.
    fn sweep(&mut self) {
        if self.swept != self.newest {
            self.swept = self.newest;
            let hour = self.newest / HOUR_MINUTES;
            self.keys.retain(|_, counted| counted.hours.keys().any(|used| used.abs_diff(hour) < USAGE_HOURS));
        }
    }

    fn forget_tops(&mut self, newest: &TopName) {
        let is_over = |name: &TopName| name.span == newest.span && name.slot.saturating_add(name.span.kept()) <= newest.slot;
        self.tops.retain(|name, _| !is_over(name));
    }
}

impl MemoryUsage {
    /// For so many keys at most; one more is not counted.
    pub fn new(keys_max: usize) -> Self {
        Self { keys_max, held: Mutex::default() }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl UsageStore for MemoryUsage {
    fn add(&self, batch: UsageBatch, _deadline: Instant) -> BoxFuture<'_, Result<u64, UsageError>> {
        let mut held = self.held();
        let last = held.numbers.entry((batch.node, batch.part)).or_default();
        let is_new = batch.number > *last;
        *last = batch.number.max(*last);
        let dropped = if is_new { batch.rows.iter().map(|row| held.add(row, self.keys_max)).sum() } else { 0 };
        Box::pin(std::future::ready(Ok(dropped)))
    }

    fn read(&self, key_id: KeyId, _deadline: Instant) -> BoxFuture<'_, Result<UsageRecord, UsageError>> {
        let listed = |slots: &BTreeMap<u32, UsageCounts>| slots.iter().map(|(slot, counts)| (*slot, *counts)).collect();
        let held = self.held();
        let record = held.keys.get(&key_id);
        let record = record.map(|counted| UsageRecord { minutes: listed(&counted.minutes), hours: listed(&counted.hours) });
        Box::pin(std::future::ready(Ok(record.unwrap_or_default())))
    }

    fn put_top(&self, name: TopName, node: NodeId, summary: Box<[u8]>, _deadline: Instant) -> BoxFuture<'_, Result<(), UsageError>> {
        let mut held = self.held();
        held.forget_tops(&name);
        held.tops.entry(name).or_default().insert(node, summary);
        Box::pin(std::future::ready(Ok(())))
    }

    fn tops(&self, names: Vec<TopName>, _deadline: Instant) -> BoxFuture<'_, Result<TopSummaries, UsageError>> {
        let held = self.held();
        let found = names.iter().filter_map(|name| held.tops.get(name)).flat_map(|nodes| nodes.values().cloned()).collect();
        Box::pin(std::future::ready(Ok(found)))
    }
}

impl fmt::Debug for MemoryUsage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryUsage").field("keys_max", &self.keys_max).finish_non_exhaustive()
    }
}
