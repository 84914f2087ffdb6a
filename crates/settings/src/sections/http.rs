//! What one client may take of a node's time and memory.

use crate::{
    ByteSize, TimeSpan,
    values::{Bound, size, time, whole},
};

/// Settings `http.*`.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpSettings {
    /// How long a client may take to send the headers of a request.
    pub header_timeout: TimeSpan,
    /// How long a new connection may stay silent.
    pub first_byte_timeout: TimeSpan,
    /// How long a request may take in all.
    pub request_timeout: TimeSpan,
    /// How long a connection may stand idle between requests.
    pub keep_alive_timeout: TimeSpan,
    /// Headers of one request at most.
    pub header_bytes_max: ByteSize,
    /// Body of one request at most.
    pub body_bytes_max: ByteSize,
    /// Open connections at most.
    pub connections_max: usize,
    /// Requests at one time on one HTTP/2 connection.
    pub streams_max: u32,
}

pub(super) const BOUNDS: &[Bound] = &[
    time("http.header_timeout", TimeSpan::millis(10), TimeSpan::secs(60)),
    time("http.first_byte_timeout", TimeSpan::millis(10), TimeSpan::secs(60)),
    time("http.request_timeout", TimeSpan::millis(10), TimeSpan::secs(300)),
    time("http.keep_alive_timeout", TimeSpan::millis(100), TimeSpan::secs(3_600)),
    // The HTTP library takes no smaller buffer.
    size("http.header_bytes_max", ByteSize::kib(8), ByteSize::mib(1)),
    size("http.body_bytes_max", ByteSize::kib(1), ByteSize::mib(16)),
    whole("http.connections_max", 1, 1_000_000),
    whole("http.streams_max", 1, 10_000),
];
