//! Marks of what operators must hear of, set by whoever notices and taken back by time alone.

use std::{
    net::IpAddr,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use crate::Gate;
use tokio::time::Instant;

/// How long hashing counts as overloaded after a secret was shed.
const SHED_FOR: Duration = Duration::from_secs(10);
const SHED: &str = "secrets were not hashed lately, for want of a place in the queue or of time";
/// How long the guard rail stays on after the last such header.
const FORWARDED_FOR: Duration = Duration::from_mins(5);
/// How long the guard rail stays on after the bucket store was found to have lost its state.
const STATE_LOST_FOR: Duration = Duration::from_mins(5);
const FORWARDED: &str =
    "a peer that is not in trusted_proxies sends Forwarded or X-Forwarded-For; if it is a proxy, all of its clients count as one";

/// What was noticed last, and when.
#[derive(Debug)]
pub(crate) struct Marks {
    shed: Mark,
    untrusted_forwarder: Mark,
    state_lost: Mark,
}

/// On for a while after it was set. Setting it costs a store.
#[derive(Debug)]
struct Mark {
    start: Instant,
    lasts: Duration,
    /// Milliseconds since the start at which it is off; 0 for never set.
    until_ms: AtomicU64,
}

impl Mark {
    fn new(lasts: Duration, start: Instant) -> Self {
        Self { start, lasts, until_ms: AtomicU64::new(0) }
    }

    /// True where it was off.
    fn set(&self) -> bool {
        let now = self.start.elapsed();
        let until_ms = milliseconds(now + self.lasts).max(1);
        self.until_ms.swap(until_ms, Ordering::Relaxed) <= milliseconds(now)
    }

    fn is_on(&self) -> bool {
        self.until_ms.load(Ordering::Relaxed) > milliseconds(self.start.elapsed())
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl Marks {
    pub(crate) fn new(now: Instant) -> Self {
        let mark = |lasts| Mark::new(lasts, now);
        Self { shed: mark(SHED_FOR), untrusted_forwarder: mark(FORWARDED_FOR), state_lost: mark(STATE_LOST_FOR) }
    }

    /// A secret was not hashed, for want of a place or of time.
    pub(crate) fn shed(&self) {
        self.shed.set();
    }

    /// The bucket store has lost its state.
    pub(crate) fn state_lost(&self) {
        self.state_lost.set();
    }

    /// Why hashing counts as overloaded, if it does.
    pub(crate) fn overload(&self) -> Option<&'static str> {
        self.shed.is_on().then_some(SHED)
    }

    /// Why that guard rail is on, if it is.
    pub(crate) fn untrusted_forwarder(&self) -> Option<&'static str> {
        self.untrusted_forwarder.is_on().then_some(FORWARDED)
    }

    pub(crate) fn is_state_lost(&self) -> bool {
        self.state_lost.is_on()
    }
}

impl Gate {
    /// A peer that is no trusted proxy said whose request it passes on. Either it is a proxy that
    /// the settings do not name, and all of its clients count as one, or a client that pretends.
    pub fn note_untrusted_forwarder(&self, peer: IpAddr) {
        if self.shared.marks.untrusted_forwarder.set() {
            tracing::warn!(%peer, "a peer that is not in trusted_proxies sends Forwarded or X-Forwarded-For; its word is not taken");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_mark_is_on_for_as_long_as_it_says_after_it_was_last_set() {
        let mark = Mark::new(SHED_FOR, Instant::now());
        assert!(!mark.is_on());
        assert!(mark.set() && !mark.set(), "told once");
        tokio::time::advance(SHED_FOR / 2).await;
        assert!(!mark.set());
        tokio::time::advance(Duration::from_millis(9_999)).await;
        assert!(mark.is_on());
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(!mark.is_on() && mark.set());
    }
}
