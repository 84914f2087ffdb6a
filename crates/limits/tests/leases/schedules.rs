//! Random schedules, and flaws that they must find.

use crate::{
    flaw::Flaw,
    world::{Seen, World},
};

const SCHEDULES: u64 = 100_000;

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// What is wrong with a schedule, if anything is.
fn fault_of(world: &World) -> Option<String> {
    let excess = |(subject, limits): (usize, &Vec<crate::history::History>)| {
        limits.iter().find_map(crate::history::History::excess).map(|excess| format!("subject {subject}: {excess:?}"))
    };
    world.wrong.clone().or_else(|| world.histories.iter().enumerate().find_map(excess))
}

fn play(seed: u64, flaw: Flaw, is_told: bool) -> (Seen, Option<String>) {
    let mut world = World::new(seed, flaw, is_told);
    world.play();
    (world.seen, fault_of(&world))
}

/// Plays one part of four of all schedules.
fn hold(part: u64) {
    let alone = setting("TOLLGATE_LEASE_SEED");
    let count = setting("TOLLGATE_LEASE_SCHEDULES").unwrap_or(SCHEDULES);
    let seeds: Vec<u64> = alone.map_or_else(|| (part..count).step_by(4).collect(), |seed| vec![seed]);
    let mut all = Seen::default();
    for seed in seeds {
        let (seen, fault) = play(seed, Flaw::None, alone.is_some());
        all.add(&seen);
        if let Some(fault) = fault {
            panic!(
                "schedule {seed}: {fault}\nreplay: TOLLGATE_LEASE_SEED={seed} cargo nextest run -p tollgate-limits --test leases first_quarter --no-capture"
            );
        }
    }
    println!("{all:?}");
    if alone.is_none() && count >= 4000 {
        all.expect_everything();
    }
}

#[test]
fn first_quarter_of_the_schedules_holds() {
    hold(0);
}

#[test]
fn second_quarter_of_the_schedules_holds() {
    hold(1);
}

#[test]
fn third_quarter_of_the_schedules_holds() {
    hold(2);
}

#[test]
fn last_quarter_of_the_schedules_holds() {
    hold(3);
}

/// A checker that finds nothing proves nothing.
#[test]
fn each_flaw_is_found() {
    for flaw in Flaw::ALL {
        let is_found = |seed: &u64| play(*seed, flaw, false).1.is_some() && play(*seed, Flaw::None, false).1.is_none();
        let found = (0..SCHEDULES).find(is_found);
        let seed = found.unwrap_or_else(|| panic!("{flaw:?} was not found"));
        println!("{flaw:?}: found by schedule {seed}");
    }
}
