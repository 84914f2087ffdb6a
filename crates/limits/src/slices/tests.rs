use super::*;

/// The beginning of an epoch.
const NOW: u64 = 1_800_000_000_000_000;
const EPOCH: u64 = NOW / EPOCH_US;

fn limit(burst: u64, per_seconds: u64) -> RateLimit {
    RateLimit::new(burst, per_seconds).expect("a good limit")
}

fn out(current: u32, previous: u32) -> Slices {
    Slices { epoch: EPOCH, current, previous, quiet: 0, series: 7 }
}

#[test]
fn slices_drop_out_with_the_second_epoch_after_theirs() {
    let slices = out(3, 5);
    let at = |epochs: u64| slices.at(NOW + epochs * EPOCH_US).outstanding();
    assert_eq!([at(0), at(1), at(2)], [8, 3, 0]);
    assert_eq!(slices.at(NOW + EPOCH_US - 1).outstanding(), 8);
}

#[test]
fn slices_are_good_until_their_last_epoch_is_over() {
    let good_for = |slices: Slices, after_us: u64| slices.good_for_us(NOW + after_us);
    assert_eq!([0, 150_000, 399_999, 400_000].map(|at| good_for(out(3, 5), at)), [400_000, 250_000, 1, 0]);
    assert_eq!([0, 199_999, 200_000].map(|at| good_for(out(0, 5), at)), [200_000, 1, 0]);
    assert_eq!(good_for(out(0, 0), 0), 0);
    assert_eq!(out(3, 0).good_for_us(NOW - 3_600_000_000), 400_000, "the clock has stepped back: the longest life");
}

#[test]
fn a_bucket_is_held_down_until_slices_drop_out_and_refills_from_there() {
    // One token is 1 ms.
    let (slices, limit) = (out(30, 20), limit(1000, 1));
    let bucket = Bucket { name_id: 1, limit, arrival: Arrival::full_at(NOW + 50_000) };
    let held = |at_us| slices.left(&bucket, limit, at_us).max(slices.at(at_us).floor(limit, at_us));
    let ahead_ms = |at_us: u64| (held(at_us).whole_us - NOW) / 1000;
    assert_eq!(ahead_ms(NOW), 50);
    assert_eq!(ahead_ms(NOW + 100_000), 150);
    assert_eq!(ahead_ms(NOW + 200_000), 250, "20 drop out and leave the bucket as it was");
    assert_eq!(ahead_ms(NOW + 220_000), 250, "which refills");
    assert_eq!(ahead_ms(NOW + 300_000), 330, "up to what is still out");
    assert_eq!(ahead_ms(NOW + 400_000), 430);
    assert_eq!(ahead_ms(NOW + 420_000), 430);
    assert_eq!(ahead_ms(NOW + 500_000), 500);
}

#[test]
fn slices_of_another_limit_hold_no_more_than_the_share_of_this_one() {
    assert_eq!(out(500, 0).floor(limit(100, 1), NOW), Arrival::full_at(NOW + 50_000));
    assert_eq!(out(500, 0).floor(limit(19, 1), NOW), Arrival::full_at(NOW));
}

#[test]
fn an_epoch_ahead_is_counted_anew_and_gives_none() {
    let slices = out(3, 5);
    let back = NOW - 3_600_000_000;
    let moved = slices.at(back);
    assert_eq!((moved.epoch, moved.outstanding()), (back / EPOCH_US + 1, 8));
    assert_ne!(moved.series, slices.series, "nobody hands back what cannot be told apart");
    assert!(!moved.may_give(back));
    // For the longest life that a slice has, and no longer.
    assert_eq!(moved.at(back + 2 * EPOCH_US).outstanding(), 8);
    assert_eq!(moved.at(back + 3 * EPOCH_US).outstanding(), 0);
    // One epoch ahead is soon caught up with.
    assert_eq!(slices.at(NOW - 1), slices);
    assert!(!slices.at(NOW - 1).may_give(NOW - 1));
}

#[test]
fn a_slice_is_taken_out_of_the_epoch_that_it_is_of() {
    let mut slices = out(30, 50);
    assert!(slices.settle(EPOCH, 7, 10));
    assert!(slices.settle(EPOCH - 1, 7, 50));
    assert_eq!((slices.current, slices.previous), (20, 0));
    assert!(!slices.settle(EPOCH - 2, 7, 10), "it has dropped out");
    assert!(!slices.settle(EPOCH + 1, 7, 10));
    assert!(!slices.settle(EPOCH, 8, 10), "of another run");
    assert_eq!(slices.outstanding(), 20);
}

#[test]
fn a_slice_is_half_of_the_room_and_a_quarter_of_the_bucket_at_most() {
    let largest = |slices: Slices, burst: u64, spent_part: u64| {
        let limit = limit(burst, 1);
        slices.largest(limit, Arrival::full_at(NOW + limit.period_us() * spent_part / 100), NOW)
    };
    assert_eq!(largest(out(0, 0), 1000, 0), 25);
    assert_eq!(largest(out(25, 0), 1000, 0), 13);
    assert_eq!(largest(out(30, 20), 1000, 0), 0, "a twentieth is out");
    assert_eq!(largest(out(0, 0), 1000, 96), 9, "40 tokens are left");
    assert_eq!(largest(out(0, 0), 1000, 100), 0);
    assert_eq!(largest(out(0, 0), 20, 0), 1);
    assert_eq!(largest(out(0, 0), 19, 0), 0, "none below a burst of 20");
    assert_eq!(largest(out(0, 0), 1_000_000_000, 0), LEASED_MAX / 2);
}

#[test]
fn quiet_ends_after_51_seconds() {
    let slices = Slices { quiet: QUIET_EPOCHS, ..Slices::default().at(NOW) };
    let may_give = |after_us: u64| slices.at(NOW + after_us).may_give(NOW + after_us);
    assert!(!may_give(0) && !may_give(50_999_999));
    assert!(may_give(51_000_000));
    assert_eq!(slices.keep_until_ms(), NOW / 1000 + 51_000);
}
