//! Puts the gate in front of any axum app, and of anything else that is a tower service over HTTP.
//!
//! The layer takes the credential that a request shows, asks a Tollgate node whether its bearer may
//! spend what the route demands, and only then lets the request through, with who it is in an
//! [`AuthContext`] among its extensions and in the `X-Tollgate-…`
//! headers. Whatever a client sent under these names is gone. A refusal is the node's own problem
//! (401, 403, 429, …) with its headers.
//!
//! ```no_run
//! # async fn orders() -> &'static str { "" }
//! # fn app() -> Result<axum::Router, Box<dyn std::error::Error>> {
//! use axum::{Router, routing::get};
//! use tollgate_layer::{Demand, GateOptions, RemoteGate};
//!
//! let gate = RemoteGate::new(&["http://127.0.0.1:8080"], &GateOptions::default())?;
//! let orders = get(orders).layer(gate.layer(Demand::tokens(5)?.with_scope("orders:read")?));
//! let app = Router::new().route("/orders", orders);
//! # Ok(app) }
//! ```
//!
//! # What is bounded
//!
//! A request waits for the gate no longer than [`GateOptions::deadline`]. At most
//! [`GateOptions::calls_max`] of them wait at once: one more is answered 503, nothing queues. Where
//! no node answers in time, [`OutageMode`] says what becomes of the request.
//!
//! # Addresses
//!
//! Nodes count failed attempts by the client's address, and all requests of this app come from one.
//! [`RemoteGate::with_address`] sends the real one in `X-Forwarded-For`; the nodes must have this app
//! among their `trusted_proxies`.

mod demand;
mod gate;
mod options;
mod passage;
mod refusal;
mod service;

pub use demand::{Demand, DemandError};
pub use gate::RemoteGate;
pub use options::{GateOptions, OutageMode};
pub use service::{GateLayer, GateService};
pub use tollgate_api::AuthContext;
pub use tollgate_client::ClientSetupError;
