use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tollgate_gate::ports::{Subject, SubjectKind, Subjects};
use tollgate_limits::{Cost, LeaseAsk, LimitName, RateLimit, RateLimits};

use super::*;

const START_US: u64 = 1_800_000_000_000_000;
const SECOND_US: u64 = 1_000_000;
const FENCE_TTL: Duration = Duration::from_mins(70);

/// A joined store and the hands of its clock.
struct Fixture {
    store: MemoryBuckets,
    now_us: Arc<AtomicU64>,
}

impl Fixture {
    fn new(subjects_max: usize) -> Self {
        let now_us = Arc::new(AtomicU64::new(START_US));
        let hands = Arc::clone(&now_us);
        let clock = MicrosClock::new(move || hands.load(Ordering::SeqCst));
        let store = MemoryBuckets::new(MemoryBucketsBounds { subjects_max, fence_ttl: FENCE_TTL }, clock);
        store.join_now(&LogId("log".into())).expect("joined");
        Self { store, now_us }
    }

    fn at(&self, since_start_us: u64) -> &Self {
        self.now_us.store(START_US + since_start_us, Ordering::SeqCst);
        self
    }

    fn ask(&self, id: &str, generation: u64, limits: RateLimits) -> Outcome {
        self.decide(id, generation, limits, false)
    }

    fn decide(&self, id: &str, generation: u64, limits: RateLimits, peek: bool) -> Outcome {
        let first = Subject { kind: SubjectKind::Key, id: id.into(), generation, limits };
        self.store.decide_now(&Decision { subjects: Subjects { first, owner: None }, cost: Cost::ONE, peek }, LeaseAsk::default())
    }

    fn fence(&self, id: &str, generation: u64) {
        let id: Arc<str> = id.into();
        let fence = Fence { kind: SubjectKind::Key, placed_by: Arc::clone(&id), id, generation, revoked: false, reset: false };
        self.store.raise_now(&fence).expect("a raised fence");
    }
}

fn limit(burst: u64, per_seconds: u64) -> RateLimits {
    RateLimits::one(LimitName::new("key").expect("a name"), RateLimit::new(burst, per_seconds).expect("a limit"))
}

fn is_allowed(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Allowed(_))
}

fn is_limited(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Limited(_))
}

#[test]
fn a_bucket_refills_by_the_clock_that_is_given() {
    let fixture = Fixture::new(10);
    assert!(is_allowed(&fixture.ask("a", 1, limit(2, 10))));
    assert!(is_allowed(&fixture.ask("a", 1, limit(2, 10))));
    assert!(is_limited(&fixture.at(5 * SECOND_US - 1).ask("a", 1, limit(2, 10))));
    assert!(is_allowed(&fixture.at(5 * SECOND_US).ask("a", 1, limit(2, 10))));
}

#[test]
fn full_of_subjects_that_matter_it_breaks_new_ones_alone() {
    let fixture = Fixture::new(3);
    for id in ["a", "b", "c"] {
        assert!(is_allowed(&fixture.ask(id, 1, limit(2, 60))));
    }
    assert_eq!(fixture.ask("d", 1, limit(2, 60)), Outcome::Broken);
    assert!(is_allowed(&fixture.ask("a", 1, limit(2, 60))), "who is known is decided as ever");
    assert!(is_limited(&fixture.ask("a", 1, limit(2, 60))));
    assert!(is_allowed(&fixture.decide("d", 1, limit(2, 60), true)), "a peek keeps nothing");
    assert!(is_allowed(&fixture.ask("d", 1, RateLimits::unlimited())), "nor does an unlimited key");
    assert_eq!(fixture.store.subjects(), 3);
}

#[test]
fn room_is_made_from_those_that_are_full_again() {
    let fixture = Fixture::new(3);
    for id in ["a", "b", "c"] {
        assert!(is_allowed(&fixture.ask(id, 1, limit(2, 60))));
    }
    assert!(is_allowed(&fixture.at(30 * SECOND_US).ask("d", 1, limit(2, 60))));
    assert!(fixture.store.subjects() <= 3);
}

#[test]
fn memory_is_bounded_by_what_matters_not_by_what_came_by() {
    let fixture = Fixture::new(1_000_000);
    for second in 0..5000 {
        let outcome = fixture.at(second * SECOND_US).ask(&format!("key {second}"), 1, limit(1, 10));
        assert!(is_allowed(&outcome));
    }
    // Ten of them still refill at any time; each shard may hold as many again and a few more.
    assert!(fixture.store.subjects() < 100, "{} subjects are kept", fixture.store.subjects());
}

#[test]
fn a_fence_is_kept_beyond_the_bound() {
    let fixture = Fixture::new(1);
    assert!(is_allowed(&fixture.ask("a", 1, limit(2, 60))));
    fixture.fence("b", 7);
    assert_eq!(fixture.ask("b", 6, RateLimits::unlimited()), Outcome::Stale);
}

#[test]
fn a_fence_outlives_a_bucket_of_one_second() {
    let fixture = Fixture::new(100);
    assert!(is_allowed(&fixture.ask("a", 1, limit(1, 1))));
    fixture.fence("a", 2);
    let end_us = whole_us(FENCE_TTL);
    for at_us in [SECOND_US, 2 * SECOND_US, end_us - 1] {
        fixture.store.sweep();
        assert_eq!(fixture.at(at_us).ask("a", 1, limit(1, 1)), Outcome::Stale);
        assert!(is_allowed(&fixture.ask("a", 2, limit(1, 1))));
    }
    assert!(is_allowed(&fixture.at(end_us + 2 * SECOND_US).ask("a", 1, limit(1, 1))), "by now nobody has the old rules");
}

#[test]
fn nobody_can_tell_when_the_sweep_came_by() {
    for swept in [true, false] {
        let fixture = Fixture::new(100);
        assert!(is_allowed(&fixture.ask("a", 5, limit(1, 1))));
        assert_eq!(fixture.ask("a", 4, limit(1, 1)), Outcome::Stale);
        fixture.at(SECOND_US);
        if swept {
            fixture.store.sweep();
        }
        assert!(is_allowed(&fixture.ask("a", 4, limit(1, 1))), "swept: {swept}");
    }
}

#[test]
fn a_clock_that_steps_back_neither_locks_nor_fills() {
    let fixture = Fixture::new(100);
    fixture.at(3600 * SECOND_US);
    for _ in 0..10 {
        assert!(is_allowed(&fixture.ask("a", 1, limit(10, 60))));
    }
    assert!(is_limited(&fixture.at(0).ask("a", 1, limit(10, 60))), "no free tokens");
    assert!(is_limited(&fixture.at(6 * SECOND_US - 1).ask("a", 1, limit(10, 60))));
    assert!(is_allowed(&fixture.at(6 * SECOND_US).ask("a", 1, limit(10, 60))), "refill resumed at once");
}

#[test]
fn a_fence_waits_for_the_join() {
    let store = MemoryBuckets::new(MemoryBucketsBounds { subjects_max: 1, fence_ttl: FENCE_TTL }, MicrosClock::new(|| START_US));
    let id: Arc<str> = "a".into();
    let fence = Fence { kind: SubjectKind::Key, placed_by: Arc::clone(&id), id, generation: 1, revoked: false, reset: false };
    assert!(matches!(store.raise_now(&fence), Err(BucketError::Unusable(_))));
}
