//! A client of Tollgate's HTTP API, for the command line and for applications.
//!
//! Every call is bounded in time and in the bytes it reads, follows no redirect (which would carry
//! the credential to somebody else), uses no proxy, and sends an `x-request-id` that comes back
//! with any failure. No error and no `Debug` contains a secret. All calls of a [`Client`] and its
//! clones share one pool of connections.
//!
//! ```no_run
//! # async fn ask() -> Result<(), Box<dyn std::error::Error>> {
//! use tollgate_client::{Client, Credential};
//!
//! let credential = Credential::parse(&std::env::var("TOLLGATE_API_KEY")?)?;
//! let client = Client::new("http://127.0.0.1:8080", Some(credential))?;
//! let answer = client.check(&tollgate_api::CheckBody { cost: Some(5), ..Default::default() }).await?;
//! # Ok(()) }
//! ```
//!
//! # What is sent again
//!
//! A call that came to nothing is sent again within the bounds of a [`RetryPolicy`] and the
//! deadline of the client, never before the time that a node asked for in `Retry-After`:
//!
//! | call | limited (429), or no connection | 502, 503, 504, time-out, broken connection |
//! |---|---|---|
//! | reads, peeks | yes | yes |
//! | [`Client::create_key_once`], [`Client::rotate_key_once`] | yes | yes, under the same `Idempotency-Key` |
//! | decisions: they may have been made and charged | yes | only with [`RetryPolicy::resend_charges`] |
//! | other changes: they may stand | yes | no |
//! | health: a failure is the answer | no | no |
//! | [`Client::events`] | no: a [`Follower`] goes on where a stream ends | no |
//!
//! Any other answer is final. A client of several nodes ([`Client::of_nodes`]) asks the next one
//! at once where one does not answer, under the same rules.
//!
//! # Traces
//!
//! [`Client::with_trace`] sends every call as a part of a trace (`traceparent` of the W3C): the node's
//! log lines and spans then bear its id. [`RequestId::begin_trace`] begins one.
//!
//! # How limits stand
//!
//! [`Client::rate_limits`] is what `RateLimit` and `RateLimit-Policy` of the last answer said, and
//! [`RateLimits::wait_for`] how long to wait before the next request so that it is not refused. The
//! example `obedient` is a client that is never limited.

mod answer;
mod authorize;
mod call;
mod calls;
mod client;
#[cfg(feature = "collector")]
mod collector;
mod credential;
mod error;
mod events;
mod gate_headers;
mod idempotency;
mod lifecycle;
mod nodes;
mod rate_limits;
mod request_id;
mod retry;
mod transport;
mod usage;

pub use authorize::{Authorize, Authorized};
pub use calls::{HealthAnswer, ListAudit, ListKeys};
pub use client::{Client, ClientOptions};
#[cfg(feature = "collector")]
pub use collector::{Collector, CollectorError};
pub use credential::{Credential, CredentialError};
pub use error::{ClientError, ClientSetupError, ErrorKind, Refusal};
pub use events::{EventReader, FollowOptions, Followed, Follower, SentEvent};
pub use gate_headers::GateHeaders;
pub use idempotency::{IdempotencyKey, IdempotencyKeyError};
pub use rate_limits::{LimitPolicy, LimitState, RateLimits};
pub use request_id::{RequestId, RequestIdError};
pub use retry::{Randomness, RetryPolicy};
pub use tollgate_telemetry::{TRACEPARENT_HEADER, TraceContext};
pub use usage::ListTop;
