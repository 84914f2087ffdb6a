//! The ring as this node knows it, and when a ring character that it lacks is none at all.
//!
//! A signing key signs nothing before a node has known it for [`SETTLE`]. So a ring that was read
//! less than [`COMPLETE_FOR`] ago has every key that can have signed anything by now, and what
//! names another one is forged: nobody has to be asked, whatever callers send. Only a node that
//! could not read the ring for longer than that asks, at most once in [`RELOAD_PAUSE`].

use std::{collections::HashMap, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use tokio::time::{Instant, timeout};
use tollgate_keys::{ApiKey, SecretDigest, SigningRing, TagCheck};

use super::{MasterKey, SigningError, own, ring_of, stored_or_begun};
use crate::{
    gate::DecisionSource,
    ports::{KeyStore, KeyStoreError, StoredSigningKey},
};

/// How long a node knows a signing key before it signs with it.
pub(super) const SETTLE: Duration = Duration::from_secs(5);
/// How long from the start of its read a ring is complete: less than [`SETTLE`], by what any two
/// clocks may differ in that time.
const COMPLETE_FOR: Duration = Duration::from_secs(4);
/// From a read of the ring that failed to the next one that a request may cause.
const RELOAD_PAUSE: Duration = Duration::from_secs(1);
/// A key that was there before a node started, and is older than this by the time of day, is known
/// to all: [`SETTLE`] with room for clocks that differ, in milliseconds.
const OLD_MS: u64 = 60_000;

/// Whether a key was added so long ago that all nodes know it, as far as clocks can tell.
pub(super) fn is_old(key: &StoredSigningKey, now_ms: u64) -> bool {
    key.added_at_ms.saturating_add(OLD_MS) <= now_ms
}

#[derive(Debug)]
pub(crate) struct Signing {
    master: Option<MasterKey>,
    /// How long a key is known before it signs: no time where there is no other node.
    settle: Duration,
    current: ArcSwap<Current>,
    /// One read at a time, so that an older one never takes the place of a newer one.
    reader: tokio::sync::Mutex<Reader>,
}

#[derive(Debug, Default)]
struct Current {
    ring: Arc<SigningRing>,
    /// When the read of it began; none before the first.
    read_at: Option<Instant>,
}

#[derive(Debug, Default)]
struct Reader {
    /// Since when each key of this store is known; none for one that all know.
    known_since: HashMap<char, Option<Instant>>,
    /// The last read, where it failed: when it did, and why.
    failed: Option<(Instant, SigningError)>,
}

impl Current {
    /// Whether no key can have signed anything yet that is not in the ring.
    fn is_complete(&self) -> bool {
        self.read_at.is_some_and(|at| at.elapsed() <= COMPLETE_FOR)
    }
}

impl Reader {
    /// Takes up keys that were read just now.
    fn note(&mut self, stored: &[StoredSigningKey], now_ms: u64) {
        let is_first = self.known_since.is_empty();
        // Who has a ring at all has its oldest key: without any nobody is told that a key is forged.
        let oldest = own(stored).min_by_key(|key| (key.added_at_ms, key.ring)).map(|key| key.ring);
        let now = Instant::now();
        for key in own(stored) {
            let is_known = oldest == Some(key.ring) || (is_first && is_old(key, now_ms));
            self.known_since.entry(key.ring).or_insert(if is_known { None } else { Some(now) });
        }
    }

    fn is_held_back(&self, key: &StoredSigningKey, settle: Duration) -> bool {
        self.known_since.get(&key.ring).is_some_and(|since| since.is_some_and(|since| since.elapsed() < settle))
    }
}

impl Signing {
    pub(crate) fn new(master: Option<MasterKey>, source: DecisionSource) -> Self {
        let settle = if source == DecisionSource::Local { Duration::ZERO } else { SETTLE };
        Self { master, settle, current: ArcSwap::default(), reader: tokio::sync::Mutex::default() }
    }

    /// The ring; cheap.
    pub(crate) fn ring(&self) -> Arc<SigningRing> {
        self.current.load().ring.clone()
    }

    /// What the tag of a secret says, and what to remember the secret by where its tag is right.
    /// `None` where it may be of a signing key that this node has not read yet.
    pub(crate) fn examine(&self, api_key: &ApiKey) -> Option<(TagCheck, Option<SecretDigest>)> {
        let current = self.current.load();
        let examined = current.ring.examine(&api_key.key_id, &api_key.secret);
        (examined.0 != TagCheck::UnknownRing || current.is_complete()).then_some(examined)
    }

    /// Reads the ring from the store, making its first key where there is none. Takes no longer
    /// than `patience` once it is its turn.
    pub(crate) async fn reload(&self, store: &dyn KeyStore, now_ms: u64, patience: Duration) -> Result<(), SigningError> {
        self.read(&mut *self.reader.lock().await, store, (now_ms, patience)).await
    }

    /// The same for a ring character that is not known, unless the ring is complete by now or could
    /// not be read a moment ago. One at a time; the others wait and find it done.
    pub(crate) async fn reload_for_unknown(&self, store: &dyn KeyStore, now_ms: u64, patience: Duration) -> Result<(), SigningError> {
        let mut reader = self.reader.lock().await;
        if self.current.load().is_complete() {
            return Ok(());
        }
        if let Some((_, error)) = reader.failed.as_ref().filter(|(at, _)| at.elapsed() < RELOAD_PAUSE) {
            return Err(error.clone());
        }
        self.read(&mut reader, store, (now_ms, patience)).await
    }

    async fn read(&self, reader: &mut Reader, store: &dyn KeyStore, (now_ms, patience): (u64, Duration)) -> Result<(), SigningError> {
        let began = Instant::now();
        let in_time = || KeyStoreError::Unreachable("the signing keys could not be read in time".into());
        // Whoever waits may give this up at any moment: then it has failed.
        reader.failed = Some((began + patience, in_time().into()));
        let read = timeout(patience, stored_or_begun(store, self.master.as_ref(), now_ms)).await;
        let read = read.unwrap_or_else(|_| Err(in_time().into()));
        let done = read.and_then(|stored| {
            reader.note(&stored, now_ms);
            let ring = ring_of(self.master.as_ref(), &stored, |key| reader.is_held_back(key, self.settle))?;
            self.current.store(Arc::new(Current { ring: Arc::new(ring), read_at: Some(began) }));
            Ok(())
        });
        // What a slow failure kept others waiting for is not tried again at once.
        reader.failed = done.as_ref().err().map(|error| (Instant::now(), error.clone()));
        done
    }
}
