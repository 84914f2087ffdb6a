//! When keys were last used: noted in memory, written to the key store now and then, off the way
//! of any request.
//!
//! A held key is noted once in [`NOTE_PAUSE_MS`] and written within [`UsageOptions::interval`], so
//! what the store says is right within a minute. Memory is bounded: a key beyond the bound is noted
//! at its next use.

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tollgate_keys::KeyId;

use crate::{Gate, gate::GateShared};

/// A key in use is noted this often, in milliseconds.
const NOTE_PAUSE_MS: u64 = 15_000;
/// Keys of one write.
const WRITTEN_AT_ONCE: usize = 500;

/// How last uses are written.
#[derive(Debug, Clone, Copy)]
pub struct UsageOptions {
    /// Time between two writes.
    pub interval: Duration,
    /// Keys whose use waits to be written, at most.
    pub pending_max: usize,
}

/// Uses that wait to be written.
#[derive(Debug)]
pub(crate) struct Usage {
    options: UsageOptions,
    pending: Mutex<HashMap<KeyId, u64>>,
}

/// When a held key was last noted.
#[derive(Debug, Default)]
pub(crate) struct Noted(AtomicU64);

impl Noted {
    /// Whether a use at `now_ms` is to be noted: not long after the one before it is not.
    fn is_due(&self, now_ms: u64) -> bool {
        let noted_ms = self.0.load(Ordering::Relaxed);
        // A clock that was set back must not keep a key from being noted.
        let due = noted_ms == 0 || now_ms >= noted_ms.saturating_add(NOTE_PAUSE_MS) || now_ms.saturating_add(NOTE_PAUSE_MS) < noted_ms;
        // Two at once note it twice, which is as good.
        if due {
            self.0.store(now_ms, Ordering::Relaxed);
        }
        due
    }
}

impl Usage {
    pub(crate) fn new(options: UsageOptions) -> Self {
        Self { options, pending: Mutex::default() }
    }

    pub(crate) fn interval(&self) -> Duration {
        self.options.interval
    }

    /// Notes that a key was used, unless that was done a moment ago. Cheap.
    pub(crate) fn note(&self, held: &Noted, key_id: impl FnOnce() -> KeyId, now_ms: u64) {
        if held.is_due(now_ms) {
            self.keep(&key_id(), now_ms);
        }
    }

    fn keep(&self, key_id: &KeyId, at_ms: u64) {
        let mut pending = self.pending();
        let has_room = pending.len() < self.options.pending_max;
        match pending.get_mut(key_id) {
            Some(known) => *known = at_ms.max(*known),
            None if has_room => {
                pending.insert(key_id.clone(), at_ms);
            }
            None => {}
        }
    }

    /// The next uses to write, which are no longer kept here.
    fn take(&self, kept_max: usize) -> Vec<(KeyId, u64)> {
        let mut pending = self.pending();
        let ids: Vec<KeyId> = pending.keys().take(kept_max).cloned().collect();
        ids.into_iter().filter_map(|key_id| pending.remove_entry(&key_id)).collect()
    }

    fn pending(&self) -> MutexGuard<'_, HashMap<KeyId, u64>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl GateShared {
    /// Writes what has been noted. What cannot be written now waits for the next time.
    pub(crate) async fn write_uses(&self) {
        let rounds = self.usage.pending().len().div_ceil(WRITTEN_AT_ONCE);
        for _ in 0..rounds {
            let uses = self.usage.take(WRITTEN_AT_ONCE);
            let again = match self.keys.record_uses(uses.clone()).await {
                Ok(busy) => uses.into_iter().filter(|(key_id, _)| busy.contains(key_id)).collect(),
                Err(error) => {
                    tracing::debug!(%error, "last uses of keys cannot be written yet");
                    uses
                }
            };
            let is_all = again.len() == WRITTEN_AT_ONCE;
            for (key_id, at_ms) in again {
                self.usage.keep(&key_id, at_ms);
            }
            if is_all {
                return;
            }
        }
    }
}

impl Gate {
    /// Writes last uses of keys now, before the node ends.
    pub async fn write_uses(&self) {
        self.shared.write_uses().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(pending_max: usize) -> Usage {
        Usage::new(UsageOptions { interval: Duration::from_secs(20), pending_max })
    }

    fn key_id(count: u64) -> KeyId {
        KeyId::from_parts(count, [0; 10])
    }

    #[test]
    fn a_key_in_use_is_noted_now_and_then() {
        let (usage, held) = (usage(10), Noted::default());
        for now_ms in (1000..61_000).step_by(100) {
            usage.note(&held, || key_id(1), now_ms);
            let noted = usage.pending().get(&key_id(1)).copied().expect("noted");
            assert!(now_ms - noted < NOTE_PAUSE_MS, "{now_ms} {noted}");
        }
        assert_eq!(usage.take(10), [(key_id(1), 46_000)]);
        assert!(usage.take(10).is_empty());
    }

    #[test]
    fn no_more_wait_than_may() {
        let usage = usage(3);
        for count in 0..100 {
            usage.note(&Noted::default(), || key_id(count), 5);
        }
        assert_eq!(usage.pending().len(), 3);
        usage.note(&Noted::default(), || key_id(0), 7);
        assert_eq!(usage.pending().get(&key_id(0)), Some(&7), "one that waits already is kept up");
        usage.keep(&key_id(0), 6);
        assert_eq!(usage.pending().get(&key_id(0)), Some(&7), "never an older one");
    }
}
