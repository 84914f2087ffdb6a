//! Health, for orchestrators and for operators.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::StatusCode,
    response::Response,
};
use serde::Serialize;
use tollgate_api::Readiness;
use tollgate_gate::request::Plane;
use tollgate_keys::Scope;

use crate::{accept::Params, front::Front, permit, problem::Failure, respond};

/// `GET /health/live`: the process answers, so it need not be restarted.
pub(crate) async fn live() -> Result<Response, Failure> {
    respond::json(StatusCode::OK, &serde_json::json!({ "live": true }))
}

/// `GET /health/ready`: whether a balancer should send requests here.
pub(crate) async fn ready(State(front): State<Arc<Front>>) -> Result<Response, Failure> {
    let readiness = front.gate.readiness();
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    respond::json(status, &readiness)
}

/// `GET /health/full`.
pub(crate) async fn full(State(front): State<Arc<Front>>, request: Request) -> Result<Response, Failure> {
    let (parts, _) = request.into_parts();
    Params::refuse(parts.uri.query())?;
    let permit = permit::enter(&front, &parts, Scope::HEALTH_READ, Plane::Control).await?;
    let answer = FullHealth { readiness: front.gate.readiness(), node: &front.options.node, version: front.options.version };
    respond::permitted(&permit, StatusCode::OK, &answer)
}

/// What `/health/full` tells.
#[derive(Debug, Serialize)]
struct FullHealth<'a> {
    #[serde(flatten)]
    readiness: Readiness,
    node: &'a str,
    version: &'static str,
}
