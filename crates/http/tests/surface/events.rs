//! `GET /v1/events` as it stands on the wire, and what a stream is to the connection below it.

use std::time::Duration;

use axum::{body::Body, http::Method};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tollgate_http::{Phase, ServerOptions};

use crate::{
    raw::{PATIENCE, Raw, serve},
    site::{Call, Site},
};

/// One stream that is being read.
struct Reader {
    headers: axum::http::HeaderMap,
    body: Body,
    seen: String,
}

/// A block of a stream: its id, its event, its data.
#[derive(Debug, Default)]
struct Block {
    id: Option<String>,
    event: String,
    data: Value,
}

impl Reader {
    async fn open(call: Call<'_>) -> Self {
        let (parts, body) = call.open().await.into_parts();
        assert_eq!(parts.status, 200);
        Self { headers: parts.headers, body, seen: String::new() }
    }

    /// The next block that is an event; `None` at the end of the stream.
    async fn next(&mut self) -> Option<Block> {
        loop {
            while let Some((block, rest)) = self.seen.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.seen = rest;
                let found = read(&block);
                if !found.event.is_empty() {
                    return Some(found);
                }
            }
            let frame = tokio::time::timeout(PATIENCE, self.body.frame()).await.expect("something is sent")?;
            let data = frame.expect("no error").into_data().expect("data");
            self.seen.push_str(std::str::from_utf8(&data).expect("text"));
        }
    }

    /// The next event that is no word of health: a slow machine may have some at any time.
    async fn next_change(&mut self) -> Block {
        loop {
            let block = self.next().await.expect("the stream goes on");
            if !matches!(block.event.as_str(), "health" | "health_changed") {
                return block;
            }
        }
    }

    /// The next event of that name; others are passed over.
    async fn until(&mut self, event: &str) -> Block {
        loop {
            let block = self.next().await.expect("the stream goes on");
            if block.event == event {
                return block;
            }
        }
    }
}

fn read(block: &str) -> Block {
    let mut found = Block::default();
    for line in block.lines() {
        match line.split_once(": ") {
            Some(("id", id)) => found.id = Some(id.to_owned()),
            Some(("event", event)) => event.clone_into(&mut found.event),
            Some(("data", data)) => found.data = serde_json::from_str(data).expect("JSON on one line"),
            _ => assert!(line.starts_with("retry: ") || line.starts_with(':'), "{line}"),
        }
    }
    found
}

#[tokio::test]
async fn changes_are_told_with_who_asked_for_what() {
    let site = Site::start().await;
    let mut reader = Reader::open(site.get("/v1/events").bearer(&site.admin)).await;
    let header = |name: &str| reader.headers.get(name).map(|value| value.to_str().expect("text").to_owned());
    assert_eq!(header("content-type").as_deref(), Some("text/event-stream"));
    assert_eq!(header("cache-control").as_deref(), Some("no-store"));
    assert_eq!(header("x-accel-buffering").as_deref(), Some("no"));
    let first = reader.next().await.expect("a snapshot");
    assert_eq!((first.event.as_str(), first.data["type"].as_str(), first.data["node"].as_str()), ("health", Some("health"), Some("here")));
    let place = first.id.expect("a place to come back to");
    let key = site.make(json!({"name": "n", "owner": "acme"})).await;
    let key_id = key["key_id"].as_str().expect("an id");
    let calls = ["suspend", "resume", "reset", "rotate", "revoke"];
    for call in calls {
        let path = format!("/v1/keys/{key_id}/{call}");
        let done = site.post(&path).bearer(&site.admin).header("x-request-id", format!("to-{call}")).send().await;
        assert_eq!(done.status, 200, "{}", done.body);
    }
    let limited = site.call(Method::PUT, "/v1/owners/acme").bearer(&site.admin).json(&json!({"rate_limit": null})).send().await;
    assert_eq!(limited.status, 200, "{}", limited.body);
    let mut again = Reader::open(site.get("/v1/events").bearer(&site.admin).header("last-event-id", &place)).await;
    for reader in [&mut reader, &mut again] {
        let created = reader.next_change().await;
        assert_eq!(created.event, "created");
        assert_eq!((created.data["key_id"].as_str(), created.data["owner"].as_str()), (Some(key_id), Some("acme")));
        for (call, event) in calls.into_iter().zip(["suspended", "resumed", "reset", "rotated", "revoked"]) {
            let told = reader.next_change().await;
            assert_eq!((told.event.as_str(), told.data["type"].as_str()), (event, Some(event)));
            assert_eq!(told.data["request_id"], format!("to-{call}"));
            assert_eq!(told.data["action"], format!("keys.{call}"));
            assert!(site.admin.starts_with(told.data["actor"].as_str().expect("an actor")), "{told:?}");
            assert_eq!(told.id, told.data["position"].as_u64().map(|position| format!("L{position}")));
            assert!(!told.data.to_string().contains("tks_"), "{told:?}");
        }
        let updated = reader.next_change().await;
        assert_eq!((updated.event.as_str(), &updated.data["owner"]), ("owner_updated", &json!("acme")));
    }
}

#[tokio::test]
async fn who_may_not_read_gets_a_problem_and_who_may_is_charged_once() {
    let site = Site::start().await;
    assert_eq!(site.get("/v1/events").send().await.status, 401);
    let other = site.key(json!({"scopes": ["keys:read"]})).await;
    assert_eq!(site.get("/v1/events").bearer(&other).send().await.refusal(), (403, "scope-missing".to_owned()));
    let admin = || site.get("/v1/events").bearer(&site.admin);
    assert_eq!(admin().header("last-event-id", "17").send().await.refusal(), (400, "malformed-header".to_owned()));
    assert_eq!(site.get("/v1/events?since=1").bearer(&site.admin).send().await.refusal(), (400, "invalid-parameter".to_owned()));
    assert_eq!(site.post("/v1/events").bearer(&site.admin).send().await.status, 405);
    let reader = site.key(json!({"scopes": ["events:read"], "rate_limit": {"burst": 2, "per_seconds": 86_400}})).await;
    let mut streams = Vec::new();
    for remaining in ["r=1", "r=0"] {
        let mut stream = Reader::open(site.get("/v1/events").bearer(&reader)).await;
        let told = stream.headers.get("ratelimit").expect("how the limit stands").to_str().expect("text").to_owned();
        assert!(told.contains(remaining), "{told}");
        site.make(json!({"name": "n"})).await;
        stream.until("created").await;
        streams.push(stream);
    }
    assert_eq!(site.get("/v1/events").bearer(&reader).send().await.refusal(), (429, "quota-exceeded".to_owned()));
    site.make(json!({"name": "n"})).await;
    streams[0].until("created").await;
}

#[tokio::test]
async fn there_is_room_for_so_many_streams_and_a_reader_who_leaves_makes_some() {
    let site = Site::over(|_| (), |gate| gate.events.streams_per_caller_max = 1).await;
    let stream = Reader::open(site.get("/v1/events").bearer(&site.admin)).await;
    let refused = site.get("/v1/events").bearer(&site.admin).send().await;
    assert_eq!((refused.refusal(), refused.header("retry-after")), ((503, "too-many-streams".to_owned()), "5"));
    drop(stream);
    let free = || async {
        anyhow::ensure!(site.gate.event_streams() == 0, "still taken");
        Ok(())
    };
    tollgate_testkit::eventually("the place is free", PATIENCE, free).await.expect("it is");
    Reader::open(site.get("/v1/events").bearer(&site.admin)).await;
}

#[tokio::test]
async fn a_reader_who_takes_nothing_is_left() {
    let options = |http: &mut tollgate_http::HttpOptions| {
        (http.events.queue_max, http.events.stall_timeout) = (1, Duration::from_millis(50));
    };
    let site = Site::over(options, |gate| gate.events.heartbeat_interval = Duration::from_millis(10)).await;
    let _unread = Reader::open(site.get("/v1/events").bearer(&site.admin)).await;
    let left = || async {
        anyhow::ensure!(site.gate.event_streams() == 0, "still there");
        Ok(())
    };
    tollgate_testkit::eventually("he is left", PATIENCE, left).await.expect("he is");
}

#[tokio::test]
async fn a_revoked_readers_stream_ends() {
    let site = Site::start().await;
    let key = site.make(json!({"name": "n", "scopes": ["events:read"]})).await;
    let mut reader = Reader::open(site.get("/v1/events").bearer(key["api_key"].as_str().expect("a key"))).await;
    reader.until("health").await;
    let path = format!("/v1/keys/{}/revoke", key["key_id"].as_str().expect("an id"));
    assert_eq!(site.post(&path).bearer(&site.admin).send().await.status, 200);
    assert_eq!(reader.until("ended").await.data["reason"], "not_allowed");
    assert!(reader.next().await.is_none(), "the end");
}

#[tokio::test]
async fn a_stream_outlives_the_idle_time_of_its_connection_and_ends_in_order_with_the_node() {
    let site = Site::over(|_| (), |gate| gate.events.heartbeat_interval = Duration::from_millis(20)).await;
    let short = ServerOptions { keep_alive_timeout: Duration::from_millis(100), ..ServerOptions::default() };
    let running = serve(site.surface.clone(), short).await;
    let mut raw = Raw::open(running.address).await;
    raw.send(format!("GET /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\r\n", site.admin)).await;
    // Fifty beats, 20 ms apart at the least: ten times as long as an idle connection lives.
    let mut seen = String::new();
    while seen.matches(":\n\n").count() < 50 {
        seen.push_str(&String::from_utf8(raw.take(1).await).expect("ASCII"));
    }
    running.phase.send_replace(Phase::Drain);
    site.gate.end_streams();
    running.phase.send_replace(Phase::Stop);
    let rest = raw.rest().await;
    assert!(rest.contains("\"reason\":\"node_stops\"") && rest.ends_with("0\r\n\r\n"), "{rest}");
    assert_eq!(running.served.await.expect("it ends").connections_cut, 0);
}
