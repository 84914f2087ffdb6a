//! How the suite asks for decisions.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use tollgate_gate::ports::{BucketStore, Decision, Fence, Outcome, Subject, SubjectKind, SubjectStanding, Subjects};
use tollgate_limits::{Cost, LimitName, NamedLimit, RateLimit, RateLimits};

use crate::conformance::fresh;

/// The longest period: under it a bucket of up to 1000 tokens gets none back in 40 minutes.
pub(super) const MONTH: u64 = RateLimit::PER_SECONDS_MAX as u64;

/// One question, to be asked as often as wanted.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    first: Subject,
    owner: Option<Subject>,
    cost: u64,
    peek: bool,
}

impl Ask {
    /// A new key of generation 1 without owner, cost 1.
    pub(super) fn key(limits: RateLimits) -> Self {
        Self { first: Subject { kind: SubjectKind::Key, id: fresh().into(), generation: 1, limits }, owner: None, cost: 1, peek: false }
    }

    /// A named thing in place of the key.
    pub(super) fn named(mut self) -> Self {
        (self.first.kind, self.first.generation) = (SubjectKind::Named, 0);
        self
    }

    /// Under an owner of generation 1.
    pub(super) fn owned_by(mut self, owner: &Arc<str>, limits: RateLimits) -> Self {
        self.owner = Some(Subject { kind: SubjectKind::Owner, id: Arc::clone(owner), generation: 1, limits });
        self
    }

    pub(super) fn id(&self) -> Arc<str> {
        Arc::clone(&self.first.id)
    }

    pub(super) fn limits(mut self, limits: RateLimits) -> Self {
        self.first.limits = limits;
        self
    }

    pub(super) fn generation(mut self, generation: u64) -> Self {
        self.first.generation = generation;
        self
    }

    pub(super) fn owner_generation(mut self, generation: u64) -> Self {
        self.owner.as_mut().expect("an owner").generation = generation;
        self
    }

    pub(super) fn cost(mut self, cost: u64) -> Self {
        self.cost = cost;
        self
    }

    pub(super) fn peek(mut self) -> Self {
        self.peek = true;
        self
    }

    /// The outcome; the store must give one.
    pub(super) async fn of(&self, store: &dyn BucketStore) -> Outcome {
        let subjects = Subjects { first: self.first.clone(), owner: self.owner.clone() };
        let decision = Decision { subjects, cost: Cost::new(self.cost).expect("a cost"), peek: self.peek };
        store.decide(decision, deadline()).await.expect("an outcome within the deadline")
    }

    /// The standings of an outcome that must be `Allowed`.
    pub(super) async fn allowed(&self, store: &dyn BucketStore) -> Vec<SubjectStanding> {
        match self.of(store).await {
            Outcome::Allowed(standings) => standings,
            other => panic!("{self:?} must be allowed: {other:?}"),
        }
    }

    /// The standings of an outcome that must be `Limited`.
    pub(super) async fn limited(&self, store: &dyn BucketStore) -> Vec<SubjectStanding> {
        match self.of(store).await {
            Outcome::Limited(standings) | Outcome::LimitedForNow(standings) => standings,
            other => panic!("{self:?} must be limited: {other:?}"),
        }
    }

    /// What is left in the first bucket, by a peek.
    pub(super) async fn remaining(&self, store: &dyn BucketStore) -> u32 {
        match self.clone().cost(1).peek().of(store).await {
            Outcome::Allowed(standings) | Outcome::Limited(standings) | Outcome::LimitedForNow(standings) => {
                standings[0].standing.remaining
            }
            other => panic!("{self:?} must have figures: {other:?}"),
        }
    }

    /// Asserts that the rules are called out of date.
    pub(super) async fn stale(&self, store: &dyn BucketStore) {
        assert_eq!(self.of(store).await, Outcome::Stale, "{self:?}");
    }

    /// A fence for the first subject, where this decision looks for it.
    pub(super) fn fence(&self, generation: u64) -> Fence {
        let placed_by = self.owner.as_ref().unwrap_or(&self.first).id.clone();
        Fence { kind: self.first.kind, id: self.id(), placed_by, generation, revoked: false, reset: false }
    }
}

/// Far enough away that only a store that hangs misses it.
pub(super) fn deadline() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

/// Raises a fence; the store must be able to.
pub(super) async fn raise(store: &dyn BucketStore, fence: Fence) {
    store.raise_fence(fence, deadline()).await.expect("a raised fence");
}

/// One limit under the name `key`.
pub(super) fn limit(burst: u64, per_seconds: u64) -> RateLimits {
    list(&[("key", burst, per_seconds)])
}

/// Limits under names.
pub(super) fn list(limits: &[(&str, u64, u64)]) -> RateLimits {
    let named = |(name, burst, per_seconds): &(&str, u64, u64)| NamedLimit {
        name: LimitName::new(name).expect("a name"),
        limit: RateLimit::new(*burst, *per_seconds).expect("a limit"),
    };
    RateLimits::new(limits.iter().map(named).collect()).expect("a list")
}

/// An owner that nobody else uses.
pub(super) fn owner() -> Arc<str> {
    fresh().into()
}
