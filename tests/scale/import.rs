//! A hundred thousand keys brought in at once, and an emergency in the middle.

use std::{path::Path, time::Duration};

use serde_json::{Value, json};
use tollgate_testkit::{Scratch, eventually};

use super::fleet;
use crate::support::{Cluster, NewKey};

const KEYS: usize = 100_000;
const HASH: &str = "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$";

/// Runs the import to its end and gives its report.
async fn import(cluster: &Cluster, file: &Path) -> Value {
    let arguments = ["--output", "json", "keys", "import", file.to_str().unwrap()];
    serde_json::from_str(&cluster.fleet.builder.run(&arguments).await.unwrap()).unwrap()
}

/// A key is revoked in an emergency while thousands are brought in: the revocation does not wait for
/// them, and every one of them is there in the end, for nodes that were up all the time too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_emergency_revoke_does_not_wait_for_an_import_and_nothing_is_skipped() {
    let (cluster, folder) =
        (Cluster::of(fleet(2).env("TOLLGATE_CHANGE_LOG__POLL_INTERVAL", "100ms")).await, Scratch::new("import").unwrap());
    let line = |number: usize| json!({"hash": format!("{HASH}AAECAwQFBgcICQoLDA0ODw"), "key_id": format!("mass-{number:07}"), "name": "n"});
    let file = folder.path().join("keys.jsonl");
    std::fs::write(&file, (0..KEYS).map(|number| line(number).to_string() + "\n").collect::<String>()).unwrap();
    let keys = i64::try_from(KEYS).unwrap();
    let leaked = cluster.key(json!({})).await;
    for api in cluster.each(&leaked.api_key) {
        api.authorize("").await.expect(200);
    }
    let database = cluster.fleet.database.as_ref().expect("a database of its own");
    let pool = sqlx::PgPool::connect(database.url()).await.unwrap();
    let brought =
        async || sqlx::query_scalar::<_, i64>("select count(*) from keys where key_id like 'mass-%'").fetch_one(&pool).await.unwrap();
    let emergency = async {
        let begun = eventually("the import has begun", Duration::from_mins(1), async || {
            anyhow::ensure!(brought().await > 0, "not yet");
            Ok(())
        });
        begun.await.unwrap();
        leaked.revoke(&cluster.admin()).await;
        let when = brought().await;
        for api in cluster.each(&leaked.api_key) {
            api.authorize("").await.expect(401);
        }
        when
    };
    let (report, when) = tokio::join!(import(&cluster, &file), emergency);
    assert_eq!(report["keys_made"], json!(KEYS));
    assert!(when < keys, "revoked in the middle, not at the end: {when}");
    assert_eq!(brought().await, keys);
    let (positions, last): (i64, i64) =
        sqlx::query_as("select count(*), (select position from change_head) from change_log").fetch_one(&pool).await.unwrap();
    assert_eq!(positions, last, "no position without its row");
    for node in 0..2 {
        let shown = cluster.admin_of(node).get(&format!("/v1/keys/mass-{:07}", KEYS - 1)).send().await.expect(200).json();
        assert_eq!(shown["status"], "active");
        // Its secret is nobody's; but nobody calls the id unknown for want of having read the log.
        let made = NewKey::make(&cluster.admin_of(node), json!({})).await;
        cluster.node(node + 1).with(&made.api_key).authorize("").await.expect(200);
    }
    assert_eq!(import(&cluster, &file).await["keys_kept"], json!(KEYS), "a second time makes nothing");
}
