//! The records under one lock.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use tollgate_gate::ports::{Decision, Fence, Outcome, Subject, SubjectKind, SubjectStanding, Subjects};
use tollgate_limits::{Ask, Decided, LeaseAsk, Record, Standing, Told, Wish, decide_leased};

use super::room::{Full, Room};

/// Records that are looked at with every one that is added: with two or more, what can be
/// forgotten never outgrows what cannot.
const SWEEP_STEPS: usize = 2;
/// Resets that are remembered, the last ones: many more than are raised again.
const RESETS_KEPT: usize = 1024;

type SubjectKey = (SubjectKind, Arc<str>);

/// Records of subjects that share a lock.
#[derive(Debug, Default)]
pub(super) struct Shard {
    records: HashMap<SubjectKey, Record>,
    /// The keys of `records`, each once, in the order in which the sweep comes to them.
    round: VecDeque<SubjectKey>,
    /// The last resets: of what, and their generations.
    resets: VecDeque<(SubjectKey, u64)>,
}

impl Shard {
    /// Decides on copies, and keeps them where there is room for those that are new.
    pub(super) fn decide(&mut self, decision: &Decision, lease: LeaseAsk, now_us: u64, room: &Room) -> Result<Outcome, Full> {
        let subjects = &decision.subjects;
        let mut records: Vec<Record> = subjects.iter().map(|subject| self.record(&key_of(subject), now_us)).collect();
        let asks: Vec<Ask<'_>> = subjects.iter().map(|subject| Ask { generation: subject.generation, limits: &subject.limits }).collect();
        let wish = Wish { cost: decision.cost, peek: decision.peek, lease };
        let told = decide_leased(&mut records, &asks, &wish, now_us);
        let is_new =
            |(subject, record): &(&Subject, &Record)| **record != Record::default() && !self.records.contains_key(&key_of(subject));
        let new = subjects.iter().zip(&records).filter(is_new).count();
        room.take(new)?;
        for (subject, record) in subjects.iter().zip(records) {
            self.keep(key_of(subject), record);
        }
        if new > 0 {
            self.sweep(SWEEP_STEPS * new, now_us, room);
        }
        Ok(outcome(told, subjects))
    }

    /// Raises a fence. It is kept even where the store is full: the number of changes bounds it,
    /// and a change without its fence would not hold.
    pub(super) fn raise(&mut self, fence: &Fence, end_ms: u64, now_us: u64, room: &Room) {
        let key = (fence.kind, Arc::clone(&fence.id));
        let mut record = self.record(&key, now_us);
        record.raise(fence.generation, fence.revoked, end_ms);
        if fence.reset && self.is_first_reset(&key, fence.generation) {
            record.reset(now_us);
        }
        if !self.records.contains_key(&key) {
            room.take_anyway();
        }
        self.keep(key, record);
        self.sweep(SWEEP_STEPS, now_us, room);
    }

    /// For how long slices of a subject, or of the owner that places it, may still be spent.
    pub(super) fn good_for_us(&self, fence: &Fence, now_us: u64) -> u64 {
        let both = [(fence.kind, Arc::clone(&fence.id)), (SubjectKind::Owner, Arc::clone(&fence.placed_by))];
        let records = both.iter().filter_map(|key| self.records.get(key));
        records.map(|record| record.slices.good_for_us(now_us)).max().unwrap_or(0)
    }

    /// Whether this reset was not done before; it is from now on.
    fn is_first_reset(&mut self, key: &SubjectKey, generation: u64) -> bool {
        if self.resets.iter().any(|(of, done)| of == key && *done >= generation) {
            return false;
        }
        self.resets.push_back((key.clone(), generation));
        if self.resets.len() > RESETS_KEPT {
            self.resets.pop_front();
        }
        true
    }

    /// Looks at the next `steps` records, and forgets those without which nothing is lost.
    pub(super) fn sweep(&mut self, steps: usize, now_us: u64, room: &Room) {
        for _ in 0..steps.min(self.round.len()) {
            let Some(key) = self.round.pop_front() else { return };
            if self.records.get(&key).is_some_and(|record| !record.is_forgettable(now_us)) {
                self.round.push_back(key);
            } else {
                self.records.remove(&key);
                room.give(1);
            }
        }
    }

    /// The record as it counts now: one that could be forgotten is as if it had been, so that
    /// nobody can tell when the sweep came by.
    fn record(&self, key: &SubjectKey, now_us: u64) -> Record {
        self.records.get(key).filter(|record| !record.is_forgettable(now_us)).cloned().unwrap_or_default()
    }

    /// Stores a record, for which room was taken if it is new. A default one need not be stored.
    fn keep(&mut self, key: SubjectKey, record: Record) {
        if let Some(stored) = self.records.get_mut(&key) {
            *stored = record;
        } else if record != Record::default() {
            self.round.push_back(key.clone());
            self.records.insert(key, record);
        }
    }
}

fn key_of(subject: &Subject) -> SubjectKey {
    (subject.kind, Arc::clone(&subject.id))
}

fn outcome(told: Told, subjects: &Subjects) -> Outcome {
    match told.decided {
        Decided::Allowed(standings) => match told.grant {
            Some(grant) => Outcome::Leased(named(standings, subjects), grant),
            None => Outcome::Allowed(named(standings, subjects)),
        },
        Decided::Limited(standings) => Outcome::Limited(named(standings, subjects)),
        Decided::LimitedForNow(standings) => Outcome::LimitedForNow(named(standings, subjects)),
        Decided::Stale { .. } => Outcome::Stale,
        Decided::Revoked { .. } => Outcome::Revoked,
        // The gate refuses such a cost before it asks.
        Decided::TooCostly => Outcome::Broken,
    }
}

/// The standings, which are in order of subjects and limits, with whose they are.
fn named(standings: Vec<Standing>, subjects: &Subjects) -> Vec<SubjectStanding> {
    let limits = subjects.iter().flat_map(|subject| subject.limits.as_slice().iter().map(|named| (subject.kind, named.clone())));
    limits.zip(standings).map(|((kind, named), standing)| SubjectStanding { kind, named, standing }).collect()
}
