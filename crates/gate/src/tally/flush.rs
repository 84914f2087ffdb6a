//! How counts come from this node's memory into the store: each once, in batches, off the way of
//! any request.
//!
//! A batch that has no answer waits and is sent again under its number, which the store compares
//! with the last one that it added. What is counted meanwhile stays in the shards, or, where only a
//! part of the store is silent, in that part's lane; a key takes one row a minute there, however
//! often it is used.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::Ordering,
    time::Duration,
};

use futures_util::future::join_all;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::{
    lane::Lane,
    shards::{SHARDS, Tallied},
    tops::Tops,
};
use crate::{
    Gate,
    gate::GateShared,
    ports::{UsageRow, UsageStore},
};

/// How long one call may take.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(1);
/// Between two calls, so that decisions do not wait behind a row of them.
pub(super) const PAUSE: Duration = Duration::from_millis(2);
/// Taken out of the shards before the first is sent, about.
const TAKEN_AT_ONCE: usize = 2048;

/// What is on its way.
#[derive(Debug)]
pub(super) struct Sender {
    /// By part of the store.
    lanes: BTreeMap<usize, Lane>,
    tops: Tops,
}

/// How the store is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// One call after the other, with some air between them.
    Gentle,
    /// All parts at a time: the node is about to end.
    Hurried,
}

impl Sender {
    pub(super) fn new(top_keys: usize, top_owners_max: usize) -> Self {
        Self { lanes: BTreeMap::new(), tops: Tops::new(top_keys, top_owners_max) }
    }

    fn rows(&self) -> usize {
        self.lanes.values().map(Lane::rows).sum()
    }

    fn silent(&self) -> BTreeSet<usize> {
        self.lanes.iter().filter(|(_, lane)| lane.is_silent()).map(|(part, _)| *part).collect()
    }

    /// Takes over what was counted; of parts that are silent no more than `rows_max` rows in all. Gives the
    /// decisions that there was no room for.
    fn add(&mut self, taken: Vec<Tallied>, store: &dyn UsageStore, rows_max: usize) -> u64 {
        let (mut rows, mut dropped) = (self.lanes.values().filter(|lane| lane.is_silent()).map(Lane::rows).sum::<usize>(), 0);
        for one in taken {
            self.tops.add(&one);
            let Tallied { key_id, owner: _, minute, counts } = one;
            let lane = self.lanes.entry(store.part(&key_id)).or_default();
            let (before, is_silent) = (lane.rows(), lane.is_silent());
            dropped += lane.add(UsageRow { key_id, minute, counts }, !is_silent || rows < rows_max);
            rows += if is_silent { lane.rows() - before } else { 0 };
        }
        dropped
    }

    /// Sends what waits. With `asked_again` also to parts that had no answer before.
    async fn send(&mut self, gate: &GateShared, pace: Pace, asked_again: bool) {
        let lanes = self.lanes.iter_mut().filter(|(_, lane)| asked_again || !lane.is_silent());
        let telling = lanes.map(|(part, lane)| lane.tell(*part, gate, pace));
        match pace {
            Pace::Hurried => drop(join_all(telling).await),
            Pace::Gentle => {
                for one in telling {
                    one.await;
                }
            }
        }
    }

    async fn put_tops(&mut self, gate: &GateShared, pace: Pace) {
        let mut silent = self.silent();
        for name in self.tops.unwritten() {
            let part = gate.usage_store.top_part(&name);
            let Some(summary) = self.tops.encoded(&name).filter(|_| !silent.contains(&part)) else { continue };
            let put = gate.usage_store.put_top(name.clone(), gate.registry.me(), summary, Instant::now() + CALL_TIMEOUT).await;
            if let Err(error) = put {
                gate.metrics.usage_flush_failed();
                tracing::debug!(%error, part, "which keys were limited most cannot be told yet");
                silent.insert(part);
                continue;
            }
            self.tops.set_written(&name);
            if pace == Pace::Gentle {
                sleep(PAUSE).await;
            }
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
        let missed = self.tally.missed.swap(0, Ordering::Relaxed);
        if missed > 0 {
            sender.tops.miss(missed);
        }
        let (parts, unsent_max) = (self.usage_store.parts().max(1), self.tally.options().keys_max / 4);
        let at_once = if pace == Pace::Gentle { TAKEN_AT_ONCE.min(unsent_max) } else { usize::MAX };
        // Who is silent is to be known before more is taken; in a hurry all is taken first.
        if pace == Pace::Gentle {
            sender.send(self, pace, true).await;
        }
        let (mut taken, mut is_all_taken) = (Vec::new(), true);
        for place in 0..SHARDS {
            if pace == Pace::Gentle && sender.silent().len() >= parts {
                // Counts that stay in the shards take least room.
                is_all_taken = false;
                break;
            }
            taken.extend(self.tally.shards.take(place));
            if taken.len() >= at_once || place + 1 == SHARDS {
                let dropped = sender.add(std::mem::take(&mut taken), &*self.usage_store, unsent_max);
                self.metrics.usage_dropped(dropped);
                sender.send(self, pace, pace == Pace::Hurried).await;
            }
        }
        sender.put_tops(self, pace).await;
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
