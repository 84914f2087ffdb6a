//! What keys are used for: decisions counted in memory, told to the store now and then.
//!
//! A decision adds to a counter under one short lock and waits for nothing; all else is done by a
//! loop. Nothing decides by these counts, and they may be lost with the node. Memory is bounded:
//! what has no room is not counted, which a metric tells.

mod flush;
mod lane;
mod shards;
pub mod sketch;
mod tops;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use tokio::sync::Notify;
use tollgate_keys::KeyId;

use crate::{
    authenticate::{Standing, Verified},
    cache::CachedKey,
    gate::GateShared,
    ports::UsageCounts,
    verdict::{Denial, Unauthenticated, Verdict},
};
use flush::Sender;
use shards::{Kept, Of, Shards};
pub(crate) use tops::Summary;

use sketch::Sketch;

/// How usage is counted.
#[derive(Debug, Clone, Copy)]
pub struct TallyOptions {
    /// Time between two tellings of the store.
    pub flush_interval: Duration,
    /// Keys in a minute whose counts wait to be told, at most.
    pub keys_max: usize,
    /// Keys of one summary of the most limited, at least 1.
    pub top_keys: usize,
    /// Owners that have summaries of their own, at most.
    pub top_owners_max: usize,
}

/// Counts that wait to be told.
#[derive(Debug)]
pub(crate) struct Tally {
    options: TallyOptions,
    shards: Shards,
    /// There is less room than there should be.
    crowded: Notify,
    /// The last minute of which something was not counted since the last telling; 0 for none.
    missed: AtomicU32,
    sender: tokio::sync::Mutex<Sender>,
}

/// What is to be counted of a decision. Made when its verdict is there: what is kept while one waits
/// is kept for every request under way.
pub(crate) struct Counting {
    entry: Arc<CachedKey>,
    cost: u64,
    peek: bool,
}

impl Counting {
    pub(crate) fn of(verified: &Verified) -> Self {
        let request = &verified.request;
        Self { entry: verified.entry.clone(), cost: request.cost.tokens().into(), peek: request.peek }
    }
}

impl Tally {
    pub(crate) fn new(options: TallyOptions) -> Self {
        let sender = Sender::new(options.top_keys, options.top_owners_max);
        Self { options, shards: Shards::new(options.keys_max), crowded: Notify::new(), missed: AtomicU32::new(0), sender: sender.into() }
    }

    pub(crate) fn options(&self) -> &TallyOptions {
        &self.options
    }
}

impl GateShared {
    /// Counts the verdict on a verified key, and hands it on. A peek is no decision.
    pub(crate) fn tallied(&self, counting: &Counting, verdict: Verdict) -> Verdict {
        let none = UsageCounts::default();
        let counts = match &verdict {
            Verdict::Allowed(_) => UsageCounts { allowed: 1, cost: counting.cost, ..none },
            Verdict::Limited(_) => UsageCounts { limited: 1, ..none },
            Verdict::Denied(_) => UsageCounts { denied: 1, ..none },
        };
        if !counting.peek {
            self.count(&Of::Held(&counting.entry), &counts);
        }
        verdict
    }

    /// Counts that a key was refused before its limits were asked. A text that belongs to no key is
    /// nobody's use.
    pub(crate) fn tally_refused(&self, standing: &Standing, key_id: &KeyId) {
        let Standing::Refused(Denial::Unauthenticated(why)) = standing else { return };
        match why {
            Unauthenticated::BadSecret
            | Unauthenticated::Tombstone
            | Unauthenticated::Revoked
            | Unauthenticated::Suspended
            | Unauthenticated::Expired
            | Unauthenticated::KindEnded => self.count(&Of::Other(key_id), &UsageCounts { denied: 1, ..UsageCounts::default() }),
            Unauthenticated::Missing
            | Unauthenticated::Malformed
            | Unauthenticated::BadSignature
            | Unauthenticated::Unknown
            | Unauthenticated::Stranger => {}
        }
    }

    fn count(&self, of: &Of<'_>, counts: &UsageCounts) {
        let minute = self.minute();
        match self.tally.shards.count(of, minute, counts) {
            Kept::Yes => {}
            Kept::HalfFull => self.tally.crowded.notify_one(),
            Kept::No => {
                self.tally.missed.fetch_max(minute, Ordering::Relaxed);
                self.metrics.usage_dropped(counts.decisions());
            }
        }
    }

    /// Whole minutes since 1970, by this node's clock.
    pub(crate) fn minute(&self) -> u32 {
        whole_minutes(self.clock.unix_ms())
    }
}

/// Whole minutes of so many milliseconds since 1970.
pub(crate) fn whole_minutes(unix_ms: u64) -> u32 {
    u32::try_from(unix_ms / 60_000).unwrap_or(u32::MAX)
}
