//! The way into calls on the caller's own account: the same gate as for everybody else.

use std::time::Duration;

use axum::http::{HeaderMap, StatusCode, request::Parts};
use tokio::time::Instant;
use tollgate_gate::{
    IdempotencyKey,
    control::Operator,
    request::{CheckRequest, Plane},
    verdict::{Identity, Passed, Verdict},
};
use tollgate_keys::Scope;
use tollgate_settings::RateLimitHeaders;

use crate::{accept, front::Front, problem::Failure, ratelimit_headers, request_log::Account, warning};

/// A body that takes no longer is part of the call that was let in.
const BODY_WITHIN: Duration = Duration::from_millis(250);

/// Proof that the gate let this call pass: its scope is held and its token charged. Only
/// [`enter`] makes one, and whatever acts for a caller asks for one.
#[derive(Debug)]
pub(crate) struct Permit {
    operator: Operator,
    passed: Passed,
    headers: RateLimitHeaders,
}

/// Authenticates the caller, demands `scope`, charges one token.
pub(crate) async fn enter(front: &Front, parts: &Parts, scope: Scope, plane: Plane) -> Result<Permit, Failure> {
    let check = accept::call(front, parts, scope, plane)?;
    let caller = front.gate.authenticate(check).await?;
    let verdict = front.gate.decide(caller).await?;
    let headers = front.options.ratelimit_headers;
    let passed = Failure::unless_allowed(verdict, StatusCode::TOO_MANY_REQUESTS, headers)?;
    Account::left_with(&parts.extensions).note_key(&passed.identity.key_id);
    let operator = Operator { identity: passed.identity.clone(), request_id: accept::request_id(parts), idempotency_key: None };
    let context = operator.auth_context();
    tollgate_telemetry::note_caller(&tracing::Span::current(), &context.key_id, context.owner.as_deref());
    Ok(Permit { operator, passed, headers })
}

/// The same for a call with a body, which may be long in coming: whoever has lost his right meanwhile is refused,
/// and acts by the scopes that he has then.
pub(crate) async fn enter_with<T>(
    front: &Front,
    parts: &Parts,
    (scope, plane): (Scope, Plane),
    body: impl Future<Output = Result<T, Failure>>,
) -> Result<(Permit, T), Failure> {
    let mut permit = enter(front, parts, scope.clone(), plane).await?;
    let begun = Instant::now();
    let body = body.await?;
    if begun.elapsed() > BODY_WITHIN {
        let check = CheckRequest { peek: true, ..accept::call(front, parts, scope, plane)? };
        let caller = front.gate.authenticate(check).await?;
        let identity = match front.gate.decide(caller).await? {
            // It is paid for already.
            Verdict::Allowed(passed) | Verdict::Limited(passed) => passed.identity,
            denied @ Verdict::Denied(_) => Failure::unless_allowed(denied, StatusCode::TOO_MANY_REQUESTS, permit.headers)?.identity,
        };
        permit.operator.identity = identity.clone();
        permit.passed.identity = identity;
    }
    Ok((permit, body))
}

impl Permit {
    /// The caller, for the gate's control functions.
    pub(crate) fn operator(&self) -> &Operator {
        &self.operator
    }

    /// The same for a call that he has named, to act once.
    pub(crate) fn operator_once(&self, idempotency_key: Option<IdempotencyKey>) -> Operator {
        Operator { idempotency_key, ..self.operator.clone() }
    }

    /// Who calls.
    pub(crate) fn identity(&self) -> &Identity {
        &self.passed.identity
    }

    /// Adds how the caller's limits stand.
    pub(crate) fn write_headers(&self, headers: &mut HeaderMap) {
        ratelimit_headers::write(self.headers, &self.passed.standings, headers);
        warning::write(&self.passed, headers);
    }
}
