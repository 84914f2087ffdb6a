//! What handlers hold in common.

use tollgate_gate::Gate;

use crate::options::HttpOptions;

/// The gate, and how to speak for it.
#[derive(Debug)]
pub(crate) struct Front {
    pub(crate) gate: Gate,
    pub(crate) options: HttpOptions,
}
