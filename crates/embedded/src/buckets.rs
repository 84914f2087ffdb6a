//! Buckets and fences in memory: exact for this one process, and gone with it.

mod room;
mod shard;

use std::{
    fmt,
    future::ready,
    hash::{BuildHasher, RandomState},
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use tollgate_gate::ports::{
    BoxFuture, BucketError, BucketStore, BucketsHealth, Decision, Fence, Leasing, LogId, Outcome, PendingOutcome, SubjectKind,
};
use tollgate_limits::LeaseAsk;

use self::{room::Room, shard::Shard};
use crate::clock::{MicrosClock, whole_us};

/// Locks that the subjects are spread over.
const SHARDS: usize = 16;

/// Records of each shard that are looked at when the store is full and one more is to be kept.
const FULL_SWEEP_STEPS: usize = 32;

/// What the store may hold, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct MemoryBucketsBounds {
    /// Subjects with a bucket that is not full, or with a fence. A few hundred bytes each.
    pub subjects_max: usize,
    /// How long a fence is kept: 10 minutes longer than any cached record is used.
    pub fence_ttl: Duration,
}

/// The bucket store of one process.
///
/// All subjects of a decision live under one lock (that of [`Decision`]'s `placed_by`), so a
/// decision is one step for all others. A subject whose buckets are full and that has no fence is
/// not kept; the sweep that forgets such subjects is a few steps with every subject that is added.
/// Where the store is full of subjects that still matter, a decision that would have to add one is
/// [`Outcome::Broken`]: forgetting another's bucket would admit what its limit forbids.
pub struct MemoryBuckets {
    shards: Vec<Mutex<Shard>>,
    hasher: RandomState,
    room: Room,
    fence_ttl_us: u64,
    clock: MicrosClock,
    log: OnceLock<LogId>,
}

impl MemoryBuckets {
    /// An empty store.
    pub fn new(bounds: MemoryBucketsBounds, clock: MicrosClock) -> Self {
        Self {
            shards: std::iter::repeat_with(Mutex::default).take(SHARDS).collect(),
            hasher: RandomState::new(),
            room: Room::new(bounds.subjects_max),
            fence_ttl_us: whole_us(bounds.fence_ttl),
            clock,
            log: OnceLock::new(),
        }
    }

    /// Subjects that are kept at the moment.
    pub fn subjects(&self) -> usize {
        self.room.taken()
    }

    fn decide_now(&self, decision: &Decision, lease: LeaseAsk) -> Outcome {
        if self.log.get().is_none() {
            return Outcome::Lost;
        }
        let placed_by = decision.subjects.placed_by();
        // The clock is read under the lock, so that no decision of a shard is older than the last.
        let once = || self.shard(placed_by).decide(decision, lease, self.clock.now_us(), &self.room);
        once().unwrap_or_else(|_full| {
            self.sweep();
            once().unwrap_or(Outcome::Broken)
        })
    }

    fn raise_now(&self, fence: &Fence) -> Result<Duration, BucketError> {
        if self.log.get().is_none() {
            return Err(BucketError::Unusable("the buckets have not been joined yet".into()));
        }
        let mut shard = self.shard(&fence.placed_by);
        let now_us = self.clock.now_us();
        let good_for_us = shard.good_for_us(fence, now_us);
        shard.raise(fence, now_us.saturating_add(self.fence_ttl_us) / 1000, now_us, &self.room);
        Ok(Duration::from_micros(good_for_us))
    }

    fn join_now(&self, log: &LogId) -> Result<(), BucketError> {
        let joined = self.log.get_or_init(|| log.clone());
        if joined == log { Ok(()) } else { Err(BucketError::Unusable("the buckets belong to another change log".into())) }
    }

    fn sweep(&self) {
        for shard in &self.shards {
            lock(shard).sweep(FULL_SWEEP_STEPS, self.clock.now_us(), &self.room);
        }
    }

    #[allow(clippy::indexing_slicing, reason = "a remainder of the number of shards is the place of one")]
    #[allow(clippy::cast_possible_truncation, reason = "any bits of a hash are as good as all of them")]
    fn shard(&self, placed_by: &str) -> MutexGuard<'_, Shard> {
        lock(&self.shards[self.hasher.hash_one(placed_by) as usize % SHARDS])
    }
}

/// A shard is changed by whole records only, so a panic under its lock leaves it as good as before.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for MemoryBuckets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBuckets").field("room", &self.room).field("log", &self.log).finish_non_exhaustive()
    }
}

impl BucketStore for MemoryBuckets {
    /// Decides at once: no deadline is ever near.
    fn decide(&self, decision: Decision, _deadline: Instant) -> PendingOutcome {
        Ok(self.decide_now(&decision, LeaseAsk::default())).into()
    }

    /// For tests of nodes that share such a store: a node that is alone has no use for slices.
    fn decide_leased(&self, decision: Decision, leasing: Leasing, _deadline: Instant) -> PendingOutcome {
        // Askers of a named thing bring limits of their own under one generation.
        let is_named = decision.subjects.first.kind == SubjectKind::Named;
        Ok(self.decide_now(&decision, if is_named { LeaseAsk::default() } else { leasing.ask })).into()
    }

    fn raise_fence(&self, fence: Fence, _deadline: Instant) -> BoxFuture<'_, Result<Duration, BucketError>> {
        Box::pin(ready(self.raise_now(&fence)))
    }

    fn join(&self, log: LogId) -> BoxFuture<'_, Result<(), BucketError>> {
        Box::pin(ready(self.join_now(&log)))
    }

    fn health(&self) -> BoxFuture<'_, BucketsHealth> {
        Box::pin(ready(BucketsHealth::Ok))
    }
}

#[cfg(test)]
mod tests;
