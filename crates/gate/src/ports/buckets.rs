//! The store of buckets and fences.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{sync::oneshot, time::Instant};
use tollgate_limits::{Cost, Grant, LeaseAsk, NamedLimit, RateLimits, Standing};

use super::{BoxFuture, LogId};

/// What a bucket or a fence belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SubjectKind {
    /// An API key.
    Key,
    /// A tenant.
    Owner,
    /// Anything that a back end limits by name.
    Named,
}

/// One subject of a decision: whose rules the asker knows under which generation.
#[derive(Debug, Clone)]
pub struct Subject {
    /// What it is.
    pub kind: SubjectKind,
    /// Its id: a key id, an owner's name, or 32 hex digits that stand for a named thing.
    pub id: Arc<str>,
    /// The generation of the rules that the asker knows; 0 where none were ever written.
    pub generation: u64,
    /// The limits that must all allow; unlimited asks for the fence alone.
    pub limits: RateLimits,
}

/// The subjects of one decision: one, or a key and its owner.
#[derive(Debug, Clone)]
pub struct Subjects {
    /// The key or the named thing.
    pub first: Subject,
    /// The key's owner.
    pub owner: Option<Subject>,
}

impl Subjects {
    /// The subjects in their order.
    pub fn iter(&self) -> impl Iterator<Item = &Subject> {
        std::iter::once(&self.first).chain(&self.owner)
    }

    /// The id that places the decision: all subjects of one decision live under its tag.
    pub fn placed_by(&self) -> &str {
        self.owner.as_ref().map_or(&*self.first.id, |owner| &*owner.id)
    }
}

/// One request for a decision. The cost is at most every burst: the gate has checked it.
#[derive(Debug, Clone)]
pub struct Decision {
    /// Who must allow.
    pub subjects: Subjects,
    /// Tokens to spend from every bucket.
    pub cost: Cost,
    /// Answer as if asked, and charge nothing.
    pub peek: bool,
}

/// One limit after a decision, with whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubjectStanding {
    /// The kind of subject that the limit belongs to.
    pub kind: SubjectKind,
    /// The limit.
    pub named: NamedLimit,
    /// Its figures.
    pub standing: Standing,
}

/// What one asks for along with a decision.
#[derive(Debug, Clone, Copy, Default)]
pub struct Leasing {
    /// A slice to take, and one to hand back.
    pub ask: LeaseAsk,
    /// [`BucketStore::realm`] when the slice to hand back was asked for. It is not handed back to any
    /// other.
    pub realm: u64,
}

/// What the store decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// All allowed; charged, unless it was a peek. One standing per limit, in order.
    Allowed(Vec<SubjectStanding>),
    /// The same, and a slice was given: only to one who asked for it.
    Leased(Vec<SubjectStanding>, Grant),
    /// One refused; nothing was charged. No slice is out of any bucket of this decision, so it will not
    /// pass before it was told, as long as nothing is refunded or reset.
    Limited(Vec<SubjectStanding>),
    /// The same, where slices are out: it passes when it was told if nothing else is charged, but may
    /// pass earlier, when a slice is handed back. So nothing may be remembered by it.
    LimitedForNow(Vec<SubjectStanding>),
    /// The asker's rules are out of date: read the key again. Nothing was charged.
    Stale,
    /// The key is revoked.
    Revoked,
    /// The store has lost its state, or belongs to another change log: nothing was decided.
    Lost,
    /// This entry's state cannot be read or written; nothing was charged.
    Broken,
}

/// Why no outcome came.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BucketError {
    /// The deadline passed. The charge may have happened; it is never sent again.
    #[error("the bucket store did not answer within the deadline")]
    Deadline,
    /// The call could not be made, or its answer was lost.
    #[error("the bucket store cannot be reached: {0}")]
    Unreachable(Arc<str>),
    /// More decisions wait than the queue holds.
    #[error("the queue of decisions is full")]
    QueueFull,
    /// The store answers, but must not be used: another change log or number of tags.
    #[error("{0}")]
    Unusable(Arc<str>),
}

/// An outcome that is there, or on its way: a future without an allocation.
#[derive(Debug)]
pub enum PendingOutcome {
    /// Decided at once. `None` after it was taken.
    Ready(Option<Result<Outcome, BucketError>>),
    /// Will be told. A dropped sender means that the store stopped.
    Waiting(oneshot::Receiver<Result<Outcome, BucketError>>),
}

impl PendingOutcome {
    /// Whether it has to be waited for: it comes from another process.
    pub(crate) fn is_on_its_way(&self) -> bool {
        matches!(self, Self::Waiting(_))
    }
}

impl From<Result<Outcome, BucketError>> for PendingOutcome {
    fn from(result: Result<Outcome, BucketError>) -> Self {
        Self::Ready(Some(result))
    }
}

impl Future for PendingOutcome {
    type Output = Result<Outcome, BucketError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let stopped = || Err(BucketError::Unreachable("the store has stopped".into()));
        match self.get_mut() {
            Self::Ready(result) => Poll::Ready(result.take().unwrap_or_else(stopped)),
            Self::Waiting(receiver) => Pin::new(receiver).poll(cx).map(|told| told.unwrap_or_else(|_| stopped())),
        }
    }
}

/// A mark that stops everyone who knows older rules.
#[derive(Debug, Clone)]
pub struct Fence {
    /// Key or owner.
    pub kind: SubjectKind,
    /// Its id.
    pub id: Arc<str>,
    /// The id that places it: the key's owner, else the key itself ([`Subjects::placed_by`]).
    pub placed_by: Arc<str>,
    /// Position in the change log of the change.
    pub generation: u64,
    /// Whether the key is revoked from now on.
    pub revoked: bool,
    /// Whether its buckets become full: once for each generation, however often it is raised.
    pub reset: bool,
}

/// How the store is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BucketsHealth {
    /// Answers and may be used.
    Ok,
    /// Does not answer, or must not be used; why.
    Down(String),
}

/// What the store's servers say of themselves that operators must hear.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoreLook {
    /// Why the store may drop what it holds by itself, and what to do; `None` where it does not.
    pub eviction: Option<String>,
    /// What this node is not told, and what to do.
    pub unseen: Option<String>,
    /// The servers' clocks, in microseconds since 1970.
    pub clocks_us: Vec<u64>,
}

/// Buckets and fences, decided atomically by one authority.
pub trait BucketStore: Send + Sync + fmt::Debug + 'static {
    /// Decides, charging all or nothing. Answers no later than shortly after `deadline`.
    fn decide(&self, decision: Decision, deadline: Instant) -> PendingOutcome;

    /// The same, where a slice may be handed back first and one taken ahead. What was handed back
    /// is never sent again, unless it certainly was not taken.
    ///
    /// A store that decides in this process has no use for slices: it gives none.
    fn decide_leased(&self, decision: Decision, _leasing: Leasing, deadline: Instant) -> PendingOutcome {
        self.decide(decision, deadline)
    }

    /// Rises whenever the state behind a slice may be gone: with [`BucketStore::connection_count`],
    /// and whenever a state is found lost or another one is joined. Cheap.
    fn realm(&self) -> u64 {
        self.connection_count().wrapping_add(self.losses())
    }

    /// Raises a fence. It never falls; a revoked mark is never taken away. Tells for how long nodes may
    /// still spend slices that they took under older rules: at most 400 ms, zero where none is out.
    fn raise_fence(&self, fence: Fence, deadline: Instant) -> BoxFuture<'_, Result<Duration, BucketError>>;

    /// Takes up the store's state under the change log `log`, making it where there is none.
    /// Until this has succeeded, and again after [`Outcome::Lost`], every decision is `Lost`.
    fn join(&self, log: LogId) -> BoxFuture<'_, Result<(), BucketError>>;

    /// The same within `patience`. Where several parts answer on their own, those that do not are
    /// left out and named: their decisions are `Unreachable` until they are joined. An error means
    /// that none was.
    fn join_within(&self, log: LogId, patience: Duration) -> BoxFuture<'_, Result<Vec<usize>, BucketError>> {
        Box::pin(async move {
            let joined = tokio::time::timeout(patience, self.join(log)).await;
            joined.unwrap_or(Err(BucketError::Deadline)).map(|()| Vec::new())
        })
    }

    /// Rises whenever a connection was lost and made anew, or another server answers: the state
    /// behind it may then be an older one. Cheap.
    fn connection_count(&self) -> u64 {
        0
    }

    /// How often another state was found than the one that had been joined. Cheap.
    fn losses(&self) -> u64 {
        0
    }

    /// Looks at the servers behind the store. One that must not decide is an error, and
    /// [`BucketStore::connection_count`] has risen then.
    fn look(&self) -> BoxFuture<'_, Result<StoreLook, BucketError>> {
        Box::pin(async { Ok(StoreLook::default()) })
    }

    /// In how many parts the store answers: one may be silent while the others are not.
    fn lanes(&self) -> usize {
        1
    }

    /// The part that decides on what `placed_by` places ([`Subjects::placed_by`]); below
    /// [`BucketStore::lanes`].
    fn lane(&self, _placed_by: &str) -> usize {
        0
    }

    /// Whether a part answers, by a call that charges nothing.
    fn probe(&self, _lane: usize) -> BoxFuture<'_, Result<(), BucketError>> {
        Box::pin(async {
            match self.health().await {
                BucketsHealth::Ok => Ok(()),
                BucketsHealth::Down(why) => Err(BucketError::Unreachable(why.into())),
            }
        })
    }

    /// How the store is, by a call that charges nothing.
    fn health(&self) -> BoxFuture<'_, BucketsHealth>;
}
