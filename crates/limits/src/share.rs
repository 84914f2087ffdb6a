//! One node's share of a limit, for while no store holds the limit for all nodes together.
//!
//! Of `N` nodes each holds `⌊B / N⌋` tokens of a limit of burst `B`, one more on the first
//! `B mod N` of them; so all shares together are the burst. Each share refills at `1 / N` of the
//! limit's rate: one token is worth `N · P / B` µs, whatever the share holds.
//!
//! As in [`crate::Arrival`], instants are counted in parts of one microsecond divided by the burst,
//! so all of it is exact. Nothing overflows: an instant takes at most 64 + 30 bits, a period of all
//! nodes 42 + 14 bits, and products of such are never taken.

use std::num::NonZeroU32;

use crate::{Cost, RateLimit, Standing};

/// What one node holds of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    limit: RateLimit,
    /// At least 1.
    nodes: u32,
    tokens: u32,
}

/// A share, and how much of it is spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShareBucket {
    share: Share,
    /// When it is full, in parts of a microsecond divided by the burst.
    full_at: u128,
}

impl Share {
    /// Nodes that may share a limit at most; more count as so many.
    pub const NODES_MAX: u32 = 10_000;

    /// The share of the node that is number `place`, from 0, of `nodes`.
    pub fn of(limit: RateLimit, nodes: NonZeroU32, place: u32) -> Self {
        let nodes = nodes.get().min(Self::NODES_MAX);
        let remainder = limit.burst() % nodes;
        Self { limit, nodes, tokens: limit.burst() / nodes + u32::from(place < remainder) }
    }

    /// Tokens that it holds when it is full; 0 where there are more nodes than tokens.
    pub fn tokens(self) -> u32 {
        self.tokens
    }

    /// What one token is worth.
    fn token(self) -> u128 {
        u128::from(self.limit.period_us()) * u128::from(self.nodes)
    }

    fn whole(self) -> u128 {
        self.token() * u128::from(self.tokens)
    }

    fn at(self, now_us: u64) -> u128 {
        u128::from(now_us) * u128::from(self.limit.burst())
    }
}

impl ShareBucket {
    /// One of which nothing is spent.
    pub fn full(share: Share) -> Self {
        Self { share, full_at: 0 }
    }

    /// The same debt of tokens under `share`, which may be another one than before, as of `now_us`:
    /// at most all that it holds, and a part of a microsecond more where it does not divide.
    #[must_use]
    pub fn settled(self, share: Share, now_us: u64) -> Self {
        let owed = self.full_at.saturating_sub(self.share.at(now_us)).min(self.share.whole());
        let (old, new) = (self.share.token(), share.token());
        // Whole tokens and the rest apart: their product with a token does not fit otherwise.
        let owed = if old == new { owed } else { owed / old * new + (owed % old * new).div_ceil(old) };
        Self { share, full_at: share.at(now_us) + owed.min(share.whole()) }
    }

    /// Whether it holds so many tokens. It must be settled at `now_us`.
    pub fn holds(self, cost: Cost, now_us: u64) -> bool {
        self.after(cost).full_at <= self.share.at(now_us) + self.share.whole()
    }

    /// It without so many tokens.
    #[must_use]
    pub fn after(self, cost: Cost) -> Self {
        Self { full_at: self.full_at + self.share.token() * u128::from(cost.tokens()), ..self }
    }

    /// Whether nothing of it is spent, so that it need not be kept.
    pub fn is_full(self, now_us: u64) -> bool {
        self.full_at <= self.share.at(now_us)
    }

    /// Its figures; `refused` is a cost that it did not hold. It must be settled at `now_us`.
    pub fn standing(self, refused: Option<Cost>, now_us: u64) -> Standing {
        let owed = self.full_at.saturating_sub(self.share.at(now_us));
        let (whole, burst) = (self.share.whole(), u128::from(self.share.limit.burst()));
        let wait = refused.map_or(0, |cost| (owed + self.share.token() * u128::from(cost.tokens())).saturating_sub(whole));
        let micros = |parts: u128| u64::try_from(parts.div_ceil(burst)).unwrap_or(u64::MAX);
        Standing {
            fits: refused.is_none(),
            remaining: u32::try_from(whole.saturating_sub(owed) / self.share.token()).unwrap_or(u32::MAX),
            retry_after_us: micros(wait),
            reset_after_us: micros(owed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000_000_000;
    const MINUTE_US: u64 = 60_000_000;

    fn limit(burst: u64, per_seconds: u64) -> RateLimit {
        RateLimit::new(burst, per_seconds).expect("a good limit")
    }

    fn share(burst: u64, nodes: u32, place: u32) -> Share {
        Share::of(limit(burst, 60), NonZeroU32::new(nodes).expect("some"), place)
    }

    fn cost(tokens: u32) -> Cost {
        Cost::new(tokens.into()).expect("a cost")
    }

    /// How many single tokens it gives at one instant, and what is left of it.
    fn drained(share: Share, mut bucket: ShareBucket, now_us: u64) -> (u32, ShareBucket) {
        let mut given = 0;
        bucket = bucket.settled(share, now_us);
        while bucket.holds(Cost::ONE, now_us) {
            bucket = bucket.after(Cost::ONE);
            given += 1;
        }
        (given, bucket)
    }

    #[test]
    fn shares_together_are_the_burst() {
        for (burst, nodes) in [(1, 1), (10, 3), (2, 3), (9, 3), (1_000_000_000, 10_000), (7, 10_000)] {
            let tokens = (0..nodes).map(|place| share(burst, nodes, place).tokens());
            assert_eq!(tokens.map(u64::from).sum::<u64>(), burst, "{burst} over {nodes}");
        }
        assert_eq!([0, 1, 2].map(|place| share(10, 3, place).tokens()), [4, 3, 3]);
        assert_eq!(share(10, u32::MAX, 0), share(10, Share::NODES_MAX, 0));
    }

    #[test]
    fn a_share_gives_what_it_holds_and_refills_at_the_nth_part_of_the_rate() {
        for place in 0..3 {
            let share = share(10, 3, place);
            let (given, empty) = drained(share, ShareBucket::full(share), NOW);
            assert_eq!(given, share.tokens());
            // A token in 18 s, to the microsecond, whether the share is three or four.
            assert_eq!(drained(share, empty, NOW + 17_999_999).0, 0, "place {place}");
            assert_eq!(drained(share, empty, NOW + 18_000_000).0, 1, "place {place}");
            assert_eq!(drained(share, empty, NOW + 3 * 18_000_000).0, 3, "place {place}");
            assert_eq!(drained(share, empty, NOW + 10 * MINUTE_US).0, share.tokens(), "never above the share");
        }
    }

    #[test]
    fn another_number_of_nodes_keeps_the_debt() {
        let (three, two, five) = (share(10, 3, 0), share(10, 2, 0), share(10, 5, 0));
        let (_, empty) = drained(three, ShareBucket::full(three), NOW);
        assert_eq!(drained(two, empty, NOW).0, 1, "four of five are spent");
        assert_eq!(drained(five, empty, NOW).0, 0);
        let back = empty.settled(five, NOW).settled(three, NOW);
        assert_eq!(drained(three, back, NOW).0, 2, "a share of two cannot owe more than two");
    }

    #[test]
    fn another_limit_keeps_the_debt() {
        let nodes = NonZeroU32::new(2).expect("some");
        let (small, large) = (Share::of(limit(4, 1), nodes, 0), Share::of(limit(1_000_000_000, 2_678_400), nodes, 0));
        let (_, empty) = drained(small, ShareBucket::full(small), NOW);
        let settled = empty.settled(large, NOW);
        assert_eq!(settled.standing(None, NOW).remaining, 500_000_000 - 2);
        assert_eq!(drained(small, settled, NOW).0, 0, "there and back");
    }

    #[test]
    fn figures_are_those_of_the_share() {
        let share = share(10, 3, 2);
        let bucket = ShareBucket::full(share).settled(share, NOW).after(cost(2));
        let told = bucket.standing(Some(cost(2)), NOW);
        assert_eq!(told, Standing { fits: false, remaining: 1, retry_after_us: 18_000_000, reset_after_us: 36_000_000 });
        assert!(bucket.settled(share, NOW + told.retry_after_us).holds(cost(2), NOW + told.retry_after_us));
        assert!(!bucket.settled(share, NOW + told.retry_after_us - 1).holds(cost(2), NOW + told.retry_after_us - 1));
        assert!(bucket.is_full(NOW + told.reset_after_us) && !bucket.is_full(NOW + told.reset_after_us - 1));
    }

    #[test]
    fn a_share_of_nothing_gives_nothing() {
        let nothing = share(2, 3, 2);
        let bucket = ShareBucket::full(nothing).settled(nothing, NOW);
        assert!(!bucket.holds(Cost::ONE, NOW));
        assert_eq!(bucket.standing(None, NOW).remaining, 0);
    }

    #[test]
    fn absurd_figures_do_not_overflow() {
        let most = NonZeroU32::new(Share::NODES_MAX).expect("some");
        let shares = [limit(1_000_000_000, 2_678_400), limit(1, 1), limit(1, 2_678_400), limit(1_000_000_000, 1)];
        for (old, new) in shares.iter().flat_map(|old| shares.iter().map(move |new| (*old, *new))) {
            for nodes in [NonZeroU32::MIN, most] {
                let (old, new) = (Share::of(old, most, 0), Share::of(new, nodes, 0));
                for now in [0, NOW, u64::MAX] {
                    let spent = ShareBucket::full(old).settled(old, now).after(cost(Cost::MAX));
                    assert!(spent.settled(new, now).standing(Some(cost(Cost::MAX)), now).remaining <= new.tokens());
                }
            }
        }
    }
}
