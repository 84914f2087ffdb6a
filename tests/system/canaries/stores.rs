//! The stores behind the canaries: with passwords, gone, unreachable, and read through.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Executor as _};
use tollgate_testkit::{TestDatabase, eventually, unique};

use super::{Cage, DECOY, POSTGRES_PASSWORD, REDIS_PASSWORD};

const PATIENCE: Duration = Duration::from_mins(1);

/// The database by a user who has this password, whether the server asks for it or not.
pub(super) async fn url_with_password(database: &TestDatabase, password: &str) -> String {
    let (user, name) = (unique("canary"), database.name());
    let mut connection = database.connection().await.unwrap();
    // The user goes with the server, which is a test's own as well.
    let statement = format!("create role {user} login superuser password '{password}'");
    connection.execute(AssertSqlSafe(statement)).await.unwrap();
    let (_, server) = database.url().rsplit_once('@').expect("postgres://user@server/database");
    assert!(server.ends_with(name));
    format!("postgres://{user}:{password}@{server}")
}

/// Requests while Redis is gone, and when it is back.
pub(super) async fn gone_and_back(cage: &mut Cage) {
    let api = cage.cluster.node(0).with(&cage.keys.unsigned.api_key);
    cage.redis.kill().unwrap();
    for target in ["/v1/authorize", "/health/ready", "/v1/authorize?cost=2"] {
        let answer = api.get(target).request_id(DECOY).send().await;
        cage.heard.hear("answers", answer.text());
    }
    cage.redis.start_again().await.unwrap();
    let back = eventually("decisions again", PATIENCE, async || {
        let answer = api.authorize("").await;
        anyhow::ensure!(answer.status == 200, "{}", answer.text());
        Ok(())
    });
    back.await.unwrap();
}

/// Nodes that cannot come up: Redis refuses the password, Postgres is not there.
pub(super) async fn with_wrong_passwords(cage: &mut Cage) {
    let (wrong_redis, wrong_postgres) = (format!("{REDIS_PASSWORD}wrong"), format!("{POSTGRES_PASSWORD}wrong"));
    let redis_url = cage.redis.url().replace(REDIS_PASSWORD, &wrong_redis);
    let postgres_url = format!("postgres://nobody:{wrong_postgres}@127.0.0.1:1/nothing");
    for (name, url) in [("TOLLGATE_REDIS__URL", redis_url), ("TOLLGATE_POSTGRES__URL", postgres_url)] {
        let node = cage.cluster.fleet.builder.clone().env(name, url).start_live().await.unwrap();
        let told = eventually("why it is not ready", PATIENCE, async || {
            let (status, body) = node.health("/health/ready").await?;
            anyhow::ensure!(status == 503 && body.contains("down"), "{status} {body}");
            Ok(body)
        });
        cage.heard.hear("answers of a node without stores", told.await.unwrap());
        node.stop().await.unwrap();
        cage.heard.hear("the log of a node without stores", node.process().stderr());
    }
}

/// Reads all tables, but for the hashes in that of keys, which are at home there.
pub(super) async fn read_tables(cage: &mut Cage) {
    let mut connection = cage.database.connection().await.unwrap();
    for table in ["audit", "change_log", "change_head", "idempotency_keys", "owners", "signing_keys"] {
        let rows = format!("select coalesce(jsonb_agg(to_jsonb(r)), '[]')::text from {table} r");
        let rows: String = sqlx::query_scalar(AssertSqlSafe(rows)).fetch_one(&mut connection).await.unwrap();
        cage.heard.hear("the tables", rows);
    }
    let keys = "select jsonb_agg(to_jsonb(r) - 'secret_phc' - 'previous_phc')::text from keys r";
    cage.heard.hear("the tables", sqlx::query_scalar::<_, String>(keys).fetch_one(&mut connection).await.unwrap());
}

/// Reads all that Redis holds.
pub(super) async fn read_redis(cage: &mut Cage) {
    let mut redis = cage.redis.connection().await.unwrap();
    let names: Vec<Vec<u8>> = redis::cmd("KEYS").arg("*").query_async(&mut redis).await.unwrap();
    for name in names {
        let value: Option<Vec<u8>> = redis::cmd("DUMP").arg(&name).query_async(&mut redis).await.unwrap();
        let told = [name, value.unwrap_or_default()].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        cage.heard.hear("what redis holds", told.concat());
    }
}
