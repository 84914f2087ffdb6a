//! What a node holds of a key in much use, besides its record: tokens taken ahead, and denials.
//!
//! Made for keys that are in steady use or were refused a moment ago, and given up when they are so
//! no longer: a key that is only remembered costs an empty pointer. It belongs to one reading of the
//! record and goes with it, so what it holds is never spent or told under other rules.

mod denial;
mod heat;
mod held;

use std::{
    ops::Deref,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use tollgate_limits::{Cost, Purse, RateLimit};

pub(crate) use self::denial::Answered;
use self::denial::Denial;
pub(crate) use self::held::{Held, HeldKeys};
use crate::{cache::CachedKey, ports::SubjectStanding, standings::Standings};

/// From a bucket that refills fewer tokens in the time of [`HotOptions::refill_max`] none are taken: they would not pay
/// for the call that takes them.
const REFILL_MIN: u128 = 16;

/// What nodes may hold of keys in much use.
#[derive(Debug, Clone, Copy)]
pub struct HotOptions {
    /// Whether tokens are taken ahead.
    pub leases: bool,
    /// Of the smallest burst of a key and its owner no more is asked for at a time, in percent.
    pub burst_percent_max: u32,
    /// No more is asked for at a time than the slowest of their buckets refills in this time, and
    /// nothing if that is fewer than 16 tokens.
    pub refill_max: Duration,
    /// How long a denial is remembered at most; zero for not at all.
    pub denials: Duration,
    /// Keys of which anything is held, at most.
    pub keys_max: usize,
}

/// Where a held record keeps it; empty for most.
#[derive(Debug, Default)]
pub(crate) struct HotSlot(ArcSwapOption<Hot>);

impl HotSlot {
    /// Runs `look` on what is held, if anything is.
    pub(crate) fn with<T>(&self, look: impl FnOnce(&Hot) -> Option<T>) -> Option<T> {
        self.0.load().as_deref().and_then(look)
    }

    /// The same, to be kept.
    pub(crate) fn get(&self) -> Option<Arc<Hot>> {
        self.0.load_full()
    }

    /// Nobody finds it any more; what it holds is handed back.
    pub(crate) fn clear(&self) {
        if self.0.load().is_some() {
            self.set(None);
        }
    }

    fn set(&self, hot: Option<Arc<Hot>>) {
        self.0.store(hot);
    }
}

/// What is held of one key.
#[derive(Debug)]
pub(crate) struct Hot {
    pub(crate) purse: Purse,
    /// Tokens of one slice at most; 0 where none is asked for.
    pub(crate) want_max: u32,
    /// The figures as of when the slice was taken.
    figures: ArcSwapOption<Vec<SubjectStanding>>,
    denial: Mutex<Option<Denial>>,
    /// Whether one is remembered: nobody need take the lock to find none.
    has_denial: AtomicBool,
    denials: AtomicU64,
    /// When it was last of use to somebody who asked the store.
    used_us: AtomicU64,
}

impl Hot {
    fn new(want_max: u32, now_us: u64) -> Self {
        Self {
            purse: Purse::default(),
            want_max,
            figures: ArcSwapOption::empty(),
            denial: Mutex::new(None),
            has_denial: AtomicBool::new(false),
            denials: AtomicU64::new(0),
            used_us: AtomicU64::new(now_us),
        }
    }

    pub(crate) fn touch(&self, now_us: u64) {
        self.used_us.store(now_us, Ordering::Relaxed);
    }

    /// The figures that go with the slice.
    pub(crate) fn figures(&self) -> Standings {
        self.figures.load_full().map(Standings::Shared).unwrap_or_default()
    }

    /// To be told before the slice can be spent.
    pub(crate) fn set_figures(&self, figures: Vec<SubjectStanding>) -> Standings {
        let figures = Arc::new(figures);
        self.figures.store(Some(figures.clone()));
        Standings::Shared(figures)
    }

    /// The figures of a denial that is remembered, if a request of that cost cannot pass now.
    pub(crate) fn refuse(&self, cost: Cost, now_us: u64, realm: u64, life_us: u64) -> Option<Vec<SubjectStanding>> {
        if !self.has_denial.load(Ordering::Acquire) {
            return None;
        }
        self.denial().as_mut()?.refuse(cost, now_us, realm, life_us)
    }

    /// A denial by the store, while no tokens were in slices.
    pub(crate) fn remember(&self, standings: &[SubjectStanding], answered: Answered) {
        let serial = self.denials.fetch_add(1, Ordering::Relaxed);
        let newer = Denial::of(standings, answered, serial);
        let mut denial = self.denial();
        match denial.as_mut() {
            Some(known) => known.renew(newer),
            None => *denial = Some(newer),
        }
        self.has_denial.store(true, Ordering::Release);
    }

    /// Remembers no denial any more.
    pub(crate) fn forget_denial(&self) {
        self.put_away(&mut self.denial());
    }

    fn put_away(&self, denial: &mut Option<Denial>) {
        *denial = None;
        self.has_denial.store(false, Ordering::Release);
    }

    /// A request is sent to the store that a denial did not refuse, if one is remembered.
    pub(crate) fn send(self: &Arc<Self>, tokens: u32) -> Option<Sent> {
        let serial = self.denial().as_mut().map(|denial| {
            denial.send(tokens);
            denial.serial
        })?;
        Some(Sent { hot: self.clone(), tokens, serial, is_ended: false })
    }

    fn denial(&self) -> MutexGuard<'_, Option<Denial>> {
        self.denial.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tokens of one slice at most; 0 for a key without limits, and where a burst is too small or comes
/// back too slowly: what is taken ahead may be lost with its node, and is to be made good soon.
fn want_max(entry: &CachedKey, options: &HotOptions) -> u32 {
    let refill_us = options.refill_max.as_micros();
    let of_limit = |limit: RateLimit| {
        let burst = u128::from(limit.burst());
        let (by_burst, by_refill) =
            (burst * u128::from(options.burst_percent_max) / 100, burst * refill_us / u128::from(limit.period_us()));
        if by_refill < REFILL_MIN { 0 } else { by_burst.min(by_refill) }
    };
    let want = entry.limits().map(|named| of_limit(named.limit)).min().unwrap_or(0);
    u32::try_from(want).unwrap_or(u32::MAX)
}

/// A request on its way to the store, past a denial that is remembered. Until it is dropped its
/// tokens count as spent for those who come after it.
#[derive(Debug)]
pub(crate) struct Sent {
    hot: Arc<Hot>,
    /// 0 for one that charges nothing.
    tokens: u32,
    serial: u64,
    is_ended: bool,
}

impl Sent {
    /// It passed and was charged.
    pub(crate) fn charged(mut self, cost: Cost, standings: &[SubjectStanding], answered: Answered) {
        // One that charges nothing says nothing of the buckets that is not known.
        if self.tokens == 0 {
            return;
        }
        self.is_ended = true;
        let mut denial = self.hot.denial();
        if let Some(known) = denial.as_mut().filter(|known| known.serial == self.serial)
            && !known.charged(cost, standings, answered)
        {
            self.hot.put_away(&mut denial);
        }
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        if self.is_ended {
            return;
        }
        if let Some(denial) = self.hot.denial().as_mut().filter(|denial| denial.serial == self.serial) {
            denial.take_back(self.tokens);
        }
    }
}

/// The purse of what is held, which it keeps.
#[derive(Debug)]
pub(crate) struct PurseOf(pub(crate) Arc<Hot>);

impl Deref for PurseOf {
    type Target = Purse;

    fn deref(&self) -> &Purse {
        &self.0.purse
    }
}
