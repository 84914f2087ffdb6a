//! What becomes of a key after it was made: another secret, out of use and back, full buckets, and
//! the end of all keys of an owner.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{StatusCode, request::Parts},
    response::Response,
};
use serde::{Deserialize, de::DeserializeOwned};
use tollgate_api::{RevokeKeyBody, RotateKeyBody};
use tollgate_gate::request::Plane;
use tollgate_keys::Scope;

use crate::{
    accept::{self, Params, PathName},
    body,
    front::Front,
    permit::{self, Permit},
    problem::Failure,
    respond,
};

/// A body that says nothing: none at all, or an empty object.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct NoFields {}

/// `POST /v1/keys/{key_id}/rotate`; the body may be left out.
pub(crate) async fn rotate(State(front): State<Arc<Front>>, PathName(key_id): PathName, request: Request) -> Result<Response, Failure> {
    let idempotency_key = accept::idempotency_key(request.headers())?;
    let (permit, body): (_, RotateKeyBody) = enter(&front, request).await?;
    let created = front.gate.rotate_key(&permit.operator_once(idempotency_key), &key_id, body).await?;
    respond::rotated(&permit, &created)
}

/// `POST /v1/keys/{key_id}/suspend`.
pub(crate) async fn suspend(State(front): State<Arc<Front>>, PathName(key_id): PathName, request: Request) -> Result<Response, Failure> {
    let (permit, NoFields {}) = enter(&front, request).await?;
    respond::key(&permit, &front.gate.suspend_key(permit.operator(), &key_id).await?)
}

/// `POST /v1/keys/{key_id}/resume`.
pub(crate) async fn resume(State(front): State<Arc<Front>>, PathName(key_id): PathName, request: Request) -> Result<Response, Failure> {
    let (permit, NoFields {}) = enter(&front, request).await?;
    respond::key(&permit, &front.gate.resume_key(permit.operator(), &key_id).await?)
}

/// `POST /v1/keys/{key_id}/reset`.
pub(crate) async fn reset(State(front): State<Arc<Front>>, PathName(key_id): PathName, request: Request) -> Result<Response, Failure> {
    let (permit, NoFields {}) = enter(&front, request).await?;
    respond::key(&permit, &front.gate.reset_key(permit.operator(), &key_id).await?)
}

/// `POST /v1/owners/{owner}/revoke-keys`; the body may be left out.
pub(crate) async fn revoke_keys(State(front): State<Arc<Front>>, PathName(owner): PathName, request: Request) -> Result<Response, Failure> {
    let (permit, body): (_, RevokeKeyBody) = enter(&front, request).await?;
    let revoked = front.gate.revoke_keys_of(permit.operator(), &owner, body).await?;
    respond::permitted(&permit, StatusCode::OK, &revoked)
}

/// Lets a caller in who may change keys, and reads what he sends, if anything.
async fn enter<T: DeserializeOwned + Default>(front: &Front, request: Request) -> Result<(Permit, T), Failure> {
    let (parts, body): (Parts, _) = request.into_parts();
    Params::refuse(parts.uri.query())?;
    let reading = body::json_or_default(&front.options, &parts.headers, body);
    permit::enter_with(front, &parts, (Scope::KEYS_WRITE, Plane::Control), reading).await
}
