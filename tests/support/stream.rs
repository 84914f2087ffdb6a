//! A stream of events, as a client reads it.

use std::time::Duration;

use serde_json::Value;

use super::Api;

/// The longest that the next event may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// One stream that is being read.
#[derive(Debug)]
pub(crate) struct Stream {
    response: reqwest::Response,
    seen: String,
    pub(crate) last_id: String,
}

impl Stream {
    pub(crate) async fn open(api: &Api, last_id: Option<&str>) -> Self {
        let call = api.get("/v1/events");
        let call = if let Some(id) = last_id { call.header("last-event-id", id) } else { call };
        let response = call.open().await;
        assert_eq!((response.status().as_u16(), response.headers()["content-type"].as_bytes()), (200, b"text/event-stream".as_slice()));
        let mut stream = Self { response, seen: String::new(), last_id: String::new() };
        assert_eq!(stream.next().await.expect("a snapshot")["type"], "health");
        stream
    }

    /// The next event; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            while let Some((block, rest)) = self.seen.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.seen = rest;
                let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ").map(str::to_owned));
                if let Some(id) = field("id") {
                    self.last_id = id;
                }
                if let Some(data) = field("data") {
                    return Some(serde_json::from_str(&data).expect("JSON"));
                }
            }
            let chunk = tokio::time::timeout(PATIENCE, self.response.chunk()).await.expect("something is sent").expect("no error")?;
            self.seen.push_str(std::str::from_utf8(&chunk).expect("text"));
        }
    }

    /// Why the stream ends; it must.
    pub(crate) async fn end(&mut self) -> Value {
        loop {
            let event = self.next().await.expect("a last event");
            if event["type"] == "ended" {
                assert!(self.next().await.is_none(), "the last event is the last");
                return event["reason"].clone();
            }
        }
    }

    /// All events until one of this type and subject, that one last.
    pub(crate) async fn until(&mut self, kind: &str, subject: &str) -> Vec<Value> {
        let mut all = Vec::new();
        loop {
            let event = self.next().await.unwrap_or_else(|| panic!("the end, and no {kind} of {subject} in {all:?}"));
            let is_it =
                event["type"] == kind && [&event["key_id"], &event["owner"], &event["component"]].into_iter().any(|one| one == subject);
            all.push(event);
            if is_it {
                return all;
            }
        }
    }
}
