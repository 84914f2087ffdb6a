//! A batch of requests as `lua/decide.lua` takes it.

use std::{collections::HashMap, hash::BuildHasherDefault};

use bytes::{BufMut, Bytes, BytesMut};
use tollgate_gate::ports::{Decision, Subject};
use tollgate_limits::{LeaseAsk, Settle, Stamp, Step};

use super::EXACT_MAX;
use crate::names::{Fnv1a, Names};

/// The most entries of one batch.
pub const ENTRIES_MAX: usize = 128;
/// The script reads the first limit of an entry before it knows that there is one.
const TAIL: [u8; 21] = [0; 21];
/// Added to the tag of an entry that has a lease behind it.
const LEASED: u8 = 128;
/// The largest number of three bytes.
const TOKENS_MAX: u32 = (1 << 24) - 1;

/// One decision on its way to the script.
#[derive(Debug)]
pub struct Request {
    /// What is asked.
    pub decision: Decision,
    /// The number of its tag.
    pub tag: u8,
    /// The key of the first subject's record.
    pub first_key: Bytes,
    /// The key of the owner's record.
    pub owner_key: Option<Bytes>,
    /// Records that are to be replaced first.
    pub swaps: Vec<Swap>,
    /// A slice to take ahead, and one to hand back.
    pub lease: LeaseAsk,
}

/// Buckets that are replaced if they still are what the asker read. Whatever else the record
/// holds may have changed meanwhile: its fence stays as it is.
#[derive(Debug, Clone)]
pub struct Swap {
    /// The record's key.
    pub key: Bytes,
    /// The buckets that the asker read.
    pub expected: Bytes,
    /// A record with the buckets that replace them, and the asker's generation.
    pub replacement: Bytes,
}

/// KEYS and ARGV of one call.
#[derive(Debug, Default)]
pub struct Batch {
    /// State ids of the tags, then the records, each once.
    pub keys: Vec<Bytes>,
    /// The packed batch, the state ids that are expected, the swaps.
    pub args: Vec<Bytes>,
}

impl Request {
    /// Names the records that the decision touches.
    pub fn new(decision: Decision, names: &Names) -> Self {
        let tag = names.tag_of(decision.subjects.placed_by());
        let first_key = names.record(tag, decision.subjects.first.kind, &decision.subjects.first.id);
        let owner_key = decision.subjects.owner.as_ref().map(|owner| names.record(tag, owner.kind, &owner.id));
        Self { decision, tag, first_key, owner_key, swaps: Vec::new(), lease: LeaseAsk::default() }
    }

    /// The subjects with the keys of their records.
    pub fn subjects(&self) -> impl Iterator<Item = (&Subject, &Bytes)> {
        self.decision.subjects.iter().zip(std::iter::once(&self.first_key).chain(&self.owner_key))
    }

    /// Bits as in the script's contract.
    fn shape(&self) -> u8 {
        let limits = |subject: &Subject| u8::try_from(subject.limits.as_slice().len()).unwrap_or(0) & 7;
        let subjects = &self.decision.subjects;
        let owner = subjects.owner.as_ref().map_or(0, |owner| 2 | limits(owner) << 5);
        u8::from(self.decision.peek) | limits(&subjects.first) << 2 | owner
    }
}

impl Batch {
    /// Packs at most [`ENTRIES_MAX`] requests. `mark` gives the state id of a tag.
    ///
    /// `None` where a cost is above a burst, which no caller may ask.
    pub fn pack<'a, R>(requests: R, names: &Names, mark: impl Fn(u8) -> Bytes) -> Option<Self>
    where
        R: Iterator<Item = &'a Request> + Clone,
    {
        let mut packing = Packing::default();
        for request in requests.clone() {
            packing.tag(request.tag, names, &mark);
        }
        let tags = packing.batch.keys.len();
        let mut entries = BytesMut::with_capacity(64 * requests.size_hint().0 + TAIL.len());
        let mut swaps = BytesMut::new();
        let mut count = 0;
        for request in requests {
            packing.entry(request, &mut entries)?;
            packing.swaps(request, &mut swaps);
            count += 1;
        }
        entries.put_slice(&TAIL);
        Some(packing.finish(tags, count, &swaps, &entries))
    }
}

/// Places that were given out already.
#[derive(Default)]
struct Packing {
    batch: Batch,
    tags: Vec<(u8, u8)>,
    records: HashMap<Bytes, u16, BuildHasherDefault<Fnv1a>>,
    marks: Vec<Bytes>,
    swapped: Vec<Bytes>,
}

impl Packing {
    fn tag(&mut self, tag: u8, names: &Names, mark: impl Fn(u8) -> Bytes) {
        if self.place_of_tag(tag).is_none() {
            self.batch.keys.push(names.state_id(tag));
            self.marks.push(mark(tag));
            self.tags.push((tag, u8::try_from(self.batch.keys.len()).unwrap_or(u8::MAX)));
        }
    }

    fn place_of_tag(&self, tag: u8) -> Option<u8> {
        self.tags.iter().find(|(known, _)| *known == tag).map(|(_, place)| *place)
    }

    fn place_of(&mut self, key: &Bytes) -> u16 {
        if let Some(place) = self.records.get(key) {
            return *place;
        }
        self.batch.keys.push(key.clone());
        let place = u16::try_from(self.batch.keys.len()).unwrap_or(u16::MAX);
        self.records.insert(key.clone(), place);
        place
    }

    fn entry(&mut self, request: &Request, out: &mut BytesMut) -> Option<()> {
        out.put_u8(request.shape());
        let is_leased = request.lease != LeaseAsk::default();
        out.put_u8(self.place_of_tag(request.tag)? | if is_leased { LEASED } else { 0 });
        for (subject, key) in request.subjects() {
            out.put_u16(self.place_of(key));
            out.put_uint(subject.generation.min(EXACT_MAX), 7);
            for named in subject.limits.as_slice() {
                let step = Step::of(request.decision.cost, named.limit)?;
                out.put_u32(named.name.id());
                out.put_u32(named.limit.burst());
                out.put_uint(u64::from(named.limit.per_seconds()), 3);
                out.put_uint(step.whole_us, 6);
                out.put_u32(step.frac);
            }
        }
        if is_leased {
            put_lease(out, &request.lease);
        }
        Some(())
    }

    fn swaps(&mut self, request: &Request, out: &mut BytesMut) {
        for swap in &request.swaps {
            // The count is one byte; what does not fit is asked to convert again.
            if self.swapped.len() >= 2 * usize::from(u8::MAX) {
                return;
            }
            out.put_u8(self.place_of_tag(request.tag).unwrap_or(0));
            out.put_u16(self.place_of(&swap.key));
            self.swapped.extend([swap.expected.clone(), swap.replacement.clone()]);
        }
    }

    fn finish(mut self, tags: usize, entries: usize, swaps: &[u8], packed: &[u8]) -> Batch {
        let mut head = BytesMut::with_capacity(3 + swaps.len() + packed.len());
        for count in [tags, entries, self.swapped.len() / 2] {
            head.put_u8(u8::try_from(count).unwrap_or(u8::MAX));
        }
        head.put_slice(swaps);
        head.put_slice(packed);
        self.batch.args = std::iter::once(head.freeze()).chain(self.marks).chain(self.swapped).collect();
        self.batch
    }
}

fn put_lease(out: &mut BytesMut, lease: &LeaseAsk) {
    let none = Settle { granted: 0, unused: 0, stamp: Stamp { epoch: 0, series: [0; 2] } };
    let settle = lease.settle.unwrap_or(none);
    for tokens in [lease.want, settle.granted, settle.unused] {
        out.put_uint(tokens.min(TOKENS_MAX).into(), 3);
    }
    out.put_uint(settle.stamp.epoch, 5);
    settle.stamp.series.into_iter().for_each(|series| out.put_u16(series));
}
