//! Everything that a request can come to other than an answer.

use std::fmt::Display;

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use tollgate_gate::{
    config::{ConfigError, ConfigErrorKind},
    control::ControlError,
    verdict::{Denial, GateError, Passed, Unauthenticated, Verdict},
};
use tollgate_keys::{KeyId, Scope};
use tollgate_settings::RateLimitHeaders;

/// Why a request gets a problem. What is for the log alone is named `cause` or `why`.
#[derive(Debug, Clone)]
pub(crate) enum Failure {
    DuplicateCredential,
    CredentialInQuery,
    MalformedHeader { detail: &'static str },
    InvalidParameter { detail: String },
    MalformedBody { detail: &'static str },
    Unauthenticated { why: Unauthenticated },
    ScopeMissing { key_id: KeyId, scope: Scope },
    Forbidden { pointer: String, detail: String },
    NotFound,
    MethodNotAllowed,
    BodyTooSlow,
    Conflict { pointer: String, detail: String },
    GenerationMismatch { detail: String },
    BodyTooLarge { bytes_max: usize },
    UnsupportedMediaType,
    InvalidField { pointer: String, detail: String },
    CostExceedsBurst { key_id: KeyId, burst: u32 },
    AbnormalUsage { retry_after_s: u32, told_as: StatusCode },
    Limited { passed: Passed, told_as: StatusCode, headers: RateLimitHeaders },
    TooManyStreams { detail: String, retry_after_s: u32 },
    Unavailable { cause: String, retry_after_s: u32 },
    Internal { cause: &'static str },
}

impl Failure {
    pub(crate) fn malformed_header(detail: &'static str) -> Self {
        Self::MalformedHeader { detail }
    }

    pub(crate) fn malformed_body(detail: &'static str) -> Self {
        Self::MalformedBody { detail }
    }

    pub(crate) fn invalid_parameter(detail: impl Display) -> Self {
        Self::InvalidParameter { detail: detail.to_string() }
    }

    pub(crate) fn invalid_field(pointer: &str, detail: impl Display) -> Self {
        Self::InvalidField { pointer: pointer.to_owned(), detail: detail.to_string() }
    }

    /// The problem of a verdict other than allowed; an allowed one comes back.
    pub(crate) fn unless_allowed(verdict: Verdict, told_as: StatusCode, headers: RateLimitHeaders) -> Result<Passed, Self> {
        match verdict {
            Verdict::Allowed(passed) => Ok(passed),
            Verdict::Limited(passed) => Err(Self::Limited { passed, told_as, headers }),
            Verdict::Denied(Denial::AbnormalUsage { retry_after_s }) => Err(Self::AbnormalUsage { retry_after_s, told_as }),
            Verdict::Denied(denial) => Err(denial.into()),
        }
    }
}

impl From<Denial> for Failure {
    fn from(denial: Denial) -> Self {
        match denial {
            Denial::Unauthenticated(why) => Self::Unauthenticated { why },
            Denial::ScopeMissing { identity, scope } => Self::ScopeMissing { key_id: identity.key_id, scope },
            Denial::CostExceedsBurst { identity, limit } => Self::CostExceedsBurst { key_id: identity.key_id, burst: limit.burst() },
            Denial::AbnormalUsage { retry_after_s } => Self::AbnormalUsage { retry_after_s, told_as: StatusCode::TOO_MANY_REQUESTS },
        }
    }
}

impl From<GateError> for Failure {
    fn from(error: GateError) -> Self {
        match error {
            GateError::Unavailable { reason, retry_after_s } => Self::Unavailable { cause: reason, retry_after_s },
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        let ConfigError { kind, pointer, detail } = error;
        match kind {
            ConfigErrorKind::Invalid => Self::InvalidField { pointer, detail },
            ConfigErrorKind::Forbidden => Self::Forbidden { pointer, detail },
            ConfigErrorKind::Conflict => Self::Conflict { pointer, detail },
            ConfigErrorKind::GenerationMismatch => Self::GenerationMismatch { detail },
        }
    }
}

impl From<ControlError> for Failure {
    fn from(error: ControlError) -> Self {
        match error {
            ControlError::Refused(refused) => refused.into(),
            ControlError::NotFound => Self::NotFound,
            ControlError::Unavailable(cause) => Self::Unavailable { cause, retry_after_s: 1 },
        }
    }
}

/// A handler knows neither path nor id of its request: the failure rides on an empty response,
/// and the surface writes the problem ([`super::finish`]).
impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = Response::default();
        response.extensions_mut().insert(self);
        response
    }
}
