//! The data plane. A decision is four calls: accept → authenticate → decide → respond.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::request::Parts,
    response::Response,
};
use tollgate_api::LimitBody;
use tollgate_gate::request::Plane;
use tollgate_keys::Scope;

use crate::{
    accept::{self, Params},
    body,
    front::Front,
    origin::Origin,
    permit,
    problem::{self, Failure},
    respond,
};

/// Where [`authorize`] is.
pub(crate) const PATH: &str = "/v1/authorize";

/// `/v1/authorize`, any method. Floods come here: it is not routed, and its problems are written
/// at once, as a router costs as much as a forgery's refusal.
pub(crate) async fn authorize(front: Arc<Front>, origin: Origin, parts: Parts) -> Response {
    let done = authorized(&front, &origin, &parts).await;
    done.unwrap_or_else(|failure| problem::answer(&failure, (&origin, &parts.method, PATH), &front.log))
}

async fn authorized(front: &Front, origin: &Origin, parts: &Parts) -> Result<Response, Failure> {
    let (check, limited_as) = accept::authorize(front, origin, parts)?;
    let caller = front.gate.authenticate(check).await?;
    let verdict = front.gate.decide(caller).await?;
    respond::authorize(front, verdict, limited_as)
}

/// `/v1/authorize/{rest}`, any method: for gateways that append the path of their client.
pub(crate) async fn authorize_forwarded(State(front): State<Arc<Front>>, request: Request) -> Result<Response, Failure> {
    let (parts, _) = request.into_parts();
    let (check, limited_as) = accept::forwarded(&front, &parts)?;
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
