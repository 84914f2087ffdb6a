//! What is answered while the bucket store does not. Nobody else chooses between open, closed and local.

mod local;

use std::{
    num::NonZeroU32,
    sync::{PoisonError, atomic::Ordering},
    time::Duration,
};

use tokio::time::Instant;
use tollgate_api::OutageModeName;
use tollgate_limits::{NamedLimit, Share};
use tollgate_telemetry::{OutageState, Source};

pub(crate) use self::local::LocalBuckets;
use self::local::Locally;
use crate::{
    decide::Told,
    gate::{DecisionSource, GateShared},
    ports::{Decision, Subject},
    request::Plane,
    standings::Standings,
    verdict::GateError,
};

/// Outages are told to the log at most this often.
const LOG_PAUSE: Duration = Duration::from_secs(10);

/// What an outage of the bucket store does to decisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutageMode {
    /// Everybody passes.
    Open,
    /// Nobody passes: 503.
    Closed,
    /// Each node holds its share of every limit in its own memory.
    Local,
}

impl From<OutageModeName> for OutageMode {
    fn from(name: OutageModeName) -> Self {
        match name {
            OutageModeName::Open => Self::Open,
            OutageModeName::Closed => Self::Closed,
            OutageModeName::Local => Self::Local,
        }
    }
}

impl From<OutageMode> for OutageModeName {
    fn from(mode: OutageMode) -> Self {
        match mode {
            OutageMode::Open => Self::Open,
            OutageMode::Closed => Self::Closed,
            OutageMode::Local => Self::Local,
        }
    }
}

/// How outages are met.
#[derive(Debug, Clone, Copy)]
pub struct OutageOptions {
    /// What decides on keys that say nothing of their own.
    pub mode: OutageMode,
    /// The least number of nodes that share every limit in mode local.
    pub nodes_min: NonZeroU32,
    /// How long a node is counted after its last heartbeat.
    pub nodes_ttl: Duration,
    /// How long cached keys go on while the change log cannot be read either.
    pub stale_grace: Duration,
    /// Decisions in a row that have no answer before nobody waits any more.
    pub failures_max: NonZeroU32,
    /// Pause between two probes of a store that has no answer.
    pub probe_interval: Duration,
    /// Subjects that mode local keeps at most.
    pub subjects_max: usize,
}

impl Default for OutageOptions {
    /// As the settings have it.
    fn default() -> Self {
        Self {
            mode: OutageMode::Local,
            nodes_min: NonZeroU32::MIN,
            nodes_ttl: Duration::from_secs(5),
            stale_grace: Duration::from_mins(1),
            failures_max: NonZeroU32::MIN.saturating_add(2),
            probe_interval: Duration::from_millis(100),
            subjects_max: 1_000_000,
        }
    }
}

impl GateShared {
    /// What decides on a request in an outage. Operators are always decided locally, so that they
    /// can act; a key's own mode goes before the deployment's.
    pub(crate) fn outage_mode(&self, plane: Plane, of_key: Option<OutageMode>) -> OutageMode {
        match plane {
            Plane::Control => OutageMode::Local,
            Plane::Data => of_key.unwrap_or(self.options.outage.mode),
        }
    }

    /// Decides without the bucket store.
    pub(crate) fn without_buckets(&self, decision: &Decision, mode: OutageMode, reason: &str) -> Result<Told, GateError> {
        if !self.is_vouched_for() {
            return Err(self.unavailable(format!("{reason}; nor has the change log been read for longer than outage.stale_grace")));
        }
        match mode {
            OutageMode::Closed => Err(self.unavailable(reason.to_owned())),
            OutageMode::Open => Ok(Told::Decided { allowed: true, standings: Standings::default(), source: Source::Local }),
            OutageMode::Local => self.decide_locally(decision, reason),
        }
    }

    /// Whether somebody can say that what is cached is still true. Without the fences that is the
    /// change log; without that too it is nobody, and the word of a while ago must do for a while.
    fn is_vouched_for(&self) -> bool {
        let grace = self.options.outage.stale_grace;
        self.options.source == DecisionSource::Local || self.is_log_current() || self.log_age().is_some_and(|age| age <= grace)
    }

    /// The bucket store does not answer.
    pub(crate) fn begin_outage(&self, reason: &str) {
        if !self.in_outage.load(Ordering::Acquire) && !self.in_outage.swap(true, Ordering::AcqRel) {
            let mode = self.options.outage.mode;
            if self.may_log_outage() {
                tracing::warn!(reason, ?mode, "decisions are made without the bucket store");
            }
            self.metrics.outage(match mode {
                OutageMode::Open => OutageState::Open,
                OutageMode::Closed => OutageState::Closed,
                OutageMode::Local => OutageState::Local,
            });
        }
    }

    /// A store at the edge of its deadline fails and answers many times a second: that is one line.
    fn may_log_outage(&self) -> bool {
        let mut logged = self.outage_logged.lock().unwrap_or_else(PoisonError::into_inner);
        let due = logged.is_none_or(|at| at.elapsed() >= LOG_PAUSE);
        if due {
            *logged = Some(Instant::now());
        }
        due
    }

    /// The bucket store has answered.
    pub(crate) fn end_outage(&self) {
        if self.in_outage.load(Ordering::Acquire) && self.in_outage.swap(false, Ordering::AcqRel) {
            tracing::debug!("decisions are made by the bucket store again");
            self.metrics.outage(OutageState::None);
        }
    }

    fn decide_locally(&self, decision: &Decision, reason: &str) -> Result<Told, GateError> {
        let fleet = self.registry.seen();
        let nodes = fleet.nodes(self.options.outage.nodes_min);
        let share = |subject: &Subject, named: &NamedLimit| Share::of(named.limit, nodes, fleet.place(subject, named, nodes));
        let limits = decision.subjects.iter().flat_map(|subject| subject.limits.as_slice().iter().map(move |named| (subject, named)));
        let least = limits.map(|(subject, named)| share(subject, named).tokens()).min();
        if let Some(least) = least.filter(|least| *least < decision.cost.tokens()) {
            let what = if least == 0 { "this node's share of the limit is less than one token" } else { ABOVE_SHARE };
            return Err(self.unavailable(format!("{reason}; {what}")));
        }
        match self.local.decide(decision, share) {
            Locally::Allowed(standings) => Ok(Told::Decided { allowed: true, standings: standings.into(), source: Source::Local }),
            Locally::Limited(standings) => Ok(Told::Decided { allowed: false, standings: standings.into(), source: Source::Local }),
            Locally::Stale => Ok(Told::Stale),
            Locally::Full => Err(self.unavailable(format!("{reason}; outage.subjects_max are kept in this node's memory already"))),
        }
    }
}

const ABOVE_SHARE: &str = "the cost is above this node's share of the limit";
