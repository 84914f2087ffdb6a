//! What the surface and the accept loop may be told to do otherwise.

use std::time::Duration;

use http::HeaderName;
use tollgate_settings::{Network, RateLimitHeaders};
use tollgate_telemetry::{Metrics, Traces};

use crate::events::EventStreamOptions;

/// How requests are read and answered.
#[derive(Debug, Clone)]
pub struct HttpOptions {
    /// Body of one request at most, in bytes.
    pub body_bytes_max: usize,
    /// How long a body may take to arrive, and a call of the control plane to be answered.
    pub request_timeout: Duration,
    /// Which rate-limit headers decisions carry.
    pub ratelimit_headers: RateLimitHeaders,
    /// Peers whose word on the client's address is taken.
    pub trusted_proxies: Vec<Network>,
    /// The header that `/v1/authorize/{rest}` takes the cost from, if any.
    pub cost_header: Option<HeaderName>,
    /// The header that `/v1/authorize/{rest}` takes the scope from, if any.
    pub scope_header: Option<HeaderName>,
    /// Streams of events.
    pub events: EventStreamOptions,
    /// What is told of requests.
    pub telemetry: TelemetryOptions,
    /// This node's name, for `/health/full`.
    pub node: String,
    /// This build's version, for `/health/full`.
    pub version: &'static str,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            body_bytes_max: 64 * 1024,
            request_timeout: Duration::from_secs(10),
            ratelimit_headers: RateLimitHeaders::Draft11,
            trusted_proxies: Vec::new(),
            cost_header: None,
            scope_header: None,
            events: EventStreamOptions::default(),
            telemetry: TelemetryOptions::default(),
            node: String::new(),
            version: env!("CARGO_PKG_VERSION"),
        }
    }
}

/// What is told of requests, beside their answers.
#[derive(Debug, Clone)]
pub struct TelemetryOptions {
    /// Of a million requests that are allowed, so many have a line in the log.
    pub allowed_ppm: u32,
    /// Lines a second at most about requests that were refused, as many about those that have failed,
    /// and as many about calls of operators. Beyond, they are written at `debug` alone.
    pub lines_per_second_max: u32,
    /// Counts what was left out.
    pub metrics: Metrics,
    /// Where spans are kept until they are exported, if they are.
    pub traces: Option<Traces>,
}

impl Default for TelemetryOptions {
    /// The defaults of the settings, and nothing is counted or exported.
    fn default() -> Self {
        Self { allowed_ppm: 1000, lines_per_second_max: 100, metrics: Metrics::noop(), traces: None }
    }
}

/// What one client may take of a listener's time and memory.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// How long the headers of one request may take to arrive; and a handshake of TLS.
    pub header_timeout: Duration,
    /// How long a new connection may stay silent.
    pub first_byte_timeout: Duration,
    /// How long a connection may stand idle between requests.
    pub keep_alive_timeout: Duration,
    /// Headers of one request at most, in bytes; at least 8 KiB.
    pub header_bytes_max: usize,
    /// Open connections at most; beyond, new ones wait in the system's queue.
    pub connections_max: usize,
    /// Requests at one time on one HTTP/2 connection.
    pub streams_max: u32,
    /// How long requests in flight may take to end after the last phase began.
    pub stop_grace: Duration,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(5),
            first_byte_timeout: Duration::from_secs(10),
            keep_alive_timeout: Duration::from_secs(75),
            header_bytes_max: 16 * 1024,
            connections_max: 10_000,
            streams_max: 100,
            stop_grace: Duration::from_secs(20),
        }
    }
}
