//! What comes of a request.

use tollgate_keys::{KeyId, OwnerName, Scope, Scopes};
use tollgate_limits::RateLimit;

use crate::{kinds::Deprecated, standings::Standings};

/// Who a verified caller is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The key that was used.
    pub key_id: KeyId,
    /// The tenant that holds it; none for an operator's.
    pub owner: Option<OwnerName>,
    /// What it may do.
    pub scopes: Scopes,
    /// Position in the change log of the last change of the record that he was verified by; 0 where he was not.
    pub generation: u64,
}

impl Identity {
    /// Whether it has a scope. `owners:write` sets tenants' limits, so no tenant has it, not even
    /// one whose key is `admin` of its own keys.
    pub fn may(&self, scope: &Scope) -> bool {
        let withheld = self.owner.is_some() && *scope == Scope::OWNERS_WRITE;
        self.scopes.allows(scope) && !withheld
    }
}

/// The answer to one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It may; every limit was charged, unless it was a peek.
    Allowed(Passed),
    /// Not now; nothing was charged.
    Limited(Passed),
    /// Not with this credential, or never.
    Denied(Denial),
}

/// A verified caller and how its limits stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passed {
    /// Who.
    pub identity: Identity,
    /// One standing per limit, the key's first; empty where nothing is limited, or where an
    /// outage decided without buckets.
    pub standings: Standings,
    /// What to warn the caller of: his key is of a kind on its way out.
    pub deprecated: Option<Deprecated>,
}

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denial {
    /// No usable key was shown. What was wrong with it is for metrics and the log alone.
    Unauthenticated(Unauthenticated),
    /// The key is good but lacks a scope.
    ScopeMissing {
        /// Who.
        identity: Identity,
        /// The scope that was asked for.
        scope: Scope,
    },
    /// The cost is above a burst and can never pass.
    CostExceedsBurst {
        /// Who.
        identity: Identity,
        /// The tightest limit.
        limit: RateLimit,
    },
    /// Too many credentials that nobody knows have been shown: whether this one is good was not
    /// looked at.
    AbnormalUsage {
        /// When to try again, in seconds, at least 1.
        retry_after_s: u32,
    },
}

/// What was wrong with a credential: told to nobody outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unauthenticated {
    /// None was shown.
    Missing,
    /// It has not the form of an api key.
    Malformed,
    /// Its signature is forged.
    BadSignature,
    /// No such key.
    Unknown,
    /// The filter has no such key.
    Stranger,
    /// Revoked, as this node remembers.
    Tombstone,
    /// Another secret.
    BadSecret,
    /// Revoked.
    Revoked,
    /// Suspended.
    Suspended,
    /// Past its end.
    Expired,
    /// Of a kind that is refused by now.
    KindEnded,
}

/// The machinery failed: nobody can say.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GateError {
    /// A store does not answer, and the settings say to refuse then.
    #[error("cannot decide: {reason}")]
    Unavailable {
        /// What failed, for the log.
        reason: String,
        /// When to try again, in seconds, at least 1.
        retry_after_s: u32,
    },
}
