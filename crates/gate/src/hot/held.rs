//! All keys of which a node holds more than their record, within a bound.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use super::{Hot, HotOptions, heat::Heat, want_max};
use crate::cache::CachedKey;

/// What is of no use for so long is given up.
const IDLE_US: u64 = 10_000_000;

#[derive(Debug)]
pub(crate) struct HeldKeys {
    options: HotOptions,
    started: Instant,
    heat: Heat,
    refusals: Heat,
    held: Mutex<Vec<Held>>,
    count: AtomicUsize,
    /// Told when something is held.
    pub(crate) more: Notify,
}

/// One key of which something is held.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) entry: Arc<CachedKey>,
    pub(crate) hot: Arc<Hot>,
}

impl Held {
    /// Whether nothing is lost by giving it up. What no request can find any more still may be used
    /// by one that has found it before.
    fn is_over(&self, now_us: u64) -> bool {
        let is_idle = now_us.saturating_sub(self.hot.used_us.load(Ordering::Relaxed)) >= IDLE_US;
        if !is_idle && !self.entry.is_outdated() {
            return false;
        }
        if self.entry.hot.get().is_some_and(|hot| Arc::ptr_eq(&hot, &self.hot)) {
            self.entry.hot.set(None);
        }
        let is_found = self.entry.hot.get().is_some_and(|hot| Arc::ptr_eq(&hot, &self.hot));
        !is_found && Arc::strong_count(&self.hot) == 1 && !self.hot.purse.is_holding()
    }
}

impl HeldKeys {
    pub(crate) fn new(options: HotOptions) -> Self {
        let (heat, refusals, held) = (Heat::new(), Heat::new(), Mutex::default());
        Self { options, started: Instant::now(), heat, refusals, held, count: AtomicUsize::new(0), more: Notify::new() }
    }

    pub(crate) fn options(&self) -> &HotOptions {
        &self.options
    }

    /// The node's monotonic clock, in microseconds.
    pub(crate) fn us(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.started).as_micros()).unwrap_or(u64::MAX)
    }

    pub(crate) fn denials_us(&self) -> u64 {
        u64::try_from(self.options.denials.min(Duration::from_secs(1)).as_micros()).unwrap_or(0)
    }

    /// For a key that asks the store: what is held of it, made now if it is in steady use.
    pub(crate) fn of_steady(&self, entry: &Arc<CachedKey>, now_us: u64) -> Option<Arc<Hot>> {
        if let Some(hot) = entry.hot.get() {
            hot.touch(now_us);
            return Some(hot);
        }
        let is_hot = self.options.leases && self.heat.note(Arc::as_ptr(entry).addr(), now_us);
        // A key that can never have a slice takes no place of one that can.
        if is_hot && want_max(entry, &self.options) > 0 { self.of(entry, now_us) } else { None }
    }

    /// For a key that the store has refused: what is held of it, made now if that happens often. A
    /// key that is refused now and then costs the store little, and needs no room.
    pub(crate) fn of_refused(&self, entry: &Arc<CachedKey>, now_us: u64) -> Option<Arc<Hot>> {
        let held = entry.hot.get();
        if held.is_some() || !self.refusals.note(Arc::as_ptr(entry).addr(), now_us) {
            return held;
        }
        self.of(entry, now_us)
    }

    /// What is held of a key, made now unless too many are held.
    fn of(&self, entry: &Arc<CachedKey>, now_us: u64) -> Option<Arc<Hot>> {
        // Where all places are taken nobody waits for the lock to be told so.
        if self.count.load(Ordering::Acquire) >= self.options.keys_max {
            return entry.hot.get();
        }
        let mut held = self.held();
        if let Some(hot) = entry.hot.get() {
            return Some(hot);
        }
        if held.len() >= self.options.keys_max || entry.is_outdated() {
            return None;
        }
        let hot = Arc::new(Hot::new(want_max(entry, &self.options), now_us));
        held.push(Held { entry: entry.clone(), hot: hot.clone() });
        self.count.store(held.len(), Ordering::Release);
        entry.hot.set(Some(hot.clone()));
        drop(held);
        self.more.notify_one();
        Some(hot)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    /// Gives up what is over, and shows the rest to `look`.
    pub(crate) fn sweep(&self, now_us: u64, mut look: impl FnMut(&Held)) {
        let mut held = self.held();
        held.retain(|one| {
            look(one);
            !one.is_over(now_us)
        });
        self.count.store(held.len(), Ordering::Release);
        if held.is_empty() {
            held.shrink_to_fit();
        }
    }

    fn held(&self) -> MutexGuard<'_, Vec<Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
