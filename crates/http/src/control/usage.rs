//! What keys were used for.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::StatusCode,
    response::Response,
};
use tollgate_api::{TopWindow, UsageStep};
use tollgate_gate::{
    control::{ListTop, TOP_MAX},
    request::Plane,
};
use tollgate_keys::Scope;

use crate::{
    accept::{self, Params, PathName},
    front::Front,
    permit,
    problem::Failure,
    respond,
};

/// `GET /v1/keys/{key_id}/usage?step=`.
pub(crate) async fn key_usage(State(front): State<Arc<Front>>, PathName(key_id): PathName, request: Request) -> Result<Response, Failure> {
    let (parts, _) = request.into_parts();
    let mut params = Params::read(parts.uri.query())?;
    let step = params.take("step").map(|text| step_of(&text)).transpose()?.unwrap_or_default();
    params.finish("known is step")?;
    let permit = permit::enter(&front, &parts, Scope::USAGE_READ, Plane::Control).await?;
    let usage = front.gate.key_usage(permit.operator(), &key_id, step).await?;
    respond::permitted(&permit, StatusCode::OK, &usage)
}

/// `GET /v1/usage/top?owner=&window=&count=`.
pub(crate) async fn top(State(front): State<Arc<Front>>, request: Request) -> Result<Response, Failure> {
    let (parts, _) = request.into_parts();
    let mut params = Params::read(parts.uri.query())?;
    let list = ListTop {
        owner: params.take("owner"),
        window: params.take("window").map(|text| window_of(&text)).transpose()?.unwrap_or_default(),
        count: params.take("count").map(|text| count_of(&text)).transpose()?,
    };
    params.finish("known are owner, window and count")?;
    let permit = permit::enter(&front, &parts, Scope::USAGE_READ, Plane::Control).await?;
    let top = front.gate.top_usage(permit.operator(), list).await?;
    respond::permitted(&permit, StatusCode::OK, &top)
}

fn step_of(text: &str) -> Result<UsageStep, Failure> {
    match text {
        "minute" => Ok(UsageStep::Minute),
        "hour" => Ok(UsageStep::Hour),
        _ => Err(Failure::invalid_parameter("step must be minute or hour")),
    }
}

fn window_of(text: &str) -> Result<TopWindow, Failure> {
    match text {
        "hour" => Ok(TopWindow::Hour),
        "day" => Ok(TopWindow::Day),
        _ => Err(Failure::invalid_parameter("window must be hour or day")),
    }
}

fn count_of(text: &str) -> Result<u32, Failure> {
    let count = accept::whole(text).and_then(|count| u32::try_from(count).ok()).filter(|count| (1..=TOP_MAX).contains(count));
    count.ok_or_else(|| Failure::invalid_parameter(format!("count must be a whole number from 1 to {TOP_MAX}")))
}
