//! How counts come from this node's memory into the store: each once, in batches, off the way of
//! any request.
//!
//! A batch that has no answer waits and is sent again under its number, which the store compares
//! with the last one that it added. What is counted meanwhile stays in the shards, where a key
//! takes one row a minute however often it is used.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::atomic::Ordering,
    time::Duration,
};

use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{
    shards::{SHARDS, Tallied},
    tops::Tops,
};
use crate::{
    Gate,
    gate::GateShared,
    ports::{NodeId, USAGE_ROWS_MAX, UsageBatch, UsageRow, UsageStore},
};

/// How long one call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(1);
/// Between two calls, so that decisions do not wait behind a row of them.
const PAUSE: Duration = Duration::from_millis(2);
/// Taken out of the shards before the first is sent, about.
const TAKEN_AT_ONCE: usize = 2048;

/// What is on its way.
#[derive(Debug)]
pub(super) struct Sender {
    /// In the order of their numbers.
    waiting: VecDeque<UsageBatch>,
    /// Of the last batch that was made.
    number: u64,
    tops: Tops,
}

/// Whether to leave the store some air between two calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pace {
    Gentle,
    Hurried,
}

impl Sender {
    pub(super) fn new(top_keys: usize, top_owners_max: usize) -> Self {
        Self { waiting: VecDeque::new(), number: 0, tops: Tops::new(top_keys, top_owners_max) }
    }

    fn rows(&self) -> usize {
        self.waiting.iter().map(|batch| batch.rows.len()).sum()
    }

    /// Makes batches of what was taken.
    fn enqueue(&mut self, taken: Vec<Tallied>, node: NodeId, store: &dyn UsageStore) {
        let mut by_part: BTreeMap<usize, Vec<UsageRow>> = BTreeMap::new();
        for Tallied { key_id, owner: _, minute, counts } in taken {
            by_part.entry(store.part(&key_id)).or_default().push(UsageRow { key_id, minute, counts });
        }
        for (part, mut rows) in by_part {
            while !rows.is_empty() {
                let rest = rows.split_off(rows.len().min(USAGE_ROWS_MAX));
                self.number += 1;
                self.waiting.push_back(UsageBatch { node, number: self.number, part, rows });
                rows = rest;
            }
        }
    }

    /// Sends what waits, in order; a part that does not answer is left alone until the next time.
    /// False where something waits and nothing at all could be sent.
    async fn send(&mut self, gate: &GateShared, pace: Pace) -> bool {
        let mut silent = BTreeSet::new();
        let (mut next, mut has_sent) = (0, false);
        while let Some(batch) = self.waiting.get(next) {
            if silent.contains(&batch.part) {
                next += 1;
                continue;
            }
            let part = batch.part;
            match gate.usage_store.add(batch.clone(), Instant::now() + CALL_TIMEOUT).await {
                Ok(dropped) => {
                    gate.metrics.usage_dropped(dropped);
                    self.waiting.remove(next);
                    has_sent = true;
                    pace.keep().await;
                }
                Err(error) => {
                    gate.metrics.usage_flush_failed();
                    tracing::debug!(%error, "what keys were used for cannot be told yet");
                    silent.insert(part);
                }
            }
        }
        has_sent || self.waiting.is_empty()
    }

    async fn put_tops(&mut self, gate: &GateShared, pace: Pace) {
        for name in self.tops.unwritten() {
            let Some(summary) = self.tops.encoded(&name) else { continue };
            let put = gate.usage_store.put_top(name.clone(), gate.registry.me(), summary, Instant::now() + CALL_TIMEOUT).await;
            if let Err(error) = put {
                gate.metrics.usage_flush_failed();
                tracing::debug!(%error, "which keys were limited most cannot be told yet");
                return;
            }
            self.tops.set_written(&name);
            pace.keep().await;
        }
    }
}

impl Pace {
    async fn keep(self) {
        if self == Self::Gentle {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

impl GateShared {
    /// Tells the store for ever: now and then, and whenever there is little room left.
    pub(crate) async fn keep_tally(&self) {
        let mut ticks = interval(self.tally.options().flush_interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.tally.crowded.notified() => {}
            }
            self.flush_usage(Pace::Gentle).await;
        }
    }

    /// Tells the store what was counted. What cannot be told now waits for the next time.
    async fn flush_usage(&self, pace: Pace) {
        let mut sender = self.tally.sender.lock().await;
        let sender = &mut *sender;
        if self.tally.missed.swap(false, Ordering::Relaxed) {
            sender.tops.miss(self.minute());
        }
        // Counts that stay in the shards take least room.
        let unsent_max = self.tally.options().keys_max / 4;
        let mut taken = Vec::new();
        let mut is_open = sender.send(self, pace).await;
        for place in 0..SHARDS {
            if !is_open || sender.rows() > unsent_max {
                break;
            }
            taken.extend(self.tally.shards.take(place));
            if taken.len() >= TAKEN_AT_ONCE.min(unsent_max) || place + 1 == SHARDS {
                for one in &taken {
                    sender.tops.add(one);
                }
                sender.enqueue(std::mem::take(&mut taken), self.registry.me(), &*self.usage_store);
                is_open = sender.send(self, pace).await;
            }
        }
        sender.put_tops(self, pace).await;
        let waiting = self.tally.shards.rows() + sender.rows();
        if is_open && sender.waiting.is_empty() {
            sender.tops.forget_before(self.minute());
        }
        self.metrics.usage_waiting(waiting);
    }
}

impl Gate {
    /// Tells the store now what keys were used for, before the node ends.
    pub async fn flush_usage(&self) {
        self.shared.flush_usage(Pace::Hurried).await;
    }
}
