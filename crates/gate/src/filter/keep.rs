//! When a filter is made anew: at once where there is none; soon where it has too many tombstones or
//! too many keys; else now and then, at another time on every node, and one node at a time.

use std::time::Duration;

use tokio::time::Instant;
use tollgate_api::{Component, ComponentHealth, ComponentState};
use tollgate_keys::random_bytes;

use super::{
    KeyFilter, State,
    load::{Attempt, LoadError},
};
use crate::{gate::GateShared, ports::StreamTurn};

/// The least time from one filter to the next, however much is revoked.
const REBUILD_PAUSE_MIN: Duration = Duration::from_secs(10);
/// Pause after an attempt that failed; doubles with every other one.
const RETRY_PAUSE_MIN: Duration = Duration::from_secs(1);
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(30);
/// About how long to wait while another node has its turn.
const TURN_PAUSE: Duration = Duration::from_secs(5);

const NOT_LOADED: &str = "the ids of the keys are not loaded yet; look-ups are budgeted";

/// What is to be done next.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Load(StreamTurn),
    /// Nothing before this instant, or before something happens.
    Wait(Option<Instant>),
}

impl GateShared {
    /// Loads the filter and keeps it fresh. Never returns.
    pub(crate) async fn keep_filter(&self) {
        loop {
            match self.filter.next_step(Instant::now()) {
                Step::Load(turn) => self.renew_filter(turn).await,
                Step::Wait(Some(until)) => {
                    tokio::select! {
                        () = tokio::time::sleep_until(until) => {}
                        () = self.filter.wanted.notified() => {}
                    }
                }
                Step::Wait(None) => self.filter.wanted.notified().await,
            }
        }
    }

    async fn renew_filter(&self, turn: StreamTurn) {
        let result = self.load_filter(turn).await;
        match &result {
            Ok(Attempt::Loaded) => tracing::debug!("the filter of key ids is loaded"),
            Ok(Attempt::NotOurTurn) => {}
            Err(LoadError::Spoiled) => tracing::debug!("the filter of key ids is begun again"),
            Err(error) => tracing::warn!(%error, "the filter of key ids cannot be loaded"),
        }
        self.filter.plan_after(result, Instant::now());
    }
}

impl KeyFilter {
    /// Whether the first attempt to load it has ended: before that a node would refuse keys for
    /// want of a budget that it will not need a moment later.
    pub(crate) fn is_settled(&self) -> bool {
        self.read().plan.is_settled
    }

    /// How it is, and why, where it is not as it should be.
    pub(crate) fn health(&self) -> ComponentHealth {
        let (state, reason) = self.state_and_reason();
        ComponentHealth { component: Component::BloomFilter, state, reason, since: None }
    }

    fn state_and_reason(&self) -> (ComponentState, Option<String>) {
        let state = self.read();
        let trouble = state.plan.trouble.clone();
        match &state.loaded {
            None => (ComponentState::Down, Some(trouble.unwrap_or_else(|| NOT_LOADED.to_owned()))),
            Some(loaded) if loaded.ids.is_saturated() => {
                let why = format!("holds {} keys, more than it was made for: it errs too often until it is made anew", loaded.ids.count());
                (ComponentState::Degraded, Some(why))
            }
            Some(_) => (if trouble.is_some() { ComponentState::Degraded } else { ComponentState::Ok }, trouble),
        }
    }

    fn next_step(&self, now: Instant) -> Step {
        let state = self.read();
        if !state.is_placed {
            return Step::Wait(None);
        }
        let at = self.due_at(&state);
        // A node without one waits for nobody; another one can wait for its turn.
        let turn = if state.loaded.is_none() { StreamTurn::Any } else { StreamTurn::Alone };
        if at.is_none_or(|at| at <= now) { Step::Load(turn) } else { Step::Wait(at) }
    }

    /// None for now.
    fn due_at(&self, state: &State) -> Option<Instant> {
        let plan = &state.plan;
        let is_routine = state.loaded.is_some() && !self.is_overdue(state);
        if is_routine { plan.routine_at.max(plan.not_before) } else { plan.not_before }
    }

    fn plan_after(&self, result: Result<Attempt, LoadError>, now: Instant) {
        let interval = self.options.rebuild_interval;
        let mut state = self.write();
        let plan = &mut state.plan;
        match result {
            Ok(Attempt::Loaded) => {
                plan.routine_at = Some(now + jittered(interval));
                plan.not_before = Some(now + REBUILD_PAUSE_MIN.min(interval));
                (plan.failures, plan.trouble) = (0, None);
            }
            Ok(Attempt::NotOurTurn) => plan.not_before = Some(now + jittered(TURN_PAUSE)),
            Err(LoadError::Spoiled) => return,
            Err(error) => {
                let pause = RETRY_PAUSE_MIN.saturating_mul(1 << plan.failures.min(5)).min(RETRY_PAUSE_MAX);
                plan.not_before = Some(now + jittered(pause));
                plan.failures = plan.failures.saturating_add(1);
                plan.trouble = Some(format!("cannot be loaded: {error}"));
            }
        }
        plan.is_settled = true;
    }
}

/// From nine to eleven tenths of it, so that nodes that started together drift apart.
fn jittered(about: Duration) -> Duration {
    let random = random_bytes::<2>().map_or(0, u16::from_be_bytes);
    about * 9 / 10 + (about / 5).mul_f64(f64::from(random) / f64::from(u16::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_is_a_tenth_either_way() {
        let about = Duration::from_hours(1);
        let all: Vec<Duration> = (0..200).map(|_| jittered(about)).collect();
        assert!(all.iter().all(|one| (3240..=3960).contains(&one.as_secs())), "{all:?}");
        let spread = all.iter().max().map_or(0, Duration::as_secs) - all.iter().min().map_or(0, Duration::as_secs);
        assert!(spread > 300, "{spread} s");
    }
}
