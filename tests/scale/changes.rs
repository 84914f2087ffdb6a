//! Ten thousand changes of keys under faults: what a change grants is there on every node as soon as
//! it has answered, and nobody is refused by what held before.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tollgate_testkit::{Fault, Node, Proxy, TestRedis};

use super::{
    SOON, fleet,
    volley::{Line, request_for},
};
use crate::support::Cluster;

/// Changes whose answers said that they hold everywhere.
const CHANGES: usize = 10_000;
const OPERATORS: usize = 40;
const PERIOD: u64 = 2_678_400;
/// How long a fault lasts, and the pause before the next.
const FAULT: Duration = Duration::from_millis(120);
const PAUSE: Duration = Duration::from_millis(480);

/// A change that has not answered that it holds everywhere: its key is given up.
struct Unsure;

/// Somebody who changes keys, and looks at all nodes after every change.
struct Operator {
    admin_key: String,
    nodes: Vec<SocketAddr>,
    lines: Vec<Option<Line>>,
    changed: Arc<AtomicUsize>,
    /// Requests that were told to come back.
    waits: usize,
}

impl Operator {
    /// What one node answers; what cannot be said now is asked again.
    async fn answer(&mut self, node: usize, api_key: &str, query: &str) -> (u16, Vec<u8>) {
        let end = Instant::now() + SOON;
        while Instant::now() < end {
            let told = self.ask(node, &request_for(query, api_key, "")).await;
            if let Some(told) = told.filter(|(status, _)| *status != 503) {
                return told;
            }
            self.waits += 1;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("node {node} could not answer for {SOON:?}");
    }

    async fn ask(&mut self, node: usize, request: &str) -> Option<(u16, Vec<u8>)> {
        let mut line = match self.lines[node].take() {
            Some(line) => line,
            None => Line::open(self.nodes[node]).await.ok()?,
        };
        line.send(request).await.ok()?;
        let (told, body) = line.whole_answer().await.ok()?;
        self.lines[node] = Some(line);
        Some((told.status, body))
    }

    /// Every node answers this.
    async fn all(&mut self, api_key: &str, query: &str, status: u16, when: &str) {
        for node in 0..self.nodes.len() {
            let (told, body) = self.answer(node, api_key, query).await;
            assert_eq!(told, status, "node {node}, {query:?}, {when}: {}", String::from_utf8_lossy(&body));
        }
    }

    /// Makes a change at the next node; gives the record it answers.
    async fn change(&mut self, target: &str, body: &Value) -> Result<Value, Unsure> {
        let method = if target.ends_with("keys") || target.contains("/r") { "POST" } else { "PATCH" };
        let (head, body) = (format!("{method} {target} HTTP/1.1\r\nhost: t\r\nauthorization: Bearer {}", self.admin_key), body.to_string());
        let request = format!("{head}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        let node = self.changed.load(Ordering::Relaxed) % self.nodes.len();
        let (status, answer) = self.ask(node, &request).await.expect("an answer");
        if status == 503 {
            return Err(Unsure);
        }
        assert!(matches!(status, 200 | 201), "{target}: {status} {}", String::from_utf8_lossy(&answer));
        let record: Value = serde_json::from_slice(&answer).expect("a record");
        if record["propagated"] == false {
            return Err(Unsure);
        }
        self.changed.fetch_add(1, Ordering::Relaxed);
        Ok(record)
    }

    /// The life of a key: eight changes.
    async fn live(&mut self, number: usize) -> Result<(), Unsure> {
        let kind = if number.is_multiple_of(2) { "signed" } else { "unsigned" };
        let limit = |burst: u64| json!({"burst": burst, "per_seconds": PERIOD});
        let body = json!({"name": "n", "kind": kind, "scopes": ["a"], "rate_limit": limit(100)});
        let made = self.change("/v1/keys", &body).await?;
        let text = |record: &Value, name: &str| record[name].as_str().expect("a text").to_owned();
        let (path, old) = (format!("/v1/keys/{}", text(&made, "key_id")), text(&made, "api_key"));
        self.all(&old, "?scope=a", 200, "just made").await;
        // The last token at most is left, whatever was charged without an answer.
        self.answer(0, &old, "?cost=90").await;
        self.all(&old, "?cost=50", 429, "spent").await;
        self.change(&path, &json!({"rate_limit": limit(100_000)})).await?;
        self.all(&old, "?cost=50", 200, "more given").await;
        self.all(&old, "?scope=b", 403, "without this scope").await;
        self.change(&path, &json!({"scopes": ["a", "b"]})).await?;
        self.all(&old, "?scope=b", 200, "scope added").await;
        let rotated = self.change(&format!("{path}/rotate"), &json!({"grace_seconds": 0})).await?;
        let new = text(&rotated, "api_key");
        self.all(&new, "?scope=b", 200, "rotated").await;
        self.all(&old, "", 401, "rotated away").await;
        self.change(&path, &json!({"scopes": ["b"]})).await?;
        self.all(&new, "?scope=b", 200, "another scope taken").await;
        self.all(&new, "?scope=a", 403, "scope taken").await;
        self.change(&path, &json!({"rate_limit": limit(1)})).await?;
        self.all(&new, "", 429, "nearly all taken").await;
        self.change(&path, &json!({"rate_limit": null})).await?;
        self.all(&new, "", 200, "unlimited").await;
        self.change(&format!("{path}/revoke"), &json!({})).await?;
        self.all(&new, "", 401, "revoked").await;
        Ok(())
    }

    /// Keys come and go until enough was changed; how many were given up, and answers waited for.
    async fn work(mut self) -> (usize, usize) {
        let mut given_up = 0;
        while self.changed.load(Ordering::Relaxed) < CHANGES {
            let lived = self.live(self.changed.load(Ordering::Relaxed)).await;
            given_up += usize::from(lived.is_err());
        }
        (given_up, self.waits)
    }
}

/// One fault after the other, each on one node's way to a store, until this is dropped.
async fn disturb(ways: &[Proxy]) {
    let faults = [Fault::Cut, Fault::Delay(Duration::from_millis(5)), Fault::BlackHole];
    for round in 0.. {
        let way = &ways[round % ways.len()];
        way.set(faults[round / ways.len() % faults.len()]);
        tokio::time::sleep(FAULT).await;
        way.mend();
        way.cut();
        tokio::time::sleep(PAUSE).await;
    }
}

/// Kills every connection that listens for events, again and again.
async fn deafen(redis: &TestRedis) {
    loop {
        redis.command(&["CLIENT", "KILL", "TYPE", "pubsub"]).await.unwrap();
        tokio::time::sleep(PAUSE).await;
    }
}

/// A node like the others whose stores are reached through proxies.
async fn node_through(cluster: &Cluster, redis: &TestRedis) -> (Node, [Proxy; 2]) {
    let to_redis = Proxy::start(redis.address()).await.unwrap();
    let database = cluster.fleet.database.as_ref().unwrap().url();
    let (user, rest) = database.split_once('@').unwrap();
    let (address, name) = rest.split_once('/').unwrap();
    let to_postgres = Proxy::start(address).await.unwrap();
    let builder = cluster.fleet.builder.clone().env("TOLLGATE_REDIS__URL", redis.url_through(to_redis.addr()));
    let builder = builder.env("TOLLGATE_POSTGRES__URL", format!("{user}@{}/{name}", to_postgres.addr()));
    (builder.start().await.unwrap(), [to_redis, to_postgres])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_changes_under_faults_refuse_nobody_falsely() {
    let redis = TestRedis::start().await.unwrap();
    let impatient = fleet(2).redis(redis.url()).env("TOLLGATE_REDIS__DECISION_TIMEOUT", "500ms");
    // Of unsigned keys that a node has not heard of yet it looks up so many; more are told to wait, as they should.
    let generous = impatient.env("TOLLGATE_LOOKUP__BUDGET__BURST", "1000000");
    let cluster = Cluster::of(generous.env("TOLLGATE_POSTGRES__LOOKUP_TIMEOUT", "1s")).await;
    let (third, ways) = node_through(&cluster, &redis).await;
    let nodes = [cluster.fleet.node(0).unwrap(), cluster.fleet.node(1).unwrap(), &third];
    let changed = Arc::new(AtomicUsize::new(0));
    let mut operators = JoinSet::new();
    for _ in 0..OPERATORS {
        let lines = nodes.iter().map(|_| None).collect();
        let nodes = nodes.iter().map(|node| node.address()).collect();
        let admin_key = cluster.fleet.admin_key.clone();
        operators.spawn(Operator { admin_key, nodes, lines, changed: Arc::clone(&changed), waits: 0 }.work());
    }
    let worked = async {
        let (mut given_up, mut waits) = (0, 0);
        while let Some(done) = operators.join_next().await {
            let (some, more) = done.expect("no panic");
            (given_up, waits) = (given_up + some, waits + more);
        }
        (given_up, waits)
    };
    let (given_up, waits) = tokio::select! {
        worked = worked => worked,
        () = disturb(&ways) => unreachable!("it never ends"),
        () = deafen(&redis) => unreachable!("it never ends"),
    };
    assert!(changed.load(Ordering::Relaxed) >= CHANGES);
    assert!(given_up > 0 && waits > 0, "{given_up} keys given up, {waits} waits: nothing was disturbed");
}
