//! The two calls that anybody may make, because they tell nothing of this deployment but its version.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, header};

use super::page;
use crate::front::Front;

/// `GET /openapi.json`.
pub(crate) async fn openapi(State(front): State<Arc<Front>>) -> Response {
    answer("application/json", &front.documents.json)
}

/// `GET /docs`: text and one style, which the policy names by its hash. Nothing is loaded, nothing
/// runs, nothing can be sent, and no other page may show it inside of itself.
pub(crate) async fn docs(State(front): State<Arc<Front>>) -> Response {
    let mut response = answer("text/html; charset=utf-8", &front.documents.html);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(page::POLICY));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

fn answer(content_type: &'static str, body: &Bytes) -> Response {
    const NOSNIFF: (HeaderName, HeaderValue) = (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let mut response = Response::new(body.clone().into());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(NOSNIFF.0, NOSNIFF.1);
    response
}
