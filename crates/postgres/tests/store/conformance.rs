//! What every key store must do, done by this one.

use std::sync::Arc;

use tollgate_gate::ports::KeyStore;
use tollgate_testkit::conformance;

use crate::support::fixture;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn keys_keep_the_contract() {
    let fixture = fixture().await;
    let store: Arc<dyn KeyStore> = fixture.store.clone();
    conformance::keys::all(&store).await;
    assert!(format!("{store:?}").contains("PostgresKeys"));
}
