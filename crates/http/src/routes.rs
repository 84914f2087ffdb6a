//! Every URL, and what lies around them.
//!
//! From outside in, a request passes:
//! 1. the accept loop (`server.rs`): time-outs, caps, one connection's bounds;
//! 2. the envelope (`surface.rs`): request id, panics, problems written out, `Cache-Control`; from
//!    here `/v1/authorize` goes straight to its handler;
//! 3. the router of this file;
//! 4. for the control plane alone, its own task (`control_task`): a deadline for the caller, and a
//!    span for whatever is logged inside;
//! 5. the handler.
//!
//! Decisions have nothing between router and handler: their deadlines are the gate's and
//! `body.rs`'. Authentication and limiting are not layers anywhere, a layer would hide their order.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{any, get, post},
};
use tollgate_gate::Gate;
use tracing::{Instrument, Span};

use crate::{
    control, control::lifecycle, decisions, events, front::Front, health, nodes, openapi, options::HttpOptions, origin::Origin,
    problem::Failure, request_log::RequestLog, surface::Surface,
};

/// How much later than a body that does not arrive a call of the control plane is given up: what is
/// the caller's fault is then told as such.
const CALL_TIMEOUT_MARGIN: Duration = Duration::from_secs(1);

/// The whole public surface over a gate.
pub fn surface(gate: Gate, options: HttpOptions) -> Surface {
    let documents = openapi::Documents::of(options.version);
    let log = Arc::new(RequestLog::new(&options.telemetry));
    let front = Arc::new(Front { gate, options, log, documents });
    let router = data_plane()
        .merge(control_plane().route_layer(from_fn_with_state(Arc::clone(&front), control_task)))
        .fallback(|| async { Failure::NotFound })
        .method_not_allowed_fallback(|| async { Failure::MethodNotAllowed })
        .with_state(Arc::clone(&front));
    Surface::of(front, router)
}

fn data_plane() -> Router<Arc<Front>> {
    Router::new()
        .route("/v1/authorize/", any(decisions::authorize_forwarded))
        .route("/v1/authorize/{*rest}", any(decisions::authorize_forwarded))
        .route("/v1/check", post(decisions::check))
        .route("/v1/limit", post(decisions::limit))
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .route("/openapi.json", get(openapi::openapi))
        .route("/docs", get(openapi::docs))
}

fn control_plane() -> Router<Arc<Front>> {
    Router::new()
        .route("/v1/keys", post(control::create_key).get(control::list_keys))
        .route("/v1/keys/{key_id}", get(control::key).patch(control::patch_key))
        .route("/v1/keys/{key_id}/revoke", post(control::revoke_key))
        .route("/v1/keys/{key_id}/rotate", post(lifecycle::rotate))
        .route("/v1/keys/{key_id}/suspend", post(lifecycle::suspend))
        .route("/v1/keys/{key_id}/resume", post(lifecycle::resume))
        .route("/v1/keys/{key_id}/reset", post(lifecycle::reset))
        .route("/v1/owners/{owner}/revoke-keys", post(lifecycle::revoke_keys))
        .route("/v1/owners/{owner}", get(control::owner).put(control::put_owner))
        .route("/v1/keys/{key_id}/usage", get(control::usage::key_usage))
        .route("/v1/usage/top", get(control::usage::top))
        .route("/v1/audit", get(control::audit))
        .route("/v1/events", get(events::events))
        .route("/v1/nodes", get(nodes::nodes))
        .route("/health/full", get(health::full))
}

/// Runs a call of the control plane in a task of its own, so that a change which has begun is
/// carried to its end, fence and all, though its caller hangs up or is told to come back.
async fn control_task(State(front): State<Arc<Front>>, request: Request, next: Next) -> Response {
    let span = Origin::left_with(&request)
        .map_or_else(Span::none, |origin| tollgate_telemetry::call_span(origin.request_id.as_str(), Some(&origin.trace.trace_id())));
    let steps = Origin::left_with(&request).and_then(|origin| origin.steps.clone());
    let work = next.run(request).instrument(span.clone());
    let task = match steps {
        Some(steps) => tokio::spawn(steps.during(work)),
        None => tokio::spawn(work),
    };
    let mut response = match tokio::time::timeout(front.options.request_timeout + CALL_TIMEOUT_MARGIN, task).await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => Failure::Internal { cause: "a call of the control plane panicked" }.into_response(),
        Err(_) => Failure::Unavailable { cause: "a call of the control plane took too long".to_owned(), retry_after_s: 1 }.into_response(),
    };
    response.extensions_mut().insert(span);
    response
}
