//! What is answered while the bucket store does not. Nobody else chooses between open and closed.

use std::{
    num::NonZeroU32,
    sync::{PoisonError, atomic::Ordering},
    time::Duration,
};

use tokio::time::Instant;
use tollgate_limits::{NamedLimit, RateLimit, RateLimits};
use tollgate_telemetry::{OutageState, Source};

use crate::{
    decide::Told,
    gate::GateShared,
    ports::{Decision, Outcome},
    request::Plane,
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

/// How outages are met.
#[derive(Debug, Clone, Copy)]
pub struct OutageOptions {
    /// Open, closed or local.
    pub mode: OutageMode,
    /// Nodes that share every limit in mode local.
    pub nodes: NonZeroU32,
}

impl GateShared {
    /// Decides without the bucket store. Operators are always decided locally, so that they can act.
    pub(crate) async fn without_buckets(&self, decision: Decision, plane: Plane, reason: &str) -> Result<Told, GateError> {
        let mode = if plane == Plane::Control { OutageMode::Local } else { self.options.outage.mode };
        match mode {
            OutageMode::Closed => Err(self.unavailable(reason.to_owned())),
            OutageMode::Open => Ok(Told::Decided { allowed: true, standings: Vec::new(), source: Source::Local }),
            OutageMode::Local => self.decide_locally(decision, reason).await,
        }
    }

    /// The bucket store does not answer.
    pub(crate) fn begin_outage(&self, reason: &str) {
        if !self.in_outage.swap(true, Ordering::AcqRel) {
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

    async fn decide_locally(&self, mut decision: Decision, reason: &str) -> Result<Told, GateError> {
        let nodes = self.options.outage.nodes;
        for subject in std::iter::once(&mut decision.subjects.first).chain(&mut decision.subjects.owner) {
            let share = share_of(&subject.limits, nodes);
            subject.limits =
                share.ok_or_else(|| self.unavailable(format!("{reason}; this node's share of the limit is less than one token")))?;
        }
        let cost = decision.cost.tokens();
        if decision.subjects.iter().any(|subject| subject.limits.burst_min().is_some_and(|burst| cost > burst)) {
            return Err(self.unavailable(format!("{reason}; the cost is above this node's share of the limit")));
        }
        let deadline = Instant::now() + self.options.decision_timeout;
        match self.fallback.decide(decision, deadline).await {
            Ok(Outcome::Allowed(standings)) => Ok(Told::Decided { allowed: true, standings, source: Source::Local }),
            Ok(Outcome::Limited(standings)) => Ok(Told::Decided { allowed: false, standings, source: Source::Local }),
            Ok(Outcome::Stale) => Ok(Told::Stale),
            Ok(Outcome::Revoked) => Ok(Told::Revoked),
            Ok(Outcome::Lost | Outcome::Broken) | Err(_) => Err(self.unavailable(reason.to_owned())),
        }
    }
}

/// One node's share of every limit: the same period, `burst / nodes` tokens rounded down.
fn share_of(limits: &RateLimits, nodes: NonZeroU32) -> Option<RateLimits> {
    if nodes == NonZeroU32::MIN {
        return Some(limits.clone());
    }
    let share = |named: &NamedLimit| {
        let burst = u64::from(named.limit.burst() / nodes);
        let limit = RateLimit::new(burst, named.limit.per_seconds().into()).ok()?;
        Some(NamedLimit { name: named.name.clone(), limit })
    };
    RateLimits::new(limits.as_slice().iter().map(share).collect::<Option<Vec<_>>>()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tollgate_limits::LimitName;

    fn one(burst: u64) -> RateLimits {
        RateLimits::one(LimitName::new("key").expect("a name"), RateLimit::new(burst, 60).expect("a limit"))
    }

    fn nodes(count: u32) -> NonZeroU32 {
        NonZeroU32::new(count).expect("at least one")
    }

    #[test]
    fn a_share_is_rounded_down_and_keeps_the_period() {
        let share = share_of(&one(10), nodes(3)).expect("a share");
        assert_eq!((share.burst_min(), share.as_slice()[0].limit.per_seconds()), (Some(3), 60));
        assert_eq!(share_of(&one(10), nodes(1)), Some(one(10)));
        assert_eq!(share_of(&one(2), nodes(3)), None, "less than one token");
        assert_eq!(share_of(&RateLimits::unlimited(), nodes(3)), Some(RateLimits::unlimited()));
    }
}
