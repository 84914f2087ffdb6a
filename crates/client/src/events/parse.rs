//! Server-sent events as they are written, as far as nodes write them.

use std::collections::VecDeque;

use tollgate_api::StreamEvent;

/// Bytes of one event at most.
const EVENT_BYTES_MAX: usize = 1 << 20;

/// An event as it was sent.
#[derive(Debug, Clone, PartialEq)]
pub struct SentEvent {
    /// The id to come back with, where it has one.
    pub id: Option<String>,
    /// All that it says.
    pub body: serde_json::Value,
    /// The same as far as this version knows it.
    pub event: StreamEvent,
}

#[derive(Debug, Default)]
pub(super) struct Parser {
    line: Vec<u8>,
    id: Option<String>,
    data: String,
    last_event_id: Option<String>,
}

impl Parser {
    pub(super) fn last_event_id(&self) -> Option<&str> {
        self.last_event_id.as_deref()
    }

    /// Takes more bytes, and gives the events that are whole.
    pub(super) fn push(&mut self, bytes: &[u8], events: &mut VecDeque<SentEvent>) -> Result<(), &'static str> {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(part);
            if self.line.len() + self.data.len() > EVENT_BYTES_MAX {
                return Err("an event is longer than 1 MiB");
            }
            if self.line.last() == Some(&b'\n') {
                let line = std::mem::take(&mut self.line);
                let text = std::str::from_utf8(&line).map_err(|_| "an event is no text")?;
                self.take_line(text.trim_end_matches(['\r', '\n']), events)?;
            }
        }
        Ok(())
    }

    fn take_line(&mut self, line: &str, events: &mut VecDeque<SentEvent>) -> Result<(), &'static str> {
        if line.is_empty() {
            events.extend(self.finish()?);
            return Ok(());
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            // Sent back in a header, so it must be fit for one.
            "id" if value.bytes().all(|byte| byte.is_ascii_graphic()) => self.id = Some(value.to_owned()),
            "data" => {
                if !self.data.is_empty() {
                    self.data.push('\n');
                }
                self.data.push_str(value);
            }
            // Comments, the time to come back, the type (which is in the data), and what is new.
            _ => {}
        }
        Ok(())
    }

    /// What stands between two empty lines. An id without data is no event, but a place.
    fn finish(&mut self) -> Result<Option<SentEvent>, &'static str> {
        let (id, data) = (self.id.take(), std::mem::take(&mut self.data));
        self.last_event_id = id.clone().or(self.last_event_id.take());
        if data.is_empty() {
            return Ok(None);
        }
        let body: serde_json::Value = serde_json::from_str(&data).map_err(|_| "an event is no JSON")?;
        // One that has other fields than this version knows is still an event.
        let event = serde_json::from_value(body.clone()).unwrap_or(StreamEvent::Unknown);
        Ok(Some(SentEvent { id, body, event }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tollgate_api::{EndReason, StreamEnded};

    fn parsed(chunks: &[&[u8]]) -> (Vec<SentEvent>, Option<String>) {
        let (mut parser, mut events) = (Parser::default(), VecDeque::new());
        for chunk in chunks {
            parser.push(chunk, &mut events).expect("good");
        }
        (events.into(), parser.last_event_id().map(str::to_owned))
    }

    const STREAM: &[u8] = b"retry: 1000\n\nid: L7\nevent: ended\ndata: {\"type\":\"ended\",\"reason\":\"node_stops\"}\n\n:\n\nid: L8\n\n\
        data: {\"type\":\"sung\",\ndata: \"song\":\"\xc3\xa4\"}\r\n\r\n";

    #[test]
    fn events_are_read_wherever_the_bytes_are_cut() {
        let whole = parsed(&[STREAM]);
        assert_eq!(whole.0[0].event, StreamEvent::Ended(StreamEnded { reason: EndReason::NodeStops }));
        assert_eq!((whole.0[0].id.as_deref(), whole.0[1].id.as_deref(), whole.1.as_deref()), (Some("L7"), None, Some("L8")));
        assert_eq!((&whole.0[1].event, &whole.0[1].body["song"]), (&StreamEvent::Unknown, &"ä".into()));
        for cut in 0..STREAM.len() {
            assert_eq!(parsed(&[&STREAM[..cut], &STREAM[cut..]]), whole, "at {cut}");
        }
        let bytes: Vec<&[u8]> = STREAM.chunks(1).collect();
        assert_eq!(parsed(&bytes), whole);
    }

    #[test]
    fn an_event_that_is_not_whole_is_none() {
        assert_eq!(parsed(&[b"id: L7\ndata: {}\n"]), (vec![], None));
    }

    #[test]
    fn what_no_node_sends_is_an_error() {
        let long = [b"data: ".as_slice(), &vec![b'x'; EVENT_BYTES_MAX]].concat();
        for bad in [b"data: no\n\n".as_slice(), b"data: \xff\n\n", &long] {
            assert!(Parser::default().push(bad, &mut VecDeque::new()).is_err());
        }
        assert_eq!(parsed(&[b"id: L7\x1b\n\n"]).1, None, "what is unfit for a header is no id");
    }
}
