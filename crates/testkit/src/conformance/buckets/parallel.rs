//! Many at once: exact all the same.

use std::sync::Arc;

use tokio::task::JoinSet;
use tollgate_gate::ports::{BucketStore, Outcome};

use super::ask::{Ask, MONTH, limit, list, owner, raise};

/// 2000 calls at once against bursts of 1, 7, 100 and 1000.
pub async fn parallel_calls_admit_exactly_the_burst(store: &Arc<dyn BucketStore>) {
    for burst in [1, 7, 100, 1000] {
        let ask = Ask::key(limit(burst, MONTH));
        assert_eq!(admitted(store, &ask, 2000).await, burst, "of burst {burst}");
    }
}

/// Of 100 tokens, costs of 3 take 99, and one is left.
pub async fn parallel_costs_admit_what_fits(store: &Arc<dyn BucketStore>) {
    let ask = Ask::key(limit(100, MONTH)).cost(3);
    assert_eq!(admitted(store, &ask, 500).await, 33);
    assert_eq!(ask.remaining(&**store).await, 1);
}

/// Keys of one owner at once: the owner's bucket is spent exactly, and every key is charged for
/// just what it was admitted.
pub async fn parallel_keys_of_one_owner_share_exactly(store: &Arc<dyn BucketStore>) {
    let (owner, of_owner) = (owner(), list(&[("owner", 100, MONTH)]));
    let mut racing = JoinSet::new();
    for _ in 0..4 {
        let (store, key) = (Arc::clone(store), Ask::key(limit(40, MONTH)).owned_by(&owner, of_owner.clone()));
        racing.spawn(async move { (admitted(&store, &key, 200).await, key) });
    }
    let mut total = 0;
    for (count, key) in racing.join_all().await {
        assert_eq!(u64::from(key.remaining(&**store).await), 40 - count);
        total += count;
    }
    assert_eq!(total, 100);
}

/// Every node that reads a change raises its fence again, and so moves its end: a bucket whose
/// figures change at that moment is converted all the same.
pub async fn figures_change_while_fences_are_raised(store: &Arc<dyn BucketStore>) {
    let ask = Ask::key(limit(1000, MONTH));
    ask.allowed(&**store).await;
    let mut raising = JoinSet::new();
    for _ in 0..3 {
        let (store, ask) = (Arc::clone(store), ask.clone());
        raising.spawn(async move {
            loop {
                raise(&*store, ask.fence(1)).await;
                tokio::task::yield_now().await;
            }
        });
    }
    let other = ask.clone().limits(limit(2000, MONTH));
    for _ in 0..100 {
        other.allowed(&**store).await;
        ask.allowed(&**store).await;
    }
    raising.shutdown().await;
    assert_eq!(ask.remaining(&**store).await, 1000 - 201);
}

/// How many of `calls` calls at once are admitted; the others must be limited.
async fn admitted(store: &Arc<dyn BucketStore>, ask: &Ask, calls: usize) -> u64 {
    let mut racing = JoinSet::new();
    for _ in 0..calls {
        let (store, ask) = (Arc::clone(store), ask.clone());
        racing.spawn(async move {
            match ask.of(&*store).await {
                Outcome::Allowed(_) | Outcome::Leased(..) => 1,
                Outcome::Limited(_) | Outcome::LimitedForNow(_) => 0,
                other => panic!("{ask:?} must be allowed or limited: {other:?}"),
            }
        });
    }
    racing.join_all().await.into_iter().sum()
}
