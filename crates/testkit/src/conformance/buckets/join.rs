//! Joining: a store without its state, or with another's, decides nothing.

use tollgate_gate::ports::{BucketError, BucketStore, BucketsHealth, LogId, Outcome};

use super::ask::{Ask, MONTH, limit};

/// Expects a store that was never joined; leaves it joined under `log`.
pub async fn nothing_is_decided_before_the_join(store: &dyn BucketStore, log: &LogId) {
    let ask = Ask::key(limit(1, MONTH));
    assert_eq!(ask.of(store).await, Outcome::Lost);
    store.join(log.clone()).await.expect("joined");
    ask.allowed(store).await;
    store.join(log.clone()).await.expect("joined again");
    ask.limited(store).await;
    assert_eq!(store.health().await, BucketsHealth::Ok);
}

/// Expects a store that is joined under `log`, and nobody else on it; leaves it so.
pub async fn another_change_log_is_refused(store: &dyn BucketStore, log: &LogId) {
    let other = LogId(crate::conformance::fresh().into());
    let refused = store.join(other).await;
    assert!(matches!(refused, Err(BucketError::Unusable(_))), "{refused:?}");
    store.join(log.clone()).await.expect("joined as before");
    Ask::key(limit(1, MONTH)).allowed(store).await;
}
