//! Every way out of touch and back.

use super::*;

const MS: Duration = Duration::from_millis(1);

/// A touch that has joined and caught up at position 5, a moment ago.
fn in_touch() -> (Touch, Instant) {
    let (mut touch, now) = (Touch::default(), Instant::now());
    touch.join(now);
    touch.caught_up(5, now + MS);
    (touch, now + MS)
}

#[test]
fn a_new_node_is_out_of_touch_until_it_has_joined_and_read() {
    let (mut touch, now) = (Touch::default(), Instant::now());
    assert_eq!(touch.trouble(now), Some(OutOfTouch::Parted));
    touch.caught_up(5, now);
    assert_eq!(touch.trouble(now), Some(OutOfTouch::Parted));
    touch.join(now + MS);
    assert_eq!(touch.trouble(now + MS), Some(OutOfTouch::Missed));
    touch.caught_up(5, now);
    assert_eq!(touch.trouble(now + MS), Some(OutOfTouch::Missed), "that read began before");
    touch.caught_up(5, now + MS);
    assert_eq!(touch.trouble(now + MS), None);
}

#[test]
fn a_gap_may_be_open_for_a_moment() {
    let (mut touch, now) = in_touch();
    assert!(!touch.hear(5, 5, now) && !touch.hear(4, 5, now), "nothing new");
    assert!(touch.hear(6, 5, now));
    assert_eq!(touch.trouble(now + GAP_MAX - MS), None);
    assert_eq!(touch.trouble(now + GAP_MAX), Some(OutOfTouch::Gap));
    touch.caught_up(6, now);
    assert_eq!(touch.trouble(now + GAP_MAX), None);
}

#[test]
fn a_gap_that_grows_stays_as_old_as_it_is() {
    let (mut touch, now) = in_touch();
    for step in 0..5 {
        touch.hear(6 + u64::from(step), 5, now + MS * 10 * step);
    }
    assert_eq!(touch.trouble(now + GAP_MAX), Some(OutOfTouch::Gap));
    touch.caught_up(9, now + MS * 39);
    assert_eq!(touch.trouble(now + GAP_MAX), Some(OutOfTouch::Gap), "the last row is missing, and that read began before it was named");
    touch.caught_up(10, now + MS * 39);
    assert_eq!(touch.trouble(now + GAP_MAX), None);
}

#[test]
fn a_position_that_a_later_read_does_not_show_was_made_up() {
    let (mut touch, now) = in_touch();
    assert!(touch.hear(u64::MAX, 5, now + MS));
    touch.caught_up(5, now);
    assert_eq!(touch.trouble(now + GAP_MAX + MS), Some(OutOfTouch::Gap), "it could have come after that read");
    touch.caught_up(5, now + MS);
    assert_eq!(touch.trouble(now + GAP_MAX + MS), None);
}

#[test]
fn a_second_of_silence_is_out_of_touch_until_a_word() {
    let (mut touch, now) = in_touch();
    touch.hear(5, 5, now);
    assert_eq!(touch.trouble(now + SILENCE_MAX - MS), None);
    assert_eq!(touch.trouble(now + SILENCE_MAX), Some(OutOfTouch::Silence));
    touch.hear(5, 5, now + SILENCE_MAX);
    assert_eq!(touch.trouble(now + SILENCE_MAX), None, "its position says that nothing was missed");
    touch.hear(7, 5, now + SILENCE_MAX);
    assert_eq!(touch.trouble(now + SILENCE_MAX + GAP_MAX), Some(OutOfTouch::Gap), "or that something was");
}

#[test]
fn parting_missing_and_joining_again_call_for_a_read() {
    let (mut touch, now) = in_touch();
    touch.miss(now);
    assert_eq!(touch.trouble(now), Some(OutOfTouch::Missed));
    touch.caught_up(5, now);
    assert_eq!(touch.trouble(now), None);
    touch.part();
    assert_eq!(touch.trouble(now), Some(OutOfTouch::Parted));
    touch.join(now + MS);
    assert_eq!(touch.trouble(now + MS), Some(OutOfTouch::Missed));
}

#[test]
fn a_node_speaks_where_nobody_says_the_same_for_a_while() {
    let (mut touch, now) = in_touch();
    assert_eq!(touch.speaks_at(MS), None, "nothing to go by: at once");
    touch.hear(5, 5, now);
    assert_eq!(touch.speaks_at(MS), Some(now + HEARTBEAT_AFTER + MS));
    touch.hear(4, 5, now + MS);
    touch.hear(u64::MAX, 5, now + MS);
    assert_eq!(touch.speaks_at(MS), Some(now + HEARTBEAT_AFTER + MS), "neither who is behind nor who makes things up silences it");
    touch.spoke(now + MS);
    assert_eq!(touch.speaks_at(MS), Some(now + MS + HEARTBEAT_AFTER + MS));
}
