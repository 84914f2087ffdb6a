//! The HTTP surface: data plane, control plane, problems, health, and the accept loop under them.
//!
//! A request goes from file to file: `routes.rs` → `accept.rs` (what was asked, and by whom) →
//! the gate's `authenticate` and `decide` → `respond.rs`, or `problem.rs` where it came to
//! nothing. Whatever is blind to the domain (request id, panics) is in `surface.rs`, the log line in
//! `request_log.rs`;
//! sockets and time-outs are in `server.rs`. Nothing here decides anything: no status is chosen
//! before the gate has spoken, except for requests that cannot be read.

mod accept;
mod body;
pub mod client_address;
mod control;
mod decisions;
mod events;
mod front;
mod health;
mod log_budget;
mod metrics_page;
mod nodes;
mod openapi;
mod options;
mod origin;
mod permit;
mod problem;
mod ratelimit_headers;
mod repeated;
mod request_log;
mod respond;
mod routes;
mod server;
mod surface;
mod tls;
mod trace;
mod values;
mod warning;

pub use events::EventStreamOptions;
pub use metrics_page::metrics_surface;
pub use options::{HttpOptions, ServerOptions, TelemetryOptions};
pub use routes::surface;
pub use server::{Phase, Served, Server};
pub use surface::{Envelope, Surface};
pub use tls::{Certificate, CertificateAndKey, CertificateError};
