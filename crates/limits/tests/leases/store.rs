//! The store: records under the reference arithmetic, a clock that may step, a state that may go.

use std::collections::{HashMap, VecDeque};

use tollgate_limits::{Ask, Decided, EPOCH_US, QUIET_EPOCHS, RateLimits, Record, Slices, Told, Wish, decide_leased};

use crate::flaw::Flaw;

const START_US: u64 = 1_800_000_000_000_000;
/// How many earlier states a failover may fall back to.
const COPIES: usize = 8;

/// One subject as an asker knows it.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) subject: usize,
    pub(crate) generation: u64,
    pub(crate) limits: RateLimits,
}

#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) state: u64,
    pub(crate) asked: Vec<Asked>,
    pub(crate) wish: Wish,
}

#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) state: u64,
    /// Requests that were refused because of slices.
    pub(crate) blamed: u64,
    flaw: Flaw,
    offset_us: i64,
    records: HashMap<usize, Record>,
    copies: VecDeque<HashMap<usize, Record>>,
}

impl Store {
    pub(crate) fn new(flaw: Flaw, epoch_part_us: u64) -> Self {
        let (records, copies) = (HashMap::new(), VecDeque::new());
        Self { state: 1, blamed: 0, flaw, offset_us: epoch_part_us as i64, records, copies }
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
        let mut records: Vec<Record> =
            call.asked.iter().map(|asked| self.records.get(&asked.subject).cloned().unwrap_or_default()).collect();
        for (place, record) in records.iter_mut().enumerate() {
            self.spoil(record, place, &mut wish, now_us);
        }
        let asks: Vec<Ask<'_>> = call.asked.iter().map(|asked| Ask { generation: asked.generation, limits: &asked.limits }).collect();
        let told = decide_leased(&mut records, &asks, &wish, now_us);
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

    /// Does to a record what a flaw would do.
    fn spoil(&self, record: &mut Record, place: usize, wish: &mut Wish, now_us: u64) {
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

    /// Falls back to an earlier state. What was under way to the server before does not arrive.
    pub(crate) fn fail_over(&mut self, back: usize) {
        let place = self.copies.len().saturating_sub(1 + back);
        self.records = self.copies.get(place).cloned().unwrap_or_default();
        self.copies.clear();
        self.state += 1;
    }

    pub(crate) fn flush(&mut self) {
        self.records.clear();
        self.copies.clear();
        self.state += 1;
    }
}
