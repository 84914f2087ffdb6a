//! The contract of [`UsageStore`].

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::time::Instant;
use tollgate_gate::ports::{NodeId, TopName, TopSpan, USAGE_ROWS_MAX, UsageBatch, UsageCounts, UsageRecord, UsageRow, UsageStore};
use tollgate_keys::{KeyId, OwnerName};

const PATIENT: Duration = Duration::from_secs(10);

/// One node and the batches that it has sent.
struct Counter {
    node: NodeId,
    number: u64,
}

impl Counter {
    fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(1);
        let run = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
        Self { node: NodeId(run << 32 | u128::from(COUNT.fetch_add(1, Ordering::Relaxed))), number: 0 }
    }

    fn batch(&mut self, store: &dyn UsageStore, rows: Vec<UsageRow>) -> UsageBatch {
        self.number += 1;
        UsageBatch { node: self.node, number: self.number, part: store.part(&rows[0].key_id), rows }
    }
}

fn deadline() -> Instant {
    Instant::now() + PATIENT
}

/// By the clock that stores may hold it against.
fn this_minute() -> u32 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    u32::try_from(now.as_secs() / 60).expect("this age")
}

fn some_key() -> KeyId {
    KeyId::parse(&super::fresh()).expect("an id")
}

fn counts(times: u64) -> UsageCounts {
    UsageCounts { allowed: times, limited: 2 * times, denied: 3 * times, cost: 1000 * times }
}

fn row(key_id: &KeyId, minute: u32, times: u64) -> UsageRow {
    UsageRow { key_id: key_id.clone(), minute, counts: counts(times) }
}

async fn add(store: &dyn UsageStore, batch: UsageBatch) {
    assert_eq!(store.add(batch, deadline()).await.expect("the store answers"), 0, "there is room");
}

async fn read(store: &dyn UsageStore, key_id: &KeyId) -> UsageRecord {
    store.read(key_id.clone(), deadline()).await.expect("the store answers")
}

fn sum(slots: &[(u32, UsageCounts)]) -> UsageCounts {
    let mut sum = UsageCounts::default();
    for (_, counts) in slots {
        sum.add(counts);
    }
    sum
}

/// The whole suite, for a store that may be shared.
pub async fn all(store: &dyn UsageStore) {
    an_unused_key_has_no_counts(store).await;
    counts_of_all_batches_and_nodes_add_up(store).await;
    a_batch_that_is_sent_again_adds_nothing(store).await;
    rows_of_one_key_in_one_batch_add_up(store).await;
    minutes_and_hours_stand_in_their_order(store).await;
    a_whole_batch_is_added(store).await;
    figures_stay_exact(store).await;
    summaries_are_kept_by_node_and_name(store).await;
}

/// Nothing is there for a key that nobody used.
pub async fn an_unused_key_has_no_counts(store: &dyn UsageStore) {
    assert_eq!(read(store, &some_key()).await, UsageRecord::default());
}

/// Counts of a minute and of its hour are the sum of what all nodes added.
pub async fn counts_of_all_batches_and_nodes_add_up(store: &dyn UsageStore) {
    let (key_id, minute) = (some_key(), this_minute());
    let (mut one, mut other) = (Counter::new(), Counter::new());
    for times in 1..=3 {
        add(store, one.batch(store, vec![row(&key_id, minute, times)])).await;
        add(store, other.batch(store, vec![row(&key_id, minute, 10)])).await;
    }
    let told = read(store, &key_id).await;
    assert_eq!((told.minutes, told.hours), (vec![(minute, counts(36))], vec![(minute / 60, counts(36))]));
}

/// A batch is added once, however often it comes, and an older one not at all.
pub async fn a_batch_that_is_sent_again_adds_nothing(store: &dyn UsageStore) {
    let (key_id, minute, mut counter) = (some_key(), this_minute(), Counter::new());
    let first = counter.batch(store, vec![row(&key_id, minute, 1)]);
    let second = counter.batch(store, vec![row(&key_id, minute, 10)]);
    for batch in [&first, &first, &second, &first, &second] {
        add(store, batch.clone()).await;
    }
    assert_eq!(sum(&read(store, &key_id).await.minutes), counts(11));
    let another = Counter::new().batch(store, vec![row(&key_id, minute, 100)]);
    add(store, another).await;
    assert_eq!(sum(&read(store, &key_id).await.minutes), counts(111), "numbers of another node are others");
}

/// A batch may have several rows of a key, of one minute or of several.
pub async fn rows_of_one_key_in_one_batch_add_up(store: &dyn UsageStore) {
    let (key_id, minute, mut counter) = (some_key(), this_minute(), Counter::new());
    let rows = vec![row(&key_id, minute - 1, 1), row(&key_id, minute, 10), row(&key_id, minute - 1, 100)];
    add(store, counter.batch(store, rows)).await;
    let told = read(store, &key_id).await;
    assert_eq!(told.minutes, [(minute - 1, counts(101)), (minute, counts(10))]);
    assert_eq!(sum(&told.hours), counts(111));
}

/// Whatever order counts come in, and with gaps between them.
pub async fn minutes_and_hours_stand_in_their_order(store: &dyn UsageStore) {
    let (key_id, minute, mut counter) = (some_key(), this_minute(), Counter::new());
    for ago in [10, 0, 50, 3, 10, 20] {
        add(store, counter.batch(store, vec![row(&key_id, minute - ago, 1)])).await;
    }
    add(store, counter.batch(store, vec![row(&key_id, minute - 300, 1)])).await;
    let told = read(store, &key_id).await;
    assert!(told.minutes.is_sorted_by_key(|(minute, _)| *minute) && told.hours.is_sorted_by_key(|(hour, _)| *hour), "{told:?}");
    let recent: Vec<(u32, u64)> =
        told.minutes.iter().filter(|(at, _)| *at >= minute - 50).map(|(at, counts)| (minute - at, counts.allowed)).collect();
    assert_eq!(recent, [(50, 1), (20, 1), (10, 2), (3, 1), (0, 1)]);
    assert_eq!(sum(&told.hours), counts(7));
    assert_eq!(told.hours.first().map(|(hour, _)| *hour), Some((minute - 300) / 60));
}

/// As many rows as a batch may have.
pub async fn a_whole_batch_is_added(store: &dyn UsageStore) {
    let (minute, mut counter) = (this_minute(), Counter::new());
    let all: Vec<KeyId> = (0..20 * USAGE_ROWS_MAX).map(|_| some_key()).collect();
    // As many as share the part of the first.
    let part = store.part(&all[0]);
    let keys: Vec<&KeyId> = all.iter().filter(|key_id| store.part(key_id) == part).take(USAGE_ROWS_MAX).collect();
    let rows = keys.iter().zip(1..).map(|(key_id, times)| row(key_id, minute, times)).collect();
    add(store, counter.batch(store, rows)).await;
    for (key_id, times) in keys.iter().zip(1..) {
        assert_eq!(sum(&read(store, key_id).await.minutes), counts(times));
    }
}

/// Sums far beyond 2³² are exact.
pub async fn figures_stay_exact(store: &dyn UsageStore) {
    let (key_id, minute, mut counter) = (some_key(), this_minute(), Counter::new());
    let large = UsageCounts { allowed: 1 << 40, limited: (1 << 33) + 1, denied: 7, cost: (1 << 50) + 1 };
    for _ in 0..3 {
        let rows = vec![UsageRow { key_id: key_id.clone(), minute, counts: large }];
        add(store, counter.batch(store, rows)).await;
    }
    let told = sum(&read(store, &key_id).await.hours);
    let UsageCounts { allowed, limited, denied, cost } = large;
    assert_eq!(told, UsageCounts { allowed: 3 * allowed, limited: 3 * limited, denied: 3 * denied, cost: 3 * cost });
}

/// A node's newer summary takes the place of its older one, and touches no other.
pub async fn summaries_are_kept_by_node_and_name(store: &dyn UsageStore) {
    let (owner, slot) = (OwnerName::parse(&super::fresh()).expect("an owner"), this_minute() / 60);
    let name = |slot| TopName { owner: Some(owner.clone()), span: TopSpan::Hour, slot };
    let other_span = TopName { span: TopSpan::TenMinutes, ..name(slot) };
    let (one, other) = (Counter::new().node, Counter::new().node);
    let put = async |name: TopName, node, text: &str| {
        store.put_top(name, node, text.as_bytes().into(), deadline()).await.expect("the store answers");
    };
    let found = async |names: Vec<TopName>| {
        let mut found: Vec<String> = store
            .tops(names, deadline())
            .await
            .expect("the store answers")
            .iter()
            .map(|summary| String::from_utf8_lossy(summary).into_owned())
            .collect();
        found.sort();
        found
    };
    assert_eq!(found(vec![name(slot)]).await, [] as [&str; 0]);
    put(name(slot - 1), one, "before").await;
    put(name(slot), one, "older").await;
    put(name(slot), other, "the other's").await;
    put(name(slot), one, "newer, and longer").await;
    put(other_span.clone(), one, "of another span").await;
    assert_eq!(found(vec![name(slot)]).await, ["newer, and longer", "the other's"]);
    assert_eq!(found(vec![name(slot - 1), name(slot)]).await, ["before", "newer, and longer", "the other's"]);
    assert_eq!(found(vec![other_span]).await, ["of another span"]);
}
