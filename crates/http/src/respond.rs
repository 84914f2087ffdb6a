//! From a verdict or a record to a response.

use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;
use tollgate_api::{CheckAnswer, CreatedKey, KEY_ID_HEADER, Key, LimitStanding, OWNER_HEADER, SCOPES_HEADER, VerdictName};
use tollgate_gate::{
    ports::SubjectStanding,
    verdict::{Denial, Identity, Passed, Verdict},
};
use tollgate_keys::{KeyId, OwnerName};

use crate::{
    accept::LimitedAs,
    front::Front,
    permit::Permit,
    problem::Failure,
    ratelimit_headers::{self, policy_name, tightness},
    request_log::{Account, Outcome},
    values::Values,
    warning,
};

const KEY_ID: HeaderName = HeaderName::from_static(KEY_ID_HEADER);
const OWNER: HeaderName = HeaderName::from_static(OWNER_HEADER);
const SCOPES: HeaderName = HeaderName::from_static(SCOPES_HEADER);

/// Headers of most answers, with what lies around them: a map that grows is made twice.
const HEADERS: usize = 10;
/// What an id, an owner and some scopes take, about.
const IDENTITY_BYTES: usize = 64;

/// A request that may pass, and by whose key.
pub(crate) struct Authorized {
    pub(crate) response: Response,
    pub(crate) key_id: KeyId,
}

/// `/v1/authorize`: no body. All three identity headers are always there, empty if need be, so
/// that a gateway which copies them overwrites whatever a client sent under these names.
pub(crate) fn authorize(front: &Front, verdict: Verdict, limited_as: LimitedAs) -> Result<Authorized, Failure> {
    let mode = front.options.ratelimit_headers;
    let passed = Failure::unless_allowed(verdict, limited_as.0, mode)?;
    let mut headers = HeaderMap::with_capacity(HEADERS);
    let Identity { key_id, owner, scopes, .. } = &passed.identity;
    let owner = owner.as_ref().map_or("", OwnerName::as_str);
    let mut values = Values::with_capacity(&mut headers, IDENTITY_BYTES + ratelimit_headers::room(&passed.standings));
    values.insert(KEY_ID, |value| {
        value.text(key_id.as_str());
    });
    values.insert(OWNER, |value| {
        value.text(owner);
    });
    values.insert(SCOPES, |value| {
        for scope in scopes.iter() {
            value.text(if value.is_empty() { "" } else { " " }).text(scope.as_str());
        }
    });
    ratelimit_headers::write_values(mode, &passed.standings, &mut values);
    warning::write(&passed, &mut headers);
    let mut response = Response::default();
    *response.headers_mut() = headers;
    Ok(Authorized { response, key_id: passed.identity.key_id })
}

/// `/v1/check`: the verdict as data. Only a cost that can never pass is a problem, and a caller
/// whose key was not even looked at.
pub(crate) fn check(front: &Front, account: &Account, verdict: Verdict) -> Result<Response, Failure> {
    note(account, &verdict);
    let (answer, passed) = match verdict {
        Verdict::Allowed(passed) => (told(VerdictName::Allowed, "allowed", &passed), Some(passed)),
        Verdict::Limited(passed) => (told(VerdictName::Limited, "limited", &passed), Some(passed)),
        Verdict::Denied(Denial::Unauthenticated(_)) => (denied("unauthenticated", None), None),
        Verdict::Denied(Denial::ScopeMissing { identity, scope: _ }) => (denied("scope_missing", Some(&identity)), None),
        Verdict::Denied(denial @ (Denial::CostExceedsBurst { .. } | Denial::AbnormalUsage { .. })) => return Err(denial.into()),
    };
    let mut response = json(StatusCode::OK, &answer)?;
    if let Some(passed) = passed {
        ratelimit_headers::write(front.options.ratelimit_headers, &passed.standings, response.headers_mut());
        warning::write(&passed, response.headers_mut());
    }
    Ok(response)
}

/// `/v1/limit`: the answer is of the named thing, the headers are of the caller's own key.
pub(crate) fn named(permit: &Permit, account: &Account, verdict: Verdict) -> Result<Response, Failure> {
    note(account, &verdict);
    let answer = match verdict {
        Verdict::Allowed(passed) => told(VerdictName::Allowed, "allowed", &passed),
        Verdict::Limited(passed) => told(VerdictName::Limited, "limited", &passed),
        Verdict::Denied(denial) => return Err(denial.into()),
    };
    permitted(permit, StatusCode::OK, &answer)
}

/// Notes a verdict for the log: the status of an answer that tells it as data does not.
fn note(account: &Account, verdict: &Verdict) {
    let (outcome, identity) = match verdict {
        Verdict::Allowed(passed) => (Outcome::Allowed, Some(&passed.identity)),
        Verdict::Limited(passed) => (Outcome::Limited, Some(&passed.identity)),
        Verdict::Denied(Denial::ScopeMissing { identity, .. } | Denial::CostExceedsBurst { identity, .. }) => {
            (Outcome::Denied, Some(identity))
        }
        Verdict::Denied(Denial::Unauthenticated(_) | Denial::AbnormalUsage { .. }) => (Outcome::Denied, None),
    };
    account.note_outcome(outcome);
    if let Some(identity) = identity {
        account.note_key(&identity.key_id);
    }
}

/// Any answer of a call that was allowed, with the rate-limit headers of its caller.
pub(crate) fn permitted(permit: &Permit, status: StatusCode, answer: &impl Serialize) -> Result<Response, Failure> {
    let mut response = json(status, answer)?;
    permit.write_headers(response.headers_mut());
    Ok(response)
}

/// A key, under the tag that `If-Match` takes.
pub(crate) fn key(permit: &Permit, key: &Key) -> Result<Response, Failure> {
    let mut response = permitted(permit, StatusCode::OK, key)?;
    write_etag(key, response.headers_mut());
    Ok(response)
}

/// A new key, with its secret.
pub(crate) fn created(permit: &Permit, created: &CreatedKey) -> Result<Response, Failure> {
    let status = if created.replayed { StatusCode::OK } else { StatusCode::CREATED };
    let mut response = permitted(permit, status, created)?;
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, visible(&format!("/v1/keys/{}", created.key.key_id)));
    write_etag(&created.key, headers);
    Ok(response)
}

/// A key with another secret.
pub(crate) fn rotated(permit: &Permit, created: &CreatedKey) -> Result<Response, Failure> {
    let mut response = permitted(permit, StatusCode::OK, created)?;
    write_etag(&created.key, response.headers_mut());
    Ok(response)
}

/// Any JSON.
pub(crate) fn json(status: StatusCode, answer: &impl Serialize) -> Result<Response, Failure> {
    let body = serde_json::to_vec(answer).map_err(|_| Failure::Internal { cause: "an answer could not be written as JSON" })?;
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

fn write_etag(key: &Key, headers: &mut HeaderMap) {
    headers.insert(header::ETAG, visible(&format!("\"{}\"", key.generation)));
}

/// Ids, names and scopes are visible ASCII by their types.
fn visible(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""))
}

fn told(verdict: VerdictName, code: &str, passed: &Passed) -> CheckAnswer {
    let standings = &passed.standings;
    let refused_by =
        standings.iter().filter(|one| !one.standing.fits).min_by_key(|one| tightness(one)).filter(|_| verdict == VerdictName::Limited);
    CheckAnswer {
        limit: refused_by.map(policy_name),
        remaining: standings.iter().map(|one| one.standing.remaining.into()).min(),
        retry_after_ms: Some(ratelimit_headers::retry_after_ms(standings)),
        reset_after_ms: Some(standings.iter().map(|one| one.standing.reset_after_us.div_ceil(1000)).max().unwrap_or(0)),
        limits: standings.iter().map(standing).collect(),
        ..answer(verdict, code, Some(&passed.identity))
    }
}

fn denied(code: &str, identity: Option<&Identity>) -> CheckAnswer {
    answer(VerdictName::Denied, code, identity)
}

fn answer(verdict: VerdictName, code: &str, identity: Option<&Identity>) -> CheckAnswer {
    CheckAnswer {
        verdict,
        code: code.to_owned(),
        limit: None,
        key_id: identity.map(|who| who.key_id.as_str().to_owned()),
        owner: identity.and_then(|who| who.owner.as_ref()).map(|owner| owner.as_str().to_owned()),
        remaining: None,
        retry_after_ms: None,
        reset_after_ms: None,
        limits: Vec::new(),
    }
}

fn standing(one: &SubjectStanding) -> LimitStanding {
    LimitStanding {
        name: policy_name(one),
        burst: one.named.limit.burst().into(),
        per_seconds: one.named.limit.per_seconds().into(),
        remaining: one.standing.remaining.into(),
        retry_after_ms: one.standing.retry_after_us.div_ceil(1000),
        reset_after_ms: one.standing.reset_after_us.div_ceil(1000),
    }
}
