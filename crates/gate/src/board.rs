//! How each component was seen last, and since when: a pure state machine, told the time.
//!
//! It tells of changes of state alone. Another reason for the same state is taken over in silence.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;
use tollgate_api::{Component, ComponentHealth, ComponentState};

/// How long after its start a node may take until a component is well for the first time before
/// that is told: a node that starts has not lost what it never had.
const START_GRACE: Duration = Duration::from_secs(10);
/// No reason is longer, in characters.
pub(crate) const REASON_CHARS_MAX: usize = 512;

/// What every component was like.
#[derive(Debug)]
pub(crate) struct Board {
    started: Instant,
    entries: BTreeMap<Component, Entry>,
}

#[derive(Debug, Clone)]
struct Entry {
    state: ComponentState,
    reason: Option<String>,
    since_ms: u64,
}

/// A component that is in another state than before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Turn {
    pub(crate) component: Component,
    pub(crate) from: ComponentState,
    pub(crate) to: ComponentState,
    pub(crate) reason: String,
}

impl Board {
    pub(crate) fn new(started: Instant) -> Self {
        Self { started, entries: BTreeMap::new() }
    }

    /// Takes over how a component is; a turn where its state has changed.
    pub(crate) fn see(&mut self, seen: &ComponentHealth, now: Instant, now_ms: u64) -> Option<Turn> {
        let (component, to) = (seen.component, seen.state);
        let reason = seen.reason.as_deref().map(clean);
        if let Some(entry) = self.entries.get_mut(&component)
            && entry.state == to
        {
            entry.reason = reason;
            return None;
        }
        let from = self.entries.get(&component).map(|entry| entry.state);
        if from.is_none() && to != ComponentState::Ok && now.duration_since(self.started) < START_GRACE {
            return None;
        }
        self.entries.insert(component, Entry { state: to, reason: reason.clone(), since_ms: now_ms });
        let from = from.unwrap_or(ComponentState::Ok);
        let ok_again = || "ok again".to_owned();
        (from != to).then(|| Turn { component, from, to, reason: reason.unwrap_or_else(ok_again) })
    }

    /// Since when a component has been as it is, in milliseconds since 1970; `None` for one that was
    /// not yet well since the node has started.
    pub(crate) fn since_ms(&self, component: Component) -> Option<u64> {
        self.entries.get(&component).map(|entry| entry.since_ms)
    }
}

/// A reason without credentials, and not too long.
pub(crate) fn clean(reason: &str) -> String {
    tollgate_telemetry::scrub(reason).chars().take(REASON_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health(component: Component, state: ComponentState, reason: &str) -> ComponentHealth {
        ComponentHealth { component, state, reason: (state != ComponentState::Ok).then(|| reason.to_owned()), since: None }
    }

    fn redis(state: ComponentState) -> ComponentHealth {
        health(Component::Redis, state, "gone")
    }

    #[test]
    fn a_change_is_told_once_with_its_reason_and_its_end_too() {
        let start = Instant::now();
        let mut board = Board::new(start);
        assert_eq!(board.see(&redis(ComponentState::Ok), start, 1), None);
        let turn = board.see(&redis(ComponentState::Down), start, 2).expect("told");
        assert_eq!((turn.from, turn.to, &*turn.reason), (ComponentState::Ok, ComponentState::Down, "gone"));
        for now_ms in 3..10 {
            assert_eq!(board.see(&redis(ComponentState::Down), start, now_ms), None);
        }
        assert_eq!(board.since_ms(Component::Redis), Some(2));
        let turn = board.see(&redis(ComponentState::Ok), start, 10).expect("told");
        assert_eq!((turn.from, turn.to, &*turn.reason), (ComponentState::Down, ComponentState::Ok, "ok again"));
        assert_eq!(board.see(&redis(ComponentState::Ok), start, 11), None);
    }

    #[test]
    fn another_reason_for_the_same_state_is_no_change() {
        let start = Instant::now();
        let mut board = Board::new(start);
        board.see(&health(Component::UnlimitedKeys, ComponentState::Ok, ""), start, 0);
        let told = (0..100).filter(|count| {
            let seen = health(Component::UnlimitedKeys, ComponentState::Degraded, &format!("{count} keys"));
            board.see(&seen, start, 1).is_some()
        });
        assert_eq!(told.count(), 1);
    }

    #[test]
    fn a_node_that_starts_tells_of_nothing_that_was_not_well_yet_until_it_had_its_time() {
        let start = Instant::now();
        let mut board = Board::new(start);
        assert_eq!(board.see(&redis(ComponentState::Down), start, 0), None);
        assert_eq!(board.see(&redis(ComponentState::Degraded), start + START_GRACE / 2, 0), None);
        assert_eq!(board.since_ms(Component::Redis), None);
        let late = board.see(&redis(ComponentState::Down), start + START_GRACE, 7).expect("told");
        assert_eq!((late.from, late.to), (ComponentState::Ok, ComponentState::Down));
        let mut board = Board::new(start);
        assert_eq!(board.see(&redis(ComponentState::Ok), start, 0), None, "well at once");
        assert!(board.see(&redis(ComponentState::Down), start, 0).is_some(), "lost what it had");
    }

    #[test]
    fn components_do_not_know_of_each_other_and_reasons_are_clean() {
        let start = Instant::now();
        let mut board = Board::new(start);
        for component in [Component::Redis, Component::Postgres] {
            board.see(&health(component, ComponentState::Ok, ""), start, 0);
        }
        let reason = format!("cannot reach redis://user:leaf@host {}", "x".repeat(10_000));
        let turn = board.see(&health(Component::Postgres, ComponentState::Down, &reason), start, 0).expect("told");
        assert!(!turn.reason.contains("leaf") && turn.reason.chars().count() == REASON_CHARS_MAX, "{turn:?}");
        assert_eq!(board.since_ms(Component::Redis), Some(0));
    }
}
