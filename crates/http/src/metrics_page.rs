//! `/metrics`, on a listener of its own and never beside the API.

use axum::{Router, http::header, routing::get};

use crate::{problem::Failure, surface::Surface};

/// The media type of Prometheus' text format.
const EXPOSITION: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A surface that has one page: what `render` writes, in Prometheus' text format.
pub fn metrics_surface(render: impl Fn() -> String + Clone + Send + Sync + 'static) -> Surface {
    let page = move || async move { ([(header::CONTENT_TYPE, EXPOSITION)], render()) };
    let router = Router::new()
        .route("/metrics", get(page))
        .fallback(|| async { Failure::NotFound })
        .method_not_allowed_fallback(|| async { Failure::MethodNotAllowed });
    Surface::new(router)
}
