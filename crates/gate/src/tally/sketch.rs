//! The heaviest items of a stream, in bounded memory, with bounds on what is told of each.
//!
//! Space-Saving: A. Metwally, D. Agrawal, A. El Abbadi, "Efficient Computation of Frequent and Top-k
//! Elements in Data Streams", ICDT 2005, with weights. Merging: P. Agarwal, G. Cormode, Z. Huang,
//! J. Phillips, Z. Wei, K. Yi, "Mergeable Summaries", PODS 2012: a Space-Saving summary less its
//! smallest count is a Misra-Gries summary, and those are merged by adding them and cutting off what
//! is beyond the capacity.
//!
//! Of an item that is held the true weight lies between [`Held::at_least`] and [`Held::at_most`]; of
//! any other it is at most [`Sketch::others_at_most`], which is never above the whole weight divided
//! by the capacity, however often summaries are merged.

use std::{
    collections::{BTreeSet, HashMap},
    hash::Hash,
};

/// A summary of at most `capacity` items.
#[derive(Debug, Clone)]
pub struct Sketch<K> {
    capacity: usize,
    total: u64,
    /// No item that is not held weighs more.
    floor: u64,
    held: HashMap<K, Bounds>,
    /// The same, lightest first.
    order: BTreeSet<(u64, K)>,
}

#[derive(Debug, Clone, Copy)]
struct Bounds {
    at_most: u64,
    /// How much of `at_most` may be of others that had this place before.
    error: u64,
}

/// An item and what it weighs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held<K> {
    /// The item.
    pub item: K,
    /// It weighs at least so much.
    pub at_least: u64,
    /// And at most so much.
    pub at_most: u64,
}

impl<K: Clone + Ord + Hash> Sketch<K> {
    /// An empty one; a capacity of 0 counts as 1.
    pub fn new(capacity: usize) -> Self {
        Self { capacity: capacity.max(1), total: 0, floor: 0, held: HashMap::new(), order: BTreeSet::new() }
    }

    /// The most items it holds.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// The whole weight that was added.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// No item that is not held weighs more than this.
    pub fn others_at_most(&self) -> u64 {
        self.floor
    }

    /// Adds to the weight of an item. Takes the place of the lightest where there is none left.
    pub fn add(&mut self, item: &K, weight: u64) {
        if weight == 0 {
            return;
        }
        self.total = self.total.saturating_add(weight);
        if let Some(known) = self.held.get(item).copied() {
            self.put(item.clone(), Bounds { at_most: known.at_most.saturating_add(weight), ..known });
            return;
        }
        if self.held.len() >= self.capacity {
            self.drop_lightest();
        }
        self.put(item.clone(), Bounds { at_most: self.floor.saturating_add(weight), error: self.floor });
    }

    /// What is held, heaviest first; of the same weight, in the items' order.
    pub fn heaviest(&self) -> impl Iterator<Item = Held<K>> + '_ {
        let mut all: Vec<(&K, &Bounds)> = self.held.iter().collect();
        all.sort_unstable_by(|one, other| other.1.at_most.cmp(&one.1.at_most).then_with(|| one.0.cmp(other.0)));
        all.into_iter().map(|(item, bounds)| Held {
            item: item.clone(),
            at_least: bounds.at_most.saturating_sub(bounds.error),
            at_most: bounds.at_most,
        })
    }

    /// The summary of both streams. Holds as many as the smaller of the two may.
    #[must_use]
    pub fn merged(&self, other: &Self) -> Self {
        let mut merged = Self::new(self.capacity.min(other.capacity));
        merged.total = self.total.saturating_add(other.total);
        merged.floor = self.floor.saturating_add(other.floor);
        let items = self.held.keys().chain(other.held.keys().filter(|item| !self.held.contains_key(*item)));
        for item in items {
            let (one, two) = (self.bounds_of(item), other.bounds_of(item));
            let (at_most, error) = (one.at_most.saturating_add(two.at_most), one.error.saturating_add(two.error));
            merged.put(item.clone(), Bounds { at_most, error });
        }
        while merged.held.len() > merged.capacity {
            merged.drop_lightest();
        }
        merged
    }

    /// Made again from what [`Sketch::heaviest`] and the others told. Of more items than fit the
    /// lightest are left out.
    pub fn restored(capacity: usize, (total, others_at_most): (u64, u64), held: impl IntoIterator<Item = Held<K>>) -> Self {
        let mut restored = Self { total, floor: others_at_most, ..Self::new(capacity) };
        for Held { item, at_least, at_most } in held {
            restored.put(item, Bounds { at_most, error: at_most.saturating_sub(at_least) });
        }
        while restored.held.len() > restored.capacity {
            restored.drop_lightest();
        }
        restored
    }

    fn bounds_of(&self, item: &K) -> Bounds {
        self.held.get(item).copied().unwrap_or(Bounds { at_most: self.floor, error: self.floor })
    }

    fn put(&mut self, item: K, bounds: Bounds) {
        self.order.insert((bounds.at_most, item.clone()));
        if let Some(before) = self.held.insert(item.clone(), bounds)
            && before.at_most != bounds.at_most
        {
            self.order.remove(&(before.at_most, item));
        }
    }

    fn drop_lightest(&mut self) {
        if let Some((at_most, item)) = self.order.pop_first() {
            self.held.remove(&item);
            self.floor = self.floor.max(at_most);
        }
    }
}
