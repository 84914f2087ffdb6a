//! When keys were last used: noted in memory, written to the key store now and then, off the way
//! of any request.
//!
//! A held key is noted once in [`NOTE_PAUSE_MS`] and written within [`UsageOptions::interval`], so
//! what the store says is right within a minute. Memory is bounded: a key beyond the bound is noted
//! again at its first use after [`NOTE_PAUSE_MS`].

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tollgate_keys::KeyId;

use crate::{
    Gate,
    cache::{CachedKey, InUse},
    gate::GateShared,
};

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
pub(crate) struct Usage<K = CachedKey> {
    options: UsageOptions,
    /// Each once, the one that has waited longest first.
    pending: Mutex<VecDeque<Arc<K>>>,
    /// One at a time, so that whoever writes last waits for what another one has taken.
    writing: tokio::sync::Mutex<()>,
}

/// When a held key was last noted, in milliseconds since 1970, and whether that waits to be written.
#[derive(Debug, Default)]
pub(crate) struct Noted(AtomicU64);

/// The bit of [`Noted`] that says that it waits: no time of day has it.
const WAITS: u64 = 1 << 63;

impl Noted {
    /// Whether a use at `now_ms` is to be noted: not long after the one before it is not.
    fn is_due(&self, now_ms: u64) -> bool {
        let noted_ms = self.at_ms();
        // A clock that was set back must not keep a key from being noted.
        noted_ms == 0 || now_ms >= noted_ms.saturating_add(NOTE_PAUSE_MS) || now_ms.saturating_add(NOTE_PAUSE_MS) < noted_ms
    }

    fn at_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed) & !WAITS
    }

    /// Notes a use. Two at once note it twice, which is as good.
    fn set(&self, now_ms: u64) {
        let waits = self.0.load(Ordering::Relaxed) & WAITS;
        self.0.store(now_ms & !WAITS | waits, Ordering::Relaxed);
    }

    /// Whether it waits to be written.
    fn waits(&self) -> bool {
        self.0.load(Ordering::Relaxed) & WAITS != 0
    }

    /// It waits from now on, or no more.
    fn set_waiting(&self, waits: bool) {
        if waits {
            self.0.fetch_or(WAITS, Ordering::Relaxed);
        } else {
            self.0.fetch_and(!WAITS, Ordering::Relaxed);
        }
    }
}

/// Uses that are being written.
type Taken<K> = Vec<(KeyId, u64, Arc<K>)>;

impl<K: InUse> Usage<K> {
    pub(crate) fn new(options: UsageOptions) -> Self {
        Self { options, pending: Mutex::default(), writing: tokio::sync::Mutex::default() }
    }

    pub(crate) fn interval(&self) -> Duration {
        self.options.interval
    }

    /// Notes that a key was used, unless that was done a moment ago. Cheap.
    pub(crate) fn note(&self, held: &Arc<K>, now_ms: u64) {
        let noted = held.noted();
        if noted.is_due(now_ms) {
            let mut pending = self.pending();
            noted.set(now_ms);
            self.keep(&mut pending, held);
        }
    }

    fn keep(&self, pending: &mut VecDeque<Arc<K>>, held: &Arc<K>) {
        if !held.noted().waits() && pending.len() < self.options.pending_max {
            held.noted().set_waiting(true);
            pending.push_back(held.clone());
        }
    }

    /// Keeps uses that could not be written.
    fn keep_all<'a>(&self, uses: impl IntoIterator<Item = &'a Arc<K>>)
    where
        K: 'a,
    {
        let mut pending = self.pending();
        for held in uses {
            self.keep(&mut pending, held);
        }
    }

    /// The next uses to write, which are no longer kept here; a key that was read anew meanwhile once.
    fn take(&self, kept_max: usize) -> Taken<K> {
        let mut pending = self.pending();
        let count = kept_max.min(pending.len());
        let mut newest: HashMap<KeyId, (u64, Arc<K>)> = HashMap::with_capacity(count);
        for held in pending.drain(..count) {
            held.noted().set_waiting(false);
            let (key_id, at_ms) = (held.id().key_id(), held.noted().at_ms());
            let known = newest.entry(key_id).or_insert_with(|| (at_ms, held.clone()));
            if known.0 < at_ms {
                *known = (at_ms, held);
            }
        }
        newest.into_iter().map(|(key_id, (at_ms, held))| (key_id, at_ms, held)).collect()
    }

    fn pending(&self) -> MutexGuard<'_, VecDeque<Arc<K>>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl GateShared {
    /// Writes what has been noted, and comes back when what others were about to write is written too.
    /// What cannot be written now waits for the next time.
    pub(crate) async fn write_uses(&self) {
        let _turn = self.usage.writing.lock().await;
        let rounds = self.usage.pending().len().div_ceil(WRITTEN_AT_ONCE);
        for _ in 0..rounds {
            let uses = self.usage.take(WRITTEN_AT_ONCE);
            let again: Vec<&Arc<CachedKey>> =
                match self.keys.record_uses(uses.iter().map(|(key_id, at_ms, _)| (key_id.clone(), *at_ms)).collect()).await {
                    Ok(busy) => uses.iter().filter(|(key_id, ..)| busy.contains(key_id)).map(|(.., held)| held).collect(),
                    Err(error) => {
                        tracing::debug!(%error, "last uses of keys cannot be written yet");
                        uses.iter().map(|(.., held)| held).collect()
                    }
                };
            let is_all = again.len() == uses.len();
            self.usage.keep_all(again);
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
    use tollgate_keys::OwnerName;

    use super::*;
    use crate::cache::{HeldId, OfKey};

    #[derive(Debug)]
    struct Held(HeldId, Noted);

    impl OfKey for Held {
        fn id(&self) -> &HeldId {
            &self.0
        }
    }

    impl InUse for Held {
        fn owner(&self) -> Option<&OwnerName> {
            None
        }

        fn noted(&self) -> &Noted {
            &self.1
        }
    }

    fn usage(pending_max: usize) -> Usage<Held> {
        Usage::new(UsageOptions { interval: Duration::from_secs(20), pending_max })
    }

    fn key_id(count: u64) -> KeyId {
        KeyId::from_parts(count, [0; 10])
    }

    fn held(count: u64) -> Arc<Held> {
        Arc::new(Held(HeldId::of(&key_id(count)), Noted::default()))
    }

    fn taken(usage: &Usage<Held>) -> Vec<(KeyId, u64)> {
        usage.take(10).into_iter().map(|(key_id, at_ms, _)| (key_id, at_ms)).collect()
    }

    #[test]
    fn a_key_in_use_is_noted_now_and_then() {
        let (usage, held) = (usage(10), held(1));
        for now_ms in (1000..61_000).step_by(100) {
            usage.note(&held, now_ms);
            let noted = held.noted().at_ms();
            assert!(now_ms - noted < NOTE_PAUSE_MS, "{now_ms} {noted}");
        }
        assert_eq!(taken(&usage), [(key_id(1), 46_000)]);
        assert!(taken(&usage).is_empty());
        usage.note(&held, 60_999);
        assert!(taken(&usage).is_empty(), "not long after");
        usage.note(&held, 61_000);
        assert_eq!(taken(&usage), [(key_id(1), 61_000)]);
    }

    #[test]
    fn no_more_wait_than_may() {
        let (usage, keys) = (usage(3), (0..100).map(held).collect::<Vec<_>>());
        for key in &keys {
            usage.note(key, 5);
        }
        assert_eq!(usage.pending().len(), 3);
        usage.note(&keys[0], 5 + NOTE_PAUSE_MS);
        assert_eq!(usage.pending().len(), 3);
        assert!(taken(&usage).contains(&(key_id(0), 5 + NOTE_PAUSE_MS)), "one that waits already is kept up");
        usage.note(&keys[50], 5 + NOTE_PAUSE_MS);
        assert_eq!(taken(&usage), [(key_id(50), 5 + NOTE_PAUSE_MS)], "one that had no room is noted when it is due again");
    }

    #[test]
    fn a_key_that_was_read_anew_is_written_once_with_its_last_use() {
        let usage = usage(10);
        for (read, at_ms) in [(held(1), 5), (held(1), 7), (held(1), 6)] {
            usage.note(&read, at_ms);
        }
        assert_eq!(taken(&usage), [(key_id(1), 7)]);
    }

    #[test]
    fn what_could_not_be_written_waits_again() {
        let (usage, held) = (usage(10), held(1));
        usage.note(&held, 5);
        let uses = usage.take(10);
        usage.keep_all(uses.iter().map(|(.., held)| held));
        assert_eq!((taken(&usage), usage.pending().len()), (vec![(key_id(1), 5)], 0));
    }
}
