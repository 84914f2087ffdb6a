//! Trust in the bucket store: taken up at start, and again whenever it may have lost its state.
//!
//! A store that was flushed, restarted or replaced by a lagging replica has lost fences, so what
//! this node has cached may be out of date without anybody saying so. Before it is used again,
//! the change log is read to its head.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::{cache::CachedKey, gate::GateShared, ports::BucketError};

/// No count of connections ever gets there.
const DISTRUSTED: u64 = u64::MAX;

/// The longest that a request waits for the link to be taken up.
const TAKE_UP_WAIT: Duration = Duration::from_secs(1);

/// The longest that the gate's own loop waits for the bucket store to be joined. A request waits as
/// long as for a decision: a store that hangs is an outage, and the outage mode answers.
const JOIN_PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
pub(crate) struct Link {
    /// One at a time; the others wait and find it done.
    taking_up: tokio::sync::Mutex<()>,
    /// How often the link was taken up; 0 for never.
    taken_up: AtomicU64,
    /// How often the log was read for it. Rises before the store is joined: whoever holds rules
    /// from before must see that they are still held, as their fence may be gone.
    epoch: AtomicU64,
    /// The store's own count of connections when it was last taken up.
    trusted_connection: AtomicU64,
    /// Why it could not be taken up last time.
    trouble: Mutex<Option<Trouble>>,
}

/// What keeps the link from being taken up.
#[derive(Debug, Clone)]
pub(crate) enum Trouble {
    Keys(Arc<str>),
    Buckets(Arc<str>),
}

impl Link {
    /// How often the link was taken up; told to [`GateShared::take_up`] by who found it lost.
    pub(crate) fn count(&self) -> u64 {
        self.taken_up.load(Ordering::Acquire)
    }

    /// Taken before rules are looked up; told to [`GateShared::is_current`].
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Stops trusting the link; true for the first who says so since it was taken up.
    pub(crate) fn distrust(&self, seen: u64) -> bool {
        self.count() == seen && self.trusted_connection.swap(DISTRUSTED, Ordering::AcqRel) != DISTRUSTED
    }

    pub(crate) fn trouble(&self) -> Option<Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_trouble(&self, trouble: Option<Trouble>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }
}

impl GateShared {
    /// Whether the store's connections are those that were trusted.
    pub(crate) fn is_link_trusted(&self) -> bool {
        self.link.count() > 0 && self.link.trusted_connection.load(Ordering::Acquire) == self.buckets.connection_count()
    }

    /// Whether rules that were looked up in `epoch` may be used: no fence can have been lost since,
    /// or the change log has nothing against them.
    pub(crate) fn is_current(&self, entry: &CachedKey, epoch: u64) -> bool {
        self.link.epoch() == epoch || self.cache.holds(entry)
    }

    /// For a request: the link is trusted, or is taken up again now. While it is known to be in
    /// trouble nobody waits for it; the gate's own loop keeps trying.
    pub(crate) async fn trust_link(&self, seen: u64) -> Result<(), Trouble> {
        if self.is_link_trusted() {
            return Ok(());
        }
        if let Some(trouble) = self.link.trouble() {
            return Err(trouble);
        }
        let (epoch, patience) = (self.link.epoch(), self.options.decision_timeout);
        if let Ok(taken_up) = tokio::time::timeout(TAKE_UP_WAIT, self.take_up_within(seen, patience)).await {
            return taken_up;
        }
        // Once the log has been read, what is cached is as good as in any outage of the buckets.
        let trouble = if self.link.epoch() == epoch {
            Trouble::Keys("the change log could not be read in time".into())
        } else {
            Trouble::Buckets("the bucket store could not be joined in time".into())
        };
        if !self.is_link_trusted() {
            self.link.set_trouble(Some(trouble.clone()));
        }
        Err(trouble)
    }

    /// Takes up the link again, unless somebody has since `seen`. For the gate's own loop, which
    /// has time.
    pub(crate) async fn take_up(&self, seen: u64) -> Result<(), Trouble> {
        self.take_up_within(seen, JOIN_PATIENCE).await
    }

    async fn take_up_within(&self, seen: u64, join_patience: Duration) -> Result<(), Trouble> {
        let _turn = self.link.taking_up.lock().await;
        if self.link.count() > seen && self.is_link_trusted() {
            return Ok(());
        }
        let result = self.try_take_up(join_patience).await;
        self.link.set_trouble(result.as_ref().err().cloned());
        result
    }

    async fn try_take_up(&self, join_patience: Duration) -> Result<(), Trouble> {
        let connection = self.buckets.connection_count();
        let keys = |error: crate::ports::KeyStoreError| Trouble::Keys(error.to_string().into());
        self.catch_up().await.map_err(keys)?;
        let log = self.log_id().ok_or_else(|| Trouble::Keys("the change log was not read".into()))?;
        self.link.epoch.fetch_add(1, Ordering::AcqRel);
        let joined = tokio::time::timeout(join_patience, self.buckets.join(log)).await.unwrap_or(Err(BucketError::Deadline));
        joined.map_err(|error| Trouble::Buckets(error.to_string().into()))?;
        self.note_losses();
        self.link.trusted_connection.store(connection, Ordering::Release);
        self.link.taken_up.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }
}
