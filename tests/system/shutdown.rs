//! SIGTERM: not ready at once, serves on for the drain, finishes what it has begun, exits with 0.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;
use tollgate_testkit::{Fleet, Node, eventually};

use crate::support::{Api, Cluster, Wire};

const SOON: Duration = Duration::from_secs(20);

async fn cluster(drain_delay: &str) -> Cluster {
    Cluster::of(Fleet::builder(1).env("TOLLGATE_SHUTDOWN__DRAIN_DELAY", drain_delay)).await
}

/// A client that goes on until it is told that its connection closes, as a balancer would.
async fn client(api: Api, running: Arc<AtomicBool>) -> usize {
    let mut answers = 0;
    loop {
        let answer = api.authorize("").await.expect(200);
        answers += 1;
        running.store(true, Ordering::Relaxed);
        if answer.header("connection") == "close" {
            return answers;
        }
    }
}

async fn not_ready(node: &Node) {
    eventually("not ready", SOON, async || {
        let (status, body) = node.health("/health/ready").await?;
        anyhow::ensure!(status == 503, "{status} {body}");
        anyhow::ensure!(body.contains("stop"), "{body}");
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_stopped_node_fails_no_request_under_load() {
    let cluster = cluster("10s").await;
    let node = cluster.fleet.node(0).unwrap();
    let key = cluster.limited_key(1_000_000, 60).await;
    let (mut clients, running) = (JoinSet::new(), Arc::new(AtomicBool::new(false)));
    for _ in 0..16 {
        clients.spawn(client(cluster.node(0).with(&key.api_key).apart(), Arc::clone(&running)));
    }
    let answered = eventually("the first answers", SOON, async || {
        anyhow::ensure!(running.load(Ordering::Relaxed));
        Ok(())
    });
    answered.await.unwrap();
    node.process().signal("TERM").unwrap();
    not_ready(node).await;
    // Still there for whoever has not noticed.
    cluster.node(0).with(&key.api_key).apart().authorize("").await.expect(200);
    let answers: usize = clients.join_all().await.into_iter().sum();
    assert!(answers >= 16);
    let status = node.process().ended().await.unwrap();
    assert_eq!(status.code(), Some(0), "{}", node.process().log_tail());
}

#[tokio::test]
async fn a_request_in_flight_is_answered_before_the_end() {
    let cluster = cluster("0s").await;
    let node = cluster.fleet.node(0).unwrap();
    let key = cluster.limited_key(10, 60).await;
    let body = json!({"cost": 2}).to_string();
    let mut wire = Wire::open(node.address()).await;
    let head = format!(
        "POST /v1/check HTTP/1.1\r\nhost: t\r\nexpect: 100-continue\r\nx-api-key: {}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n",
        key.api_key,
        body.len()
    );
    wire.send(head).await;
    // The node has read the head.
    wire.continues().await;
    wire.send(&body[..4]).await;
    node.process().signal("TERM").unwrap();
    let refused = eventually("no new connections", SOON, async || {
        anyhow::ensure!(tokio::net::TcpStream::connect(node.address()).await.is_err(), "still listens");
        Ok(())
    });
    refused.await.unwrap();
    assert!(node.process().is_running(), "waits for the request in flight");
    wire.send(&body[4..]).await;
    let answer = wire.answer("/v1/check").await;
    assert_eq!(answer.check().remaining, Some(8));
    assert_eq!(node.process().ended().await.unwrap().code(), Some(0));
}

#[tokio::test]
async fn a_second_sigterm_ends_it_at_once() {
    let cluster = cluster("5m").await;
    let node = cluster.fleet.node(0).unwrap();
    node.process().signal("TERM").unwrap();
    not_ready(node).await;
    node.process().signal("TERM").unwrap();
    assert_eq!(node.process().ended().await.unwrap().code(), Some(1));
}
