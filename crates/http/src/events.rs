//! `GET /v1/events`: server-sent events.
//!
//! The gate says what is told and when a stream ends; this file writes it down. Each stream has a task
//! of its own and a short queue. A reader who takes nothing from it for too long is left.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, HttpBody},
    extract::{Request, State},
    response::Response,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use hyper::body::Frame;
use tokio::sync::mpsc;
use tollgate_api::{StreamEvent, event_id, event_position};
use tollgate_gate::{EventStream, NoStream, Told, request::Plane};
use tollgate_keys::Scope;

use crate::{accept::Params, front::Front, permit, problem::Failure, server::Lasting};

const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream");
/// Tells nginx to pass each event on at once.
const UNBUFFERED: (HeaderName, HeaderValue) = (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
/// How long a reader should wait before he comes back, in milliseconds.
const RETRY: Bytes = Bytes::from_static(b"retry: 1000\n\n");
const BEAT: Bytes = Bytes::from_static(b":\n\n");
/// Where there is no stream: seconds until there may be one.
const RETRY_AFTER_S: u32 = 5;

/// What a stream may take.
#[derive(Debug, Clone, Copy)]
pub struct EventStreamOptions {
    /// Pieces of one stream that wait to be sent; of more the stream waits.
    pub queue_max: usize,
    /// How long a reader may take none of them before he is left.
    pub stall_timeout: Duration,
}

impl Default for EventStreamOptions {
    /// The defaults of the settings.
    fn default() -> Self {
        Self { queue_max: 64, stall_timeout: Duration::from_secs(30) }
    }
}

/// `GET /v1/events`.
pub(crate) async fn events(State(front): State<Arc<Front>>, request: Request) -> Result<Response, Failure> {
    let (parts, _) = request.into_parts();
    Params::refuse(parts.uri.query())?;
    let after = last_event_id(&parts.headers)?;
    let permit = permit::enter(&front, &parts, Scope::EVENTS_READ, Plane::Control).await?;
    let stream = front.gate.follow(permit.operator(), after)?;
    let (options, lasting) = (front.options.events, Lasting::default());
    let (pieces, told) = mpsc::channel(options.queue_max.max(1));
    tokio::spawn(send(stream, pieces, options.stall_timeout, lasting.clone()));
    let mut response = Response::new(Body::new(Pieces(told)));
    response.extensions_mut().insert(lasting);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, EVENT_STREAM);
    headers.extend([UNBUFFERED]);
    permit.write_headers(headers);
    Ok(response)
}

/// The position that `Last-Event-ID` names. Browsers leave it out or send nothing where there is none.
fn last_event_id(headers: &HeaderMap) -> Result<Option<u64>, Failure> {
    let bad = || Failure::malformed_header("last-event-id must be the id of an event of this stream, such as L17");
    let mut values = headers.get_all("last-event-id").iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().map_err(|_| bad())?;
    if values.next().is_some() {
        return Err(bad());
    }
    if text.is_empty() { Ok(None) } else { event_position(text).map(Some).ok_or_else(bad) }
}

/// Sends what is told, until either side has enough. The connection is busy as long as this runs.
async fn send(mut stream: EventStream, pieces: mpsc::Sender<Bytes>, stall_timeout: Duration, _lasting: Lasting) {
    let mut next = Some(RETRY);
    while let Some(piece) = next {
        match tokio::time::timeout(stall_timeout, pieces.send(piece)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return,
            Err(_) => return tracing::debug!("a reader of events takes none: left"),
        }
        next = tokio::select! {
            told = stream.next() => told.map(|told| written(&told)),
            () = pieces.closed() => None,
        };
    }
}

/// One event as it is sent. JSON has no line breaks, so it is one line.
fn written(told: &Told) -> Bytes {
    match told {
        Told::Beat { position: None } => BEAT,
        // An id alone is no event; readers keep it all the same.
        Told::Beat { position: Some(position) } => format!("id: {}\n\n", event_id(*position)).into(),
        Told::Event { position, event } => {
            let id = position.map_or_else(String::new, |position| format!("id: {}\n", event_id(position)));
            format!("{id}event: {}\ndata: {}\n\n", event.name(), data(event)).into()
        }
    }
}

fn data(event: &StreamEvent) -> String {
    // Plain data: it can always be written.
    serde_json::to_string(event).unwrap_or_default()
}

/// The body of a stream.
struct Pieces(mpsc::Receiver<Bytes>);

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}

impl From<NoStream> for Failure {
    fn from(why: NoStream) -> Self {
        match why {
            NoStream::NodeFull | NoStream::CallerFull => Self::TooManyStreams { detail: why.to_string(), retry_after_s: RETRY_AFTER_S },
            NoStream::Stopping => Self::Unavailable { cause: why.to_string(), retry_after_s: 1 },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tollgate_api::{EndReason, StreamEnded};

    #[test]
    fn ids_that_are_none_are_refused() {
        let read = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append("last-event-id", HeaderValue::from_str(value).expect("visible"));
            }
            last_event_id(&headers).ok()
        };
        assert_eq!((read(&[]), read(&[""]), read(&["L7"])), (Some(None), Some(None), Some(Some(7))));
        for bad in [&["7"][..], &["L"], &["L7", "L7"], &["L-1"], &["L 7"]] {
            assert_eq!(read(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn events_are_one_line_each_and_beats_are_none() {
        let event = Arc::new(StreamEvent::Ended(StreamEnded { reason: EndReason::NodeStops }));
        let text = |told: &Told| String::from_utf8(written(told).to_vec()).expect("text");
        let ended = "event: ended\ndata: {\"type\":\"ended\",\"reason\":\"node_stops\"}\n\n";
        assert_eq!(text(&Told::Event { position: None, event: event.clone() }), ended);
        assert_eq!(text(&Told::Event { position: Some(7), event }), format!("id: L7\n{ended}"));
        assert_eq!(text(&Told::Beat { position: None }), ":\n\n");
        assert_eq!(text(&Told::Beat { position: Some(8) }), "id: L8\n\n");
    }
}
