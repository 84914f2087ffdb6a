//! A key store that is behind its own fences: a restored backup, or a tail that a failover lost.
//!
//! Changes that people were told of are gone, and nobody can say which. A key whose fence is ahead
//! of its record gets 503, and operators hear of it, until `tollgate log reset` says that the
//! store as it is now is right.

use std::sync::{Arc, atomic::Ordering};

use tokio::time::Instant;
use tollgate_limits::Cost;

use crate::{
    cache::CachedKey,
    gate::GateShared,
    ports::{Decision, Outcome},
};

impl GateShared {
    /// Whether the key store was found to be behind its own fences.
    pub(crate) fn is_rewound(&self) -> bool {
        self.rewound.load(Ordering::Acquire)
    }

    pub(crate) fn set_rewound(&self, is_rewound: bool) {
        self.rewound.store(is_rewound, Ordering::Release);
        self.tell_health();
    }

    /// Looks into a record that was read and found stale all the same. A fence is raised after its
    /// change has been committed: if the record is read once more after the fence was seen to be
    /// ahead, and is still the same, then the change is gone.
    pub(crate) async fn look_for_rewind(&self, entry: &Arc<CachedKey>) {
        if self.is_rewound() || !self.is_fence_ahead(entry).await {
            return;
        }
        let key_id = entry.key_id();
        let read = tokio::time::timeout(self.options.lookup_timeout, self.keys.find(key_id)).await;
        if let Ok(Ok(Some(found))) = read {
            let generations = (found.key.generation, found.owner.as_ref().map(|owner| owner.generation));
            if generations == entry.generations() {
                self.set_rewound(true);
            }
        }
    }

    async fn is_fence_ahead(&self, entry: &CachedKey) -> bool {
        let asked = Decision { subjects: entry.fences(), cost: Cost::ONE, peek: true };
        let deadline = Instant::now() + self.options.decision_timeout;
        matches!(self.buckets.decide(asked, deadline).await, Ok(Outcome::Stale))
    }
}
