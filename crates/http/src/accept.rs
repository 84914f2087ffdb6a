//! From a request to what it asks: who, how much, with which scope, from where.

use axum::{
    extract::{FromRequestParts, Request},
    http::{HeaderMap, HeaderName, StatusCode, request::Parts},
};
use tollgate_api::CheckBody;
use tollgate_gate::{
    IdempotencyKey,
    request::{CheckRequest, Credential, Plane},
};
use tollgate_keys::Scope;
use tollgate_limits::Cost;

use crate::{body, client_address::is_untrusted_forwarder, front::Front, origin::Origin, problem::Failure};

mod credential;
mod query;

pub(crate) use query::Params;

/// What a gateway wants to see where a limit refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LimitedAs(pub(crate) StatusCode);

/// `/v1/authorize`: everything in headers and the query `cost`, `scope`, `limited_status`.
pub(crate) fn authorize(front: &Front, origin: &Origin, parts: &Parts) -> Result<(CheckRequest, LimitedAs), Failure> {
    let mut params = Params::read(parts.uri.query())?;
    let cost = params.take("cost").map_or(Ok(Cost::ONE), |text| cost_of(&text))?;
    let scope = params.take("scope").map(|text| scope_of(&text)).transpose()?;
    let limited_as = params.take("limited_status").map_or(Ok(LimitedAs(StatusCode::TOO_MANY_REQUESTS)), |text| limited_as(&text))?;
    params.finish("known are cost, scope and limited_status")?;
    let check = CheckRequest {
        credential: credential::read(&parts.headers)?,
        cost,
        scope,
        peek: false,
        plane: Plane::Data,
        client: client_of(front, &parts.headers, Some(origin)),
    };
    Ok((check, limited_as))
}

/// `/v1/authorize/{rest}`: path and query are those of somebody's client and mean nothing here;
/// cost and scope come from the headers that the settings name, if they name any.
pub(crate) fn forwarded(front: &Front, parts: &Parts) -> Result<(CheckRequest, LimitedAs), Failure> {
    let headers = &parts.headers;
    let cost = told(headers, front.options.cost_header.as_ref())?;
    let scope = told(headers, front.options.scope_header.as_ref())?;
    let check = CheckRequest {
        credential: credential::read(headers)?,
        cost: cost.map_or(Ok(Cost::ONE), cost_of)?,
        scope: scope.map(scope_of).transpose()?,
        peek: false,
        plane: Plane::Data,
        client: client_of(front, headers, parts.extensions.get()),
    };
    Ok((check, LimitedAs(StatusCode::TOO_MANY_REQUESTS)))
}

/// `/v1/check`: the api key in the body, or the caller's own in the headers, never both.
pub(crate) async fn check(front: &Front, request: Request) -> Result<CheckRequest, Failure> {
    let (parts, body) = request.into_parts();
    Params::refuse(parts.uri.query())?;
    let own = credential::read(&parts.headers)?;
    let asked: CheckBody = body::json_or_default(&front.options, &parts.headers, body).await?;
    let credential = match (own, asked.api_key) {
        (own, None) => own,
        (Credential::Missing, Some(text)) => credential::of_text(text.expose()),
        (Credential::Malformed | Credential::Read(_) | Credential::ApiKey(_), Some(_)) => return Err(Failure::DuplicateCredential),
    };
    Ok(CheckRequest {
        credential,
        cost: asked.cost.map_or(Ok(Cost::ONE), Cost::new).map_err(|error| Failure::invalid_field("/cost", error))?,
        scope: asked.scope.map(|text| Scope::parse(&text)).transpose().map_err(|error| Failure::invalid_field("/scope", error))?,
        peek: asked.peek,
        plane: Plane::Data,
        client: client_of(front, &parts.headers, parts.extensions.get()),
    })
}

/// A call on the caller's own account: it costs one token and needs a scope.
pub(crate) fn call(front: &Front, parts: &Parts, scope: Scope, plane: Plane) -> Result<CheckRequest, Failure> {
    Ok(CheckRequest {
        credential: credential::read(&parts.headers)?,
        cost: Cost::ONE,
        scope: Some(scope),
        peek: false,
        plane,
        client: client_of(front, &parts.headers, parts.extensions.get()),
    })
}

/// The generation that `If-Match` names; none where there is no such header or it is `*`.
pub(crate) fn if_match(headers: &HeaderMap) -> Result<Option<u64>, Failure> {
    let bad = || Failure::malformed_header("if-match must be one generation in quotes, such as \"17\", or *");
    let mut values = headers.get_all(axum::http::header::IF_MATCH).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().map_err(|_| bad())?.trim_matches(' ');
    if values.next().is_some() {
        return Err(bad());
    }
    if text == "*" {
        return Ok(None);
    }
    let generation = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
    whole(generation).map(Some).ok_or_else(bad)
}

/// What the caller names his call by, if he does.
pub(crate) fn idempotency_key(headers: &HeaderMap) -> Result<Option<IdempotencyKey>, Failure> {
    let bad = || Failure::malformed_header("idempotency-key must be one text of 1 to 255 visible ASCII characters");
    let mut values = headers.get_all("idempotency-key").iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(bad());
    }
    value.to_str().ok().and_then(IdempotencyKey::parse).map(Some).ok_or_else(bad)
}

/// The one variable part of a path, percent-decoded; what cannot be decoded names nothing.
#[derive(Debug)]
pub(crate) struct PathName(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for PathName {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let path = axum::extract::Path::<String>::from_request_parts(parts, state).await;
        path.map(|axum::extract::Path(name)| Self(name)).map_err(|_| Failure::NotFound)
    }
}

/// Digits only: no sign, no fraction, no spaces.
pub(crate) fn whole(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

fn cost_of(text: &str) -> Result<Cost, Failure> {
    Cost::new(whole(text).unwrap_or(0)).map_err(Failure::invalid_parameter)
}

fn scope_of(text: &str) -> Result<Scope, Failure> {
    Scope::parse(text).map_err(Failure::invalid_parameter)
}

fn limited_as(text: &str) -> Result<LimitedAs, Failure> {
    match text {
        "429" => Ok(LimitedAs(StatusCode::TOO_MANY_REQUESTS)),
        "403" => Ok(LimitedAs(StatusCode::FORBIDDEN)),
        _ => Err(Failure::invalid_parameter("limited_status must be 429 or 403")),
    }
}

/// The value of a header that the settings named, at most one.
fn told<'a>(headers: &'a HeaderMap, name: Option<&HeaderName>) -> Result<Option<&'a str>, Failure> {
    let Some(name) = name else { return Ok(None) };
    let mut values = headers.get_all(name).iter();
    let (first, None) = (values.next(), values.next()) else {
        return Err(Failure::malformed_header("the cost or scope header is given twice"));
    };
    let plain = |value| credential::plain(value).ok_or_else(|| Failure::malformed_header("the cost or scope header is visible ASCII"));
    first.map(plain).transpose()
}

fn client_of(front: &Front, headers: &HeaderMap, origin: Option<&Origin>) -> std::net::IpAddr {
    // The surface leaves one with every request.
    let Some(Origin { peer, client, .. }) = origin else { return std::net::Ipv6Addr::UNSPECIFIED.into() };
    if is_untrusted_forwarder(headers, *peer, &front.options.trusted_proxies) {
        front.gate.note_untrusted_forwarder(*peer);
    }
    *client
}

/// The id of a request, for an audit row.
pub(crate) fn request_id(parts: &Parts) -> String {
    parts.extensions.get::<Origin>().map_or_else(String::new, |origin| origin.request_id.as_str().to_owned())
}
