//! Trust in the bucket store: taken up at start, and again whenever it may have lost its state.
//!
//! A store that was flushed, restarted or replaced by a lagging replica has lost fences, so what
//! this node has cached may be out of date without anybody saying so. Before it is used again,
//! the change log is read to its head.
//!
//! Where parts of the store answer on their own (the tags of a Redis Cluster), one that does not is
//! left out, and nobody waits for it but its own decisions.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout},
};
use tollgate_limits::{Cost, RateLimits};

use crate::{
    cache::CachedKey,
    gate::{DecisionSource, GateShared},
    ports::{BucketError, Decision, Outcome, Subject, SubjectKind, Subjects},
};

/// No count of connections ever gets there.
const DISTRUSTED: u64 = u64::MAX;

/// The longest that a request waits for the link to be taken up.
const TAKE_UP_WAIT: Duration = Duration::from_secs(1);

/// The longest that the gate's own loop waits for the bucket store to be joined. A request waits as
/// long as for a decision: a store that hangs is an outage, and the outage mode answers.
const JOIN_PATIENCE: Duration = Duration::from_secs(5);
/// The same where the store has several parts: none waits longer for another one, unless a decision
/// may take longer.
const JOIN_PATIENCE_OF_PARTS: Duration = Duration::from_millis(250);
/// How much longer than it was given a join may take to say what came of it.
const JOIN_GRACE: Duration = Duration::from_millis(10);
/// Ids among which there is one for each part of the store: there are 256 parts at most.
const IDS_TRIED: u32 = 4096;

#[derive(Debug)]
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
    /// Since when the store is being joined, while it is.
    joining: watch::Sender<Option<Instant>>,
    /// Lanes of the store that did not answer when the others were joined.
    left_out: Mutex<BTreeSet<usize>>,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            taking_up: tokio::sync::Mutex::default(),
            taken_up: AtomicU64::default(),
            epoch: AtomicU64::default(),
            trusted_connection: AtomicU64::default(),
            trouble: Mutex::default(),
            joining: watch::Sender::new(None),
            left_out: Mutex::default(),
        }
    }
}

/// The store is being joined until this is dropped.
struct Joining<'a>(&'a Link);

impl Drop for Joining<'_> {
    fn drop(&mut self) {
        self.0.joining.send_replace(None);
    }
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

    fn begin_joining(&self) -> Joining<'_> {
        self.joining.send_replace(Some(Instant::now()));
        Joining(self)
    }

    /// Waits until a join has been under way for longer than `patience`, whoever began it.
    async fn join_overdue(&self, patience: Duration) {
        let mut joining = self.joining.subscribe();
        loop {
            let began = *joining.borrow_and_update();
            let Some(began) = began else {
                if joining.changed().await.is_err() {
                    return std::future::pending().await;
                }
                continue;
            };
            tokio::select! {
                () = sleep_until(began + patience) => return,
                _ = joining.changed() => {}
            }
        }
    }

    /// Whether a lane was left out when the others were joined.
    pub(crate) fn is_left_out(&self, lane: usize) -> bool {
        self.left_out.lock().unwrap_or_else(PoisonError::into_inner).contains(&lane)
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
        let patience = self.options.decision_timeout;
        let overdue = patience.saturating_add(JOIN_GRACE * 2);
        let trouble = tokio::select! {
            biased;
            taken_up = timeout(TAKE_UP_WAIT, self.take_up_within(seen, patience)) => match taken_up {
                Ok(taken_up) => return taken_up,
                Err(_) if self.link.joining.borrow().is_some() => not_joined_in_time(),
                Err(_) => Trouble::Keys("the change log could not be read in time".into()),
            },
            // Somebody else has been waiting for it: nobody need do so any longer than he would alone.
            () = self.link.join_overdue(overdue) => not_joined_in_time(),
        };
        if !self.is_link_trusted() {
            self.link.set_trouble(Some(trouble.clone()));
        }
        Err(trouble)
    }

    /// Takes up the link again, unless somebody has since `seen`. For the gate's own loop, which
    /// has time.
    pub(crate) async fn take_up(&self, seen: u64) -> Result<(), Trouble> {
        let is_one = self.buckets.lanes() <= 1;
        let patience = if is_one { JOIN_PATIENCE } else { JOIN_PATIENCE_OF_PARTS.max(self.options.decision_timeout) };
        self.take_up_within(seen, patience).await
    }

    /// Joins what was left out, now that it answers; the others go on meanwhile. Whether `lane` may
    /// be asked again.
    pub(crate) async fn take_in(&self, lane: usize) -> bool {
        if !self.link.is_left_out(lane) {
            return true;
        }
        let again = async {
            let _turn = self.link.taking_up.lock().await;
            self.try_take_up(JOIN_PATIENCE_OF_PARTS.max(self.options.decision_timeout)).await
        };
        matches!(timeout(TAKE_UP_WAIT, again).await, Ok(Ok(()))) && !self.link.is_left_out(lane)
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
        let (connection, losses) = (self.buckets.connection_count(), self.buckets.losses());
        let keys = |error: crate::ports::KeyStoreError| Trouble::Keys(error.to_string().into());
        self.catch_up().await.map_err(keys)?;
        let log = self.log_id().ok_or_else(|| Trouble::Keys("the change log was not read".into()))?;
        self.link.epoch.fetch_add(1, Ordering::AcqRel);
        let joining = self.link.begin_joining();
        let joined = timeout(join_patience.saturating_add(JOIN_GRACE), self.buckets.join_within(log, join_patience)).await;
        drop(joining);
        let left_out = joined.unwrap_or(Err(BucketError::Deadline)).map_err(|error| Trouble::Buckets(error.to_string().into()))?;
        if self.buckets.losses() > losses {
            // Fences that went with the old state may be of changes since the log was read.
            self.catch_up().await.map_err(keys)?;
        }
        // What does not answer is asked by nobody before it answers a probe, which takes it in.
        for lane in &left_out {
            self.breaker.open(*lane);
        }
        *self.link.left_out.lock().unwrap_or_else(PoisonError::into_inner) = left_out.into_iter().collect();
        self.note_losses();
        self.link.trusted_connection.store(connection, Ordering::Release);
        self.link.taken_up.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }
}

impl GateShared {
    /// Asks each part of the bucket store what charges nothing, so that a state that was lost is found
    /// though nobody asks for a decision.
    pub(crate) async fn look_for_losses(&self) {
        let seen = self.link.count();
        if self.options.source == DecisionSource::Local || !self.is_link_trusted() {
            return;
        }
        let deadline = Instant::now() + self.options.decision_timeout;
        let questions = (0..self.buckets.lanes()).map(|lane| self.nothing_in(lane));
        let asked = questions.filter(|question| !self.is_store_silent(question)).map(|question| self.buckets.decide(question, deadline));
        if join_all(asked).await.iter().any(|answer| matches!(answer, Ok(Outcome::Lost))) {
            self.lost(seen);
        }
    }

    /// A decision on a key that nobody has, which that part takes.
    fn nothing_in(&self, lane: usize) -> Decision {
        let id = (0..IDS_TRIED).map(|number| number.to_string()).find(|id| self.buckets.lane(id) == lane).unwrap_or_default();
        let first = Subject { kind: SubjectKind::Key, id: id.into(), generation: 0, limits: RateLimits::unlimited() };
        Decision { subjects: Subjects { first, owner: None }, cost: Cost::ONE, peek: true }
    }
}

fn not_joined_in_time() -> Trouble {
    Trouble::Buckets("the bucket store could not be joined in time".into())
}
