//! The state of one subject (a key, an owner, a named thing): its fence and its buckets; and the
//! decision over several subjects, all or nothing.
//!
//! This is what `lua/decide.lua` does, word for word, on values instead of strings.

use crate::{Arrival, Bucket, Cost, NamedLimit, RateLimits, Standing, Step};

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
}

/// What a decision asks of one subject.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// The generation of the rules that the asker knows.
    pub generation: u64,
    /// The limits that must all allow; none for a subject that is only asked for its fence.
    pub limits: &'a RateLimits,
}

/// The result of one decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decided {
    /// Every bucket let the cost pass, and was charged unless it was a peek.
    Allowed(Vec<Standing>),
    /// A bucket refused; nothing was charged. Standings are in order of subjects and limits.
    Limited(Vec<Standing>),
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
    /// Whether nothing would be lost by forgetting this record: no fence to keep, all full.
    pub fn is_forgettable(&self, now_us: u64) -> bool {
        self.fence_end_ms <= now_us / 1000 && self.buckets.iter().all(|bucket| bucket.arrival <= Arrival::full_at(now_us))
    }

    /// Raises the fence to `generation` and keeps it until `end_ms`. A fence never falls, and a
    /// revoked subject stays revoked.
    pub fn raise(&mut self, generation: u64, revoked: bool, end_ms: u64) {
        self.generation = self.generation.max(generation);
        self.revoked |= revoked;
        self.fence_end_ms = self.fence_end_ms.max(end_ms);
    }

    /// The bucket of a limit as of `now_us`: full where none is stored, the same debt in tokens
    /// where it was written under other figures.
    fn arrival(&self, named: &NamedLimit, now_us: u64) -> Arrival {
        let stored = self.buckets.iter().find(|bucket| bucket.name_id == named.name.id());
        stored.map_or(Arrival::full_at(now_us), |bucket| {
            if bucket.limit == named.limit {
                bucket.arrival.settled(bucket.limit, now_us)
            } else {
                bucket.arrival.converted(bucket.limit, named.limit, now_us)
            }
        })
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
    debug_assert_eq!(records.len(), asks.len(), "a subject without its record would go unlimited");
    for (subject, (record, ask)) in records.iter().zip(asks).enumerate() {
        if record.revoked {
            return Decided::Revoked { subject };
        }
        if record.generation > ask.generation {
            return Decided::Stale { subject };
        }
    }
    let Some(sums) = weigh(records, asks, cost, now_us) else { return Decided::TooCostly };
    let allowed = sums.iter().flatten().all(|sum| sum.fits);
    let standings = sums.iter().flatten().map(|sum| sum.standing(allowed && !peek, now_us)).collect();
    for ((record, ask), sums) in records.iter_mut().zip(asks).zip(&sums) {
        keep(record, ask, sums, allowed && !peek, now_us);
    }
    if allowed { Decided::Allowed(standings) } else { Decided::Limited(standings) }
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
    fn standing(&self, charged: bool, now_us: u64) -> Standing {
        let arrival = if charged { self.after } else { self.before };
        Standing::read(arrival, self.named.limit, (!self.fits).then_some(self.step), now_us)
    }
}

fn weigh<'a>(records: &[Record], asks: &[Ask<'a>], cost: Cost, now_us: u64) -> Option<Vec<Vec<Sum<'a>>>> {
    let of_subject = |(record, ask): (&Record, &Ask<'a>)| {
        let of_limit = |named: &'a NamedLimit| {
            let before = record.arrival(named, now_us);
            let step = Step::of(cost, named.limit)?;
            let after = before.after(step, named.limit);
            Some(Sum { named, before, step, after, fits: after.within(named.limit, now_us) })
        };
        ask.limits.as_slice().iter().map(of_limit).collect()
    };
    records.iter().zip(asks).map(of_subject).collect()
}

/// Writes back what a decision changed: charges, and what a denial or a peek must store too.
fn keep(record: &mut Record, ask: &Ask<'_>, sums: &[Sum<'_>], charge: bool, now_us: u64) {
    if sums.is_empty() || !(charge || needs_mending(record, ask.limits, now_us)) {
        return;
    }
    let arrivals: Vec<Arrival> = sums.iter().map(|sum| if charge { sum.after } else { sum.before }).collect();
    record.generation = record.generation.max(ask.generation);
    record.store(ask.limits, &arrivals, now_us);
}

/// Whether a bucket that is asked for stands under other figures, or further ahead than a period
/// (a clock stepped back). A full bucket never does: it is as good as one that is not stored.
fn needs_mending(record: &Record, limits: &RateLimits, now_us: u64) -> bool {
    let mended = |bucket: &Bucket, named: &NamedLimit| bucket.limit != named.limit || !bucket.arrival.within(bucket.limit, now_us);
    let mut refilling = record.buckets.iter().filter(|bucket| bucket.arrival > Arrival::full_at(now_us));
    refilling.any(|bucket| limits.as_slice().iter().any(|named| named.name.id() == bucket.name_id && mended(bucket, named)))
}

#[cfg(test)]
mod tests;
