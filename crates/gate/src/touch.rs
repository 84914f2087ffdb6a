//! Whether this node hears what the others say: a pure state machine, told the time.
//!
//! In touch means that a change which somebody broadcasts is known here within moments. A node is
//! out of touch while its bus is parted, after it has joined or missed something until the log has
//! been read, while the log is known to have more than was read for longer than [`GAP_MAX`], and
//! after [`SILENCE_MAX`] without a word. Whatever is heard can make a node read the log; it never
//! stands in for a row, so a lie costs reads and nothing else.

use std::time::Duration;

use tokio::time::Instant;

/// How long a gap may stay open before the node counts as out of touch.
pub(crate) const GAP_MAX: Duration = Duration::from_millis(50);
/// The longest silence of a node in touch.
pub(crate) const SILENCE_MAX: Duration = Duration::from_secs(1);
/// A node speaks itself where nobody has for so long.
pub(crate) const HEARTBEAT_AFTER: Duration = Duration::from_millis(300);
/// How often the log is read while out of touch.
pub(crate) const OUT_OF_TOUCH_POLL: Duration = Duration::from_millis(500);

/// What is known of the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Touch {
    is_joined: bool,
    /// Something was or may have been missed, last at this instant; a read that began later
    /// makes it good.
    missed_at: Option<Instant>,
    gap: Option<Gap>,
    heard_at: Option<Instant>,
    /// When somebody last said what this node would say.
    beat_at: Option<Instant>,
}

/// The log is said to have more than this node has read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Gap {
    /// Up to there.
    position: u64,
    /// Since when it has been open.
    since: Instant,
    /// When the position was named: a read that began later and does not reach it refutes it.
    named_at: Instant,
    /// Nobody can say at a glance what it concerns.
    is_wide: bool,
}

/// Why a node is out of touch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OutOfTouch {
    Parted,
    Missed,
    Gap,
    Silence,
}

impl OutOfTouch {
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Parted => "not connected to the bus; the change log is read every 500 ms instead",
            Self::Missed => "events may have been missed, and the change log has not been read since",
            Self::Gap => "the change log is said to have more than could be read",
            Self::Silence => "nothing was heard for a second; the change log is read every 500 ms instead",
        }
    }
}

impl Touch {
    /// The bus brings events from now on.
    pub(crate) fn join(&mut self, now: Instant) {
        self.is_joined = true;
        self.heard_at = Some(now);
        self.missed_at = Some(now);
    }

    /// The bus brings nothing any more.
    pub(crate) fn part(&mut self) {
        self.is_joined = false;
    }

    /// Events were lost on the way.
    pub(crate) fn miss(&mut self, now: Instant) {
        self.missed_at = Some(now);
    }

    /// Somebody said that the log reaches `position`, where this node has applied `applied`. True
    /// where that calls for a read of the log.
    pub(crate) fn hear(&mut self, position: u64, applied: u64, now: Instant) -> bool {
        self.heard_at = Some(now);
        if position == applied {
            self.beat_at = Some(now);
        }
        if position <= applied {
            return false;
        }
        match &mut self.gap {
            Some(gap) if gap.position >= position => {}
            Some(gap) => (gap.position, gap.named_at) = (position, now),
            None => self.gap = Some(Gap { position, since: now, named_at: now, is_wide: false }),
        }
        true
    }

    /// What was heard last concerns more than one key: nothing is used before it was read.
    pub(crate) fn suspect_all(&mut self) {
        if let Some(gap) = &mut self.gap {
            gap.is_wide = true;
        }
    }

    /// The log was read to its head, at `applied`, by a read that began at `started`.
    pub(crate) fn caught_up(&mut self, applied: u64, started: Instant) {
        if self.missed_at.is_some_and(|at| at <= started) {
            self.missed_at = None;
        }
        // Who writes a change speaks of it after its commit: what a later read does not show was never there.
        if self.gap.is_some_and(|gap| gap.position <= applied || gap.named_at <= started) {
            self.gap = None;
        }
    }

    /// Why the node is out of touch, if it is.
    pub(crate) fn trouble(&self, now: Instant) -> Option<OutOfTouch> {
        let older = |at: Instant, than: Duration| now.saturating_duration_since(at) >= than;
        if !self.is_joined {
            return Some(OutOfTouch::Parted);
        }
        if self.heard_at.is_none_or(|at| older(at, SILENCE_MAX)) {
            return Some(OutOfTouch::Silence);
        }
        if self.missed_at.is_some() {
            return Some(OutOfTouch::Missed);
        }
        self.gap.filter(|gap| older(gap.since, GAP_MAX)).map(|_| OutOfTouch::Gap)
    }

    /// Until when what this node holds may be used without a word to the store, if nothing more is
    /// heard. While the bus is parted that goes on: nothing new is taken then, and what is held is over
    /// before the silence is.
    pub(crate) fn holds_until(&self) -> Option<Instant> {
        let heard_at = self.heard_at.filter(|_| self.missed_at.is_none())?;
        if self.gap.is_some_and(|gap| gap.is_wide) {
            return None;
        }
        let silent_at = heard_at + SILENCE_MAX;
        Some(self.gap.map_or(silent_at, |gap| silent_at.min(gap.since + GAP_MAX)))
    }

    /// Until when more may be taken to be used so: not while the bus is parted.
    pub(crate) fn takes_until(&self) -> Option<Instant> {
        self.holds_until().filter(|_| self.is_joined)
    }

    /// When the node should speak, if nobody else does before. `jitter` keeps nodes apart.
    pub(crate) fn speaks_at(&self, jitter: Duration) -> Option<Instant> {
        self.beat_at.map(|at| at + HEARTBEAT_AFTER + jitter)
    }

    /// This node has spoken, or has tried to.
    pub(crate) fn spoke(&mut self, now: Instant) {
        self.beat_at = Some(now);
    }
}

#[cfg(test)]
mod tests;
