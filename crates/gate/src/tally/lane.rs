//! What is on its way to one part of the store.

use std::collections::BTreeMap;

use tokio::time::{Instant, sleep};
use tollgate_keys::KeyId;

use super::flush::{CALL_TIMEOUT, PAUSE, Pace};
use crate::{
    gate::GateShared,
    ports::{USAGE_ROWS_MAX, UsageBatch, UsageCounts, UsageRow},
};

/// Rows of one part: a batch that has a number, and what is in none yet.
///
/// There is one batch at a time. While it has no answer, what is counted meanwhile is merged, so that a key
/// takes a row a minute however long the part is silent.
#[derive(Debug, Default)]
pub(super) struct Lane {
    /// Sent, perhaps, and not answered.
    under_way: Option<UsageBatch>,
    /// Of the last batch that was made.
    number: u64,
    /// By minute first: the oldest is told first.
    merged: BTreeMap<(u32, KeyId), UsageCounts>,
    /// Whether its last call had no answer.
    is_silent: bool,
}

impl Lane {
    pub(super) fn is_silent(&self) -> bool {
        self.is_silent
    }

    pub(super) fn rows(&self) -> usize {
        self.merged.len() + self.under_way.as_ref().map_or(0, |batch| batch.rows.len())
    }

    /// Adds a row. Gives the decisions that there was no room for, which may be where it is a new one.
    pub(super) fn add(&mut self, row: UsageRow, has_room: bool) -> u64 {
        let UsageRow { key_id, minute, counts } = row;
        let place = (minute, key_id);
        if !has_room && !self.merged.contains_key(&place) {
            return counts.decisions();
        }
        self.merged.entry(place).or_default().add(&counts);
        0
    }

    /// Tells the store all of it, as far as it answers.
    pub(super) async fn tell(&mut self, part: usize, gate: &GateShared, pace: Pace) {
        self.is_silent = false;
        while let Some(batch) = self.next(part, gate) {
            match gate.usage_store.add(batch, Instant::now() + CALL_TIMEOUT).await {
                Ok(dropped) => {
                    gate.metrics.usage_dropped(dropped);
                    self.under_way = None;
                    if pace == Pace::Gentle {
                        sleep(PAUSE).await;
                    }
                }
                Err(error) => {
                    gate.metrics.usage_flush_failed();
                    tracing::debug!(%error, part, "what keys were used for cannot be told yet");
                    self.is_silent = true;
                    return;
                }
            }
        }
    }

    /// The batch under way, or a new one.
    fn next(&mut self, part: usize, gate: &GateShared) -> Option<UsageBatch> {
        if self.under_way.is_none() && !self.merged.is_empty() {
            let some = std::iter::from_fn(|| self.merged.pop_first()).take(USAGE_ROWS_MAX);
            let rows = some.map(|((minute, key_id), counts)| UsageRow { key_id, minute, counts }).collect();
            self.number += 1;
            self.under_way = Some(UsageBatch { node: gate.registry.me(), number: self.number, part, rows });
        }
        self.under_way.clone()
    }
}
