//! `GET /v1/nodes`: who serves, and how each is.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::StatusCode,
    response::Response,
};
use tollgate_gate::request::Plane;
use tollgate_keys::Scope;

use crate::{accept::Params, front::Front, permit, problem::Failure, respond};

/// `GET /v1/nodes`.
pub(crate) async fn nodes(State(front): State<Arc<Front>>, request: Request) -> Result<Response, Failure> {
    let (parts, _) = request.into_parts();
    Params::refuse(parts.uri.query())?;
    let permit = permit::enter(&front, &parts, Scope::EVENTS_READ, Plane::Control).await?;
    let nodes = front.gate.nodes(permit.operator()).await?;
    respond::permitted(&permit, StatusCode::OK, &nodes)
}
