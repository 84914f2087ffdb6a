//! The node's side of leases: a slice of tokens in memory, asked for by demand, spent, handed back.
//!
//! A slice is good for so long from the instant at which it was *asked for*, by the node's own
//! monotonic clock, less [`DRIFT`]: the store cannot have looked at its clock before that, so the
//! node stops before the store forgets. It is handed back at most once, taken out of the purse
//! before the call is made; a call whose answer is lost takes it along.
//!
//! Spending is two steps, a look at the clock and a decrement, and anything may happen in between:
//! whoever saw a slice that was good may spend it as if at that instant, and what was taken back
//! meanwhile is not there any more.

mod demand;

use std::{
    ops::Deref,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
};

use demand::Demand;

use crate::Cost;

/// Of a slice's life one part in so many is not used, as two clocks never run alike.
const DRIFT: u64 = 1000;

/// What a decision carries besides its cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LeaseAsk {
    /// Tokens to take ahead beyond the cost, if it is allowed; 0 for none. The store may give less.
    pub want: u32,
    /// A slice to hand back.
    pub settle: Option<Settle>,
}

/// A slice that is handed back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settle {
    /// Tokens that were given.
    pub granted: u32,
    /// Those of them that were not spent.
    pub unused: u32,
    /// Which slice it was.
    pub stamp: Stamp,
}

/// Says which slice one is: when it was given, and in which run of epochs of each subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// The store's epoch.
    pub epoch: u64,
    /// [`crate::Slices::series`] of each subject, in order.
    pub series: [u16; 2],
}

/// A slice that was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// Tokens, charged to every bucket of the decision. At least 1.
    pub tokens: u32,
    /// How long they may be spent, in microseconds from when they were asked for.
    pub valid_us: u64,
    /// Which slice it is.
    pub stamp: Stamp,
}

/// What a node goes by when it uses a purse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sight {
    /// The node's own monotonic clock, in microseconds.
    pub now_us: u64,
    /// Which state of the store the node trusts. A slice of another one is worth nothing.
    pub realm: u64,
}

/// The purse of one node for the buckets of one decision: at most one slice.
#[derive(Debug, Default)]
pub struct Purse {
    left: AtomicU32,
    good_until_us: AtomicU64,
    realm: AtomicU64,
    /// Somebody is asking for a slice.
    is_asking: AtomicBool,
    books: Mutex<Books>,
}

#[derive(Debug, Default)]
struct Books {
    held: Option<Held>,
    demand: Demand,
}

#[derive(Debug, Clone, Copy)]
struct Held {
    grant: Grant,
    since_us: u64,
}

/// The one who asks for the next slice. Until it is dropped nobody else does.
#[derive(Debug)]
pub struct Asking<P: Deref<Target = Purse>> {
    purse: P,
    asked: Sight,
    /// What to send along with the decision.
    pub ask: LeaseAsk,
    /// Tokens of the last slice that were neither spent nor can be handed back.
    pub expired: u32,
}

/// What was taken out of a purse.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TakenBack {
    /// The slice, if it may still be handed back.
    pub settle: Option<Settle>,
    /// Tokens of it that were neither spent nor can be handed back.
    pub expired: u32,
}

impl Purse {
    /// Spends from the slice, if it is good and holds enough.
    pub fn spend(&self, cost: Cost, sight: Sight) -> bool {
        self.is_good(sight) && self.take(cost)
    }

    /// The first step of spending: whether there is a slice that is good.
    pub fn is_good(&self, sight: Sight) -> bool {
        sight.now_us < self.good_until_us.load(Ordering::Acquire) && sight.realm == self.realm.load(Ordering::Acquire)
    }

    /// The second step: takes the tokens if they are there.
    pub fn take(&self, cost: Cost) -> bool {
        let mut left = self.left.load(Ordering::Acquire);
        while let Some(rest) = left.checked_sub(cost.tokens()) {
            match self.left.compare_exchange_weak(left, rest, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return true,
                Err(other) => left = other,
            }
        }
        false
    }

    /// For a decision that the purse could not pay: asks along with it for the next slice, if
    /// demand is such that it would be spent, and hands the last one back. `None` where there is
    /// nothing to say to the store, or somebody else is saying it.
    pub fn begin<P: Deref<Target = Self>>(purse: P, cost: Cost, sight: Sight) -> Option<Asking<P>> {
        let (ask, expired) = {
            let mut books = purse.books();
            books.demand.note(cost, sight.now_us);
            if purse.is_asking.swap(true, Ordering::AcqRel) {
                return None;
            }
            let (taken, spent) = purse.withdraw(&mut books, sight);
            let want = books.demand.want(spent, sight.now_us);
            (LeaseAsk { want, settle: taken.settle }, taken.expired)
        };
        // Dropped where there is nothing to tell, and then the next one may ask.
        Some(Asking { purse, asked: sight, ask, expired }).filter(|asking| asking.ask != LeaseAsk::default() || asking.expired > 0)
    }

    /// Takes back a slice that is over by `over_by_us`, so that its tokens are not lost: to be sent
    /// with a call that charges nothing. Takes nothing while somebody asks for the next one.
    pub fn take_back(&self, over_by_us: u64, sight: Sight) -> TakenBack {
        let good_until_us = self.good_until_us.load(Ordering::Acquire);
        if good_until_us == 0 || good_until_us > over_by_us || self.is_asking.swap(true, Ordering::AcqRel) {
            return TakenBack::default();
        }
        let (taken, _) = self.withdraw(&mut self.books(), sight);
        self.is_asking.store(false, Ordering::Release);
        taken
    }

    /// Whether a slice is held, good or not.
    pub fn is_holding(&self) -> bool {
        self.books().held.is_some()
    }

    /// Empties the purse. Returns what was in it, and what was spent of that in how long.
    fn withdraw(&self, books: &mut Books, sight: Sight) -> (TakenBack, Option<(u32, u64)>) {
        let is_good = self.is_good(sight);
        let good_until_us = self.good_until_us.swap(0, Ordering::AcqRel);
        let unused = self.left.swap(0, Ordering::AcqRel);
        let Some(Held { grant, since_us }) = books.held.take() else { return (TakenBack::default(), None) };
        let settle = Settle { granted: grant.tokens, unused: unused.min(grant.tokens), stamp: grant.stamp };
        let taken = TakenBack { settle: is_good.then_some(settle), expired: if is_good { 0 } else { unused } };
        let lived_us = sight.now_us.min(good_until_us).saturating_sub(since_us);
        (taken, Some((grant.tokens.saturating_sub(unused), lived_us)))
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<P: Deref<Target = Purse>> Asking<P> {
    /// Puts the slice that was given into the purse. False where it came too late.
    pub fn take_in(self, grant: Grant, now_us: u64) -> bool {
        let mut books = self.purse.books();
        let life_us = grant.valid_us.saturating_sub(grant.valid_us / DRIFT + 1);
        let good_until_us = self.asked.now_us.saturating_add(life_us);
        if good_until_us <= now_us {
            return false;
        }
        books.held = Some(Held { grant, since_us: now_us });
        books.demand.met();
        self.purse.realm.store(self.asked.realm, Ordering::Release);
        self.purse.good_until_us.store(good_until_us, Ordering::Release);
        self.purse.left.store(grant.tokens, Ordering::Release);
        true
    }
}

impl<P: Deref<Target = Purse>> Drop for Asking<P> {
    fn drop(&mut self) {
        self.purse.is_asking.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests;
