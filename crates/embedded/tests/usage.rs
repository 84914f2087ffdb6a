//! The counts of one process keep the contract, and take no more memory than they may.

#![allow(clippy::expect_used, reason = "a test fails by a panic")]

use tokio::time::Instant;
use tollgate_embedded::MemoryUsage;
use tollgate_gate::ports::{NodeId, TopName, TopSpan, UsageBatch, UsageCounts, UsageRow, UsageStore};
use tollgate_keys::KeyId;
use tollgate_testkit::conformance;

const DAY_MINUTES: u32 = 24 * 60;

fn batch(number: u64, key: u64, minute: u32) -> UsageBatch {
    let counts = UsageCounts { allowed: 2, limited: 1, ..UsageCounts::default() };
    let rows = vec![UsageRow { key_id: KeyId::from_parts(key, [0; 10]), minute, counts }];
    UsageBatch { node: NodeId(1), number, part: 0, rows }
}

async fn add(store: &MemoryUsage, batch: UsageBatch) -> u64 {
    store.add(batch, Instant::now()).await.expect("memory answers")
}

#[tokio::test]
async fn usage_keeps_the_contract() {
    conformance::usage::all(&MemoryUsage::new(1_000_000)).await;
}

#[tokio::test]
async fn no_more_keys_are_held_than_may_and_old_ones_make_room() {
    let (store, now) = (MemoryUsage::new(10), 30_000_000);
    let mut dropped = 0;
    for key in 0..100 {
        dropped += add(&store, batch(key + 1, key, now)).await;
    }
    assert_eq!(dropped, 3 * 90, "the decisions of ninety keys");
    assert_eq!(add(&store, batch(101, 500, now + DAY_MINUTES)).await, 0, "the day is over");
    assert_eq!(add(&store, batch(102, 501, now + DAY_MINUTES)).await, 0);
    assert_eq!(store.read(KeyId::from_parts(0, [0; 10]), Instant::now()).await.expect("memory answers").hours, []);
}

#[tokio::test]
async fn a_key_in_use_for_ever_takes_no_more_than_an_hour_and_a_day() {
    let (store, now) = (MemoryUsage::new(10), 30_000_000);
    for minute in 0..3 * DAY_MINUTES {
        add(&store, batch(u64::from(minute) + 1, 7, now + minute)).await;
    }
    let told = store.read(KeyId::from_parts(7, [0; 10]), Instant::now()).await.expect("memory answers");
    assert_eq!((told.minutes.len(), told.hours.len()), (60, 24));
}

#[tokio::test]
async fn a_clock_that_was_a_week_ahead_is_followed_back() {
    let (store, now) = (MemoryUsage::new(10), 30_000_000);
    add(&store, batch(1, 7, now + 7 * DAY_MINUTES)).await;
    add(&store, batch(2, 7, now)).await;
    add(&store, batch(3, 7, now + 1)).await;
    let told = store.read(KeyId::from_parts(7, [0; 10]), Instant::now()).await.expect("memory answers");
    assert_eq!(told.minutes.iter().map(|(minute, _)| *minute).collect::<Vec<_>>(), [now, now + 1]);
}

#[tokio::test]
async fn old_summaries_are_forgotten() {
    let store = MemoryUsage::new(10);
    let name = |slot| TopName { owner: None, span: TopSpan::TenMinutes, slot };
    for slot in 0..100 {
        store.put_top(name(slot), NodeId(1), Box::default(), Instant::now()).await.expect("memory answers");
    }
    let found = store.tops((0..100).map(name).collect(), Instant::now()).await.expect("memory answers");
    assert_eq!(found.len(), 7);
}
