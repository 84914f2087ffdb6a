//! Follows the change log: what changed is forgotten here and fenced in the bucket store.
//!
//! The fence of a change is raised by its writer; a writer that died in between is made good by
//! every node that reads its row.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    gate::GateShared,
    ports::{Change, ChangeKind, Fence, KeyStoreError, LogHead, LogId, SubjectKind},
};

/// Fences that wait for the bucket store to come back, at most.
const PENDING_FENCES_MAX: usize = 10_000;

/// How the log is followed.
#[derive(Debug, Clone, Copy)]
pub struct FollowOptions {
    /// Time between two reads.
    pub poll_interval: Duration,
    /// Changes read at a time.
    pub page_size: u32,
    /// How long a fence may take to be raised.
    pub fence_timeout: Duration,
}

#[derive(Debug)]
pub(crate) struct Follower {
    options: FollowOptions,
    /// One reader at a time.
    reading: tokio::sync::Mutex<()>,
    seen: Mutex<Seen>,
    /// Told when the log has brought fences to raise.
    pub(crate) fences_due: tokio::sync::Notify,
}

#[derive(Debug, Default)]
struct Seen {
    log: Option<LogId>,
    /// Start of the last read that reached the head.
    read_at: Option<Instant>,
    pending: VecDeque<Fence>,
}

impl Follower {
    pub(crate) fn new(options: FollowOptions) -> Self {
        Self { options, reading: tokio::sync::Mutex::default(), seen: Mutex::default(), fences_due: tokio::sync::Notify::new() }
    }

    pub(crate) fn options(&self) -> FollowOptions {
        self.options
    }

    fn with_seen<T>(&self, look: impl FnOnce(&mut Seen) -> T) -> T {
        look(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn enqueue(&self, fences: impl IntoIterator<Item = Fence>) {
        let dropped = self.with_seen(|seen| {
            seen.pending.extend(fences);
            let excess = seen.pending.len().saturating_sub(PENDING_FENCES_MAX);
            seen.pending.drain(..excess).count()
        });
        if dropped > 0 {
            tracing::warn!(dropped, "more fences wait for the bucket store than are kept; nodes learn of those changes from the log alone");
        }
    }
}

impl GateShared {
    /// Which change log this node follows, once it has read it.
    pub(crate) fn log_id(&self) -> Option<LogId> {
        self.follower.with_seen(|seen| seen.log.clone())
    }

    /// How long ago the last read began that reached the head.
    pub(crate) fn log_age(&self) -> Option<Duration> {
        self.follower.with_seen(|seen| seen.read_at).map(|at| at.elapsed())
    }

    /// Reads the log to its head and applies what is new.
    pub(crate) async fn catch_up(&self) -> Result<(), KeyStoreError> {
        let _turn = self.follower.reading.lock().await;
        let started = Instant::now();
        let head = self.keys.head().await?;
        if !self.follows(&head) {
            // Another log, or one that this node has lost its place in: nothing held is worth anything.
            self.cache.restart_at(head.position);
            self.follower.with_seen(|seen| seen.log = Some(head.log.clone()));
        }
        while self.cache.position() < head.position {
            let position = self.cache.position();
            let changes = self.keys.changes(position, self.follower.options.page_size).await?;
            if changes.first().is_none_or(|first| first.position != position + 1) {
                // Positions have no holes: what lay between has been cleared away.
                self.cache.restart_at(head.position);
                break;
            }
            self.cache.apply(&changes);
            self.follower.enqueue(changes.iter().filter_map(fence_of));
            self.follower.fences_due.notify_one();
        }
        self.follower.with_seen(|seen| seen.read_at = Some(started));
        Ok(())
    }

    /// Whether this node's place in the log still is one.
    fn follows(&self, head: &LogHead) -> bool {
        let (log, position) = (self.log_id(), self.cache.position());
        log.as_ref() == Some(&head.log) && position <= head.position && position + 1 >= head.oldest
    }

    /// Raises the fences of what was read; one that cannot be raised now waits behind the others.
    pub(crate) async fn raise_pending(&self) {
        for _ in 0..self.follower.with_seen(|seen| seen.pending.len()) {
            let Some(fence) = self.follower.with_seen(|seen| seen.pending.pop_front()) else { return };
            let deadline = Instant::now() + self.follower.options.fence_timeout;
            if let Err(error) = self.buckets.raise_fence(fence.clone(), deadline).await {
                tracing::debug!(%error, "a fence could not be raised yet");
                self.follower.enqueue([fence]);
            }
        }
    }
}

/// The fence that a change calls for.
pub(crate) fn fence_of(change: &Change) -> Option<Fence> {
    let owner: Option<Arc<str>> = change.owner.as_ref().map(|owner| owner.as_str().into());
    let revoked = change.kind == ChangeKind::Revoked;
    let (kind, id, placed_by) = match (&change.key_id, owner) {
        // Nobody can know older rules of a key that is new.
        (Some(_), _) if change.kind == ChangeKind::Created => return None,
        (Some(key_id), owner) => {
            let id: Arc<str> = key_id.as_str().into();
            (SubjectKind::Key, id.clone(), owner.unwrap_or(id))
        }
        (None, Some(owner)) => (SubjectKind::Owner, owner.clone(), owner),
        (None, None) => return None,
    };
    Some(Fence { kind, id, placed_by, generation: change.position, revoked, reset: false })
}
