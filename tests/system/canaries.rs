//! T20, T45: secrets of every kind are driven through everything that a node and the command line can be asked, at
//! the loudest log there is, and then looked for in everything that was said.
//!
//! Where a secret is meant to be told (the answer to a creation or a rotation, `bootstrap`, the file that holds a
//! credential) is not listened to.

mod commands;
mod requests;
mod search;
mod stores;

use std::path::PathBuf;

use serde_json::json;
use tollgate_keys::{HashParams, Secret, hash_secret};
use tollgate_testkit::{Fleet, RedisOptions, Scratch, TestDatabase, TestRedis};

use crate::support::{Cluster, Collector, NewKey};
use search::{Canary, Heard};

const REDIS_PASSWORD: &str = "canaryOfRedis7Kq2Zx9Rv4Lm1Wt8Yb";
const POSTGRES_PASSWORD: &str = "canaryOfPostgres3Hn6Jd5Fs0Gc7Vp2";
const IMPORTED_SECRET: &str = "canary.imported-9Xw4Bt7Nq1Mz6Kf3";
const MASTER_KEY: &str = "c4a19e0d7b83f25610fe98d7a6b5c4d3e2f10918273645546372819fa0b1c2d3";
/// The one canary that is at home where keys are kept.
const A_HASH: &str = "a hash";
/// The id of a request that is told wherever ids of requests are told: who hears it would hear a canary too.
const DECOY: &str = "decoy-request-id-5Tg8";

/// A fleet that knows all canaries.
struct Cage {
    canaries: Vec<Canary>,
    heard: Heard,
    keys: Keys,
    imported: String,
    cluster: Cluster,
    collector: Collector,
    folder: Scratch,
    redis: TestRedis,
    database: TestDatabase,
}

/// Api keys that were made before anybody listened.
struct Keys {
    plain: NewKey,
    unsigned: NewKey,
    rotated: NewKey,
    /// What the rotation gave.
    renewed: String,
    health: NewKey,
}

impl Cage {
    async fn start() -> Self {
        let redis = TestRedis::with(RedisOptions::default().password(REDIS_PASSWORD).line("rdbcompression no")).await.unwrap();
        let database = TestDatabase::migrated().await.unwrap();
        let postgres_url = stores::url_with_password(&database, POSTGRES_PASSWORD).await;
        let folder = Scratch::new("canaries").unwrap();
        let master = write(&folder, "master-key", MASTER_KEY);
        let collector = Collector::start().await;
        let fleet = Fleet::builder(1).redis(redis.url()).postgres(postgres_url);
        let cluster = fleet
            .env("TOLLGATE_KEYS__MASTER_KEY_FILE", master.to_str().unwrap())
            .env("TOLLGATE_TELEMETRY__OTLP_ENDPOINT", &collector.url)
            .env("TOLLGATE_TELEMETRY__SAMPLE_PPM", "1000000")
            .env("TOLLGATE_LOG__FILTER", "trace")
            .env("TOLLGATE_LOG__FORMAT", "json");
        let cluster = Cluster::of(cluster).await;
        let keys = Keys::make(&cluster).await;
        let hash = hash_secret(&HashParams::new(8, 1, 1).unwrap(), &Secret::parse(IMPORTED_SECRET).unwrap()).unwrap();
        let line = json!({"key_id": "customer-7", "hash": hash.as_str()});
        cluster.fleet.builder.run(&["keys", "import", write(&folder, "import", &line.to_string()).to_str().unwrap()]).await.unwrap();
        let canaries = vec![
            Canary::new("the password of Redis", REDIS_PASSWORD),
            Canary::new("the password of Postgres", POSTGRES_PASSWORD),
            Canary::new("the master key", MASTER_KEY),
            Canary::new("an imported secret", IMPORTED_SECRET),
            Canary::new(A_HASH, hash.as_str().rsplit('$').next().unwrap()),
            Canary::of("the bootstrap key", &cluster.fleet.admin_key),
            Canary::of("a signed key", &keys.plain.api_key),
            Canary::of("an unsigned key", &keys.unsigned.api_key),
            Canary::of("a secret before its rotation", &keys.rotated.api_key),
            Canary::of("a secret after its rotation", &keys.renewed),
            Canary::of("the health credential", &keys.health.api_key),
        ];
        let imported = format!("customer-7:{IMPORTED_SECRET}");
        Self { canaries, heard: Heard::default(), keys, imported, cluster, collector, folder, redis, database }
    }

    /// Every good api key there is.
    fn api_keys(&self) -> Vec<String> {
        let Keys { plain, unsigned, rotated, renewed, health } = &self.keys;
        let made = [&plain.api_key, &unsigned.api_key, &rotated.api_key, renewed, &health.api_key];
        made.into_iter().chain([&self.cluster.fleet.admin_key, &self.imported]).cloned().collect()
    }

    /// Hears what the node has sent to the collector of traces.
    async fn hear_the_traces(&mut self) {
        self.collector.span("a span of the decoy", |span| span.attribute("tollgate.request_id") == DECOY).await;
        let spans: Vec<String> = self.collector.spans().iter().map(|span| span.0.to_string()).collect();
        self.heard.hear("the traces", spans.join("\n"));
    }

    /// Hears what the node has said so far.
    async fn hear_the_node(&mut self) {
        let node = self.cluster.fleet.node(0).unwrap();
        self.heard.hear("the log", node.process().stderr());
        self.heard.hear("standard output", node.process().stdout());
        self.heard.hear("the metrics", node.metrics().await.unwrap());
        let process = format!("/proc/{}", node.process().id());
        self.heard.hear("the process list", std::fs::read_to_string(format!("{process}/cmdline")).unwrap().replace('\0', " "));
        let limits = std::fs::read_to_string(format!("{process}/limits")).unwrap();
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("a limit");
        assert_eq!(core.split_whitespace().filter(|word| *word == "0").count(), 2, "no crash writes the memory to disk: {core}");
    }
}

impl Keys {
    async fn make(cluster: &Cluster) -> Self {
        let plain = cluster.key(json!({"owner": "acme", "scopes": ["a"]})).await;
        let unsigned = cluster.key(json!({"kind": "unsigned"})).await;
        let rotated = cluster.key(json!({})).await;
        let answer = cluster.admin().post(&format!("{}/rotate", rotated.path()), &json!({"grace_seconds": 3600})).send().await;
        let renewed = answer.expect(200).json()["api_key"].as_str().unwrap().to_owned();
        let health = cluster.key(json!({"scopes": ["health:read"]})).await;
        Self { plain, unsigned, rotated, renewed, health }
    }
}

fn write(folder: &Scratch, name: &str, text: &str) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    path
}

#[tokio::test]
async fn no_secret_is_told_by_a_node_whatever_it_is_asked_and_whatever_fails() {
    let mut cage = Cage::start().await;
    requests::with_every_credential(&mut cage).await;
    requests::of_every_call(&mut cage).await;
    stores::read_redis(&mut cage).await;
    stores::gone_and_back(&mut cage).await;
    stores::with_wrong_passwords(&mut cage).await;
    cage.hear_the_traces().await;
    cage.hear_the_node().await;
    stores::read_tables(&mut cage).await;
    let words = [
        ("the log", DECOY),
        ("the log", "TRACE"),
        ("answers", DECOY),
        ("answers", "unauthenticated"),
        ("the traces", DECOY),
        ("the metrics", "tollgate_build_info"),
        ("the process list", "serve"),
        ("the tables", DECOY),
        ("what redis holds", "customer-7"),
        ("the log of a node without stores", "redis"),
        ("answers of a node without stores", "\"ready\":false"),
    ];
    cage.heard.expect_none(&cage.canaries, &words);
    assert!(cage.heard.length() > 1_000_000, "little was said: {}", cage.heard.length());
}

#[tokio::test]
async fn no_secret_is_told_by_a_command_whatever_it_is_asked_and_whatever_fails() {
    let mut cage = Cage::start().await;
    commands::help(&mut cage).await;
    commands::that_succeed(&mut cage).await;
    commands::that_fail(&mut cage).await;
    commands::of_settings(&mut cage).await;
    commands::that_run_on(&mut cage).await;
    cage.hear_the_node().await;
    let words = [
        ("help", "TOLLGATE_API_KEY_FILE"),
        ("results", "customer-7"),
        ("results", "created"),
        ("failures", DECOY),
        ("failures", "error: "),
        ("settings", "redis.url"),
        ("settings", "***"),
        ("wrong settings", "invalid settings"),
        ("the process list", "events"),
    ];
    cage.heard.expect_none(&cage.canaries, &words);
}
