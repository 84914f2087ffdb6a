//! Problems (RFC 9457): one fixed answer for every failure.
//!
//! What is told outside (`type`, `title`, `detail`) and what went wrong inside (`cause`) are
//! different fields; the inside is logged once, here, and never sent.

use std::borrow::Cow;

use axum::{body::Body, response::Response};
use http::{HeaderValue, StatusCode, header};
use tollgate_api::PROBLEM_JSON;
use tollgate_gate::verdict::Passed;

use crate::{
    origin::Origin,
    ratelimit_headers, repeated,
    request_log::{Account, Outcome, RequestLog, Told},
    warning,
};

mod body;
mod failure;

pub(crate) use failure::Failure;

const CONTENT_TYPE: HeaderValue = HeaderValue::from_static(PROBLEM_JSON);
const BEARER: HeaderValue = HeaderValue::from_static("Bearer realm=\"tollgate\"");

/// What is the same for every failure of one kind.
struct Kind {
    status: StatusCode,
    uri: &'static str,
    title: &'static str,
}

const fn kind(status: StatusCode, uri: &'static str, title: &'static str) -> Kind {
    Kind { status, uri, title }
}

impl Failure {
    /// Status, type and title: the one table of them.
    fn kind(&self) -> Kind {
        use StatusCode as S;
        match self {
            // 400: nobody can say what was asked.
            Self::DuplicateCredential => kind(S::BAD_REQUEST, "urn:tollgate:problem:duplicate-credential", "More than one credential"),
            Self::CredentialInQuery => kind(S::BAD_REQUEST, "urn:tollgate:problem:credential-in-query", "Credential in the query string"),
            Self::MalformedHeader { .. } => kind(S::BAD_REQUEST, "urn:tollgate:problem:malformed-header", "Malformed header"),
            Self::InvalidParameter { .. } => kind(S::BAD_REQUEST, "urn:tollgate:problem:invalid-parameter", "Invalid parameter"),
            Self::MalformedBody { .. } => kind(S::BAD_REQUEST, "urn:tollgate:problem:malformed-body", "Malformed body"),
            // 401 and 403: who asks may not. Missing, unknown, wrong, revoked: all the same outside.
            Self::Unauthenticated { .. } => kind(S::UNAUTHORIZED, "urn:tollgate:problem:unauthenticated", "Not authenticated"),
            Self::ScopeMissing { .. } => kind(S::FORBIDDEN, "urn:tollgate:problem:scope-missing", "Scope missing"),
            Self::Forbidden { .. } => kind(S::FORBIDDEN, "urn:tollgate:problem:forbidden", "Not allowed for this key"),
            // 404 to 415: the request and the resource do not fit.
            Self::NotFound => kind(S::NOT_FOUND, "urn:tollgate:problem:not-found", "Not found"),
            Self::MethodNotAllowed => kind(S::METHOD_NOT_ALLOWED, "urn:tollgate:problem:method-not-allowed", "Method not allowed"),
            Self::BodyTooSlow => kind(S::REQUEST_TIMEOUT, "urn:tollgate:problem:body-too-slow", "Body too slow"),
            Self::Conflict { .. } => kind(S::CONFLICT, "urn:tollgate:problem:conflict", "Not in this state"),
            Self::GenerationMismatch { .. } => {
                kind(S::PRECONDITION_FAILED, "urn:tollgate:problem:generation-mismatch", "Changed meanwhile")
            }
            Self::BodyTooLarge { .. } => kind(S::PAYLOAD_TOO_LARGE, "urn:tollgate:problem:body-too-large", "Body too large"),
            Self::UnsupportedMediaType => {
                kind(S::UNSUPPORTED_MEDIA_TYPE, "urn:tollgate:problem:unsupported-media-type", "Unsupported media type")
            }
            // 422: readable, but never good; trying again changes nothing.
            Self::InvalidField { .. } => kind(S::UNPROCESSABLE_ENTITY, "urn:tollgate:problem:invalid-field", "Invalid field"),
            Self::CostExceedsBurst { .. } => kind(S::UNPROCESSABLE_ENTITY, "urn:tollgate:problem:cost-exceeds-burst", "Cost exceeds burst"),
            // 429: later. Some gateways know only 401 and 403 and ask to be told so.
            Self::Limited { told_as, .. } => {
                kind(*told_as, "https://iana.org/assignments/http-problem-types#quota-exceeded", "Rate limited")
            }
            Self::AbnormalUsage { told_as, .. } => {
                kind(*told_as, "https://iana.org/assignments/http-problem-types#abnormal-usage-detected", "Too many unknown credentials")
            }
            // 5xx: the machinery failed.
            Self::Unavailable { .. } => kind(
                S::SERVICE_UNAVAILABLE,
                "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity",
                "Cannot decide at the moment",
            ),
            Self::TooManyStreams { .. } => kind(S::SERVICE_UNAVAILABLE, "urn:tollgate:problem:too-many-streams", "Too many event streams"),
            Self::Internal { .. } => kind(S::INTERNAL_SERVER_ERROR, "urn:tollgate:problem:internal", "Internal error"),
        }
    }

    /// What is wrong here and what to do, in a sentence without a full stop.
    fn detail(&self) -> Cow<'_, str> {
        match self {
            Self::DuplicateCredential => "send exactly one credential, in one header or in the body".into(),
            Self::CredentialInQuery => {
                "credentials belong in the Authorization or X-Api-Key header; take this one for leaked and revoke it".into()
            }
            Self::MalformedHeader { detail } | Self::MalformedBody { detail } => (*detail).into(),
            Self::Unauthenticated { .. } => "send a valid api key as \"Authorization: Bearer key_id:secret\"".into(),
            Self::ScopeMissing { scope, .. } => format!("this call needs a key with scope {}", scope.as_str()).into(),
            Self::InvalidParameter { detail }
            | Self::Forbidden { detail, .. }
            | Self::Conflict { detail, .. }
            | Self::GenerationMismatch { detail }
            | Self::TooManyStreams { detail, .. }
            | Self::InvalidField { detail, .. } => detail.into(),
            Self::NotFound => "there is nothing here, or nothing that this key may see".into(),
            Self::MethodNotAllowed => "this path has other methods, see the Allow header".into(),
            Self::BodyTooSlow => "the body did not arrive in time".into(),
            Self::BodyTooLarge { bytes_max } => format!("a body has at most {bytes_max} bytes").into(),
            Self::UnsupportedMediaType => "send the body with one Content-Type, application/json".into(),
            Self::CostExceedsBurst { burst, .. } => format!("the cost is above the burst of {burst} and can never pass").into(),
            Self::AbnormalUsage { .. } => "too many credentials that nobody knows were shown; try again later".into(),
            Self::Limited { passed, .. } => limited_detail(passed).into(),
            Self::Unavailable { .. } => "a service that this node depends on does not answer; try again".into(),
            Self::Internal { .. } => "this is our fault; the request id finds it in the log".into(),
        }
    }

    fn pointer(&self) -> Option<String> {
        match self {
            Self::InvalidField { pointer, .. } | Self::Forbidden { pointer, .. } | Self::Conflict { pointer, .. } => Some(pointer.clone()),
            Self::CostExceedsBurst { .. } => Some("/cost".to_owned()),
            _ => None,
        }
    }

    /// What goes beside the body.
    fn write_headers(&self, headers: &mut http::HeaderMap) {
        match self {
            Self::Unauthenticated { .. } => {
                headers.insert(header::WWW_AUTHENTICATE, BEARER);
            }
            Self::Limited { passed, headers: mode, .. } => {
                headers.insert(header::RETRY_AFTER, ratelimit_headers::retry_after_s(&passed.standings).into());
                ratelimit_headers::write(*mode, &passed.standings, headers);
                warning::write(passed, headers);
            }
            Self::Unavailable { retry_after_s, .. }
            | Self::AbnormalUsage { retry_after_s, .. }
            | Self::TooManyStreams { retry_after_s, .. } => {
                headers.insert(header::RETRY_AFTER, (*retry_after_s).max(1).into());
            }
            _ => {}
        }
    }

    /// The key that was verified, for the log.
    fn key_id(&self) -> Option<&str> {
        match self {
            Self::ScopeMissing { key_id, .. } | Self::CostExceedsBurst { key_id, .. } => Some(key_id.as_str()),
            Self::Limited { passed, .. } => Some(passed.identity.key_id.as_str()),
            _ => None,
        }
    }

    /// What only the log may know.
    fn cause(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Unauthenticated { why } => Some(format!("{why:?}").into()),
            Self::Unavailable { cause, .. } => Some(cause.into()),
            Self::Internal { cause } => Some((*cause).into()),
            _ => None,
        }
    }

    /// What the request came to, for the log.
    fn outcome(&self) -> Outcome {
        match self {
            Self::Limited { .. } => Outcome::Limited,
            Self::Unauthenticated { .. } | Self::ScopeMissing { .. } | Self::CostExceedsBurst { .. } | Self::AbnormalUsage { .. } => {
                Outcome::Denied
            }
            Self::DuplicateCredential
            | Self::CredentialInQuery
            | Self::MalformedHeader { .. }
            | Self::InvalidParameter { .. }
            | Self::MalformedBody { .. }
            | Self::Forbidden { .. }
            | Self::NotFound
            | Self::MethodNotAllowed
            | Self::BodyTooSlow
            | Self::Conflict { .. }
            | Self::GenerationMismatch { .. }
            | Self::BodyTooLarge { .. }
            | Self::UnsupportedMediaType
            | Self::InvalidField { .. } => Outcome::Refused,
            Self::TooManyStreams { .. } | Self::Unavailable { .. } | Self::Internal { .. } => Outcome::Failed,
        }
    }
}

impl Failure {
    fn limited(&self) -> Option<&Passed> {
        if let Self::Limited { passed, .. } = self { Some(passed) } else { None }
    }
}

/// The names of the limits that refused.
fn violated(passed: &Passed) -> Vec<String> {
    passed.standings.iter().filter(|one| !one.standing.fits).map(ratelimit_headers::policy_name).collect()
}

fn limited_detail(passed: &Passed) -> String {
    let names: Vec<String> = violated(passed).into_iter().map(|name| format!("\"{name}\"")).collect();
    let seconds = ratelimit_headers::retry_after_s(&passed.standings);
    let (noun, verb) = if names.len() == 1 { ("limit", "is") } else { ("limits", "are") };
    format!("{noun} {} {verb} spent; try again in {seconds} s", names.join(" and "))
}

/// A request that came to nothing.
pub(crate) struct Failed<'a> {
    pub(crate) origin: &'a Origin,
    pub(crate) method: &'a http::Method,
    pub(crate) path: &'a str,
    /// Whose key it was, where it was verified before the failure.
    pub(crate) account: Option<&'a Account>,
}

/// The problem of a failed request, written out and told in the log.
pub(crate) fn answer(failure: &Failure, request: &Failed<'_>, log: &RequestLog) -> Response {
    let mut response = Response::default();
    write(failure, &mut response, request, log);
    response
}

/// Turns a response that bears a failure into its problem, and tells it in the log; leaves others
/// alone and says so.
pub(crate) fn finish(response: &mut Response, request: &Failed<'_>, log: &RequestLog) -> bool {
    let failure = response.extensions_mut().remove::<Failure>();
    if let Some(failure) = &failure {
        write(failure, response, request, log);
    }
    failure.is_some()
}

fn write(failure: &Failure, response: &mut Response, request: &Failed<'_>, log: &RequestLog) {
    let (path, request_id) = (&*repeated::path(request.path), request.origin.request_id.as_str());
    tell(failure, request, log);
    *response.status_mut() = failure.kind().status;
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_LENGTH);
    headers.insert(header::CONTENT_TYPE, CONTENT_TYPE);
    failure.write_headers(headers);
    *response.body_mut() = Body::from(body::write(failure, path, request_id));
}

fn tell(failure: &Failure, request: &Failed<'_>, log: &RequestLog) {
    let Failed { origin, method, path, account } = *request;
    let (outcome, Kind { status, uri, .. }) = (failure.outcome(), failure.kind());
    let attention = log.attention(origin, outcome, status);
    if attention.is_none() {
        return;
    }
    let key_id = failure.key_id().or_else(|| Some(account?.key_id()?.as_str()));
    log.tell(attention, &Told { origin, method, path, status, outcome, code: Some(uri), key_id, cause: failure.cause() });
}

#[cfg(test)]
mod tests;
