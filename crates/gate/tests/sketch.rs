//! What the sketch of the heaviest items tells is true of every stream, however it is cut up and
//! merged.

use std::collections::HashMap;

use proptest::prelude::*;
use tollgate_gate::tally::sketch::{Held, Sketch};

/// A few heavy items among many light ones.
fn item() -> impl Strategy<Value = u16> {
    prop_oneof![3 => 0..8u16, 1 => 0..400u16]
}

fn stream() -> impl Strategy<Value = Vec<(u16, u64)>> {
    prop::collection::vec((item(), 0..50u64), 0..400)
}

fn sketch_of(capacity: usize, stream: &[(u16, u64)]) -> Sketch<u16> {
    let mut sketch = Sketch::new(capacity);
    for (item, weight) in stream {
        sketch.add(item, *weight);
    }
    sketch
}

fn weights<'a>(streams: impl IntoIterator<Item = &'a Vec<(u16, u64)>>) -> HashMap<u16, u64> {
    let mut weights = HashMap::new();
    for (item, weight) in streams.into_iter().flatten() {
        *weights.entry(*item).or_default() += weight;
    }
    weights
}

/// Every bound that the sketch promises.
fn check(sketch: &Sketch<u16>, weights: &HashMap<u16, u64>) -> Result<(), TestCaseError> {
    let held: Vec<Held<u16>> = sketch.heaviest().collect();
    let total: u64 = weights.values().sum();
    prop_assert_eq!(sketch.total(), total);
    prop_assert!(held.len() <= sketch.capacity());
    prop_assert!(held.is_sorted_by(|one, next| one.at_most >= next.at_most));
    prop_assert!(sketch.others_at_most() <= total / sketch.capacity() as u64, "{} of {total}", sketch.others_at_most());
    for Held { item, at_least, at_most } in &held {
        let weight = weights.get(item).copied().unwrap_or_default();
        prop_assert!((*at_least..=*at_most).contains(&weight), "{item}: {weight} is not in {at_least}..={at_most}");
        prop_assert!(at_most - at_least <= sketch.others_at_most());
    }
    for (item, weight) in weights {
        let is_held = held.iter().any(|held| held.item == *item);
        prop_assert!(is_held || *weight <= sketch.others_at_most(), "{item} weighs {weight} and is not held");
    }
    Ok(())
}

proptest! {
    #[test]
    fn a_stream_is_within_its_bounds(capacity in 1..40usize, stream in stream()) {
        check(&sketch_of(capacity, &stream), &weights([&stream]))?;
    }

    #[test]
    fn so_is_what_was_merged_and_went_on(
        capacities in prop::collection::vec(1..40usize, 1..6),
        streams in prop::collection::vec(stream(), 1..6),
        rest in stream(),
    ) {
        let each = streams.iter().zip(capacities.iter().cycle()).map(|(stream, capacity)| sketch_of(*capacity, stream));
        let mut merged = each.reduce(|sum, next| sum.merged(&next)).expect("at least one");
        check(&merged, &weights(&streams))?;
        for (item, weight) in &rest {
            merged.add(item, *weight);
        }
        check(&merged, &weights(streams.iter().chain([&rest])))?;
    }

    #[test]
    fn below_its_capacity_it_is_exact(streams in prop::collection::vec(stream(), 1..4)) {
        let each = streams.iter().map(|stream| sketch_of(400, stream));
        let merged = each.reduce(|sum, next| sum.merged(&next)).expect("at least one");
        let held: HashMap<u16, u64> = merged.heaviest().map(|held| (held.item, held.at_least)).collect();
        let heavy: HashMap<u16, u64> = weights(&streams).into_iter().filter(|(_, weight)| *weight > 0).collect();
        prop_assert_eq!(held, heavy);
        prop_assert_eq!(merged.others_at_most(), 0);
    }

    #[test]
    fn it_is_the_same_after_it_was_written_and_read(capacity in 1..40usize, stream in stream()) {
        let sketch = sketch_of(capacity, &stream);
        let read = Sketch::restored(capacity, (sketch.total(), sketch.others_at_most()), sketch.heaviest());
        check(&read, &weights([&stream]))?;
        prop_assert!(read.heaviest().eq(sketch.heaviest()));
    }
}
