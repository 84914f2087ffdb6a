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

/// A reset that is older than this, in milliseconds, is not made good any more: whoever asked for it
/// has long seen what became of it. Stores remember resets for longer.
const RESET_AGE_MAX_MS: u64 = 30 * 60 * 1000;

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
    /// The row at this node's place, if it was read: another one there means another history.
    row: Option<Change>,
    /// Changes whose fences are to be raised, and that others are to be told of.
    pending: VecDeque<Change>,
}

/// How a node finds that it has lost its place in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LostPlace {
    /// The log has another id, or this node has read none yet.
    OtherLog,
    /// Rows that were not read are no longer kept, or there never were any: the log was reset.
    TooOld,
    /// The log ends before this node's place, or before a change that this node has read.
    BeyondHead,
    /// Another row is there.
    OtherRow,
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

    fn enqueue(&self, owed: impl IntoIterator<Item = Change>) {
        let dropped = self.with_seen(|seen| {
            seen.pending.extend(owed);
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
        let (started, reached) = (Instant::now(), self.cache.log_reached());
        let head = self.keys.head().await?;
        if let Some(lost) = self.is_lost(&head, reached) {
            self.start_over(&head, lost).await?;
        } else {
            loop {
                if let Err(lost) = self.read_page(&head).await? {
                    self.start_over(&head, lost).await?;
                }
                if self.cache.position() >= head.position {
                    break;
                }
            }
        }
        self.follower.with_seen(|seen| seen.read_at = Some(started));
        self.events.moved(self.cache.position());
        self.line.caught_up(self.cache.position(), started);
        Ok(())
    }

    /// Whether this node's place in the log no longer is one, as far as its ends tell. The log had
    /// `reached` that far before `head` was read.
    fn is_lost(&self, head: &LogHead, reached: u64) -> Option<LostPlace> {
        let (log, position) = (self.log_id(), self.cache.position());
        if log.as_ref() != Some(&head.log) {
            Some(LostPlace::OtherLog)
        } else if reached > head.position {
            Some(LostPlace::BeyondHead)
        } else if position + 1 < head.oldest {
            Some(LostPlace::TooOld)
        } else {
            None
        }
    }

    /// Reads on from this node's place, and with it the row there while that is kept.
    async fn read_page(&self, head: &LogHead) -> Result<Result<(), LostPlace>, KeyStoreError> {
        let position = self.cache.position();
        let row = self.follower.with_seen(|seen| seen.row.clone()).filter(|row| row.position == position && row.position >= head.oldest);
        let page_size = self.follower.options().page_size;
        let changes = match row {
            None if position >= head.position => return Ok(Ok(())),
            None => self.keys.changes(position, page_size).await?,
            Some(row) => {
                let mut changes = self.keys.changes(position - 1, page_size.saturating_add(1)).await?;
                if changes.first() != Some(&row) {
                    // The row may have been cleared away since the head was read: that is no other history.
                    let is_gone = self.keys.head().await?.oldest > row.position;
                    return Ok(Err(if is_gone { LostPlace::TooOld } else { LostPlace::OtherRow }));
                }
                changes.split_off(1)
            }
        };
        match changes.first() {
            None if position >= head.position => Ok(Ok(())),
            // Positions have no holes: what lay between has been cleared away.
            first if first.is_none_or(|first| first.position != position + 1) => Ok(Err(LostPlace::TooOld)),
            _ => {
                self.apply(changes);
                Ok(Ok(()))
            }
        }
    }

    fn apply(&self, changes: Vec<Change>) {
        self.cache.apply(&changes);
        self.lookups.apply(&changes);
        self.filter.apply(&changes);
        let now_ms = self.clock.unix_ms();
        for change in changes.iter().filter(|change| change.kind == ChangeKind::Revoked) {
            self.metrics.revocation_propagated(Duration::from_millis(now_ms.saturating_sub(change.at_ms)));
        }
        self.follower.with_seen(|seen| seen.row = changes.last().cloned());
        let last = changes.last().map_or(0, |change| change.position);
        // New keys need no fence, and of many the word on the last sends everybody to the log.
        let is_owed = |change: &Change| change.position == last || fence_of(change, now_ms).is_some();
        self.follower.enqueue(changes.into_iter().filter(is_owed));
        self.follower.fences_due.notify_one();
    }

    /// Another log, or one that this node has lost its place in: nothing held is worth anything.
    async fn start_over(&self, head: &LogHead, lost: LostPlace) -> Result<(), KeyStoreError> {
        let is_first = self.log_id().is_none();
        self.cache.restart_at(head.position);
        if is_first {
            self.events.moved(head.position);
        } else {
            self.events.restarted(head.position);
        }
        self.lookups.restart();
        self.filter.restart();
        self.follower.with_seen(|seen| (seen.log, seen.row) = (Some(head.log.clone()), None));
        if !is_first {
            tracing::warn!(?lost, position = head.position, "the place in the change log is lost: all that was cached is dropped");
            self.set_rewound(matches!(lost, LostPlace::BeyondHead | LostPlace::OtherRow));
        }
        if head.position > 0 && head.position >= head.oldest {
            let rows = self.keys.changes(head.position - 1, 1).await?;
            let row = rows.into_iter().next().filter(|row| row.position == head.position);
            self.follower.with_seen(|seen| seen.row = row);
        }
        Ok(())
    }

    /// Raises the fences of what was read; one that cannot be raised now waits behind the others.
    pub(crate) async fn raise_pending(&self) {
        for _ in 0..self.follower.with_seen(|seen| seen.pending.len()) {
            let Some(owed) = self.follower.with_seen(|seen| seen.pending.pop_front()) else { return };
            // A reset may have become too old to be made good while it waited.
            if let Some(fence) = fence_of(&owed, self.clock.unix_ms()) {
                let deadline = Instant::now() + self.follower.options.fence_timeout;
                if let Err(error) = self.buckets.raise_fence(fence, deadline).await {
                    tracing::debug!(%error, "a fence could not be raised yet");
                    self.follower.enqueue([owed]);
                    continue;
                }
            }
            self.line.owe(owed);
        }
    }
}

/// The fence that a change calls for at `now_ms`.
pub(crate) fn fence_of(change: &Change, now_ms: u64) -> Option<Fence> {
    let owner: Option<Arc<str>> = change.owner.as_ref().map(|owner| owner.as_str().into());
    let revoked = change.kind == ChangeKind::Revoked;
    let reset = change.kind == ChangeKind::Reset && change.at_ms.saturating_add(RESET_AGE_MAX_MS) > now_ms;
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
    Some(Fence { kind, id, placed_by, generation: change.position, revoked, reset })
}
