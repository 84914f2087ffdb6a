//! What a front makes of one request, before anybody is asked anything.

use std::{net::IpAddr, sync::Arc};

use tollgate_keys::{ApiKey, Scope};
use tollgate_limits::Cost;

/// An api key that a request and the hashing of its secret share; wiped when both are done.
pub type SharedKey = Arc<ApiKey>;

/// What a caller showed to be let in.
#[derive(Debug)]
pub enum Credential {
    /// Nothing.
    Missing,
    /// Something that is no api key, wherever it came from.
    Malformed,
    /// An api key of the right form.
    ApiKey(SharedKey),
}

/// Which plane a request belongs to: an outage of Redis never locks operators out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plane {
    /// Decisions for somebody's clients: the outage mode of the settings holds.
    Data,
    /// Calls of operators: always decided locally in an outage.
    Control,
}

/// One request for a verdict, read and within its bounds.
#[derive(Debug)]
pub struct CheckRequest {
    /// Who asks.
    pub credential: Credential,
    /// Tokens to spend.
    pub cost: Cost,
    /// A scope that the key must have.
    pub scope: Option<Scope>,
    /// Answer as if asked, and charge nothing.
    pub peek: bool,
    /// Data or control.
    pub plane: Plane,
    /// The address that the client counts as, as far as it can be trusted: an IPv6 client has a /64
    /// to itself.
    pub client: IpAddr,
}
