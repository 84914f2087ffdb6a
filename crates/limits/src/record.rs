//! The state of one subject (a key, an owner, a named thing): its fence, its buckets, and what is
//! outstanding from them; and the decision over several subjects, all or nothing.
//!
//! This is what `lua/decide.lua` does, word for word, on values instead of strings.

use crate::{Arrival, Bucket, Cost, Grant, LeaseAsk, NamedLimit, RateLimits, Settle, Slices, Stamp, Standing, Step, slices};

/// The most buckets that one record keeps: a full list, and as many of earlier names that still
/// refill. Beyond it those written longest ago are forgotten.
pub const BUCKETS_PER_RECORD_MAX: usize = 8;

/// The stored state of one subject. A record that is not stored is the default one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record {
    /// The newest generation that asked or was fenced; an older asker is told [`Decided::Stale`].
    pub generation: u64,
    /// A revoked key stays revoked.
    pub revoked: bool,
    /// Until when the fence must be kept, in milliseconds since 1970; 0 for none.
    pub fence_end_ms: u64,
    /// Buckets that were not full when they were written, the last written first, no name twice.
    pub buckets: Vec<Bucket>,
    /// Slices that nodes have taken ahead, each from every bucket that was asked for.
    pub slices: Slices,
}

/// What a decision asks of one subject.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// The generation of the rules that the asker knows.
    pub generation: u64,
    /// The limits that must all allow; none for a subject that is only asked for its fence.
    pub limits: &'a RateLimits,
}

/// What is to be done to the buckets of a decision.
#[derive(Debug, Clone, Copy)]
pub struct Wish {
    /// Tokens to spend from every bucket.
    pub cost: Cost,
    /// Answer as if asked, and charge nothing.
    pub peek: bool,
    /// A slice to take ahead, and one to hand back.
    pub lease: LeaseAsk,
}

/// What came of a decision, and of the slice that was asked for along with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The decision.
    pub decided: Decided,
    /// The slice, where one was given. Never to a peek.
    pub grant: Option<Grant>,
}

/// The result of one decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decided {
    /// Every bucket let the cost pass, and was charged unless it was a peek.
    Allowed(Vec<Standing>),
    /// A bucket refused; nothing was charged. Standings are in order of subjects and limits.
    Limited(Vec<Standing>),
    /// The same, while slices are out of a bucket of this decision: it may pass earlier than is told,
    /// when one is handed back.
    LimitedForNow(Vec<Standing>),
    /// The asker's rules of this subject are older than the fence; nothing was decided.
    Stale {
        /// Place of the subject in the decision.
        subject: usize,
    },
    /// The subject is revoked.
    Revoked {
        /// Place of the subject in the decision.
        subject: usize,
    },
    /// The cost is above a burst and can never pass.
    TooCostly,
}

impl Record {
    /// Whether nothing would be lost by forgetting this record: no fence to keep, all full, nothing
    /// outstanding.
    pub fn is_forgettable(&self, now_us: u64) -> bool {
        let felt_us = if self.slices.outstanding() > 0 { slices::FELT_US } else { 0 };
        let is_full = |bucket: &Bucket| bucket.arrival <= Arrival::full_at(now_us.saturating_sub(felt_us));
        self.fence_end_ms.max(self.slices.keep_until_ms()) <= now_us / 1000 && self.buckets.iter().all(is_full)
    }

    /// Raises the fence to `generation` and keeps it until `end_ms`. A fence never falls, and a
    /// revoked subject stays revoked.
    pub fn raise(&mut self, generation: u64, revoked: bool, end_ms: u64) {
        self.generation = self.generation.max(generation);
        self.revoked |= revoked;
        self.fence_end_ms = self.fence_end_ms.max(end_ms);
    }

    /// Fills all buckets, as far as outstanding slices allow.
    pub fn reset(&mut self, now_us: u64) {
        let slices = self.slices.at(now_us);
        for bucket in &mut self.buckets {
            bucket.arrival = slices.floor(bucket.limit, now_us).min(slices::felt_from(bucket.arrival));
        }
        self.buckets.retain(|bucket| bucket.arrival > Arrival::full_at(now_us));
        if self.slices.epoch <= now_us / slices::EPOCH_US {
            self.slices = if slices.is_none() { Slices::default() } else { slices };
        }
    }

    /// The bucket of a limit as of `now_us`: full where none is stored, the same debt in tokens
    /// where it was written under other figures, and never fuller than outstanding slices allow.
    fn arrival(&self, named: &NamedLimit, now_us: u64) -> Arrival {
        let Some(bucket) = self.buckets.iter().find(|bucket| bucket.name_id == named.name.id()) else {
            return Arrival::full_at(now_us);
        };
        let (left, floor) = (self.slices.left(bucket, named.limit, now_us), self.slices.at(now_us).floor(named.limit, now_us));
        let arrival = if bucket.limit == named.limit {
            left.max(floor.min(slices::felt_from(bucket.arrival)))
        } else {
            left.converted(bucket.limit, named.limit, now_us).max(floor)
        };
        arrival.min(Arrival::empty_at(named.limit, now_us))
    }

    /// Stores the buckets of `limits` before those of other names, and keeps what still refills:
    /// a full bucket is one that is not stored.
    fn store(&mut self, limits: &RateLimits, arrivals: &[Arrival], now_us: u64) {
        let asked = |name_id| limits.as_slice().iter().any(|named| named.name.id() == name_id);
        let written =
            |(named, arrival): (&NamedLimit, &Arrival)| Bucket { name_id: named.name.id(), limit: named.limit, arrival: *arrival };
        let others = std::mem::take(&mut self.buckets).into_iter().filter(|bucket| !asked(bucket.name_id));
        let all = limits.as_slice().iter().zip(arrivals).map(written).chain(others);
        self.buckets = all.filter(|bucket| bucket.arrival > Arrival::full_at(now_us)).take(BUCKETS_PER_RECORD_MAX).collect();
    }
}

/// Decides one request over several subjects at the instant `now_us`: all allow, or nothing is
/// charged. A peek gives the same verdict and charges nothing.
///
/// `records` and `asks` are of equal length, one place a subject.
pub fn decide(records: &mut [Record], asks: &[Ask<'_>], cost: Cost, peek: bool, now_us: u64) -> Decided {
    decide_leased(records, asks, &Wish { cost, peek, lease: LeaseAsk::default() }, now_us).decided
}

/// The same, where a slice may be handed back first, and one taken ahead if the cost is allowed.
///
/// A slice is handed back whatever is decided, but where nothing is (stale, revoked). A request that
/// would pass but for outstanding slices is told to wait until they are over, and none are given
/// for a while.
pub fn decide_leased(records: &mut [Record], asks: &[Ask<'_>], wish: &Wish, now_us: u64) -> Told {
    debug_assert_eq!(records.len(), asks.len(), "a subject without its record would go unlimited");
    let refused = |decided| Told { decided, grant: None };
    for (subject, (record, ask)) in records.iter().zip(asks).enumerate() {
        if record.revoked {
            return refused(Decided::Revoked { subject });
        }
        if record.generation > ask.generation {
            return refused(Decided::Stale { subject });
        }
    }
    let Some(mut weighed) = weigh(records, asks, wish, now_us) else { return refused(Decided::TooCostly) };
    let allowed = weighed.iter().flat_map(|subject| &subject.sums).all(|sum| sum.fits);
    let charge = allowed && !wish.peek;
    let grant = if charge { give(&mut weighed, wish.lease.want, now_us) } else { None };
    if !allowed {
        blame(&mut weighed, wish.peek, now_us);
    }
    let standing_of = |subject: &Weighed<'_>| {
        let slices = subject.slices;
        subject.sums.iter().map(|sum| sum.standing(&slices, charge, now_us)).collect::<Vec<_>>()
    };
    let standings = weighed.iter().flat_map(standing_of).collect();
    let are_out = weighed.iter().any(|subject| !subject.sums.is_empty() && subject.slices.outstanding() > 0);
    for ((record, ask), weighed) in records.iter_mut().zip(asks).zip(&weighed) {
        keep(record, ask, weighed, charge, now_us);
    }
    let decided = match (allowed, are_out) {
        (true, _) => Decided::Allowed(standings),
        (false, true) => Decided::LimitedForNow(standings),
        (false, false) => Decided::Limited(standings),
    };
    Told { decided, grant }
}

/// One subject while it is being decided on.
struct Weighed<'a> {
    sums: Vec<Sum<'a>>,
    slices: Slices,
    /// Something must be stored whatever is decided.
    is_changed: bool,
}

/// One bucket while it is being decided on.
struct Sum<'a> {
    named: &'a NamedLimit,
    before: Arrival,
    step: Step,
    after: Arrival,
    fits: bool,
}

impl Sum<'_> {
    fn standing(&self, slices: &Slices, charged: bool, now_us: u64) -> Standing {
        let arrival = if charged { self.after } else { self.before };
        slices.standing(arrival, self.named.limit, (!self.fits).then_some(self.step), now_us)
    }
}

fn weigh<'a>(records: &[Record], asks: &[Ask<'a>], wish: &Wish, now_us: u64) -> Option<Vec<Weighed<'a>>> {
    let of_subject = |(place, (record, ask)): (usize, (&Record, &Ask<'a>))| {
        let mut slices = record.slices.at(now_us);
        let of_limit = |named: &'a NamedLimit| {
            let before = record.arrival(named, now_us);
            let step = Step::of(wish.cost, named.limit)?;
            let after = before.after(step, named.limit);
            Some(Sum { named, before, step, after, fits: after.within(named.limit, now_us) })
        };
        let mut sums: Vec<Sum<'a>> = ask.limits.as_slice().iter().map(of_limit).collect::<Option<_>>()?;
        let settled = wish.lease.settle.filter(|settle| !sums.is_empty() && settles(&mut slices, settle, place));
        if let Some(settle) = settled {
            for sum in &mut sums {
                sum.return_to(settle.unused, &slices, now_us);
            }
        }
        let is_changed = settled.is_some() || record.slices.are_ahead(now_us) || needs_mending(record, ask.limits, now_us);
        Some(Weighed { sums, slices, is_changed })
    };
    records.iter().zip(asks).enumerate().map(of_subject).collect()
}

/// Takes a slice out of the sum of those that are outstanding from the subject at `place`, if it is
/// in it.
fn settles(slices: &mut Slices, settle: &Settle, place: usize) -> bool {
    let series = settle.stamp.series.get(place).copied();
    let is_sane = settle.granted > 0 && settle.unused <= settle.granted && settle.granted <= slices::LEASED_MAX;
    is_sane && series.is_some_and(|series| slices.settle(settle.stamp.epoch, series, settle.granted))
}

impl Sum<'_> {
    /// Gives tokens back that were taken ahead. What is still outstanding holds the bucket down.
    fn return_to(&mut self, tokens: u32, left: &Slices, now_us: u64) {
        let limit = self.named.limit;
        let floor = left.floor(limit, now_us).min(self.before);
        self.before = self.before.before(Step::of_tokens(tokens, limit), limit).max(floor);
        self.after = self.before.after(self.step, limit);
        self.fits = self.after.within(limit, now_us);
    }
}

/// Takes a slice of up to `want` tokens from every bucket, all of which have just been charged.
fn give(weighed: &mut [Weighed<'_>], want: u32, now_us: u64) -> Option<Grant> {
    let limited = || weighed.iter().filter(|subject| !subject.sums.is_empty());
    let largest = |subject: &Weighed<'_>| {
        let of_sum = |sum: &Sum<'_>| subject.slices.largest(sum.named.limit, sum.after, now_us);
        subject.sums.iter().map(of_sum).min().unwrap_or(0)
    };
    let may_give = limited().all(|subject| subject.slices.may_give(now_us));
    let tokens = limited().map(largest).min().filter(|_| may_give)?.min(want);
    if tokens == 0 {
        return None;
    }
    for subject in weighed.iter_mut().filter(|subject| !subject.sums.is_empty()) {
        subject.slices.current += tokens;
        for sum in &mut subject.sums {
            sum.after = sum.after.after(Step::of_tokens(tokens, sum.named.limit), sum.named.limit);
        }
    }
    let epoch = now_us / slices::EPOCH_US;
    let series_of = |subject: &Weighed<'_>| if subject.sums.is_empty() { 0 } else { subject.slices.series };
    let series = [0, 1].map(|place| weighed.get(place).map_or(0, series_of));
    let valid_us = ((epoch + 2) * slices::EPOCH_US).saturating_sub(now_us);
    Some(Grant { tokens, valid_us, stamp: Stamp { epoch, series } })
}

/// Where a request was refused that would have passed had all outstanding slices been handed back:
/// keeps new ones from being given, unless it was a peek.
fn blame(weighed: &mut [Weighed<'_>], peek: bool, now_us: u64) {
    let would_fit = |slices: &Slices, sum: &Sum<'_>| {
        let limit = sum.named.limit;
        let without = sum.before.before(slices::held_worth(slices.outstanding(), limit), limit).max(Arrival::full_at(now_us));
        without.after(sum.step, limit).within(limit, now_us)
    };
    if peek || !weighed.iter().all(|subject| subject.sums.iter().all(|sum| would_fit(&subject.slices, sum))) {
        return;
    }
    for subject in weighed.iter_mut().filter(|subject| subject.sums.iter().any(|sum| !sum.fits)) {
        if subject.slices.quiet < slices::QUIET_EPOCHS {
            subject.slices.quiet = slices::QUIET_EPOCHS;
            subject.is_changed = true;
        }
    }
}

/// Writes back what a decision changed: charges, and what a denial or a peek must store too.
fn keep(record: &mut Record, ask: &Ask<'_>, weighed: &Weighed<'_>, charge: bool, now_us: u64) {
    let sums = &weighed.sums;
    if sums.is_empty() || !(charge || weighed.is_changed) {
        return;
    }
    let arrivals: Vec<Arrival> = sums.iter().map(|sum| if charge { sum.after } else { sum.before }).collect();
    record.generation = record.generation.max(ask.generation);
    record.store(ask.limits, &arrivals, now_us);
    record.slices = if weighed.slices.is_none() { Slices::default() } else { weighed.slices };
}

/// Whether a bucket that is asked for stands under other figures, or further ahead than a period
/// (a clock stepped back). A full bucket never does, as it is as good as one that is not stored; but
/// one that slices hold down from now on is to be held under the figures that its asker was told by.
fn needs_mending(record: &Record, limits: &RateLimits, now_us: u64) -> bool {
    let are_out = record.slices.at(now_us).outstanding() > 0;
    let is_full = |bucket: &Bucket, limit| record.slices.left(bucket, limit, now_us) <= Arrival::full_at(now_us);
    let mended = |bucket: &Bucket, limit| {
        if bucket.limit == limit { !bucket.arrival.within(limit, now_us) } else { are_out || !is_full(bucket, limit) }
    };
    let mut asked = limits.as_slice().iter();
    asked.any(|named| record.buckets.iter().any(|bucket| bucket.name_id == named.name.id() && mended(bucket, named.limit)))
}

#[cfg(test)]
mod tests;
