//! The control plane: keys and owners. Each call enters by the gate, with the scope it needs.
//!
//! Who may touch what (tenancy, privileges, ranges) is the gate's to say, not this file's.

pub(crate) mod lifecycle;
pub(crate) mod usage;

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::StatusCode,
    response::Response,
};
use tollgate_api::{CreateKeyBody, KeyStatus, PatchKeyBody, PutOwnerBody, RevokeKeyBody};
use tollgate_gate::{
    control::{ListAudit, ListKeys},
    request::Plane,
};
use tollgate_keys::Scope;

use crate::{
    accept::{self, Params, PathName},
    body,
    front::Front,
    permit,
    problem::Failure,
    respond,
};

/// `POST /v1/keys`.
pub(crate) async fn create_key(State(front): State<Arc<Front>>, request: Request) -> Result<Response, Failure> {
    let (parts, body) = request.into_parts();
    Params::refuse(parts.uri.query())?;
    let idempotency_key = accept::idempotency_key(&parts.headers)?;
    let reading = body::json(&front.options, &parts.headers, body);
    let (permit, body): (_, CreateKeyBody) = permit::enter_with(&front, &parts, (Scope::KEYS_WRITE, Plane::Control), reading).await?;
    let created = front.gate.create_key(&permit.operator_once(idempotency_key), body).await?;
    respond::created(&permit, &created)
}

/// `GET /v1/keys?owner=&status=&cursor=&page_size=`.
pub(crate) async fn list_keys(State(front): State<Arc<Front>>, request: Request) -> Result<Response, Failure> {
    let (parts, _) = request.into_parts();
    let query = listing(parts.uri.query())?;
    let permit = permit::enter(&front, &parts, Scope::KEYS_READ, Plane::Control).await?;
    let page = front.gate.list_keys(permit.operator(), query).await?;
    respond::permitted(&permit, StatusCode::OK, &page)
}

/// `GET /v1/audit?owner=&key_id=&cursor=&page_size=`.
pub(crate) async fn audit(State(front): State<Arc<Front>>, request: Request) -> Result<Response, Failure> {
    let (parts, _) = request.into_parts();
    let mut params = Params::read(parts.uri.query())?;
    let list = ListAudit {
        owner: params.take("owner"),
        key_id: params.take("key_id"),
        cursor: params.take("cursor"),
        page_size: params.take("page_size").map(|text| page_size_of(&text)).transpose()?,
    };
    params.finish("known are owner, key_id, cursor and page_size")?;
    let permit = permit::enter(&front, &parts, Scope::EVENTS_READ, Plane::Control).await?;
    let page = front.gate.audit(permit.operator(), list).await?;
    respond::permitted(&permit, StatusCode::OK, &page)
}

/// `GET /v1/keys/{key_id}`.
pub(crate) async fn key(State(front): State<Arc<Front>>, PathName(key_id): PathName, request: Request) -> Result<Response, Failure> {
    let (parts, _) = request.into_parts();
    Params::refuse(parts.uri.query())?;
    let permit = permit::enter(&front, &parts, Scope::KEYS_READ, Plane::Control).await?;
    let key = front.gate.key(permit.operator(), &key_id).await?;
    respond::key(&permit, &key)
}

/// `PATCH /v1/keys/{key_id}`.
pub(crate) async fn patch_key(State(front): State<Arc<Front>>, PathName(key_id): PathName, request: Request) -> Result<Response, Failure> {
    let (parts, body) = request.into_parts();
    Params::refuse(parts.uri.query())?;
    let if_generation = accept::if_match(&parts.headers)?;
    let reading = body::json(&front.options, &parts.headers, body);
    let (permit, body): (_, PatchKeyBody) = permit::enter_with(&front, &parts, (Scope::KEYS_WRITE, Plane::Control), reading).await?;
    let key = front.gate.patch_key(permit.operator(), &key_id, if_generation, body).await?;
    respond::key(&permit, &key)
}

/// `POST /v1/keys/{key_id}/revoke`; the body may be left out.
pub(crate) async fn revoke_key(State(front): State<Arc<Front>>, PathName(key_id): PathName, request: Request) -> Result<Response, Failure> {
    let (parts, body) = request.into_parts();
    Params::refuse(parts.uri.query())?;
    let reading = body::json_or_default(&front.options, &parts.headers, body);
    let (permit, body): (_, RevokeKeyBody) = permit::enter_with(&front, &parts, (Scope::KEYS_WRITE, Plane::Control), reading).await?;
    let key = front.gate.revoke_key(permit.operator(), &key_id, body).await?;
    respond::key(&permit, &key)
}

/// `GET /v1/owners/{owner}`.
pub(crate) async fn owner(State(front): State<Arc<Front>>, PathName(owner): PathName, request: Request) -> Result<Response, Failure> {
    let (parts, _) = request.into_parts();
    Params::refuse(parts.uri.query())?;
    let permit = permit::enter(&front, &parts, Scope::KEYS_READ, Plane::Control).await?;
    let owner = front.gate.owner(permit.operator(), &owner).await?;
    respond::permitted(&permit, StatusCode::OK, &owner)
}

/// `PUT /v1/owners/{owner}`.
pub(crate) async fn put_owner(State(front): State<Arc<Front>>, PathName(owner): PathName, request: Request) -> Result<Response, Failure> {
    let (parts, body) = request.into_parts();
    Params::refuse(parts.uri.query())?;
    let reading = body::json(&front.options, &parts.headers, body);
    let (permit, body): (_, PutOwnerBody) = permit::enter_with(&front, &parts, (Scope::OWNERS_WRITE, Plane::Control), reading).await?;
    let owner = front.gate.put_owner(permit.operator(), &owner, body).await?;
    respond::permitted(&permit, StatusCode::OK, &owner)
}

fn listing(query: Option<&str>) -> Result<ListKeys, Failure> {
    let mut params = Params::read(query)?;
    let listing = ListKeys {
        owner: params.take("owner"),
        status: params.take("status").map(|text| status_of(&text)).transpose()?,
        cursor: params.take("cursor"),
        page_size: params.take("page_size").map(|text| page_size_of(&text)).transpose()?,
    };
    params.finish("known are owner, status, cursor and page_size")?;
    Ok(listing)
}

fn status_of(text: &str) -> Result<KeyStatus, Failure> {
    match text {
        "active" => Ok(KeyStatus::Active),
        "suspended" => Ok(KeyStatus::Suspended),
        "revoked" => Ok(KeyStatus::Revoked),
        "expired" => Ok(KeyStatus::Expired),
        _ => Err(Failure::invalid_parameter("status must be active, suspended, revoked or expired")),
    }
}

fn page_size_of(text: &str) -> Result<u32, Failure> {
    let size = accept::whole(text).and_then(|size| u32::try_from(size).ok()).filter(|size| (1..=1000).contains(size));
    size.ok_or_else(|| Failure::invalid_parameter("page_size must be a whole number from 1 to 1000"))
}
