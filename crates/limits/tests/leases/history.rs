//! What was admitted, and whether it may have been.
//!
//! The interval theorem: in every interval no more is admitted than burst + rate · length, plus what
//! each fault is granted. A fault counts for intervals that begin up to a slice's life after it: so
//! long slices that it made void may be spent. A changed limit counts as the looser of the two for
//! so long, and until somebody has asked under the new one: until then its bucket is as it was.
//!
//! All intervals are checked in one pass: the level is the largest excess over the rate of any
//! interval that ends now, and must not be above the burst.

use tollgate_limits::{EPOCH_US, RateLimit};

/// The longest that a slice is spent after it was given.
pub(crate) const LIFE_US: u64 = 2 * EPOCH_US;

/// What happened to one limit of one subject.
#[derive(Debug)]
pub(crate) struct History {
    /// `None` while its name is not in the list.
    limit: Option<RateLimit>,
    charges: Vec<(u64, u32)>,
    /// When, until when intervals begin that it counts for, how much more may be admitted.
    faults: Vec<(u64, u64, f64)>,
    changes: Vec<Change>,
    /// When the store's clock last stepped forward.
    stepped_us: Option<u64>,
}

#[derive(Debug)]
struct Change {
    at_us: u64,
    generation: u64,
    before: Option<RateLimit>,
    /// When somebody first asked under the new figures.
    asked_us: Option<u64>,
}

/// More was admitted than may be.
#[derive(Debug)]
#[allow(dead_code, reason = "told as it is")]
pub(crate) struct Excess {
    pub(crate) at_us: u64,
    pub(crate) tokens: f64,
    limit: Option<RateLimit>,
}

/// What happens, in order of time.
#[derive(Debug, Clone, Copy)]
enum Step {
    Charge(f64),
    Fault(f64),
    FaultOver(f64),
    Change(Option<RateLimit>),
    ChangeOver,
}

pub(crate) fn rate(limit: RateLimit) -> f64 {
    f64::from(limit.burst()) / limit.period_us() as f64
}

impl History {
    pub(crate) fn new(limit: impl Into<Option<RateLimit>>) -> Self {
        Self { limit: limit.into(), charges: Vec::new(), faults: Vec::new(), changes: Vec::new(), stepped_us: None }
    }

    /// The limit in force.
    pub(crate) fn limit(&self) -> Option<RateLimit> {
        self.limit
    }

    pub(crate) fn charge(&mut self, at_us: u64, tokens: u32) {
        self.charges.push((at_us, tokens));
    }

    pub(crate) fn admitted(&self) -> u64 {
        self.charges.iter().map(|(_, tokens)| u64::from(*tokens)).sum()
    }

    /// The store has lost what was charged, or some of it.
    pub(crate) fn lose(&mut self, at_us: u64) {
        let extra = burst(&self.counting(at_us));
        self.faults.push((at_us, at_us + LIFE_US, extra));
    }

    /// Its bucket was filled, as far as slices allow: they are still counted, so what begins later is
    /// held to the limit. Unless the clock has just stepped forward, and they are over for it.
    pub(crate) fn reset(&mut self, at_us: u64) {
        let extra = burst(&self.counting(at_us));
        let is_after_step = self.stepped_us.is_some_and(|stepped_us| stepped_us + LIFE_US >= at_us);
        self.faults.push((at_us, if is_after_step { at_us + LIFE_US } else { at_us }, extra));
    }

    /// The limits that count: the last, and those that it has replaced so lately that its bucket may
    /// be as it was.
    fn counting(&self, at_us: u64) -> Vec<Option<RateLimit>> {
        let is_young = |change: &&Change| change.asked_us.is_none_or(|asked_us| asked_us.max(change.at_us + LIFE_US) >= at_us);
        self.changes.iter().filter(is_young).map(|change| change.before).chain([self.limit]).collect()
    }

    /// The store's clock stepped forward.
    pub(crate) fn step(&mut self, at_us: u64, by_us: u64) {
        let limits = self.counting(at_us);
        let extra = burst(&limits).min(rate_of(&limits) * by_us as f64);
        self.faults.push((at_us, at_us + LIFE_US, extra));
        self.stepped_us = Some(at_us);
    }

    pub(crate) fn change(&mut self, at_us: u64, generation: u64, limit: impl Into<Option<RateLimit>>) {
        self.changes.push(Change { at_us, generation, before: self.limit, asked_us: None });
        self.limit = limit.into();
    }

    /// The store has decided for one who knows this generation.
    pub(crate) fn asked(&mut self, at_us: u64, generation: u64) {
        for change in self.changes.iter_mut().filter(|change| change.generation <= generation) {
            change.asked_us.get_or_insert(at_us);
        }
    }

    fn steps(&self) -> Vec<(u64, Step)> {
        let mut steps: Vec<(u64, Step)> = Vec::new();
        let next = |place: usize| self.changes.get(place + 1).map_or(self.limit, |change| change.before);
        for (place, change) in self.changes.iter().enumerate() {
            steps.push((change.at_us, Step::Change(next(place))));
            steps.extend(change.asked_us.map(|asked_us| (asked_us.max(change.at_us + LIFE_US), Step::ChangeOver)));
        }
        for (at_us, over_us, extra) in &self.faults {
            steps.extend([(*at_us, Step::Fault(*extra)), (*over_us, Step::FaultOver(*extra))]);
        }
        steps.extend(self.charges.iter().map(|(at_us, tokens)| (*at_us, Step::Charge(f64::from(*tokens)))));
        steps.sort_by_key(|(at_us, _)| *at_us);
        steps
    }

    /// The first interval that holds too much, if any does.
    pub(crate) fn excess(&self) -> Option<Excess> {
        let first = self.changes.first().map_or(self.limit, |change| change.before);
        let (mut level, mut least, mut before_us) = (0.0_f64, 0.0_f64, 0);
        // The limits that count, the last of them in force.
        let mut limits = vec![first];
        for (at_us, step) in self.steps() {
            level = (level - rate_of(&limits) * (at_us - before_us) as f64).max(least);
            before_us = at_us;
            match step {
                Step::Charge(tokens) => {
                    level += tokens;
                    let over = level - burst(&limits);
                    if over > 1e-6 && limits.iter().all(Option::is_some) {
                        return Some(Excess { at_us, tokens: over, limit: limits[limits.len() - 1] });
                    }
                }
                Step::Fault(extra) => {
                    least -= extra;
                    level = (level - extra).max(least);
                }
                Step::FaultOver(extra) => least += extra,
                Step::Change(limit) => limits.push(limit),
                Step::ChangeOver => {
                    let was = burst(&limits);
                    let is_first = limits.remove(0).is_none();
                    // What the looser one let through is no debt under the other, whatever it was
                    // while there was none.
                    level = if is_first { least } else { (level - (was - burst(&limits))).max(least) };
                }
            }
        }
        None
    }
}

/// The burst that counts. Of limits that change faster than one counts, each lower one forgives debt
/// that the next one would have held: then all of them together.
fn burst(limits: &[Option<RateLimit>]) -> f64 {
    let bursts = limits.iter().flatten().map(|limit| f64::from(limit.burst()));
    if limits.len() > 2 { bursts.sum() } else { bursts.fold(0.0, f64::max) }
}

fn rate_of(limits: &[Option<RateLimit>]) -> f64 {
    limits.iter().flatten().map(|limit| rate(*limit)).fold(0.0, f64::max)
}

#[test]
fn an_interval_that_holds_a_token_too_many_is_found() {
    let limit = RateLimit::new(10, 1).expect("a limit");
    let mut history = History::new(limit);
    history.charge(0, 10);
    history.charge(100_000, 1);
    assert!(history.excess().is_none());
    history.charge(199_000, 1);
    assert!(history.excess().is_some_and(|excess| excess.at_us == 199_000));
}

#[test]
fn a_fault_excuses_one_burst_and_not_two() {
    let limit = RateLimit::new(10, 1000).expect("a limit");
    for (tokens, is_excused) in [(10, true), (11, false)] {
        let mut history = History::new(limit);
        history.charge(0, 10);
        history.lose(1000);
        history.charge(2000, tokens);
        assert_eq!(history.excess().is_none(), is_excused);
    }
    let mut later = History::new(limit);
    later.lose(0);
    later.charge(LIFE_US + 1, 11);
    assert!(later.excess().is_some(), "no slice from before is left");
}

#[test]
fn a_reset_excuses_what_began_before_it_and_nothing_else() {
    let limit = RateLimit::new(10, 1000).expect("a limit");
    for (before, is_excused) in [(10, true), (0, false)] {
        let mut history = History::new(limit);
        history.charge(0, before);
        history.reset(1000);
        history.charge(2000, 10);
        history.charge(2001, 1 - before / 10);
        assert_eq!(history.excess().is_none(), is_excused);
    }
}

#[test]
fn a_limit_that_was_added_counts_after_a_while() {
    let limit = RateLimit::new(10, 1000).expect("a limit");
    for (at_us, is_excused) in [(LIFE_US - 1, true), (LIFE_US + 1, false)] {
        let mut history = History::new(None);
        history.charge(0, 1000);
        history.change(1, 2, limit);
        history.asked(1, 2);
        history.charge(at_us, 11);
        assert_eq!(history.excess().is_none(), is_excused);
    }
}

#[test]
fn a_lowered_limit_counts_as_the_old_one_for_a_while() {
    let (old, new) = (RateLimit::new(100, 1000).expect("a limit"), RateLimit::new(10, 1000).expect("a limit"));
    for (at_us, is_excused) in [(LIFE_US - 1, true), (LIFE_US + 1, false)] {
        let mut history = History::new(old);
        history.change(0, 2, new);
        history.asked(1, 2);
        history.charge(at_us, 11);
        assert_eq!(history.excess().is_none(), is_excused);
    }
}
