//! When a connection last did something, and what it is waiting for.
//!
//! One lazily set timer a connection watches slow headers and idleness; a request costs it a few
//! atomic stores and no timer.

use std::{
    sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use tokio::time::Instant;

use crate::options::ServerOptions;

/// What a connection is doing. Shared by its socket, its requests and its watch.
#[derive(Debug)]
pub(crate) struct Activity {
    opened: Instant,
    in_flight: AtomicU32,
    /// Microseconds after `opened`, plus one, at which the headers of a request began; 0 for none.
    head_since_us: AtomicU64,
    /// Milliseconds after `opened` at which the last request ended.
    idle_since_ms: AtomicU64,
    seen_request: AtomicBool,
    /// Whether the last request has a body that was not read when its answer began: bytes that come
    /// after it may be of that.
    body_is_open: AtomicBool,
    http2: AtomicBool,
    closing: AtomicBool,
}

/// What the watch finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing wrong; look again then.
    Fine { look_again: Instant },
    /// Headers take too long: cut it.
    Slow,
    /// Idle for too long: end it in order.
    Idle,
}

/// One request in flight; ends when dropped.
#[derive(Debug)]
pub(crate) struct InFlight {
    activity: std::sync::Arc<Activity>,
    began: Instant,
}

/// Keeps a connection in flight for as long as an answer that has no end is being told. Left with the
/// response by whoever tells it, who keeps a clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lasting(std::sync::Arc<std::sync::OnceLock<InFlight>>);

impl Lasting {
    /// Takes over from the answer's head.
    pub(crate) fn hold(&self, in_flight: InFlight) {
        // A response has one request, so nobody was here before.
        drop(self.0.set(in_flight));
    }
}

impl Activity {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            opened: now,
            in_flight: AtomicU32::new(0),
            head_since_us: AtomicU64::new(0),
            idle_since_ms: AtomicU64::new(0),
            seen_request: AtomicBool::new(false),
            body_is_open: AtomicBool::new(false),
            http2: AtomicBool::new(false),
            closing: AtomicBool::new(false),
        }
    }

    /// Bytes came. Where no request is in flight they begin the headers of one.
    pub(crate) fn received(&self) {
        if self.in_flight.load(Relaxed) == 0 && self.head_since_us.load(Relaxed) == 0 {
            let us = u64::try_from(self.opened.elapsed().as_micros()).unwrap_or(u64::MAX);
            self.head_since_us.store(us.saturating_add(1), Relaxed);
        }
    }

    /// The headers of a request are there, and maybe a body is to come.
    pub(crate) fn begin(self: &std::sync::Arc<Self>, http2: bool, has_body: bool) -> InFlight {
        self.in_flight.fetch_add(1, Relaxed);
        // Of one request over HTTP/1 it is known when it began; of others, and where the first bytes may
        // have been of the body before, that it is there now.
        let is_known = !http2 && !self.body_is_open.load(Relaxed);
        let began = self.first_byte().filter(|_| is_known).unwrap_or_else(Instant::now);
        self.body_is_open.store(has_body, Relaxed);
        self.head_since_us.store(0, Relaxed);
        self.seen_request.store(true, Relaxed);
        self.http2.store(http2, Relaxed);
        InFlight { activity: std::sync::Arc::clone(self), began }
    }

    /// The body of the last request was read. After its answer has begun that is too late to tell
    /// whether bytes were of it.
    pub(crate) fn read_body(&self) {
        if self.in_flight.load(Relaxed) > 0 {
            self.body_is_open.store(false, Relaxed);
        }
    }

    /// From now on answers say that the connection closes.
    pub(crate) fn close(&self) {
        self.closing.store(true, Relaxed);
    }

    pub(crate) fn is_http2(&self) -> bool {
        self.http2.load(Relaxed)
    }

    /// Headers may begin just after a look, so looks are closer together than headers may take:
    /// slow ones end after at most one and a half times their time.
    pub(crate) fn look_every(options: &ServerOptions) -> Duration {
        (options.header_timeout / 2).min(options.keep_alive_timeout)
    }

    /// Judges the connection as of `now`.
    pub(crate) fn look(&self, now: Instant, options: &ServerOptions) -> Found {
        let soon = now + Self::look_every(options);
        if self.in_flight.load(Relaxed) > 0 {
            return Found::Fine { look_again: soon };
        }
        if let Some(since) = self.head_since() {
            let end = since + options.header_timeout;
            return if now >= end { Found::Slow } else { Found::Fine { look_again: end } };
        }
        let end = self.at(self.idle_since_ms.load(Relaxed)) + options.keep_alive_timeout;
        if now >= end { Found::Idle } else { Found::Fine { look_again: end.min(soon) } }
    }

    /// Since when headers are awaited. The first ones from the start; on HTTP/2 later ones cannot
    /// be told from other frames, and fall under idleness.
    fn head_since(&self) -> Option<Instant> {
        if !self.seen_request.load(Relaxed) {
            return Some(self.opened);
        }
        self.first_byte().filter(|_| !self.is_http2())
    }

    /// When the first byte came of headers that are not whole yet.
    fn first_byte(&self) -> Option<Instant> {
        let since_us = self.head_since_us.load(Relaxed).checked_sub(1)?;
        Some(self.opened + Duration::from_micros(since_us))
    }

    fn at(&self, after_ms: u64) -> Instant {
        self.opened + Duration::from_millis(after_ms)
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl InFlight {
    /// Whether the connection is to close after this request.
    pub(crate) fn is_last(&self) -> bool {
        self.activity.closing.load(Relaxed)
    }

    /// When its first byte came, as far as that can be told.
    pub(crate) fn began(&self) -> Instant {
        self.began
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.activity.idle_since_ms.store(self.activity.elapsed_ms(), Relaxed);
        self.activity.in_flight.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const HEADER: Duration = Duration::from_secs(5);
    const IDLE: Duration = Duration::from_mins(1);

    fn options() -> ServerOptions {
        ServerOptions { header_timeout: HEADER, keep_alive_timeout: IDLE, ..ServerOptions::default() }
    }

    async fn pass(time: Duration) -> Instant {
        tokio::time::advance(time).await;
        Instant::now()
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_headers_count_from_the_start() {
        let activity = Activity::new(Instant::now());
        let now = pass(Duration::from_millis(4_999)).await;
        assert_eq!(activity.look(now, &options()), Found::Fine { look_again: now + Duration::from_millis(1) });
        assert_eq!(activity.look(pass(Duration::from_millis(1)).await, &options()), Found::Slow);
    }

    #[tokio::test(start_paused = true)]
    async fn later_headers_count_from_their_first_byte() {
        let activity = Arc::new(Activity::new(Instant::now()));
        drop(activity.begin(false, false));
        pass(IDLE / 2).await;
        activity.received();
        pass(HEADER / 2).await;
        activity.received();
        assert!(matches!(activity.look(Instant::now(), &options()), Found::Fine { .. }));
        assert_eq!(activity.look(pass(HEADER / 2).await, &options()), Found::Slow);
        drop(activity.begin(false, false));
        assert!(matches!(activity.look(Instant::now(), &options()), Found::Fine { .. }));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_began_with_its_first_byte_where_that_is_known() {
        let activity = Arc::new(Activity::new(Instant::now()));
        activity.received();
        let first = Instant::now();
        pass(Duration::from_micros(1500)).await;
        activity.received();
        let request = activity.begin(false, false);
        assert_eq!(request.began(), first);
        // The next one came while this was answered: it is there now.
        activity.received();
        let pipelined = pass(Duration::from_micros(10)).await;
        drop(request);
        assert_eq!(activity.begin(false, false).began(), pipelined);
        activity.received();
        let stream = pass(Duration::from_secs(9)).await;
        assert_eq!(activity.begin(true, false).began(), stream, "frames of HTTP/2 are no request");
    }

    #[tokio::test(start_paused = true)]
    async fn the_rest_of_a_body_begins_no_request() {
        let activity = Arc::new(Activity::new(Instant::now()));
        let answered_early = activity.begin(false, true);
        drop(answered_early);
        activity.received();
        activity.read_body();
        let next = pass(IDLE / 2).await;
        let request = activity.begin(false, true);
        assert_eq!(request.began(), next, "it was idle in between");
        // One that was read before its answer began leaves nothing behind.
        activity.read_body();
        drop(request);
        pass(IDLE / 2).await;
        activity.received();
        let first = Instant::now();
        pass(Duration::from_micros(1500)).await;
        assert_eq!(activity.begin(false, false).began(), first);
    }

    #[tokio::test(start_paused = true)]
    async fn idleness_counts_from_the_end_of_the_last_request() {
        let activity = Arc::new(Activity::new(Instant::now()));
        let request = activity.begin(false, false);
        assert!(matches!(activity.look(pass(IDLE * 2).await, &options()), Found::Fine { .. }), "a request in flight is not idle");
        drop(request);
        assert!(matches!(activity.look(pass(Duration::from_secs(55)).await, &options()), Found::Fine { .. }));
        assert_eq!(activity.look(pass(HEADER).await, &options()), Found::Idle);
    }

    #[tokio::test(start_paused = true)]
    async fn frames_of_http2_are_no_headers() {
        let activity = Arc::new(Activity::new(Instant::now()));
        drop(activity.begin(true, false));
        activity.received();
        assert!(matches!(activity.look(pass(HEADER * 2).await, &options()), Found::Fine { .. }));
        assert_eq!(activity.look(pass(IDLE).await, &options()), Found::Idle);
    }
}
