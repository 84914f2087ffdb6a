//! What a record knows of the slices that nodes have taken ahead from its buckets.
//!
//! A slice is so many tokens of *every* bucket of a decision, taken at once and spent from a node's
//! memory. It was charged when it was taken; what is kept here is how much may still be unspent,
//! so that the buckets do not fill up behind it: always *tokens in the buckets + unspent slices ≤
//! burst*. So an arrival never falls behind its *floor*, now plus what the outstanding slices are
//! worth, and what leaves the sum of outstanding slices applies the floor a last time before. A
//! bucket that is not stored has none: had a slice been taken from it, it would be.
//!
//! Time is cut into epochs of [`EPOCH_US`]. A slice that was given in epoch `e` may be spent until
//! `e + 2` begins, and then drops out of the sum by itself: a node that dies leaves nothing behind.

use crate::{Arrival, Bucket, RateLimit, Standing, Step};

/// The length of an epoch, in microseconds of the store's clock. A slice lives for one to two.
pub const EPOCH_US: u64 = 200_000;
/// The most tokens that may be outstanding from one record.
pub const LEASED_MAX: u32 = 1 << 22;
/// For how many epochs a record gives no slice after it refused somebody because of them.
///
/// 51 s: who was refused need not come back at once, and slices must not be out again when he does.
pub const QUIET_EPOCHS: u8 = u8::MAX;
/// Of the burst, one part in so many may be outstanding. So there are no slices of a burst below it.
pub const LEASED_SHARE: u32 = 20;
/// How long after a slice was taken a floor may still be felt, at most, in microseconds.
pub(crate) const FELT_US: u64 = 3 * EPOCH_US;

/// Slices that are outstanding from one record. The default is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Slices {
    /// The epoch that the rest was written in: the store's clock divided by [`EPOCH_US`].
    pub epoch: u64,
    /// Tokens of slices that were given in `epoch` and may be unspent.
    pub current: u32,
    /// The same of the epoch before.
    pub previous: u32,
    /// For how many epochs, from `epoch` on, no slices are given.
    pub quiet: u8,
    /// Which run of epochs this is: a slice of another run is not accounted for here.
    pub series: u16,
}

impl Slices {
    /// Tokens that may be unspent.
    pub fn outstanding(&self) -> u32 {
        self.current.saturating_add(self.previous)
    }

    /// Whether there is nothing to keep.
    pub fn is_none(&self) -> bool {
        self.outstanding() == 0 && self.quiet == 0
    }

    /// As they are at `now_us`: what is over has dropped out.
    ///
    /// An epoch that lies ahead is one from before the clock stepped back. How long its slices are
    /// still good cannot be told by the clock, so they are counted anew, for the longest life that
    /// a slice has, and meanwhile none is given.
    #[must_use]
    pub fn at(self, now_us: u64) -> Self {
        let now = now_us / EPOCH_US;
        let fresh = u16::try_from(now_us % (1 << 16)).unwrap_or(0);
        if self.is_none() {
            return Self { epoch: now, series: fresh, ..Self::default() };
        }
        if self.epoch > now + 1 {
            let series = if fresh == self.series { fresh.wrapping_add(1) } else { fresh };
            return Self { epoch: now + 1, current: self.outstanding(), previous: 0, quiet: self.quiet, series };
        }
        let passed = now.saturating_sub(self.epoch);
        match passed {
            0 => self,
            1 => Self { epoch: now, current: 0, previous: self.current, quiet: self.quiet.saturating_sub(1), ..self },
            _ => {
                let quiet = self.quiet.saturating_sub(u8::try_from(passed).unwrap_or(u8::MAX));
                Self { epoch: now, current: 0, previous: 0, quiet, ..self }
            }
        }
    }

    /// Whether some are out of an epoch that the clock has stepped back behind: they must be noted
    /// anew, or they would be counted anew by everyone who looks.
    pub fn are_ahead(&self, now_us: u64) -> bool {
        self.outstanding() > 0 && self.epoch > now_us / EPOCH_US + 1
    }

    /// Where slices that have dropped out since have left a bucket that is stored, under its own
    /// figures: they held it down until then. To be asked of the slices as they are stored.
    ///
    /// Whatever was out when a bucket was written, it lacked that much then, and so never comes to
    /// be held further than 600 ms beyond what was written. What would hold it further was
    /// never charged to it: it came to the list later, or under figures that count by `asked`.
    pub fn left(self, bucket: &Bucket, asked: RateLimit, now_us: u64) -> Arrival {
        let drops = [(1, self.outstanding()), (2, self.current)].map(|(epochs, tokens)| ((self.epoch + epochs) * EPOCH_US, tokens));
        let held_until = |(at_us, tokens): (u64, u32)| {
            let worth = held_worth(tokens.min(share(asked)), bucket.limit);
            Arrival::full_at(at_us).after(worth, bucket.limit).min(felt_from(bucket.arrival))
        };
        let settled = bucket.arrival.settled(bucket.limit, now_us);
        drops.into_iter().filter(|(at_us, _)| *at_us <= now_us).map(held_until).fold(settled, Arrival::max)
    }

    /// What a bucket's arrival may not be earlier than at `now_us` while these are out. To be asked
    /// of the slices as they are then.
    pub(crate) fn floor(self, limit: RateLimit, now_us: u64) -> Arrival {
        Arrival::full_at(now_us).after(held_worth(self.outstanding(), limit), limit)
    }

    /// Takes a slice of `granted` tokens out of the sum; false where it is not in it any more.
    pub fn settle(&mut self, epoch: u64, series: u16, granted: u32) -> bool {
        if series != self.series {
            return false;
        }
        if epoch == self.epoch {
            self.current = self.current.saturating_sub(granted);
        } else if epoch + 1 == self.epoch {
            self.previous = self.previous.saturating_sub(granted);
        } else {
            return false;
        }
        true
    }

    /// Whether a slice may be given at `now_us`. To be asked of the slices as they are then.
    pub fn may_give(&self, now_us: u64) -> bool {
        self.quiet == 0 && self.epoch == now_us / EPOCH_US
    }

    /// The largest slice that a bucket gives whose arrival is `arrival`: half of what its share
    /// leaves for slices, so that one node does not take it all, and a quarter of what it holds, so
    /// that slices shrink as it empties.
    pub fn largest(&self, limit: RateLimit, arrival: Arrival, now_us: u64) -> u32 {
        let room = share(limit).min(LEASED_MAX).saturating_sub(self.outstanding()).div_ceil(2);
        let brim_us = now_us.saturating_add(limit.period_us());
        let free_us = brim_us.saturating_sub(arrival.whole_us).saturating_sub(u64::from(arrival.frac > 0));
        // In steps of 1/1024 of the burst, so that all products stay below 2⁵³.
        let steps = free_us.min(limit.period_us()) * 1024 / limit.period_us();
        room.min(u32::try_from(steps * u64::from(limit.burst()) / 4096).unwrap_or(0))
    }

    /// The figures of a bucket that these slices hold down, as [`Standing::read`] gives them of one
    /// that is free: as they will be if nothing is charged, given or handed back meanwhile. To be
    /// asked of the slices as they are at `now_us`.
    ///
    /// A bucket refills from where it was held when slices drop out. It is full when it has after the
    /// last of them; and a cost that does not fit beside slices waits until they are over, no longer.
    pub fn standing(self, arrival: Arrival, limit: RateLimit, refused: Option<Step>, now_us: u64) -> Standing {
        if self.outstanding() == 0 || arrival <= Arrival::full_at(now_us) {
            return Standing::read(arrival, limit, refused, now_us);
        }
        // As the next one will find it: of a limit that was added lately less may be left.
        let arrival = arrival.max(self.floor(limit, now_us).min(felt_from(arrival)));
        let told = Standing::read(arrival, limit, refused, now_us);
        let wait_us = |step| Standing::read(self.held_beside(step, arrival, limit, now_us), limit, Some(step), now_us).retry_after_us;
        // It is full when all of a burst fits.
        let all = Step::of_tokens(limit.burst(), limit);
        Standing { retry_after_us: refused.map_or(0, wait_us), reset_after_us: wait_us(all), ..told }
    }

    /// Where a bucket will be held until a cost that is worth `step` fits.
    fn held_beside(self, step: Step, arrival: Arrival, limit: RateLimit, now_us: u64) -> Arrival {
        let drops = [(1, self.outstanding()), (2, self.current)].map(|(epochs, tokens)| (epochs, held_worth(tokens, limit)));
        let is_in_the_way = |worth: Step| !Arrival::full_at(now_us).after(worth, limit).after(step, limit).within(limit, now_us);
        let floors = drops.into_iter().filter(|(_, worth)| is_in_the_way(*worth));
        let floors = floors.map(|(epochs, worth)| Arrival::full_at((self.epoch + epochs) * EPOCH_US).after(worth, limit));
        floors.fold(arrival, Arrival::max).min(felt_from(arrival))
    }

    /// How long tokens of these may still be spent after `now_us`, in microseconds: at most two epochs.
    ///
    /// No node spends one later, as it counts a slice's life from before the store gave it.
    pub fn good_for_us(&self, now_us: u64) -> u64 {
        let epochs = match (self.current, self.previous) {
            (0, 0) => return 0,
            (0, _) => 1,
            _ => 2,
        };
        ((self.epoch + epochs) * EPOCH_US).saturating_sub(now_us).min(2 * EPOCH_US)
    }

    /// Until when they must be kept, in milliseconds since 1970; 0 where there are none.
    pub fn keep_until_ms(&self) -> u64 {
        if self.is_none() { 0 } else { (self.epoch + u64::from(self.quiet.max(2))) * (EPOCH_US / 1000) }
    }
}

/// How many tokens of a limit may be outstanding.
fn share(limit: RateLimit) -> u32 {
    limit.burst() / LEASED_SHARE
}

/// What outstanding slices hold a bucket down by. More than its share was taken under other limits,
/// and is counted under those.
pub(crate) fn held_worth(tokens: u32, limit: RateLimit) -> Step {
    Step::of_tokens(tokens.min(share(limit)), limit)
}

/// The latest that slices may hold a bucket until that was stored with this arrival.
pub(crate) fn felt_from(stored: Arrival) -> Arrival {
    Arrival { whole_us: stored.whole_us.saturating_add(FELT_US), ..stored }
}

#[cfg(test)]
mod tests;
