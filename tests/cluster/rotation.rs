//! A secret is renewed under load: nobody notices, nobody spends more, and the old one ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tollgate_testkit::{Fleet, eventually};

use super::MONTH;
use crate::support::{Api, Cluster, Load, NewKey, Shot, admitted};

const DAY: u64 = 86_400;
const GRACE: u64 = 8;

async fn rotate(admin: &Api, key: &NewKey, body: &Value) -> NewKey {
    let record = admin.post(&format!("{}/rotate", key.path()), body).send().await.expect(200).json();
    assert_eq!((record["key_id"].as_str(), &record["propagated"]), (Some(key.key_id.as_str()), &json!(true)));
    let api_key = record["api_key"].as_str().expect("shown this once").to_owned();
    assert_ne!(api_key, key.api_key);
    NewKey { api_key, record, ..key.clone() }
}

#[tokio::test]
async fn a_rotation_under_load_fails_no_request_and_gives_no_second_budget() {
    let cluster = Cluster::of(Fleet::builder(2).env("TOLLGATE_CHANGE_LOG__POLL_INTERVAL", "1m")).await;
    let burst = 3000;
    // A month of 3000 gives one back every fifteen minutes.
    let old = cluster.limited_key(burst, MONTH).await;
    let stop = Arc::new(AtomicBool::new(false));
    let by_old = Load::on(cluster.each(&old.api_key)).connections(8);
    let rotating = async {
        // In use on both nodes before, while and after.
        Load::on(cluster.each(&old.api_key)).connections(2).fire(50).await;
        let new = rotate(&cluster.admin(), &old, &json!({"grace_seconds": 600})).await;
        let by_new = Load::on(cluster.each(&new.api_key)).connections(8).fire(usize::try_from(burst).unwrap()).await;
        stop.store(true, Ordering::Relaxed);
        (by_new, new)
    };
    let (old_shots, (new_shots, new)) = tokio::join!(by_old.fire_until_told(&stop), rotating);
    let shots: Vec<Shot> = old_shots.iter().chain(&new_shots).cloned().collect();
    for shot in &shots {
        assert!([200, 429].contains(&shot.answer.status), "a request failed: {}", shot.answer.text());
    }
    assert!(old_shots.iter().any(Shot::is_admitted) && new_shots.iter().any(Shot::is_admitted));
    // 50 were spent before.
    let spent = admitted(&shots) + 50;
    assert!(spent <= usize::try_from(burst + 1).unwrap(), "one bucket for both secrets: {spent}");
    for api in cluster.each(&new.api_key) {
        assert_eq!(api.authorize("").await.status, 429);
    }
}

#[tokio::test]
async fn the_old_secret_is_dead_on_every_node_at_the_end_of_its_grace() {
    let cluster = Cluster::of(Fleet::builder(2).env("TOLLGATE_CHANGE_LOG__POLL_INTERVAL", "1m")).await;
    let old = cluster.limited_key(100_000, DAY).await;
    let new = rotate(&cluster.admin(), &old, &json!({"grace_seconds": GRACE})).await;
    let each = cluster.each(&old.api_key);
    for api in each.iter().chain(&cluster.each(&new.api_key)) {
        api.authorize("").await.expect(200);
    }
    let until =
        time::OffsetDateTime::parse(new.record["previous_secret_until"].as_str().unwrap(), &time::format_description::well_known::Rfc3339)
            .unwrap();
    for api in &each {
        let dead = eventually("the old secret is dead", Duration::from_secs(GRACE * 5), async || {
            let before = time::OffsetDateTime::now_utc();
            let answer = api.authorize("").await;
            // What was answered after the end began before it, or it is a refusal.
            assert!(answer.status == 401 || before < until, "admitted after its end: {}", answer.text());
            anyhow::ensure!(answer.status == 401, "still good");
            Ok(())
        });
        dead.await.unwrap();
        assert!(time::OffsetDateTime::now_utc() >= until, "not before its end");
    }
    for api in cluster.each(&new.api_key) {
        api.authorize("").await.expect(200);
    }
    let second = rotate(&cluster.admin(), &new, &json!({"grace_seconds": 0})).await;
    for (gone, good) in cluster.each(&new.api_key).iter().zip(cluster.each(&second.api_key)) {
        gone.authorize("").await.expect(401);
        good.authorize("").await.expect(200);
    }
}
