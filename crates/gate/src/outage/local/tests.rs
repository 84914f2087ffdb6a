use std::{num::NonZeroU32, time::Duration};

use super::*;
use crate::ports::Subjects;
use tollgate_limits::{LimitName, RateLimit, RateLimits};

fn limits(named: &[(&str, u64, u64)]) -> RateLimits {
    let limit = |(name, burst, per_seconds): &(&str, u64, u64)| NamedLimit {
        name: LimitName::new(name).expect("a name"),
        limit: RateLimit::new(*burst, *per_seconds).expect("a limit"),
    };
    RateLimits::new(named.iter().map(limit).collect()).expect("limits")
}

fn subject(kind: SubjectKind, id: &str, limits: RateLimits) -> Subject {
    Subject { kind, id: id.into(), generation: 1, limits }
}

fn of_key(id: &str, limits: RateLimits) -> Decision {
    let subjects = Subjects { first: subject(SubjectKind::Key, id, limits), owner: None };
    Decision { subjects, cost: Cost::ONE, peek: false }
}

/// The share of the first of so many nodes.
fn first_of(nodes: u32) -> impl Fn(&Subject, &NamedLimit) -> Share {
    move |_, named| Share::of(named.limit, NonZeroU32::new(nodes).expect("some"), 0)
}

fn remaining(told: &Locally) -> Vec<u32> {
    match told {
        Locally::Allowed(standings) | Locally::Limited(standings) => standings.iter().map(|told| told.standing.remaining).collect(),
        other => panic!("not decided: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_spent_stays_spent_and_comes_back_with_time_alone() {
    let (buckets, decision) = (LocalBuckets::new(10), of_key("a", limits(&[("key", 10, 60)])));
    for left in [3, 2, 1, 0] {
        assert_eq!(remaining(&buckets.decide(&decision, first_of(3))), [left]);
    }
    let refused = buckets.decide(&decision, first_of(3));
    let Locally::Limited(standings) = &refused else { panic!("a share of four: {refused:?}") };
    assert_eq!(standings[0].standing.retry_after_us, 18_000_000, "ten tokens in three minutes");
    assert_eq!(standings[0].named.limit.burst(), 10, "the limit is what it was");
    tokio::time::advance(Duration::from_secs(17)).await;
    assert!(matches!(buckets.decide(&decision, first_of(3)), Locally::Limited(_)));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(remaining(&buckets.decide(&decision, first_of(3))), [0]);
}

#[tokio::test(start_paused = true)]
async fn all_limits_of_key_and_owner_allow_or_nothing_is_charged() {
    let buckets = LocalBuckets::new(10);
    let mut decision = of_key("a", limits(&[("second", 5, 1), ("day", 2, 86_400)]));
    decision.subjects.owner = Some(subject(SubjectKind::Owner, "acme", limits(&[("owner", 3, 60)])));
    assert_eq!(remaining(&buckets.decide(&decision, first_of(1))), [4, 1, 2]);
    assert_eq!(remaining(&buckets.decide(&decision, first_of(1))), [3, 0, 1]);
    let refused = buckets.decide(&decision, first_of(1));
    assert_eq!((remaining(&refused), matches!(refused, Locally::Limited(_))), (vec![3, 0, 1], true));
    // Another key of the owner has the owner's last one.
    decision.subjects.first = subject(SubjectKind::Key, "b", limits(&[("key", 5, 60)]));
    assert_eq!(remaining(&buckets.decide(&decision, first_of(1))), [4, 0]);
    assert_eq!(remaining(&buckets.decide(&decision, first_of(1))), [4, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_peek_and_a_denial_charge_nothing() {
    let buckets = LocalBuckets::new(10);
    let decision = of_key("a", limits(&[("key", 1, 60)]));
    let peek = Decision { peek: true, ..decision.clone() };
    for _ in 0..3 {
        assert_eq!(remaining(&buckets.decide(&peek, first_of(1))), [1]);
    }
    assert_eq!(buckets.taken.load(Ordering::Relaxed), 0, "nothing is kept for it");
    buckets.decide(&decision, first_of(1));
    for _ in 0..3 {
        let Locally::Limited(standings) = buckets.decide(&decision, first_of(1)) else { panic!("spent") };
        assert_eq!(standings[0].standing.retry_after_us, 60_000_000);
    }
}

#[tokio::test(start_paused = true)]
async fn a_renamed_limit_does_not_refill_the_old_one() {
    let buckets = LocalBuckets::new(10);
    let (old, new) = (limits(&[("old", 2, 60)]), limits(&[("new", 5, 60)]));
    buckets.decide(&of_key("a", old.clone()), first_of(1));
    buckets.decide(&of_key("a", new), first_of(1));
    assert_eq!(remaining(&buckets.decide(&of_key("a", old), first_of(1))), [0]);
}

#[tokio::test(start_paused = true)]
async fn older_rules_do_not_come_back() {
    let buckets = LocalBuckets::new(10);
    let (mut new, old) = (of_key("a", limits(&[("key", 2, 60)])), of_key("a", limits(&[("key", 100, 60)])));
    new.subjects.first.generation = 2;
    buckets.decide(&new, first_of(1));
    assert_eq!(buckets.decide(&old, first_of(1)), Locally::Stale);
}

#[tokio::test(start_paused = true)]
async fn memory_is_bounded_and_no_spent_bucket_makes_room() {
    let buckets = LocalBuckets::new(100);
    let ask = |number: usize| buckets.decide(&of_key(&number.to_string(), limits(&[("key", 1, 60)])), first_of(1));
    let outcomes: Vec<Locally> = (0..1000).map(ask).collect();
    assert!(outcomes[..100].iter().all(|told| matches!(told, Locally::Allowed(_))));
    assert!(outcomes[100..].iter().all(|told| *told == Locally::Full), "forgetting one would fill it");
    assert!((0..100).all(|number| matches!(ask(number), Locally::Limited(_))), "none was forgotten");
    tokio::time::advance(Duration::from_mins(1)).await;
    let allowed = (1000..2000).filter(|number| matches!(ask(*number), Locally::Allowed(_))).count();
    assert_eq!(allowed, 100, "all that were full again have made room");
    assert!(buckets.shards.iter().map(|shard| shard.lock().expect("whole").subjects.len()).sum::<usize>() <= 100);
}

#[tokio::test(start_paused = true)]
async fn an_unlimited_subject_is_allowed_and_not_kept() {
    let buckets = LocalBuckets::new(0);
    assert_eq!(buckets.decide(&of_key("a", RateLimits::unlimited()), first_of(3)), Locally::Allowed(Vec::new()));
}
