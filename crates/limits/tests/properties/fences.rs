//! Fences: an older generation is always told, a revocation holds, and neither is ever undone.

use proptest::{collection::vec, prelude::*};
use tollgate_limits::{Ask, Decided, RateLimits, Record, decide};

use crate::moves::START_US;
use crate::subject::{cost, limit, list};

#[derive(Debug, Clone, Copy)]
enum Act {
    Raise { subject: usize, generation: u64, revoked: bool, end_ms: u64 },
    Ask { generations: [u64; 2], tokens: u32, peek: bool, gap_us: u64 },
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let generation = || prop_oneof![0..8_u64, 0..(1_u64 << 56)];
    let raise = (0..2_usize, generation(), prop::bool::weighted(0.1), 0..5_000_000_000_000_u64)
        .prop_map(|(subject, generation, revoked, end_ms)| Act::Raise { subject, generation, revoked, end_ms });
    let ask = (generation(), generation(), 1..=12_u32, any::<bool>(), 0..2_000_000_u64)
        .prop_map(|(key, owner, tokens, peek, gap_us)| Act::Ask { generations: [key, owner], tokens, peek, gap_us });
    vec(prop_oneof![1 => raise, 3 => ask], 1..60)
}

/// What the fences alone have to say, if they say anything.
fn fenced(fences: &[(u64, bool); 2], generations: [u64; 2]) -> Option<Decided> {
    let of = |(subject, (fence, generation)): (usize, (&(u64, bool), u64))| match fence {
        (_, true) => Some(Decided::Revoked { subject }),
        (newest, false) if *newest > generation => Some(Decided::Stale { subject }),
        _ => None,
    };
    fences.iter().zip(generations).enumerate().find_map(of)
}

proptest! {
    #[test]
    fn a_fence_is_final(acts in acts(), unlimited in any::<bool>()) {
        let key = if unlimited { RateLimits::unlimited() } else { list(&[limit(10, 10), limit(1000, 3600)]) };
        let owner = list(&[limit(11, 7)]);
        let (mut records, mut now_us) = ([Record::default(), Record::default()], START_US);
        let mut fences = [(0, false); 2];
        for act in acts {
            let before = records.clone();
            match act {
                Act::Raise { subject, generation, revoked, end_ms } => {
                    records[subject].raise(generation, revoked, end_ms);
                    fences[subject] = (fences[subject].0.max(generation), fences[subject].1 || revoked);
                    prop_assert!(records[subject].fence_end_ms >= end_ms);
                    prop_assert_eq!(&records[subject].buckets, &before[subject].buckets, "a fence touches no bucket");
                }
                Act::Ask { generations, tokens, peek, gap_us } => {
                    now_us += gap_us;
                    let asks = [Ask { generation: generations[0], limits: &key }, Ask { generation: generations[1], limits: &owner }];
                    let decided = decide(&mut records, &asks, cost(tokens), peek, now_us);
                    match fenced(&fences, generations) {
                        Some(refusal) => prop_assert_eq!(&decided, &refusal),
                        None => prop_assert!(!matches!(decided, Decided::Stale { .. } | Decided::Revoked { .. }), "{:?}", decided),
                    }
                    let charged = matches!(decided, Decided::Allowed(_)) && !peek;
                    prop_assert!(charged || records == before, "{decided:?} left a trace");
                    for (place, (record, generation)) in records.iter().zip(generations).enumerate() {
                        if charged && !(place == 0 && unlimited) {
                            fences[place].0 = generation;
                        }
                        prop_assert_eq!(record.fence_end_ms, before[place].fence_end_ms, "a decision moves no fence's end");
                    }
                }
            }
            for ((record, before), fence) in records.iter().zip(&before).zip(fences) {
                prop_assert_eq!((record.generation, record.revoked), fence);
                prop_assert!(record.generation >= before.generation && record.revoked >= before.revoked);
                prop_assert!(record.fence_end_ms >= before.fence_end_ms);
            }
        }
    }
}
