use std::cell::RefCell;

use super::*;

const UNDONE: Failed = Failed { is_undone: true, is_of_node: false, retry_after: None };
const UNKNOWN: Failed = Failed { is_undone: false, ..UNDONE };

fn told(seconds: u64) -> Failed {
    Failed { retry_after: Some(Duration::from_secs(seconds)), ..UNDONE }
}

/// When the attempts were made, in milliseconds, where they come to `outcomes` one after the other.
async fn attempts(policy: RetryPolicy, call: Repeat, nodes: u32, outcomes: &[Option<Failed>]) -> Vec<u128> {
    let began = Instant::now();
    let made = RefCell::new(Vec::new());
    let random = Randomness::new(|| 0);
    let retries = Retries { policy: &policy, random: &random, call, nodes, until: began + Duration::from_secs(30) };
    let attempt = |_| {
        made.borrow_mut().push(began.elapsed().as_millis());
        let outcome = outcomes.get(made.borrow().len() - 1).copied().flatten();
        async move { outcome }
    };
    retries.run(attempt, |outcome| *outcome).await;
    made.into_inner()
}

#[tokio::test(start_paused = true)]
async fn nobody_is_asked_again_before_the_time_he_told() {
    let policy = RetryPolicy::default();
    assert_eq!(attempts(policy, Repeat::Changes, 1, &[Some(told(3)), Some(told(1)), None]).await, [0, 3000, 4000]);
    for random in [0, 1, 250_000, u64::MAX] {
        let wait = policy.wait(1, Some(Duration::from_secs(4)), random).expect("a wait");
        assert!((4000..=5000).contains(&wait.as_millis()), "{wait:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_would_wait_for_too_long_is_told_at_once() {
    assert_eq!(attempts(RetryPolicy::default(), Repeat::Harmless, 1, &[Some(told(11)), None]).await, [0]);
    // Each wait is short enough, but all of them together are not.
    let patient = RetryPolicy { attempts_max: 100, ..RetryPolicy::default() };
    assert_eq!(attempts(patient, Repeat::Harmless, 1, &[Some(told(9)); 100]).await, [0, 9000, 18_000, 27_000]);
}

#[tokio::test(start_paused = true)]
async fn attempts_are_counted_and_waits_grow_to_a_bound() {
    let failures = [Some(UNDONE); 100];
    assert_eq!(attempts(RetryPolicy::default(), Repeat::Harmless, 1, &failures).await, [0, 50, 150, 350]);
    let policy =
        RetryPolicy { attempts_max: 7, first_wait: Duration::from_secs(1), wait_max: Duration::from_secs(4), ..RetryPolicy::default() };
    assert_eq!(attempts(policy, Repeat::Harmless, 1, &failures).await, [0, 500, 1500, 3500, 5500, 7500, 9500]);
    assert_eq!(attempts(RetryPolicy::never(), Repeat::Harmless, 1, &failures).await, [0]);
}

#[tokio::test(start_paused = true)]
async fn only_what_was_not_carried_out_or_does_no_harm_is_sent_again() {
    let careful = RetryPolicy { attempts_max: 2, ..RetryPolicy::default() };
    let careless = RetryPolicy { resend_charges: true, ..careful };
    for (policy, call, failed, count) in [
        (careful, Repeat::Harmless, UNKNOWN, 2),
        (careful, Repeat::Charges, UNKNOWN, 1),
        (careful, Repeat::Charges, UNDONE, 2),
        (careless, Repeat::Charges, UNKNOWN, 2),
        (careful, Repeat::Changes, UNKNOWN, 1),
        (careless, Repeat::Changes, UNKNOWN, 1),
        (careful, Repeat::Changes, UNDONE, 2),
        (careless, Repeat::Once, UNDONE, 1),
    ] {
        let made = attempts(policy, call, 1, &[Some(failed); 2]).await;
        assert_eq!(made.len(), count, "{call:?} {failed:?} {policy:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn other_nodes_are_asked_at_once_and_then_nobody_without_a_wait() {
    let gone = Some(Failed { is_of_node: true, ..UNDONE });
    assert_eq!(attempts(RetryPolicy::default(), Repeat::Charges, 3, &[gone; 9]).await, [0, 0, 0, 200]);
    // To be limited is not the node's failure: all of them know it.
    assert_eq!(attempts(RetryPolicy::default(), Repeat::Charges, 3, &[Some(told(1)), None]).await, [0, 1000]);
    let impatient = RetryPolicy { attempts_max: 9, wait_max: Duration::ZERO, ..RetryPolicy::default() };
    assert_eq!(attempts(impatient, Repeat::Charges, 3, &[gone; 9]).await, [0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_is_told_what_time_is_left() {
    let left = RefCell::new(Vec::new());
    let (policy, random) = (RetryPolicy::default(), Randomness::new(|| 0));
    let until = Instant::now() + Duration::from_secs(5);
    let retries = Retries { policy: &policy, random: &random, call: Repeat::Harmless, nodes: 1, until };
    let attempt = |time: Duration| {
        left.borrow_mut().push(time.as_secs());
        async { told(2) }
    };
    retries.run(attempt, |failed| Some(*failed)).await;
    assert_eq!(left.into_inner(), [5, 3, 1]);
}

#[test]
fn jitter_stays_within_its_part() {
    let policy = RetryPolicy::default();
    for random in [0, 7, 50_000, u64::MAX] {
        for attempt in [1, 2, 9, 40, u32::MAX] {
            let wait = policy.wait(attempt, None, random).expect("a wait");
            assert!(wait >= policy.first_wait / 2 && wait <= policy.wait_max, "{attempt}: {wait:?}");
        }
        assert_eq!(policy.wait(1, Some(policy.wait_max), random), Some(policy.wait_max));
    }
}

#[tokio::test(start_paused = true)]
async fn no_time_is_too_long_to_be_reckoned_with() {
    let endless = RetryPolicy { wait_max: Duration::MAX, first_wait: Duration::MAX, ..RetryPolicy::default() };
    for seconds in [u64::MAX, u64::MAX / 1_000_000, 31] {
        assert_eq!(attempts(endless, Repeat::Harmless, 1, &[Some(told(seconds)), None]).await, [0], "{seconds}");
    }
    assert_eq!(attempts(endless, Repeat::Harmless, 1, &[Some(UNDONE), None]).await, [0]);
    for random in [0, u64::MAX] {
        assert!(endless.wait(u32::MAX, None, random).is_some());
        assert!(endless.wait(1, Some(Duration::MAX), random).is_some());
    }
}
