//! What happened in schedules, counted.

/// How often what happened, over many schedules.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) requests: u64,
    pub(crate) calls: u64,
    /// Calls that asked for a slice.
    pub(crate) asks: u64,
    pub(crate) from_slices: u64,
    pub(crate) from_store: u64,
    pub(crate) limited: u64,
    pub(crate) slices: u64,
    pub(crate) handed_back: u64,
    pub(crate) after_pause: u64,
    pub(crate) blamed: u64,
    pub(crate) stale: u64,
    pub(crate) revoked: u64,
    pub(crate) lost_state: u64,
    pub(crate) steps_back: u64,
    pub(crate) steps_forward: u64,
    pub(crate) failovers: u64,
    /// Those to a server that calls its state the same.
    pub(crate) failovers_unnamed: u64,
    /// While slices were out.
    pub(crate) resets: u64,
    /// Limits that came to a list.
    pub(crate) added: u64,
    pub(crate) crashes: u64,
    pub(crate) timeouts: u64,
    /// The largest part of a burst that was outstanding, in parts of a thousand.
    pub(crate) outstanding: u64,
}

impl Seen {
    /// Each with its name, so that none is left out.
    fn figures(&mut self) -> [(&'static str, &mut u64); 21] {
        [
            ("requests", &mut self.requests),
            ("calls", &mut self.calls),
            ("asked for slices", &mut self.asks),
            ("admitted from slices", &mut self.from_slices),
            ("admitted by the store", &mut self.from_store),
            ("limited", &mut self.limited),
            ("slices", &mut self.slices),
            ("handed back", &mut self.handed_back),
            ("spent after a pause", &mut self.after_pause),
            ("refused because of slices", &mut self.blamed),
            ("stale", &mut self.stale),
            ("revoked", &mut self.revoked),
            ("lost states", &mut self.lost_state),
            ("steps back", &mut self.steps_back),
            ("steps forward", &mut self.steps_forward),
            ("failovers", &mut self.failovers),
            ("failovers that keep the state's id", &mut self.failovers_unnamed),
            ("resets while slices were out", &mut self.resets),
            ("limits that were added", &mut self.added),
            ("crashes", &mut self.crashes),
            ("calls without an answer", &mut self.timeouts),
        ]
    }

    pub(crate) fn add(&mut self, other: &Self) {
        let mut other = *other;
        for ((_, sum), (_, more)) in self.figures().into_iter().zip(other.figures()) {
            *sum += *more;
        }
        self.outstanding = self.outstanding.max(other.outstanding);
    }

    /// Schedules in which something never happens prove nothing about it.
    pub(crate) fn expect_everything(mut self) {
        for (what, count) in self.figures() {
            assert!(*count >= 100, "only {count}: {what}");
        }
    }
}
