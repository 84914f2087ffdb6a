//! The data plane. A decision is four calls: accept → authenticate → decide → respond.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    response::Response,
};
use tollgate_api::LimitBody;
use tollgate_gate::request::Plane;
use tollgate_keys::Scope;

use crate::{
    accept::{self, Params},
    body,
    front::Front,
    permit,
    problem::Failure,
    respond,
};

/// `/v1/authorize`, any method.
pub(crate) async fn authorize(State(front): State<Arc<Front>>, request: Request) -> Result<Response, Failure> {
    let (check, limited_as) = accept::authorize(&front, &request)?;
    let caller = front.gate.authenticate(check).await?;
    let verdict = front.gate.decide(caller).await?;
    respond::authorize(&front, verdict, limited_as)
}

/// `/v1/authorize/{rest}`, any method: for gateways that append the path of their client.
pub(crate) async fn authorize_forwarded(State(front): State<Arc<Front>>, request: Request) -> Result<Response, Failure> {
    let (check, limited_as) = accept::forwarded(&front, &request)?;
    let caller = front.gate.authenticate(check).await?;
    let verdict = front.gate.decide(caller).await?;
    respond::authorize(&front, verdict, limited_as)
}

/// `POST /v1/check`.
pub(crate) async fn check(State(front): State<Arc<Front>>, request: Request) -> Result<Response, Failure> {
    let check = accept::check(&front, request).await?;
    let caller = front.gate.authenticate(check).await?;
    let verdict = front.gate.decide(caller).await?;
    respond::check(&front, verdict)
}

/// `POST /v1/limit`: first the caller himself, like any request; then the thing he names.
pub(crate) async fn limit(State(front): State<Arc<Front>>, request: Request) -> Result<Response, Failure> {
    let (parts, body) = request.into_parts();
    Params::refuse(parts.uri.query())?;
    let permit = permit::enter(&front, &parts, Scope::LIMIT_WRITE, Plane::Data).await?;
    let asked: LimitBody = body::json(&front.options, &parts.headers, body).await?;
    let named = front.gate.named_decision(asked)?;
    let verdict = front.gate.decide_named(permit.identity(), named).await?;
    respond::named(&permit, verdict)
}
