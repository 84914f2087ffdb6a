//! How many nodes there are, and which of them a bucket gives its remainder to.
//!
//! The registry forgets a node that has not been heard of for a while; this node remembers what it
//! saw last, for as long as the registry cannot be read: in an outage that is all that is known.

use std::{
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use tollgate_keys::{RandomnessError, random_bytes};
use tollgate_limits::NamedLimit;

use crate::{
    gate::GateShared,
    ports::{NodeId, Subject, SubjectKind},
};

/// Heartbeats in the time after which a node that sends none is forgotten.
pub(crate) const BEATS_PER_TTL: u32 = 5;

#[derive(Debug)]
pub(crate) struct Registry {
    me: NodeId,
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    /// What is known; this node is always one of them.
    fleet: Arc<Fleet>,
    /// When each node was last listed.
    listed: Vec<(NodeId, Instant)>,
    /// Since when no reading has failed.
    reading_since: Option<Instant>,
}

impl Seen {
    /// Takes over a list. After an outage the registry is empty and fills up beat by beat, so a node
    /// that is not listed is forgotten only when the registry has been read for `ttl` without it.
    fn see(&mut self, me: NodeId, live: &[NodeId], now: Instant, ttl: Duration) {
        let is_settled = now.duration_since(*self.reading_since.get_or_insert(now)) >= ttl;
        let is_over = |at: Instant| is_settled && now.duration_since(at) >= ttl;
        self.listed.retain(|(node, at)| !live.contains(node) && !is_over(*at));
        self.listed.extend(live.iter().map(|node| (*node, now)));
        let known: Vec<NodeId> = self.listed.iter().map(|(node, _)| *node).collect();
        self.fleet = Arc::new(Fleet::of(me, &known));
    }
}

/// The nodes that were seen last.
#[derive(Debug)]
pub(crate) struct Fleet {
    me: NodeId,
    others: Vec<NodeId>,
}

impl Registry {
    pub(crate) fn new() -> Result<Self, RandomnessError> {
        let me = NodeId(u128::from_be_bytes(random_bytes()?));
        let fleet = Arc::new(Fleet::of(me, &[]));
        Ok(Self { me, seen: Mutex::new(Seen { fleet, listed: Vec::new(), reading_since: None }) })
    }

    /// This node, from its start to its end.
    pub(crate) fn me(&self) -> NodeId {
        self.me
    }

    pub(crate) fn seen(&self) -> Arc<Fleet> {
        self.with_seen(|seen| seen.fleet.clone())
    }

    fn with_seen<T>(&self, look: impl FnOnce(&mut Seen) -> T) -> T {
        look(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Fleet {
    fn of(me: NodeId, live: &[NodeId]) -> Self {
        let mut others: Vec<NodeId> = live.iter().copied().filter(|node| *node != me).collect();
        others.sort_unstable();
        others.dedup();
        Self { me, others }
    }

    /// Nodes that a limit is shared between.
    pub(crate) fn nodes(&self, nodes_min: NonZeroU32) -> NonZeroU32 {
        let live = u32::try_from(self.others.len()).unwrap_or(u32::MAX).saturating_add(1);
        nodes_min.max(NonZeroU32::new(live).unwrap_or(NonZeroU32::MIN))
    }

    /// This node's place, from 0, in the order in which the nodes get the remainder of a limit.
    ///
    /// Nodes that must be there and have not been seen come first: none of those that were seen
    /// takes what may be theirs, so that all together never hold more than the limit.
    pub(crate) fn place(&self, subject: &Subject, limit: &NamedLimit, nodes: NonZeroU32) -> u32 {
        let bucket = hash_of(subject, limit);
        let mine = (score(self.me, bucket), self.me);
        let before = self.others.iter().filter(|other| (score(**other, bucket), **other) < mine).count();
        let live = self.others.len() + 1;
        u32::try_from((nodes.get() as usize).saturating_sub(live) + before).unwrap_or(u32::MAX)
    }
}

/// A bucket's own order of the nodes (rendezvous hashing): every node finds the same, and a node
/// that comes or goes moves nobody else.
fn score(node: NodeId, bucket: u64) -> u64 {
    #[allow(clippy::cast_possible_truncation, reason = "any half of a random number is as good as the other")]
    let half = node.0 as u64;
    mixed(bucket ^ half)
}

/// FNV-1a over kind, id and limit: the same on every node and in every version.
fn hash_of(subject: &Subject, limit: &NamedLimit) -> u64 {
    let kind: &[u8] = match subject.kind {
        SubjectKind::Key => b"k:",
        SubjectKind::Owner => b"o:",
        SubjectKind::Named => b"n:",
    };
    let bytes = kind.iter().chain(subject.id.as_bytes()).chain(b":").chain(limit.name.as_str().as_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The finaliser of `SplitMix64` (Steele, Lea and Flood, 2014): each bit of the input moves half of
/// the output's.
fn mixed(input: u64) -> u64 {
    let first = (input ^ (input >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let second = (first ^ (first >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    second ^ (second >> 31)
}

impl GateShared {
    /// Tells the registry that this node lives, and remembers who else does.
    pub(crate) async fn keep_registered(&self) {
        let ttl = self.options.outage.nodes_ttl;
        let beat = tokio::time::timeout(ttl, self.nodes.beat(self.registry.me, Some(ttl)));
        let beat = beat.await;
        if !matches!(beat, Ok(Ok(_))) {
            self.registry.with_seen(|seen| seen.reading_since = None);
        }
        match beat {
            Ok(Ok(live)) => {
                self.registry.with_seen(|seen| seen.see(self.registry.me, &live, Instant::now(), ttl));
                self.metrics.nodes(self.registry.seen().nodes(NonZeroU32::MIN).get());
                self.tell_status().await;
            }
            Ok(Err(error)) => tracing::debug!(%error, "the registry of nodes cannot be reached"),
            Err(_) => tracing::debug!("the registry of nodes does not answer"),
        }
    }

    /// Takes this node out of the registry, so that the others begin to forget it at once.
    pub(crate) async fn unregister(&self) {
        let ttl = self.options.outage.nodes_ttl;
        // Where that fails it is forgotten all the same.
        drop(tokio::time::timeout(ttl / BEATS_PER_TTL, self.nodes.beat(self.registry.me, None)).await);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tollgate_limits::{LimitName, RateLimit, RateLimits, Share};

    fn limit(burst: u64) -> NamedLimit {
        NamedLimit { name: LimitName::new("key").expect("a name"), limit: RateLimit::new(burst, 60).expect("a limit") }
    }

    fn subject(id: &str) -> Subject {
        Subject { kind: SubjectKind::Key, id: id.into(), generation: 0, limits: RateLimits::unlimited() }
    }

    fn fleet(count: u128) -> Vec<Fleet> {
        let live: Vec<NodeId> = (1..=count).map(|node| NodeId(node.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))).collect();
        live.iter().map(|me| Fleet::of(*me, &live)).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_registry_that_fills_up_after_an_outage_makes_nobody_forgotten() {
        let (me, other, ttl, start) = (NodeId(1), NodeId(2), Duration::from_secs(5), Instant::now());
        let registry = Registry { me, ..Registry::new().expect("randomness") };
        let see = |live: &[NodeId], after: Duration| registry.with_seen(|seen| seen.see(me, live, start + after, ttl));
        let count = || registry.seen().nodes(NonZeroU32::MIN).get();
        see(&[me, other], Duration::ZERO);
        registry.with_seen(|seen| seen.reading_since = None);
        see(&[me], Duration::from_mins(1));
        see(&[me], Duration::from_secs(64));
        assert_eq!(count(), 2, "the other may not have beaten yet");
        see(&[me], Duration::from_secs(65));
        assert_eq!(count(), 1, "it had its time");
        see(&[me, other], Duration::from_secs(66));
        see(&[me], Duration::from_secs(70));
        assert_eq!(count(), 2);
        see(&[me], Duration::from_secs(71));
        assert_eq!(count(), 1);
    }

    fn at_least(count: u32) -> NonZeroU32 {
        NonZeroU32::new(count).expect("some")
    }

    /// Tokens of all nodes together.
    fn together(nodes: &[Fleet], nodes_min: u32, id: &str, limit: &NamedLimit) -> u32 {
        let share = |node: &Fleet| {
            let nodes = node.nodes(at_least(nodes_min));
            Share::of(limit.limit, nodes, node.place(&subject(id), limit, nodes)).tokens()
        };
        nodes.iter().map(share).sum()
    }

    #[test]
    fn nodes_that_see_each_other_share_every_token_once() {
        for (count, burst) in [(1, 10), (2, 11), (3, 10), (3, 2), (7, 3), (8, 1000)] {
            for id in ["a", "b", "c"] {
                assert_eq!(together(&fleet(count), 1, id, &limit(burst)), u32::try_from(burst).expect("small"), "{burst} over {count}");
            }
        }
    }

    #[test]
    fn nodes_that_do_not_see_each_other_never_share_out_more_than_there_is() {
        let alone = |count| -> Vec<Fleet> { fleet(count).iter().map(|node| Fleet::of(node.me, &[])).collect() };
        assert_eq!(together(&alone(3), 3, "a", &limit(10)), 9);
        assert_eq!(together(&alone(3), 3, "a", &limit(2)), 0);
        let two_see_each_other = |mut nodes: Vec<Fleet>| {
            let pair = [nodes[0].me, nodes[1].me];
            nodes[0] = Fleet::of(pair[0], &pair);
            nodes[1] = Fleet::of(pair[1], &pair);
            nodes
        };
        for id in ["a", "b", "c", "d"] {
            assert!(together(&two_see_each_other(alone(3)), 3, id, &limit(11)) <= 11);
        }
    }

    #[test]
    fn every_bucket_has_an_order_of_its_own() {
        let (nodes, mut gets) = (fleet(3), [0; 3]);
        for bucket in 0..3000 {
            let (subject, limit) = (subject(&bucket.to_string()), limit(10));
            let first = nodes.iter().position(|node| node.place(&subject, &limit, at_least(3)) == 0).expect("one is first");
            gets[first] += 1;
        }
        assert!(gets.iter().all(|count| (900..1100).contains(count)), "{gets:?}");
    }

    #[test]
    fn a_node_that_goes_moves_nobody_else() {
        let (three, limit) = (fleet(3), limit(10));
        let left: Vec<NodeId> = three.iter().take(2).map(|node| node.me).collect();
        for bucket in 0..100 {
            let subject = subject(&bucket.to_string());
            let place = |fleet: &Fleet, nodes| fleet.place(&subject, &limit, at_least(nodes));
            let before = place(&three[0], 3) < place(&three[1], 3);
            let after = place(&Fleet::of(left[0], &left), 2) < place(&Fleet::of(left[1], &left), 2);
            assert_eq!(before, after);
        }
    }

    #[test]
    fn the_order_is_the_same_in_every_version() {
        assert_eq!(hash_of(&subject("tk_1"), &limit(1)), 0x3b55_8696_0349_0e3c);
        assert_eq!(mixed(1), 0x5692_161d_100b_05e5);
    }
}
