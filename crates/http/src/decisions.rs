//! The data plane. A decision is four calls: accept → authenticate → decide → respond.

use std::{pin::Pin, sync::Arc};

use axum::{
    extract::{Request, State},
    http::request::Parts,
    response::Response,
};
use tollgate_api::LimitBody;
use tollgate_gate::{Recognised, request::Plane};
use tollgate_keys::Scope;

use crate::{
    accept::{self, Params},
    body,
    front::Front,
    origin::Origin,
    permit,
    problem::Failure,
    request_log::{Account, Outcome},
    respond::{self, Authorized},
};

/// Where [`authorize`] is.
pub(crate) const PATH: &str = "/v1/authorize";

/// A call of [`authorize`].
pub(crate) enum Begun {
    /// Answered, or failed.
    Done(Result<Authorized, Failure>),
    /// Must wait for others.
    Waits(Waiting),
}

/// A decision that is under way.
pub(crate) type Waiting = Pin<Box<dyn Future<Output = Result<Authorized, Failure>> + Send>>;

/// `/v1/authorize`, any method. Floods come here: what needs nobody else is answered at once, as the
/// future of a decision is large.
pub(crate) fn authorize(front: &Arc<Front>, origin: &Origin, parts: &Parts) -> Begun {
    let (check, limited_as) = match accept::authorize(front, origin, parts) {
        Ok(accepted) => accepted,
        Err(failure) => return Begun::Done(Err(failure)),
    };
    let recognised = match front.gate.recognise(check) {
        Recognised::Stranger(stranger) => Err(stranger),
        Recognised::Caller(caller) => match front.gate.decide_at_once(caller) {
            Ok(verdict) => return Begun::Done(respond::authorize(front, verdict, limited_as)),
            Err(caller) => Ok(caller),
        },
    };
    let front = Arc::clone(front);
    Begun::Waits(Box::pin(async move {
        let caller = match recognised {
            Ok(caller) => caller,
            Err(stranger) => front.gate.look_up(stranger).await?,
        };
        let verdict = front.gate.decide(caller).await?;
        respond::authorize(&front, verdict, limited_as)
    }))
}

/// `/v1/authorize/{rest}`, any method: for gateways that append the path of their client.
pub(crate) async fn authorize_forwarded(State(front): State<Arc<Front>>, request: Request) -> Result<Response, Failure> {
    let (parts, _) = request.into_parts();
    let (check, limited_as) = accept::forwarded(&front, &parts)?;
    let caller = front.gate.authenticate(check).await?;
    let verdict = front.gate.decide(caller).await?;
    let Authorized { response, key_id } = respond::authorize(&front, verdict, limited_as)?;
    let account = Account::left_with(&parts.extensions);
    account.note_outcome(Outcome::Allowed);
    account.note_key(&key_id);
    Ok(response)
}

/// `POST /v1/check`.
pub(crate) async fn check(State(front): State<Arc<Front>>, request: Request) -> Result<Response, Failure> {
    let account = Account::left_with(request.extensions());
    let check = accept::check(&front, request).await?;
    let caller = front.gate.authenticate(check).await?;
    let verdict = front.gate.decide(caller).await?;
    respond::check(&front, &account, verdict)
}

/// `POST /v1/limit`: first the caller himself, like any request; then the thing he names.
pub(crate) async fn limit(State(front): State<Arc<Front>>, request: Request) -> Result<Response, Failure> {
    let (parts, body) = request.into_parts();
    Params::refuse(parts.uri.query())?;
    let reading = body::json(&front.options, &parts.headers, body);
    let (permit, asked): (_, LimitBody) = permit::enter_with(&front, &parts, (Scope::LIMIT_WRITE, Plane::Data), reading).await?;
    let named = front.gate.named_decision(asked)?;
    let verdict = front.gate.decide_named(permit.identity(), named).await?;
    respond::named(&permit, &Account::left_with(&parts.extensions), verdict)
}
