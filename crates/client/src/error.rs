//! Why a call came to nothing.

use std::fmt;

use tollgate_api::Problem;

use crate::GateHeaders;

/// A call that came to nothing, and the id by which the node knows it.
#[derive(Debug, thiserror::Error)]
pub struct ClientError {
    /// What happened.
    pub kind: ErrorKind,
    /// The id that the call was sent with, or the one that the node gave it instead.
    pub request_id: String,
}

/// What happened to a call.
#[derive(Debug)]
pub enum ErrorKind {
    /// The node answered with a problem.
    Problem(Box<Refusal>),
    /// Somebody answered with this status and no problem: not a node, or something before it.
    Status(u16),
    /// No connection could be made: nothing was sent.
    Unreachable(String),
    /// The connection broke before the answer was whole. A change may or may not stand.
    Broken(String),
    /// No whole answer in time. A change may or may not stand.
    Timeout,
    /// The answer is not what this version understands.
    Undecodable(String),
}

/// A problem and when to try again.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    /// The problem.
    pub problem: Problem,
    /// Seconds of the header `Retry-After`.
    pub retry_after_s: Option<u64>,
    /// What the node said of limits and keys beside it.
    pub headers: GateHeaders,
}

impl ClientError {
    /// The status of the answer, where there was one.
    pub fn status(&self) -> Option<u16> {
        match &self.kind {
            ErrorKind::Problem(refusal) => Some(refusal.problem.status),
            ErrorKind::Status(status) => Some(*status),
            ErrorKind::Unreachable(_) | ErrorKind::Broken(_) | ErrorKind::Timeout | ErrorKind::Undecodable(_) => None,
        }
    }

    /// Seconds after which the same call may pass, where the node said so.
    pub fn retry_after_s(&self) -> Option<u64> {
        match &self.kind {
            ErrorKind::Problem(refusal) => refusal.retry_after_s,
            ErrorKind::Status(_) | ErrorKind::Unreachable(_) | ErrorKind::Broken(_) | ErrorKind::Timeout | ErrorKind::Undecodable(_) => {
                None
            }
        }
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ErrorKind::Problem(refusal) => refusal.fmt(f),
            ErrorKind::Status(status) => write!(f, "the answer has status {status} and no problem: is that a Tollgate node?"),
            ErrorKind::Unreachable(why) => write!(f, "the node cannot be reached: {why}"),
            ErrorKind::Broken(why) => write!(f, "the connection to the node broke before its answer: {why}"),
            ErrorKind::Timeout => f.write_str("the node did not answer in time"),
            ErrorKind::Undecodable(why) => write!(f, "the answer cannot be read: {why}"),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Problem { status, title, detail, pointer, .. } = &self.problem;
        write!(f, "{status} {title}")?;
        if !detail.is_empty() {
            write!(f, ": {detail}")?;
        }
        // An empty pointer is the whole body, which says nothing.
        pointer.as_ref().filter(|pointer| !pointer.is_empty()).map_or(Ok(()), |pointer| write!(f, " (field {pointer})"))
    }
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientSetupError {
    /// The URL must be `http://host:port` or `https://host`, without user, password or query.
    #[error("the node's URL must be http:// or https:// with a host, and without user, password, query or fragment")]
    Url,
    /// No certificates can be loaded, or the given one is none.
    #[error("no TLS: {0}")]
    Tls(String),
}
