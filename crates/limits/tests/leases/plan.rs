//! What a schedule is made of: drawn once, from its seed.

use tollgate_limits::{LimitName, NamedLimit, RateLimit, RateLimits};

use crate::random::Random;

const BURSTS: [u64; 9] = [3, 20, 40, 100, 400, 1000, 1000, 20_000, 1_000_000];
/// What limits are called.
pub(crate) const NAMES: [&str; 3] = ["key", "day", "month"];
const PERIODS_S: [u64; 6] = [1, 1, 2, 10, 60, 1000];

/// How likely what is, in parts of a thousand, and how long what takes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plan {
    pub(crate) nodes: usize,
    pub(crate) keys: usize,
    pub(crate) has_owner: bool,
    pub(crate) requests: usize,
    /// Whether nodes hand slices back that are about to end.
    pub(crate) is_swept: bool,
    /// Calls that do not arrive, and answers that do not.
    pub(crate) lost: u64,
    /// Calls and answers that take long, and how long at most.
    pub(crate) slow: u64,
    pub(crate) slow_us: u64,
    /// Requests that stand still between check and decrement, and for how long at most.
    pub(crate) paused: u64,
    pub(crate) paused_us: u64,
    /// Faults of each kind, per phase.
    pub(crate) crashes: u64,
    pub(crate) changes: u64,
    pub(crate) revokes: u64,
    pub(crate) flushes: u64,
    pub(crate) failovers: u64,
    pub(crate) steps: u64,
    pub(crate) resets: u64,
    /// Records go as soon as nothing would be lost by it.
    pub(crate) expires: bool,
    /// Calls and answers come together: a batch each millisecond.
    pub(crate) is_batched: bool,
}

impl Plan {
    /// Nothing goes wrong.
    pub(crate) fn calm(nodes: usize) -> Self {
        let none = Self { nodes, keys: 1, is_swept: true, ..Self::default() };
        Self { slow_us: 1, paused_us: 1, ..none }
    }

    pub(crate) fn draw(seed: u64) -> (Self, Random) {
        let mut random = Random(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ 0x6c65_6173);
        // A third of the schedules has no faults, a third one kind, a third all of them.
        let kinds = random.below(3);
        let one = random.below(7);
        let fault = |kind, often| match kinds {
            0 => 0,
            1 => u64::from(kind == one) * often * 2,
            _ => often,
        };
        let (crashes, changes, revokes) = (fault(0, 100), fault(1, 100), fault(2, 20));
        let (flushes, failovers, steps) = (fault(3, 30), fault(4, 60), fault(5, 100));
        let resets = fault(6, 60);
        let is_rough = random.chance(500);
        let plan = Self {
            nodes: 1 + random.below(4) as usize,
            keys: 1 + random.below(2) as usize,
            has_owner: random.chance(500),
            requests: 60 + random.below(140) as usize,
            is_swept: random.chance(600),
            lost: if is_rough { random.pick(&[0, 10, 100]) } else { 0 },
            slow: if is_rough { random.pick(&[0, 20, 200, 1000]) } else { 0 },
            slow_us: random.pick(&[5_000, 20_000, 60_000, 1_000_000]),
            paused: if is_rough { random.pick(&[0, 20, 200]) } else { 0 },
            paused_us: random.pick(&[1_000, 300_000, 2_000_000]),
            crashes,
            changes,
            revokes,
            flushes,
            failovers,
            steps,
            resets,
            expires: random.chance(500),
            is_batched: random.chance(300),
        };
        (plan, random)
    }
}

/// The limits of a subject: one, or two of different periods, under any of the names; at times none.
pub(crate) fn limits(random: &mut Random, may_be_none: bool) -> RateLimits {
    let count = match random.below(100) {
        0..10 if may_be_none => 0,
        0..80 => 1,
        _ => 2,
    };
    let first = if random.chance(200) { random.below(NAMES.len() as u64) as usize } else { 0 };
    let named = |name: &str, random: &mut Random| NamedLimit {
        name: LimitName::new(name).expect("a good name"),
        limit: RateLimit::new(random.pick(&BURSTS), random.pick(&PERIODS_S)).expect("in range"),
    };
    let chosen = (first..first + count).map(|place| NAMES[place % NAMES.len()]);
    RateLimits::new(chosen.map(|name| named(name, random)).collect()).expect("different names")
}
