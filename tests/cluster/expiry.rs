//! T16: a key that is in full use on every node ends at its end, whatever is in memory.

use std::time::Duration;

use serde_json::json;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::time::Instant;

use crate::support::{Cluster, Load, Shot};

/// Longer than it takes to make and to change keys under load.
const LIFE: Duration = Duration::from_secs(10);
/// How long it is asked for afterwards: longer than anything is good without a look at a clock.
const AFTERLIFE: Duration = Duration::from_millis(1500);
/// All nodes of these tests have one clock, and go by milliseconds.
const SKEW: Duration = Duration::from_millis(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_in_use_on_three_nodes_ends_at_its_end() {
    let cluster = Cluster::start(3).await;
    let (end, ends_at) = (OffsetDateTime::now_utc() + LIFE, Instant::now() + LIFE);
    let end = json!(end.format(&Rfc3339).unwrap());
    // The one is made to end, the other is told so while it is in use.
    let made = cluster.key(json!({"expires_at": end, "rate_limit": null})).await;
    let told = cluster.key(json!({"rate_limit": null})).await;
    let admin = cluster.admin();
    let [made_load, told_load] = [&made, &told].map(|key| Load::on(cluster.each(&key.api_key)).connections(6));
    let (made_shots, told_shots, _) = tokio::join!(
        made_load.fire_until(ends_at + AFTERLIFE),
        told_load.fire_until(ends_at + AFTERLIFE),
        told.patch(&admin, json!({"expires_at": end})),
    );
    for (what, shots) in [("made to end", made_shots), ("told to end", told_shots)] {
        assert!(shots.iter().all(|shot| [200, 401].contains(&shot.answer.status)), "{what}");
        let last = shots.iter().filter(|shot| Shot::is_admitted(shot)).map(|shot| shot.sent).max().expect("in use before its end");
        assert!(last <= ends_at + SKEW, "{what}: admitted {:?} after its end", last - ends_at);
        assert!(shots.iter().filter(|shot| shot.sent > ends_at + SKEW).count() >= 10, "{what}: not asked for any more");
    }
    for key in [&made, &told] {
        assert_eq!(cluster.admin().get(&key.path()).send().await.json()["status"], "expired");
    }
}
