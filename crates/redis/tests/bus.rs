//! The bus: what is said is heard by every listener, redis-rs as the independent witness.

#![allow(clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

use std::time::Duration;

use redis::{FromRedisValue, ToRedisArgs};
use tollgate_api::{BusEvent, ChangeEvent, HeartbeatEvent};
use tollgate_gate::ports::{Bus, Heard};
use tollgate_redis::{EventLine, Options, RedisBus};
use tollgate_testkit::{Fault, Proxy, RedisOptions, TestRedis, TestRedisCluster};

/// The longest that anything here may take.
const PATIENCE: Duration = Duration::from_secs(30);

fn beat(position: u64) -> BusEvent {
    BusEvent::Heartbeat(HeartbeatEvent { log_id: "log".into(), position, node: "test".into() })
}

fn revoked(position: u64) -> BusEvent {
    let key_id = Some("tk_a".to_owned());
    BusEvent::Revoked(ChangeEvent { log_id: "log".into(), position, key_id, owner: Some("acme".into()), node: "test".into() })
}

async fn next(bus: &RedisBus) -> Heard {
    tokio::time::timeout(PATIENCE, bus.next()).await.expect("something is heard")
}

/// Past whatever else is told, the next of this.
async fn until(bus: &RedisBus, wanted: &Heard) {
    while next(bus).await != *wanted {}
}

async fn say(bus: &RedisBus, event: BusEvent) {
    let said = async {
        while bus.publish(event.clone()).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, said).await.expect("said");
}

async fn joined(options: &Options) -> RedisBus {
    let bus = RedisBus::connect(options).expect("good options");
    until(&bus, &Heard::Joined).await;
    bus
}

#[tokio::test]
async fn everybody_hears_in_the_order_of_saying_and_so_does_another_client() {
    let redis = TestRedis::with(RedisOptions::default()).await.expect("redis starts");
    let options = Options::new(redis.url());
    let (one, other) = (joined(&options).await, joined(&options).await);
    let witness = redis::Client::open(redis.url()).expect("a good url");
    let mut witness = witness.get_async_pubsub().await.expect("redis answers");
    witness.subscribe("tg:events").await.expect("subscribed");
    for position in 1..=100 {
        say(&one, revoked(position)).await;
    }
    for position in 1..=100 {
        assert_eq!(next_after(&one, position - 1).await, Heard::Event(revoked(position)));
        assert_eq!(next_after(&other, position - 1).await, Heard::Event(revoked(position)));
        let heard = loop {
            let message = futures_util::StreamExt::next(&mut witness.on_message()).await.expect("a message");
            let payload: redis::Value = message.get_payload().expect("a payload");
            let heard = EventLine::from_redis_value(payload).expect("an event");
            if heard != EventLine(revoked(position - 1)) {
                break heard;
            }
        };
        assert_eq!(heard, EventLine(revoked(position)));
    }
}

/// What is heard after a position. That one may come twice: where its sending was not answered in time it was said again.
async fn next_after(bus: &RedisBus, position: u64) -> Heard {
    loop {
        let heard = next(bus).await;
        if heard != Heard::Event(revoked(position)) {
            return heard;
        }
    }
}

#[tokio::test]
async fn another_client_is_heard_too_and_nonsense_is_told_apart() {
    let redis = TestRedis::with(RedisOptions::default()).await.expect("redis starts");
    let bus = joined(&Options::new(redis.url())).await;
    let mut witness = redis.connection().await.expect("redis answers");
    let long = format!(r#"{{"type":"heartbeat","log_id":"log","position":1,"node":"{}"}}"#, "n".repeat(5000));
    let mut lines: Vec<Vec<u8>> = EventLine(beat(7)).to_redis_args();
    lines.extend([&b""[..], b"{", b"null", b"\xff\xfe", br#"{"type":"heartbeat"}"#, long.as_bytes()].map(<[u8]>::to_vec));
    for line in &lines {
        redis::cmd("PUBLISH").arg("tg:events").arg(line).exec_async(&mut witness).await.expect("redis answers");
    }
    assert_eq!(next(&bus).await, Heard::Event(beat(7)));
    for line in lines.iter().skip(1) {
        assert_eq!(next(&bus).await, Heard::Unreadable, "{:?}", String::from_utf8_lossy(line));
    }
}

#[tokio::test]
async fn a_killed_connection_is_told_and_made_anew() {
    let redis = TestRedis::with(RedisOptions::default()).await.expect("redis starts");
    let bus = joined(&Options::new(redis.url())).await;
    let mut witness = redis.connection().await.expect("redis answers");
    for round in 0..3 {
        redis::cmd("CLIENT").arg(&["KILL", "TYPE", "pubsub"]).exec_async(&mut witness).await.expect("redis answers");
        until(&bus, &Heard::Parted).await;
        until(&bus, &Heard::Joined).await;
        say(&bus, beat(round)).await;
        until(&bus, &Heard::Event(beat(round))).await;
    }
}

#[tokio::test]
async fn what_nobody_fetches_is_dropped_and_that_is_told() {
    let redis = TestRedis::with(RedisOptions::default()).await.expect("redis starts");
    let bus = joined(&Options { events_max: 8, ..Options::new(redis.url()) }).await;
    let witness = joined(&Options::new(redis.url())).await;
    for position in 0..1000 {
        say(&bus, beat(position)).await;
    }
    until(&witness, &Heard::Event(beat(999))).await;
    until(&bus, &Heard::Overflowed).await;
    until(&bus, &Heard::Event(beat(999))).await;
}

#[tokio::test]
async fn an_absent_redis_fails_words_in_time_and_not_the_start() {
    let bus = RedisBus::connect(&Options::new("redis://127.0.0.1:1/")).expect("good options");
    bus.publish(beat(1)).await.expect_err("nobody is there");
    until(&bus, &Heard::Parted).await;
    assert!(!format!("{:?}", RedisBus::connect(&Options::new("redis://u:secret@127.0.0.1:1/"))).contains("secret"));
}

/// A first server that takes connections and says nothing is no reason to hear nothing of the others.
#[tokio::test]
async fn a_silent_first_server_of_a_cluster_is_passed_over() {
    let cluster = TestRedisCluster::start(3).await.expect("a cluster");
    let silent = Proxy::start(cluster.node(0).expect("a node").address()).await.expect("a proxy");
    silent.set(Fault::BlackHole);
    // By their names the others come after it, in whatever order they are gone through.
    let named: Vec<String> =
        cluster.nodes().iter().map(|node| format!("node={}", node.address().replace("127.0.0.1", "localhost"))).collect();
    let url = format!("redis-cluster://{}/?{}", silent.addr(), named.join("&"));
    let options = Options { connect_timeout: Duration::from_millis(500), ..Options::new(url) };
    let bus = joined(&options).await;
    // What is said between two connections of a listener is lost, and who hears nothing soon begins a new one.
    let heard = async {
        loop {
            say(&bus, beat(7)).await;
            if tokio::time::timeout(Duration::from_secs(2), until(&bus, &Heard::Event(beat(7)))).await.is_ok() {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, heard).await.expect("heard");
}

#[tokio::test]
async fn the_shipped_acl_is_enough() {
    let line = include_str!("../../../deploy/redis/tollgate.acl").trim();
    let redis = TestRedis::with(RedisOptions::default().user(&format!("{line} >leaf"))).await.expect("redis takes the line");
    let bus = joined(&Options::new(redis.url_as("tollgate", "leaf"))).await;
    say(&bus, beat(1)).await;
    until(&bus, &Heard::Event(beat(1))).await;
    let mut admin = redis.connection().await.expect("redis answers");
    let denied: Vec<redis::Value> = redis::cmd("ACL").arg("LOG").query_async(&mut admin).await.expect("redis answers");
    assert!(denied.is_empty(), "the node was denied something that it needs: {denied:?}");
}
