use super::*;

const OPTIONS: IdSetOptions = IdSetOptions { false_positives_ppm: 1000, head_room_percent: 10, bytes_max: 1 << 30 };

fn id(number: u64) -> KeyId {
    // Neighbours differ in the entropy alone, as keys made in one millisecond do.
    let mut entropy = [0; 10];
    entropy[2..].copy_from_slice(&number.to_be_bytes());
    KeyId::from_parts(1_760_000_000_000 + number / 1000, entropy)
}

fn filled(count: u64) -> IdSet {
    let mut set = IdSet::with_room_for(count, OPTIONS).expect("a set");
    (0..count).for_each(|number| set.insert(&id(number)));
    set
}

fn strangers_taken(set: &IdSet, strangers: std::ops::Range<u64>) -> Vec<u64> {
    strangers.filter(|number| set.contains(&id(*number))).collect()
}

#[test]
fn forgets_none_and_errs_as_often_as_it_may() {
    let set = filled(50_000);
    assert!((0..50_000).all(|number| set.contains(&id(number))));
    assert!(set.count() > 49_000 && !set.is_saturated(), "{set:?}");
    let taken = strangers_taken(&set, 1_000_000..1_200_000).len();
    // 200 at the design rate of a full set, fewer with the head room.
    assert!((20..=300).contains(&taken), "{taken} of 200 000");
}

/// An attacker who has found strangers that one set takes for members gets no further with them.
#[test]
fn what_one_set_takes_for_a_member_another_does_not() {
    let (one, other) = (filled(10_000), filled(10_000));
    let taken = strangers_taken(&one, 1_000_000..1_400_000);
    assert!(taken.len() > 50, "{} found", taken.len());
    let by_other = taken.iter().filter(|number| other.contains(&id(**number))).count();
    assert!(by_other <= 5, "{by_other} of {}", taken.len());
}

#[test]
fn ten_million_keys_take_less_than_twenty_megabytes_and_err_as_often_as_they_may() {
    const KEYS: u64 = 10_000_000;
    let mut set = IdSet::with_room_for(KEYS, OPTIONS).expect("a set");
    assert!(set.bytes() <= 20_000_000, "{set:?}");
    assert_eq!(set.capacity, 11_000_000, "a tenth more than counted");
    (0..KEYS).for_each(|number| set.insert(&id(number)));
    assert!((0..KEYS).step_by(997).all(|number| set.contains(&id(number))), "none is forgotten");
    assert!(!set.is_saturated() && set.count() > KEYS - KEYS / 1000, "{set:?}");
    let taken = strangers_taken(&set, 2 * KEYS..2 * KEYS + 200_000).len();
    // 200 at the design rate of a full set, about half as many with the head room.
    assert!((20..=200).contains(&taken), "{taken} of 200 000");
}

#[test]
fn more_than_it_was_made_for_is_told() {
    let mut set = IdSet::with_room_for(1, OPTIONS).expect("a set");
    (0..CAPACITY_MIN).for_each(|number| set.insert(&id(number)));
    assert!(!set.is_saturated());
    (0..CAPACITY_MIN / 10).for_each(|number| set.insert(&id(CAPACITY_MIN + number)));
    assert!(set.is_saturated(), "{set:?}");
}

#[test]
fn an_impossible_size_is_an_error_and_no_panic() {
    for count in [u64::MAX, 1 << 40] {
        assert!(matches!(IdSet::with_room_for(count, OPTIONS), Err(IdSetError::TooLarge { .. })), "{count}");
    }
    let boundless = IdSetOptions { bytes_max: usize::MAX, ..OPTIONS };
    assert!(matches!(IdSet::with_room_for(u64::MAX, boundless), Err(IdSetError::NoMemory(_))));
    let tight = IdSetOptions { bytes_max: 17_973, ..OPTIONS };
    let needed = IdSet::with_room_for(1, OPTIONS).expect("a set").bytes();
    assert_eq!(IdSet::with_room_for(1, IdSetOptions { bytes_max: needed, ..OPTIONS }).expect("just fits").bytes(), needed);
    assert!(matches!(
        IdSet::with_room_for(1, IdSetOptions { bytes_max: needed - 1, ..tight }),
        Err(IdSetError::TooLarge { count: 1, bytes, .. }) if bytes == needed
    ));
}

#[test]
fn its_seed_is_never_shown() {
    let set = filled(1);
    let shown = format!("{set:?}");
    assert!(!shown.contains("seed") && !shown.contains("bloom"), "{shown}");
}
