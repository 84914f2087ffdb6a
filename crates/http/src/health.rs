//! Health, for orchestrators and for operators.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use serde::Serialize;
use tollgate_api::{ComponentHealth, NodeFigures, Readiness};
use tollgate_gate::request::Plane;
use tollgate_keys::Scope;

use crate::{accept::Params, front::Front, permit, problem::Failure, respond};

/// `GET /health/live`: the process answers, so it need not be restarted.
pub(crate) async fn live() -> Result<Response, Failure> {
    respond::json(StatusCode::OK, &serde_json::json!({ "live": true }))
}

/// `GET /health/ready`: whether a balancer should send requests here.
pub(crate) async fn ready(State(front): State<Arc<Front>>) -> Result<Response, Failure> {
    let mut readiness = front.gate.readiness();
    // Why a guard rail is on is for those who may know what lies behind this listener.
    for rail in readiness.components.iter_mut().filter(|one| one.component.is_guard_rail()) {
        rail.reason = None;
    }
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut response = respond::json(status, &readiness)?;
    if !readiness.ready {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    Ok(response)
}

/// `GET /health/full`.
pub(crate) async fn full(State(front): State<Arc<Front>>, request: Request) -> Result<Response, Failure> {
    let (parts, _) = request.into_parts();
    Params::refuse(parts.uri.query())?;
    let permit = permit::enter(&front, &parts, Scope::HEALTH_READ, Plane::Control).await?;
    let (readiness, report) = (front.gate.readiness(), front.gate.health_report());
    let readiness = Readiness { components: report.components, ..readiness };
    let (guard_rails, mut figures) = (report.guard_rails, report.figures);
    if permit.identity().owner.is_some() {
        // Keys of others are nothing that a tenant hears of.
        figures.unlimited_keys.clear();
    }
    let answer = FullHealth { readiness, guard_rails, figures, node: &front.options.node, version: front.options.version };
    respond::permitted(&permit, StatusCode::OK, &answer)
}

/// What `/health/full` tells.
#[derive(Debug, Serialize)]
struct FullHealth<'a> {
    #[serde(flatten)]
    readiness: Readiness,
    guard_rails: Vec<ComponentHealth>,
    figures: NodeFigures,
    node: &'a str,
    version: &'static str,
}
