//! What leases spare, and what they cost: under-admission is bounded, nobody starves.

use tollgate_limits::{Ask, Cost, Decided, LimitName, RateLimit, RateLimits, Record, decide};

use crate::{random::Random, world::World};

const MINUTE_US: u64 = 60_000_000;

fn limit(burst: u64, per_seconds: u64) -> RateLimit {
    RateLimit::new(burst, per_seconds).expect("a good limit")
}

/// What one bucket that everybody asks at once would have admitted: tokens.
fn ideal(limit: RateLimit, requests: &[(u64, usize, u64)]) -> u64 {
    let limits = RateLimits::one(LimitName::new("key").expect("a good name"), limit);
    let mut record = Record::default();
    let mut admitted = 0;
    for (at_us, _, tokens) in requests {
        let cost = Cost::new(*tokens).expect("in range");
        let asks = [Ask { generation: 1, limits: &limits }];
        let told = decide(std::slice::from_mut(&mut record), &asks, cost, false, 1_800_000_000_000_000 + at_us);
        admitted += if matches!(told, Decided::Allowed(_)) { *tokens } else { 0 };
    }
    admitted
}

/// Plays requests on so many nodes, and tells what was admitted of what one bucket would have.
fn play(what: &str, nodes: usize, limit: RateLimit, requests: &[(u64, usize, u64)]) -> (World, f64) {
    let mut world = World::calm(nodes, limit, requests);
    world.play();
    assert!(world.histories[0][0].excess().is_none(), "{what}: {:?}", world.histories[0][0].excess());
    let (admitted, ideal) = (world.histories[0][0].admitted(), ideal(limit, requests));
    let part = admitted as f64 / ideal as f64;
    let of_million = |count: u64| count * 1_000_000 / requests.len() as u64;
    let (calls, asks) = (of_million(world.seen.calls), of_million(world.seen.asks));
    println!("{what}: {admitted} of {ideal} admitted ({part:.4}); of 10^6 decisions {calls} asked the store, {asks} of them for a slice");
    (world, part)
}

/// Requests of one token at random times for `for_us`, so many a second over all nodes.
fn steady(nodes: usize, a_second: f64, for_us: u64) -> Vec<(u64, usize, u64)> {
    let mut random = Random(3);
    let (mut at_us, mut requests) = (0, Vec::new());
    while at_us < for_us {
        at_us += random.pause(1_000_000.0 / a_second);
        requests.push((at_us, random.below(nodes as u64) as usize, 1));
    }
    requests
}

#[test]
fn a_hot_key_hardly_asks_the_store() {
    let (world, part) = play("hot key, 2 nodes", 2, limit(1_000_000, 1), &steady(2, 200_000.0, 2_000_000));
    assert!(part > 0.999, "{part}");
    // Those who ask while a slice is under way share a call; a call for each slice remains.
    assert!(world.seen.asks * 1_000_000 / world.seen.requests < 1000, "{:?}", world.seen);
    assert!(world.seen.from_slices * 100 > world.seen.requests * 95, "{:?}", world.seen);
}

#[test]
fn a_minute_admits_nearly_all_that_one_bucket_would() {
    for (what, limit, a_second) in [
        ("twice the limit", limit(1000, 10), 200.0),
        ("twenty times the limit", limit(1000, 1), 20_000.0),
        ("just below the limit", limit(1000, 1), 950.0),
        ("half of the limit", limit(2000, 1), 1000.0),
        ("a long period", limit(6000, 60), 400.0),
    ] {
        let (_, part) = play(what, 4, limit, &steady(4, a_second, MINUTE_US));
        assert!(part >= 0.99, "{what}: {part}");
    }
}

#[test]
fn demand_that_comes_and_goes_loses_next_to_nothing() {
    let mut random = Random(5);
    // Each second one of four nodes gets thirty requests in 60 ms: just what the limit gives back.
    let requests: Vec<_> = (0..60)
        .flat_map(|second| {
            let node = random.below(4) as usize;
            (0..30).map(move |turn| (second * 1_000_000 + turn * 2000, node, 1))
        })
        .collect();
    let (_, part) = play("bursts of thirty", 4, limit(30 * 60, 60), &requests);
    assert!(part >= 0.99, "{part}");
}

/// One node holds small slices all the time, another asks for nearly the whole burst, every so many
/// seconds.
#[test]
fn a_large_cost_is_not_starved_by_idle_slices() {
    for every_s in [1, 2, 3, 5, 10] {
        large_beside_small(every_s);
    }
}

fn large_beside_small(every_s: u64) {
    let small = (0..60 * 2).flat_map(|turn| (0..10).map(move |of| (turn * 500_000 + of * 2000, 0, 1)));
    let large = (0..60 / every_s).map(|turn| (turn * every_s * 1_000_000 + 140_000, 1, 980));
    let mut requests: Vec<_> = small.chain(large).collect();
    requests.sort_unstable();
    let (world, part) = play(&format!("980 of 1000 every {every_s} s"), 2, limit(1000, 1), &requests);
    assert!(world.seen.blamed > 0, "slices never stood in the way: {:?}", world.seen);
    // Two of them in a minute: before the first quiet, and after it.
    let lost = ideal(limit(1000, 1), &requests).saturating_sub(world.histories[0][0].admitted());
    assert!(lost <= 2 * 980, "{lost} tokens, {part}");
}

#[test]
fn nothing_is_stranded_for_longer_than_a_slice_lives() {
    // Half a second of demand, then silence: no sweep, as though the node had died.
    let requests = steady(1, 2000.0, 500_000);
    let mut world = World::calm(1, limit(10_000, 100), &requests);
    world.play();
    let end_us = requests.last().map_or(0, |(at_us, ..)| *at_us);
    assert_eq!(world.store.outstanding(0, end_us + crate::history::LIFE_US), 0);
}
