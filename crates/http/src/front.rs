//! What handlers hold in common.

use std::sync::Arc;

use tollgate_gate::Gate;

use crate::{log_budget::LogBudget, openapi::Documents, options::HttpOptions};

/// The gate, and how to speak for it.
#[derive(Debug)]
pub(crate) struct Front {
    pub(crate) gate: Gate,
    pub(crate) options: HttpOptions,
    /// Lines about refusals, shared with the surface.
    pub(crate) log: Arc<LogBudget>,
    /// What this surface is, written once.
    pub(crate) documents: Documents,
}
