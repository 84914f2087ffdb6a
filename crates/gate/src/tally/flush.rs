//! How counts come from this node's memory into the store: each once, in batches, off the way of
//! any request.
//!
//! A batch that has no answer waits and is sent again under its number, which the store compares
//! with the last one that it added. What is counted meanwhile stays in the shards, where a key
//! takes one row a minute however often it is used. Where only a part of the store is silent, its
//! batches wait and all others are told.

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
    /// By part of the store, in the order of their numbers.
    waiting: BTreeMap<usize, VecDeque<UsageBatch>>,
    /// Of the last batch that was made.
    number: u64,
    tops: Tops,
}

/// Parts of the store that have not answered in this flush: they are asked again in the next.
#[derive(Debug)]
struct Silent {
    parts: usize,
    silent: BTreeSet<usize>,
}

impl Silent {
    fn none_of(parts: usize) -> Self {
        Self { parts, silent: BTreeSet::new() }
    }

    fn is(&self, part: usize) -> bool {
        self.silent.contains(&part)
    }

    fn is_whole_store(&self) -> bool {
        self.silent.len() >= self.parts
    }
}

/// Whether to leave the store some air between two calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pace {
    Gentle,
    Hurried,
}

impl Sender {
    pub(super) fn new(top_keys: usize, top_owners_max: usize) -> Self {
        Self { waiting: BTreeMap::new(), number: 0, tops: Tops::new(top_keys, top_owners_max) }
    }

    fn rows(&self) -> usize {
        self.waiting.keys().map(|part| self.rows_of(*part)).sum()
    }

    fn rows_of(&self, part: usize) -> usize {
        self.waiting.get(&part).into_iter().flatten().map(|batch| batch.rows.len()).sum()
    }

    /// Makes batches of what was taken, at most `rows_max` of a part that is silent. Gives the decisions
    /// that there was no room for.
    fn enqueue(&mut self, taken: Vec<Tallied>, (node, store): (NodeId, &dyn UsageStore), silent: &Silent, rows_max: usize) -> u64 {
        let mut by_part: BTreeMap<usize, Vec<UsageRow>> = BTreeMap::new();
        for one in taken {
            self.tops.add(&one);
            let Tallied { key_id, owner: _, minute, counts } = one;
            by_part.entry(store.part(&key_id)).or_default().push(UsageRow { key_id, minute, counts });
        }
        let mut dropped = 0;
        for (part, mut rows) in by_part {
            if silent.is(part) {
                let room = rows_max.saturating_sub(self.rows_of(part)).min(rows.len());
                dropped += rows.split_off(room).iter().map(|row| row.counts.decisions()).sum::<u64>();
            }
            while !rows.is_empty() {
                let rest = rows.split_off(rows.len().min(USAGE_ROWS_MAX));
                self.number += 1;
                self.waiting.entry(part).or_default().push_back(UsageBatch { node, number: self.number, part, rows });
                rows = rest;
            }
        }
        dropped
    }

    /// Sends what waits, in order.
    async fn send(&mut self, gate: &GateShared, silent: &mut Silent, pace: Pace) {
        for (part, batches) in &mut self.waiting {
            while let Some(batch) = batches.front().filter(|_| !silent.is(*part)) {
                match gate.usage_store.add(batch.clone(), Instant::now() + CALL_TIMEOUT).await {
                    Ok(dropped) => {
                        gate.metrics.usage_dropped(dropped);
                        batches.pop_front();
                        pace.keep().await;
                    }
                    Err(error) => {
                        gate.metrics.usage_flush_failed();
                        tracing::debug!(%error, part, "what keys were used for cannot be told yet");
                        silent.silent.insert(*part);
                    }
                }
            }
        }
        self.waiting.retain(|_, batches| !batches.is_empty());
    }

    async fn put_tops(&mut self, gate: &GateShared, silent: &mut Silent, pace: Pace) {
        for name in self.tops.unwritten() {
            let part = gate.usage_store.top_part(&name);
            let Some(summary) = self.tops.encoded(&name).filter(|_| !silent.is(part)) else { continue };
            let put = gate.usage_store.put_top(name.clone(), gate.registry.me(), summary, Instant::now() + CALL_TIMEOUT).await;
            if let Err(error) = put {
                gate.metrics.usage_flush_failed();
                tracing::debug!(%error, part, "which keys were limited most cannot be told yet");
                silent.silent.insert(part);
                continue;
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
        let parts = self.usage_store.parts().max(1);
        let unsent_max = self.tally.options().keys_max / 4;
        let (mut taken, mut silent) = (Vec::new(), Silent::none_of(parts));
        sender.send(self, &mut silent, pace).await;
        for place in 0..SHARDS {
            // Counts that stay in the shards take least room.
            if silent.is_whole_store() {
                break;
            }
            taken.extend(self.tally.shards.take(place));
            if taken.len() >= TAKEN_AT_ONCE.min(unsent_max) || place + 1 == SHARDS {
                let to = (self.registry.me(), &*self.usage_store);
                let dropped = sender.enqueue(std::mem::take(&mut taken), to, &silent, (unsent_max / parts).max(1));
                self.metrics.usage_dropped(dropped);
                sender.send(self, &mut silent, pace).await;
            }
        }
        let is_all_taken = !silent.is_whole_store();
        sender.put_tops(self, &mut silent, pace).await;
        sender.tops.forget(self.minute(), is_all_taken);
        let waiting = self.tally.shards.rows() + sender.rows();
        self.metrics.usage_waiting(waiting);
    }
}

impl Gate {
    /// Tells the store now what keys were used for, before the node ends.
    pub async fn flush_usage(&self) {
        self.shared.flush_usage(Pace::Hurried).await;
    }
}
