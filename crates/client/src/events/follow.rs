//! Following events for as long as somebody wants: where a stream ends another one goes on after the
//! last event.

use std::time::Duration;

use tokio::time::Instant;

use super::{EventReader, SentEvent};
use crate::{Client, ClientError, ErrorKind, Randomness};

/// How patiently events are followed.
#[derive(Debug, Clone)]
pub struct FollowOptions {
    /// Attempts in a row that may fail before that is final.
    pub failures_max: u32,
    /// About the wait after a stream that ended; twice as long after every attempt that fails.
    pub first_wait: Duration,
    /// The longest wait, unless a node asks for a longer one.
    pub wait_max: Duration,
    /// How long a stream may be silent before it is given up: nodes give a sign of life every 15 s, if
    /// their settings say nothing else.
    pub silence_max: Duration,
    /// Where the jitter of waits comes from.
    pub random: Randomness,
}

impl Default for FollowOptions {
    /// 10 failures, waits of half a second to half a minute, a minute of silence.
    fn default() -> Self {
        Self {
            failures_max: 10,
            first_wait: Duration::from_millis(500),
            wait_max: Duration::from_secs(30),
            silence_max: Duration::from_mins(1),
            random: Randomness::default(),
        }
    }
}

/// Events of one stream after the other.
#[derive(Debug)]
pub struct Follower {
    client: Client,
    options: FollowOptions,
    last_event_id: Option<String>,
    reader: Option<EventReader>,
    /// Whether there ever was a stream: before, a failure is final.
    is_begun: bool,
    failures: u32,
    /// When to ask again.
    not_before: Instant,
}

/// What comes next.
#[derive(Debug)]
pub enum Followed {
    /// An event.
    Event(Box<SentEvent>),
    /// The stream is over; another one is asked for after this wait, at the next call.
    Lost {
        /// Why, where it did not simply end.
        why: Option<ClientError>,
        /// How long the next call waits.
        wait: Duration,
    },
}

impl Follower {
    /// Follows events after the one of this id, or from now on.
    pub fn new(client: Client, last_event_id: Option<String>, options: FollowOptions) -> Self {
        Self { client, options, last_event_id, reader: None, is_begun: false, failures: 0, not_before: Instant::now() }
    }

    /// The next event, or word that the stream is over and when another one is asked for. An error is
    /// final: the node refuses, or too many attempts have failed.
    pub async fn next(&mut self) -> Result<Followed, ClientError> {
        let Some(reader) = &mut self.reader else { return self.open().await };
        let told = reader.next(self.options.silence_max).await;
        self.last_event_id = reader.last_event_id().map(str::to_owned).or(self.last_event_id.take());
        match told {
            Ok(Some(event)) => {
                self.failures = 0;
                Ok(Followed::Event(Box::new(event)))
            }
            Ok(None) => self.lost(None),
            Err(error) => self.lost(Some(error)),
        }
    }

    /// Where it goes on.
    pub fn last_event_id(&self) -> Option<&str> {
        self.last_event_id.as_deref()
    }

    async fn open(&mut self) -> Result<Followed, ClientError> {
        tokio::time::sleep_until(self.not_before).await;
        let mut reader = match self.client.events(self.last_event_id.as_deref()).await {
            Ok(reader) => reader,
            Err(error) if self.is_begun && may_pass(&error) => return self.lost(Some(error)),
            Err(error) => return Err(error),
        };
        self.is_begun = true;
        // Every stream begins with an event; one that does not was none.
        let first = reader.next(self.options.silence_max).await;
        self.reader = Some(reader);
        match first {
            Ok(Some(event)) => Ok(self.first(event)),
            Ok(None) => self.lost(None),
            Err(error) => self.lost(Some(error)),
        }
    }

    fn first(&mut self, event: SentEvent) -> Followed {
        self.failures = 0;
        self.last_event_id = event.id.clone().or(self.last_event_id.take());
        Followed::Event(Box::new(event))
    }

    fn lost(&mut self, why: Option<ClientError>) -> Result<Followed, ClientError> {
        self.reader = None;
        self.failures += 1;
        if self.failures > self.options.failures_max {
            let gave_up = || ClientError { kind: ErrorKind::Unreachable("streams end again and again".into()), request_id: String::new() };
            return Err(why.unwrap_or_else(gave_up));
        }
        let asked = why.as_ref().and_then(ClientError::retry_after_s).map_or(Duration::ZERO, Duration::from_secs);
        let wait = self.backoff().max(asked);
        self.not_before = Instant::now() + wait;
        Ok(Followed::Lost { why, wait })
    }

    /// Half of the wait at least, so that nobody hurries; and the rest by chance, so that not all come
    /// back at once.
    fn backoff(&self) -> Duration {
        let FollowOptions { first_wait, wait_max, random, .. } = &self.options;
        let doubled = first_wait.saturating_mul(1 << self.failures.saturating_sub(1).min(16)).min(*wait_max);
        let half_ms = u64::try_from(doubled.as_millis() / 2).unwrap_or(u64::MAX);
        Duration::from_millis(half_ms + random.next() % half_ms.saturating_add(1))
    }
}

/// Whether the same may be answered otherwise later.
fn may_pass(error: &ClientError) -> bool {
    match error.status() {
        Some(status) => matches!(status, 408 | 429 | 502..=504),
        None => !matches!(error.kind, ErrorKind::Undecodable(_)),
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;
    use crate::ClientOptions;

    const STREAM: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nid: L7\ndata: {\"type\":\"lagged\",\"missed\":1}\n\nid: L8\n\n";
    const BUSY: &str = "HTTP/1.1 503 Busy\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    const NOBODY: &str = "HTTP/1.1 401 Nobody\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

    /// Answers one connection after the other, then none; gives what was asked.
    async fn node(answers: &'static [&'static str]) -> (Follower, tokio::task::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let asked = tokio::spawn(async move {
            let mut asked = Vec::new();
            for answer in answers {
                let (mut socket, _) = listener.accept().await.expect("a connection");
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    request.push(socket.read_u8().await.expect("a byte"));
                }
                asked.push(String::from_utf8(request).expect("text"));
                socket.write_all(answer.as_bytes()).await.expect("written");
                socket.shutdown().await.ok();
            }
            asked
        });
        let client = Client::with_options(&url, None, &ClientOptions::default()).expect("a client");
        let (first_wait, wait_max) = (Duration::from_millis(2), Duration::from_millis(4));
        let options = FollowOptions { failures_max: 3, first_wait, wait_max, ..FollowOptions::default() };
        (Follower::new(client, None, options), asked)
    }

    /// What comes next, in a word.
    async fn next(follower: &mut Follower) -> &'static str {
        match follower.next().await {
            Ok(Followed::Event(_)) => "event",
            Ok(Followed::Lost { why: None, .. }) => "ended",
            Ok(Followed::Lost { why: Some(_), .. }) => "failed",
            Err(error) if error.status() == Some(401) => "refused",
            Err(_) => "gave up",
        }
    }

    #[tokio::test]
    async fn a_stream_that_ends_goes_on_at_its_last_place_until_it_is_refused() {
        let (mut follower, asked) = node(&[STREAM, BUSY, STREAM, NOBODY]).await;
        for told in ["event", "ended", "failed", "event", "ended", "refused"] {
            assert_eq!(next(&mut follower).await, told);
        }
        let places: Vec<bool> = asked.await.expect("four").iter().map(|request| request.contains("last-event-id: L8\r\n")).collect();
        assert_eq!(places, [false, true, true, true]);
        assert_eq!(follower.last_event_id(), Some("L8"));
    }

    #[tokio::test]
    async fn a_node_that_is_gone_is_asked_so_often_and_no_more() {
        let (mut follower, asked) = node(&[STREAM]).await;
        assert_eq!((next(&mut follower).await, next(&mut follower).await), ("event", "ended"));
        asked.await.expect("one");
        for told in ["failed", "failed", "gave up"] {
            assert_eq!(next(&mut follower).await, told);
        }
    }

    #[tokio::test]
    async fn what_comes_to_nothing_at_first_is_final() {
        let (mut follower, _asked) = node(&[BUSY]).await;
        assert_eq!(next(&mut follower).await, "gave up");
    }

    #[tokio::test]
    async fn it_goes_on_after_what_was_given_out_and_not_after_what_only_came() {
        const SEVERAL: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nid: L7\ndata: {\"type\":\"lagged\",\"missed\":1}\n\n\
            id: L8\ndata: {\"type\":\"lagged\",\"missed\":2}\n\nid: L9\ndata: no\n\n";
        let (mut follower, _asked) = node(&[SEVERAL]).await;
        for id in ["L7", "L8"] {
            assert_eq!(next(&mut follower).await, "event");
            assert_eq!(follower.last_event_id(), Some(id));
        }
        assert_eq!(next(&mut follower).await, "failed");
        assert_eq!(follower.last_event_id(), Some("L8"), "the one that cannot be read is not skipped");
    }
}
