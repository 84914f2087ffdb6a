//! What handlers hold in common.

use std::sync::Arc;

use tollgate_gate::Gate;

use crate::{openapi::Documents, options::HttpOptions, request_log::RequestLog};

/// The gate, and how to speak for it.
#[derive(Debug)]
pub(crate) struct Front {
    pub(crate) gate: Gate,
    pub(crate) options: HttpOptions,
    /// What is told of requests, shared with the surface.
    pub(crate) log: Arc<RequestLog>,
    /// What this surface is, written once.
    pub(crate) documents: Documents,
}
