//! `GET /v1/events`: one stream, and following it over streams that end.

mod follow;
mod parse;

pub use follow::{FollowOptions, Followed, Follower};
pub use parse::SentEvent;

use std::{collections::VecDeque, time::Duration};

use reqwest::{Method, Response};

use crate::{Client, ClientError, ErrorKind, RequestId, answer::Answer, call::Call, transport::told};
use parse::Parser;

/// One stream of events as a node sends it.
#[derive(Debug)]
pub struct EventReader {
    response: Response,
    request_id: String,
    parser: Parser,
    ready: VecDeque<SentEvent>,
    /// Of what was given out, or of a place after it where nothing more is ready.
    last_event_id: Option<String>,
    /// What came after the events that are ready and cannot be read.
    broken: Option<&'static str>,
}

impl Client {
    /// Opens a stream of events: those after the event `last_event_id`, or what happens from now on.
    /// It is asked for once.
    pub async fn events(&self, last_event_id: Option<&str>) -> Result<EventReader, ClientError> {
        let call = Call::new(Method::GET, &["v1", "events"]);
        let headers = last_event_id.map(|id| ("last-event-id", id));
        let (response, request_id) = self.open(&call, headers).await?;
        if response.status() != 200 {
            let refused = tokio::time::timeout(self.timeout(), refusal(response, &request_id)).await;
            return Err(refused.unwrap_or_else(|_| ClientError { kind: ErrorKind::Timeout, request_id: request_id.to_string() }));
        }
        let (request_id, parser) = (request_id.to_string(), Parser::default());
        Ok(EventReader { response, request_id, parser, ready: VecDeque::new(), last_event_id: None, broken: None })
    }
}

async fn refusal(response: Response, request_id: &RequestId) -> ClientError {
    match Answer::read(response, request_id).await {
        Ok(answer) => answer.refusal(),
        Err(kind) => ClientError { kind, request_id: request_id.to_string() },
    }
}

impl EventReader {
    /// The next event; `None` where the node has ended the stream. A node gives a sign of life every
    /// now and then (15 s where its settings say nothing else), so `silence_max` of nothing at all is a
    /// failure.
    pub async fn next(&mut self, silence_max: Duration) -> Result<Option<SentEvent>, ClientError> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                self.last_event_id = event.id.clone().or(self.last_event_id.take());
                self.note_place();
                return Ok(Some(event));
            }
            if let Some(why) = self.broken.take() {
                return Err(self.failed(ErrorKind::Undecodable(why.to_owned())));
            }
            let chunk = tokio::time::timeout(silence_max, self.response.chunk()).await;
            let chunk = chunk.map_err(|_| self.failed(ErrorKind::Timeout))?.map_err(|error| self.failed(told(error)))?;
            let Some(chunk) = chunk else { return Ok(None) };
            self.broken = self.parser.push(&chunk, &mut self.ready).err();
            self.note_place();
        }
    }

    /// Where everything was given out, a place that came after the last event is as good as its id.
    fn note_place(&mut self) {
        if self.ready.is_empty() && self.broken.is_none() {
            self.last_event_id = self.parser.last_event_id().map(str::to_owned);
        }
    }

    /// The id to come back with: of the last event that was given out, or of a place after it.
    pub fn last_event_id(&self) -> Option<&str> {
        self.last_event_id.as_deref()
    }

    fn failed(&self, kind: ErrorKind) -> ClientError {
        ClientError { kind, request_id: self.request_id.clone() }
    }
}
