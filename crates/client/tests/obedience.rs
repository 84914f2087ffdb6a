//! Who goes by the headers is never limited: against the reference arithmetic, in its time.

#![allow(clippy::expect_used, clippy::panic, reason = "all of this is test code, also what is outside of a test function")]

use std::time::Duration;

use proptest::prelude::*;
use tollgate_client::{LimitPolicy, LimitState, RateLimits as Told};
use tollgate_limits::{Ask, Cost, Decided, LimitName, NamedLimit, RateLimit, RateLimits, Record, Standing, decide};

const START_US: u64 = 1_700_000_000_000_000;

fn limits() -> impl Strategy<Value = RateLimits> {
    let bursts = prop_oneof![1..20_u64, 1..2000_u64, 1..=1_000_000_000_u64];
    let periods = prop_oneof![1..5_u64, 1..100_000_u64, 1..=2_678_400_u64];
    let named = |(place, (burst, per_seconds)): (usize, (u64, u64))| NamedLimit {
        name: LimitName::new(&format!("l{place}")).expect("a name"),
        limit: RateLimit::new(burst, per_seconds).expect("in range"),
    };
    let list = proptest::collection::vec((bursts, periods), 1..4);
    list.prop_map(move |list| RateLimits::new(list.into_iter().enumerate().map(named).collect()).expect("a list"))
}

/// What the headers say of a decision's standings.
fn told(limits: &[&RateLimits], standings: &[Standing]) -> Told {
    let named = limits.iter().flat_map(|limits| limits.as_slice());
    let states = named.zip(standings).map(|(named, standing)| LimitState {
        name: named.name.as_str().to_owned(),
        remaining: standing.remaining.into(),
        reset_after_s: standing.reset_after_us.div_ceil(1_000_000),
        policy: Some(LimitPolicy { burst: named.limit.burst().into(), per_seconds: named.limit.per_seconds().into() }),
    });
    Told { limits: states.collect() }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).expect("no longer than a month")
}

proptest! {
    #[test]
    fn who_waits_as_the_headers_say_is_never_limited(
        key in limits(),
        owner in limits(),
        requests in proptest::collection::vec((any::<u32>(), 0..2_000_u64), 1..60),
    ) {
        let burst_min = key.burst_min().into_iter().chain(owner.burst_min()).min().expect("two limits");
        let asks = [Ask { generation: 1, limits: &key }, Ask { generation: 1, limits: &owner }];
        let mut records = [Record::default(), Record::default()];
        let (mut now_us, mut last) = (START_US, None::<Told>);
        for (cost, dawdle_us) in requests {
            let cost = cost % burst_min + 1;
            now_us += last.as_ref().map_or(0, |told| micros(told.wait_for(cost.into()).expect("below the burst"))) + dawdle_us;
            match decide(&mut records, &asks, Cost::new(cost.into()).expect("a cost"), false, now_us) {
                Decided::Allowed(standings) => last = Some(told(&[&key, &owner], &standings)),
                other => prop_assert!(false, "cost {cost} after {last:?}: {other:?}"),
            }
        }
    }

    #[test]
    fn the_wait_is_not_longer_than_it_must_be(limits in limits(), spent in any::<u32>(), cost in any::<u32>()) {
        let burst_min = limits.burst_min().expect("a limit");
        let (spent, cost) = (spent % burst_min + 1, cost % burst_min + 1);
        let asks = [Ask { generation: 1, limits: &limits }];
        let mut records = [Record::default()];
        let allowed = decide(&mut records, &asks, Cost::new(spent.into()).expect("a cost"), false, START_US);
        let Decided::Allowed(standings) = allowed else { return Err(TestCaseError::fail("a full bucket refused")) };
        let wait_us = micros(told(&[&limits], &standings).wait_for(cost.into()).expect("below the burst"));
        // `r` is rounded down, so a client waits for at most one token too long, of the slowest limit.
        let one_token_us = limits.as_slice().iter().map(|one| one.limit.period_us().div_ceil(one.limit.burst().into())).max().unwrap_or(0);
        let early_us = START_US + wait_us.saturating_sub(one_token_us + 1);
        let looked = decide(&mut records, &asks, Cost::new(cost.into()).expect("a cost"), true, early_us);
        prop_assert!(wait_us <= one_token_us + 1 || matches!(looked, Decided::Limited(_)), "{looked:?}");
    }
}
