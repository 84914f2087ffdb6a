//! Which keys this node has limited most, of all and of each owner, by spans of time.

use std::collections::{HashMap, VecDeque};

use tollgate_keys::{KeyId, OwnerName};

use super::{Sketch, shards::Tallied, sketch::Held};
use crate::ports::{TopName, TopSpan};

/// The form of [`Summary::encode`].
const VERSION: u8 = 1;
const IS_WHOLE: u8 = 1;
/// Names that are remembered as dropped: more than anybody looks back on.
const DROPPED_MAX: usize = 64;

/// A key in a summary; its owner never changes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TopKey {
    pub(crate) key_id: KeyId,
    pub(crate) owner: Option<OwnerName>,
}

/// The most limited keys of a span.
#[derive(Debug, Clone)]
pub(crate) struct Summary {
    pub(crate) sketch: Sketch<TopKey>,
    /// Whether every decision of the span was counted.
    pub(crate) is_whole: bool,
}

/// All summaries of this node that may still grow, or that are not written yet.
#[derive(Debug)]
pub(super) struct Tops {
    /// Keys of one summary.
    capacity: usize,
    /// Owners with a summary of their own, in one span.
    owners_max: usize,
    slots: HashMap<(TopSpan, u32), Slot>,
    /// The last that were dropped: one that begins under such a name takes the place of another in the store.
    dropped: VecDeque<(TopSpan, u32)>,
}

#[derive(Debug)]
struct Slot {
    all: Growing,
    owners: HashMap<OwnerName, Growing>,
}

#[derive(Debug)]
struct Growing {
    summary: Summary,
    is_written: bool,
}

impl Growing {
    fn new(capacity: usize) -> Self {
        Self { summary: Summary { sketch: Sketch::new(capacity), is_whole: true }, is_written: true }
    }

    fn add(&mut self, key: &TopKey, limited: u64) {
        self.summary.sketch.add(key, limited);
        self.is_written = false;
    }

    fn miss(&mut self) {
        self.summary.is_whole = false;
        self.is_written = false;
    }
}

impl Tops {
    pub(super) fn new(capacity: usize, owners_max: usize) -> Self {
        Self { capacity, owners_max, slots: HashMap::new(), dropped: VecDeque::new() }
    }

    pub(super) fn add(&mut self, one: &Tallied) {
        let limited = one.counts.limited;
        if limited == 0 {
            return;
        }
        let key = TopKey { key_id: one.key_id.clone(), owner: one.owner.clone() };
        let (capacity, owners_max) = (self.capacity, self.owners_max);
        for span in TopSpan::ALL {
            let slot = self.slot(span, one.minute);
            slot.all.add(&key, limited);
            let Some(owner) = &one.owner else { continue };
            if slot.owners.len() >= owners_max && !slot.owners.contains_key(owner) {
                slot.all.miss();
                continue;
            }
            slot.owners.entry(owner.clone()).or_insert_with(|| Growing::new(capacity)).add(&key, limited);
        }
    }

    /// Some decisions of that minute, or of one shortly before, are missing.
    pub(super) fn miss(&mut self, minute: u32) {
        for span in TopSpan::ALL {
            self.slot(span, minute).all.miss();
        }
    }

    /// What is not written as it is now.
    pub(super) fn unwritten(&self) -> Vec<TopName> {
        let of_slot = |(&(span, slot), held): (&(TopSpan, u32), &Slot)| {
            let all = (!held.all.is_written).then_some(TopName { owner: None, span, slot });
            let owners = held.owners.iter().filter(|(_, growing)| !growing.is_written);
            let owners = owners.map(move |(owner, _)| TopName { owner: Some(owner.clone()), span, slot });
            all.into_iter().chain(owners).collect::<Vec<_>>()
        };
        self.slots.iter().flat_map(of_slot).collect()
    }

    pub(super) fn encoded(&self, name: &TopName) -> Option<Box<[u8]>> {
        let slot = self.slots.get(&(name.span, name.slot))?;
        let growing = name.owner.as_ref().map_or(Some(&slot.all), |owner| slot.owners.get(owner))?;
        Some(growing.summary.encode())
    }

    pub(super) fn set_written(&mut self, name: &TopName) {
        let slot = self.slots.get_mut(&(name.span, name.slot));
        let growing = slot.and_then(|slot| match &name.owner {
            None => Some(&mut slot.all),
            Some(owner) => slot.owners.get_mut(owner),
        });
        if let Some(growing) = growing {
            growing.is_written = true;
        }
    }

    /// Drops what nobody looks back on any more, written or not; and what is written and can grow no
    /// more, where nothing older than the span before waits to be counted.
    pub(super) fn forget(&mut self, minute: u32, is_all_counted: bool) {
        let spans_since = |&(span, slot): &(TopSpan, u32)| (minute / span.minutes()).saturating_sub(slot);
        let is_written = |slot: &Slot| slot.all.is_written && slot.owners.values().all(|growing| growing.is_written);
        let dropped = &mut self.dropped;
        self.slots.retain(|name, slot| {
            let (since, (span, _)) = (spans_since(name), name);
            let is_kept = since <= span.kept() && !(is_all_counted && since > 1 && is_written(slot));
            if !is_kept {
                dropped.push_back(*name);
            }
            is_kept
        });
        dropped.drain(..dropped.len().saturating_sub(DROPPED_MAX));
    }

    fn slot(&mut self, span: TopSpan, minute: u32) -> &mut Slot {
        let (name, capacity, dropped) = ((span, minute / span.minutes()), self.capacity, &self.dropped);
        let new = || {
            let mut all = Growing::new(capacity);
            // A clock that was set back does that.
            all.summary.is_whole = !dropped.contains(&name);
            Slot { all, owners: HashMap::new() }
        };
        self.slots.entry(name).or_insert_with(new)
    }
}

impl Summary {
    /// An empty one, for so many keys.
    pub(crate) fn empty(capacity: usize) -> Self {
        Self { sketch: Sketch::new(capacity), is_whole: true }
    }

    /// Both together.
    pub(crate) fn merged(&self, other: &Self) -> Self {
        Self { sketch: self.sketch.merged(&other.sketch), is_whole: self.is_whole && other.is_whole }
    }

    /// As it lies in the store: version, flags, capacity (2 bytes), whole weight and bound of all
    /// others (8 bytes each); then for each key its id and its owner, each behind its length (1 byte),
    /// and its two bounds (8 bytes each). All numbers big-endian.
    pub(crate) fn encode(&self) -> Box<[u8]> {
        let capacity = u16::try_from(self.sketch.capacity()).unwrap_or(u16::MAX);
        let mut bytes = vec![VERSION, if self.is_whole { IS_WHOLE } else { 0 }];
        bytes.extend(capacity.to_be_bytes());
        bytes.extend(self.sketch.total().to_be_bytes());
        bytes.extend(self.sketch.others_at_most().to_be_bytes());
        for Held { item, at_least, at_most } in self.sketch.heaviest() {
            for text in [item.key_id.as_str(), item.owner.as_ref().map_or("", OwnerName::as_str)] {
                // Ids and owners have at most 64 bytes.
                bytes.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
                bytes.extend(text.as_bytes());
            }
            bytes.extend(at_least.to_be_bytes());
            bytes.extend(at_most.to_be_bytes());
        }
        bytes.into()
    }

    /// Read again; `None` for what is none of ours.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut from = Reader(bytes);
        let [version, flags] = from.array()?;
        if version != VERSION {
            return None;
        }
        let capacity = u16::from_be_bytes(from.array()?);
        let figures = (u64::from_be_bytes(from.array()?), u64::from_be_bytes(from.array()?));
        let mut held = Vec::new();
        while !from.0.is_empty() {
            held.push(from.held()?);
        }
        let sketch = Sketch::restored(capacity.into(), figures, held);
        Some(Self { sketch, is_whole: flags & IS_WHOLE != 0 })
    }
}

/// What is left to read.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*array)
    }

    fn text(&mut self) -> Option<&str> {
        let [length] = self.array()?;
        let (text, rest) = self.0.split_at_checked(length.into())?;
        self.0 = rest;
        std::str::from_utf8(text).ok()
    }

    fn held(&mut self) -> Option<Held<TopKey>> {
        let key_id = KeyId::parse(self.text()?).ok()?;
        let owner = match self.text()? {
            "" => None,
            owner => Some(OwnerName::parse(owner).ok()?),
        };
        let (at_least, at_most) = (u64::from_be_bytes(self.array()?), u64::from_be_bytes(self.array()?));
        Some(Held { item: TopKey { key_id, owner }, at_least, at_most })
    }
}

#[cfg(test)]
mod tests;
