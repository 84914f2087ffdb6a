//! What the queue holds back, and for how long.

use std::{future::poll_fn, task::Poll};

use tollgate_gate::ports::{Decision, Subject, SubjectKind, Subjects};
use tollgate_limits::{Cost, LeaseAsk, RateLimits, Settle, Stamp};

use super::*;
use crate::names::Names;

fn entry(realm: u64) -> Entry {
    entry_for(realm, Duration::ZERO, oneshot::channel().0)
}

fn entry_for(realm: u64, patience: Duration, asker: oneshot::Sender<Result<Outcome, BucketError>>) -> Entry {
    let first = Subject { kind: SubjectKind::Key, id: "a".into(), generation: 1, limits: RateLimits::unlimited() };
    let decision = Decision { subjects: Subjects { first, owner: None }, cost: Cost::ONE, peek: true };
    let settle = Settle { granted: 5, unused: 2, stamp: Stamp { epoch: 1, series: [1, 0] } };
    let lease = LeaseAsk { want: 7, settle: Some(settle) };
    let request = Request { lease, ..Request::new(decision, &Names::new("tg:", 1).expect("good names")) };
    Entry::new(request, Instant::now() + patience, asker, realm)
}

#[test]
fn a_slice_is_handed_back_to_the_state_and_over_the_connections_that_it_is_of() {
    for (of, now) in [(3, 3), (3, 4), (4, 3)] {
        let mut entry = entry(of);
        entry.keep_settle_of(now);
        assert_eq!(entry.request.lease.settle.is_some(), of == now, "{of} {now}");
        assert_eq!(entry.request.lease.want, 7, "a new slice may be asked for all the same");
    }
}

/// Entries in a queue, and those who wait for them.
struct Line {
    queue: &'static Queue,
    askers: Vec<oneshot::Receiver<Result<Outcome, BucketError>>>,
}

impl Line {
    fn new() -> Self {
        Self { queue: Box::leak(Box::new(Queue::new(1000))), askers: Vec::new() }
    }

    fn push(&mut self, count: u64) {
        for number in 0..count {
            let (asker, told) = oneshot::channel();
            self.askers.push(told);
            assert!(self.queue.push(entry_for(number, Duration::from_secs(1), asker)));
        }
    }

    /// What is taken, and after what time.
    async fn take(&self, count_max: usize) -> (Vec<u64>, Duration) {
        let (start, mut taken) = (Instant::now(), Vec::new());
        self.queue.take(count_max, &mut taken).await;
        (taken.iter().map(|entry| entry.realm).collect(), start.elapsed())
    }
}

#[tokio::test(start_paused = true)]
async fn with_no_call_on_its_way_one_is_taken_at_once() {
    let mut line = Line::new();
    line.push(1);
    assert_eq!(line.take(8).await, (vec![0], Duration::ZERO));
    drop(line.queue.on_its_way(5));
    line.push(2);
    assert_eq!(line.take(8).await, (vec![0, 1], Duration::ZERO), "it was answered");
}

#[tokio::test(start_paused = true)]
async fn one_that_has_little_time_left_waits_for_nobody() {
    let line = Line::new();
    let _call = line.queue.on_its_way(20);
    let (asker, _told) = oneshot::channel();
    assert!(line.queue.push(entry_for(7, HURRY, asker)));
    assert_eq!(line.take(8).await, (vec![7], Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn fewer_than_are_on_their_way_wait_for_more_but_not_for_long() {
    let mut line = Line::new();
    let calls = [line.queue.on_its_way(2), line.queue.on_its_way(4)];
    line.push(3);
    assert_eq!(line.take(8).await, (vec![0, 1, 2], Duration::ZERO), "as many as a call holds");
    line.push(2);
    let (taken, waited) = line.take(8).await;
    assert_eq!(taken, [0, 1]);
    assert!((COMPANY_MAX..COMPANY_MAX * 3).contains(&waited), "{waited:?}");
    drop(calls);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_more_hears_of_it_and_takes_all_in_order() {
    let mut line = Line::new();
    let _on_its_way = line.queue.on_its_way(3);
    line.push(1);
    let queue = line.queue;
    let mut take = std::pin::pin!(async {
        let mut taken = Vec::new();
        queue.take(8, &mut taken).await;
        taken
    });
    for _ in 0..10 {
        let is_pending = poll_fn(|cx| Poll::Ready(take.as_mut().poll(cx).is_pending())).await;
        assert!(is_pending, "one is too few");
    }
    let start = Instant::now();
    line.push(2);
    let taken = take.await;
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(taken.iter().map(|entry| entry.realm).collect::<Vec<_>>(), [0, 0, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_full_call_waits_for_nobody_and_leaves_the_rest() {
    let mut line = Line::new();
    let _on_its_way = line.queue.on_its_way(100);
    line.push(5);
    assert_eq!(line.take(3).await, (vec![0, 1, 2], Duration::ZERO));
    assert_eq!(line.take(2).await, (vec![3, 4], Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn what_comes_while_others_go_first_goes_with_the_first() {
    let mut line = Line::new();
    line.push(1);
    let queue = line.queue;
    let (asker, _told) = oneshot::channel();
    tokio::spawn(async {
        tokio::task::yield_now().await;
        assert!(queue.push(entry_for(9, Duration::from_secs(1), asker)));
    });
    let mut taken = Vec::new();
    queue.take(8, &mut taken).await;
    assert_eq!(taken.iter().map(|entry| entry.realm).collect::<Vec<_>>(), [0, 9]);
}
