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
    /// An api key of the right form, just read. What is refused at sight never needs to be shared.
    Read(ApiKey),
    /// The same, where others may hold on to it.
    ApiKey(SharedKey),
}

impl Credential {
    /// The api key, if it is one.
    pub fn api_key(&self) -> Option<&ApiKey> {
        match self {
            Self::Missing | Self::Malformed => None,
            Self::Read(api_key) => Some(api_key),
            Self::ApiKey(api_key) => Some(api_key),
        }
    }

    /// The api key to be shared, if it is one.
    pub(crate) fn share(&mut self) -> Option<SharedKey> {
        match std::mem::replace(self, Self::Missing) {
            Self::Read(api_key) => *self = Self::ApiKey(Arc::new(api_key)),
            other => *self = other,
        }
        if let Self::ApiKey(api_key) = self { Some(api_key.clone()) } else { None }
    }
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
