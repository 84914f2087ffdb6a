//! The store: records under the reference arithmetic, a clock that may step, a state that may go.

use std::collections::{HashMap, VecDeque};

use tollgate_limits::{
    Arrival, Ask, Bucket, Decided, EPOCH_US, NamedLimit, QUIET_EPOCHS, RateLimits, Record, Slices, Told, Wish, decide_leased,
};

mod figures;

use crate::flaw::Flaw;

const START_US: u64 = 1_800_000_000_000_000;
/// How many earlier states a failover may fall back to.
const COPIES: usize = 8;
/// Of so many answers one is held to what it tells.
const HELD_ONE_IN: u64 = 3;

/// One subject as an asker knows it.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) subject: usize,
    pub(crate) generation: u64,
    pub(crate) limits: RateLimits,
}

impl Asked {
    fn limit_of(&self, bucket: &Bucket) -> Option<&NamedLimit> {
        self.limits.as_slice().iter().find(|named| named.name.id() == bucket.name_id)
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) state: u64,
    /// Over a connection to which server.
    pub(crate) server: u64,
    pub(crate) asked: Vec<Asked>,
    pub(crate) wish: Wish,
}

#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) state: u64,
    /// Which server answers.
    pub(crate) server: u64,
    /// Whether records go once they are forgettable.
    pub(crate) expires: bool,
    /// A figure that was told and was not right.
    pub(crate) wrong: Option<String>,
    /// Requests that were refused because of slices.
    pub(crate) blamed: u64,
    /// Answers so far.
    answers: u64,
    flaw: Flaw,
    offset_us: i64,
    records: HashMap<usize, Record>,
    copies: VecDeque<HashMap<usize, Record>>,
}

impl Store {
    pub(crate) fn new(flaw: Flaw, epoch_part_us: u64, expires: bool) -> Self {
        let (records, copies) = (HashMap::new(), VecDeque::new());
        Self { state: 1, server: 1, expires, wrong: None, blamed: 0, answers: 0, flaw, offset_us: epoch_part_us as i64, records, copies }
    }

    fn now_us(&self, real_us: u64) -> u64 {
        (START_US + real_us).saturating_add_signed(self.offset_us)
    }

    /// `None` where the asker means another state.
    pub(crate) fn decide(&mut self, call: &Call, real_us: u64) -> Option<Told> {
        if call.state != self.state {
            return None;
        }
        let now_us = self.now_us(real_us);
        let mut wish = call.wish;
        let mut records: Vec<Record> = call.asked.iter().map(|asked| self.record(asked.subject, now_us)).collect();
        for (place, (record, asked)) in records.iter_mut().zip(&call.asked).enumerate() {
            self.spoil(record, asked, place, &mut wish, now_us);
        }
        let before = records.clone();
        let asks: Vec<Ask<'_>> = call.asked.iter().map(|asked| Ask { generation: asked.generation, limits: &asked.limits }).collect();
        let mut told = decide_leased(&mut records, &asks, &wish, now_us);
        self.misdo(&mut told, (&mut records, &before), &asks, &wish, now_us);
        self.answers += 1;
        if self.answers.is_multiple_of(HELD_ONE_IN) {
            self.hold_to(&told, &records, &asks, wish.cost, now_us);
        }
        let is_blamed = records.iter().any(|record| record.slices.quiet == QUIET_EPOCHS);
        self.blamed += u64::from(is_blamed && matches!(told.decided, Decided::LimitedForNow(_)));
        for (asked, mut record) in call.asked.iter().zip(records) {
            if self.flaw == Flaw::NoFloor {
                record.slices = Slices::default();
            }
            self.records.insert(asked.subject, record);
        }
        Some(told)
    }

    /// A record as it counts now.
    fn record(&self, subject: usize, now_us: u64) -> Record {
        let is_gone = |record: &Record| match self.flaw {
            Flaw::ForgottenWithSlices => record.buckets.iter().all(|bucket| bucket.arrival <= Arrival::full_at(now_us)),
            _ => self.expires && record.is_forgettable(now_us),
        };
        self.records.get(&subject).filter(|record| !is_gone(record)).cloned().unwrap_or_default()
    }

    /// Does to a record what a flaw would do.
    fn spoil(&self, record: &mut Record, asked: &Asked, place: usize, wish: &mut Wish, now_us: u64) {
        if self.flaw == Flaw::HeldUnderNewFigures && record.slices.outstanding() > 0 {
            for (named, bucket) in record.buckets.iter_mut().filter_map(|bucket| Some((asked.limit_of(bucket)?, bucket))) {
                bucket.arrival = bucket.arrival.converted(bucket.limit, named.limit, now_us);
                bucket.limit = named.limit;
            }
        }
        let slices = &mut record.slices;
        if slices.is_none() {
            return;
        }
        match self.flaw {
            Flaw::FloorOnlyNow => {
                *slices = slices.at(now_us);
                if let Some(settle) = &mut wish.lease.settle {
                    slices.settle(settle.stamp.epoch, settle.stamp.series[place], settle.granted);
                }
            }
            Flaw::OneEpoch => {
                *slices = slices.at(now_us);
                slices.previous = 0;
            }
            Flaw::ForgottenByStepBack if slices.epoch > now_us / EPOCH_US => *slices = Slices::default(),
            _ => {}
        }
    }

    /// Tokens that may be unspent from one subject.
    pub(crate) fn outstanding(&self, subject: usize, real_us: u64) -> u32 {
        self.records.get(&subject).map_or(0, |record| record.slices.at(self.now_us(real_us)).outstanding())
    }

    /// Fills the buckets of a subject.
    pub(crate) fn reset(&mut self, subject: usize, real_us: u64) {
        let now_us = self.now_us(real_us);
        let mut record = self.record(subject, now_us);
        if self.flaw == Flaw::ResetInFull {
            record.buckets.clear();
        } else {
            record.reset(now_us);
        }
        self.records.insert(subject, record);
    }

    pub(crate) fn fence(&mut self, subject: usize, generation: u64, is_revoked: bool, real_us: u64) {
        let end_ms = self.now_us(real_us) / 1000 + 10_000_000;
        self.records.entry(subject).or_default().raise(generation, is_revoked, end_ms);
    }

    pub(crate) fn step_clock(&mut self, by_us: i64) {
        self.offset_us += by_us;
    }

    pub(crate) fn copy(&mut self) {
        self.copies.push_back(self.records.clone());
        if self.copies.len() > COPIES {
            self.copies.pop_front();
        }
    }

    /// Another server takes over, with an earlier state. It may call itself the same one.
    pub(crate) fn fail_over(&mut self, back: usize, keeps_state: bool) {
        let place = self.copies.len().saturating_sub(1 + back);
        self.records = self.copies.get(place).cloned().unwrap_or_default();
        self.copies.clear();
        self.server += 1;
        self.state += u64::from(!keeps_state);
    }

    pub(crate) fn flush(&mut self) {
        self.records.clear();
        self.copies.clear();
        self.state += 1;
    }
}
