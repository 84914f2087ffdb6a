//! What lies around every request and is blind to what it asks.
//!
//! One hand-written service instead of a stack of layers: each layer of a router is a boxed
//! clone a request, and a decision is to cost little more than an empty handler. `/v1/authorize`,
//! where floods come, is not routed at all.

use std::{
    convert::Infallible,
    net::IpAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{
    Router,
    body::{Body, HttpBody},
    response::Response,
    routing::future::RouteFuture,
};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, Uri, header, request::Parts};
use pin_project_lite::pin_project;
use tokio::time::Instant;
use tollgate_keys::KeyId;
use tollgate_telemetry::Steps;
use tower::Service;
use tracing::Span;

use crate::{
    decisions::{self, Begun, Waiting},
    front::Front,
    origin::{Origin, REQUEST_ID},
    problem::{self, Failed, Failure},
    request_log::{Account, Outcome, RequestLog, Told},
    respond::Authorized,
};

/// Pages that are asked for every few seconds, also with a key.
const HEALTH: &str = "/health/";
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// Routes with all that lies around them; a server makes one [`Envelope`] a connection of it.
#[derive(Debug, Clone)]
pub struct Surface {
    router: Router,
    /// Who answers [`decisions::PATH`], which the router does not know.
    front: Option<Arc<Front>>,
    log: Arc<RequestLog>,
}

/// A surface as one peer sees it.
#[derive(Debug, Clone)]
pub struct Envelope {
    // Of a connection's own, so that its requests count themselves where no other core does.
    peer: Arc<Peer>,
}

#[derive(Debug)]
struct Peer {
    surface: Surface,
    address: IpAddr,
}

pin_project! {
    /// An answer on its way.
    struct Answering {
        // None once it has panicked.
        #[pin]
        work: Option<Work>,
        about: About,
        peer: Arc<Peer>,
        span: Span,
    }
}

pin_project! {
    /// Who is at work on an answer.
    #[project = AtWork]
    enum Work {
        Asked { parts: Parts },
        Decision { waiting: Waiting },
        Routed { #[pin] routed: RouteFuture<Infallible> },
    }
}

/// What an answer must know of its request.
#[derive(Debug)]
struct About {
    origin: Origin,
    method: Method,
    /// None for that of decisions.
    uri: Option<Uri>,
    /// What its handler knows of it; none for those of decisions, where answer or failure says so.
    account: Option<Account>,
}

/// An answer, and by whose key it is a yes where that is all that it says.
struct Answer {
    response: Response,
    allowed: Option<KeyId>,
}

impl Surface {
    /// Puts the envelope around any routes.
    pub fn new(router: Router) -> Self {
        Self { router, front: None, log: Arc::default() }
    }

    /// The same beside the decisions of a front.
    pub(crate) fn of(front: Arc<Front>, router: Router) -> Self {
        Self { router, log: Arc::clone(&front.log), front: Some(front) }
    }

    /// The surface for the requests of one peer.
    pub fn of_peer(&self, address: IpAddr) -> Envelope {
        Envelope { peer: Arc::new(Peer { surface: self.clone(), address }) }
    }
}

impl Envelope {
    /// Answers one request. Whatever happens inside, this becomes a response.
    pub fn answer<B>(&self, request: Request<B>) -> impl Future<Output = Result<Response, Infallible>> + Send + 'static + use<B>
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.answer_since(request, Instant::now())
    }

    /// The same for a request whose first byte came at `began`.
    pub(crate) fn answer_since<B>(
        &self,
        mut request: Request<B>,
        began: Instant,
    ) -> impl Future<Output = Result<Response, Infallible>> + Send + 'static + use<B>
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let Peer { surface, address } = &*self.peer;
        let trusted = surface.front.as_ref().map_or(&[][..], |front| front.options.trusted_proxies.as_slice());
        let mut origin = Origin::of(request.headers(), *address, trusted, began);
        origin.steps = surface.log.steps(&origin.trace);
        let span = tollgate_telemetry::request_span(origin.request_id.as_str(), Some(&origin.trace.named()));
        let mut about = About { origin, method: request.method().clone(), uri: None, account: None };
        let work = if surface.front.is_some() && request.uri().path() == decisions::PATH {
            Work::Asked { parts: request.into_parts().0 }
        } else {
            about.uri = Some(request.uri().clone());
            request.extensions_mut().insert(about.origin.clone());
            about.account = Some(Account::leave_with(&mut request));
            Work::Routed { routed: surface.router.clone().call(request) }
        };
        Answering { work: Some(work), about, peer: Arc::clone(&self.peer), span }
    }
}

impl Work {
    fn poll(
        mut self: Pin<&mut Self>,
        (front, origin): (Option<&Arc<Front>>, &Origin),
        cx: &mut Context<'_>,
    ) -> Poll<Result<Answer, Failure>> {
        let decided = |done: Result<Authorized, Failure>| done.map(Answer::from);
        loop {
            let waiting = match self.as_mut().project() {
                AtWork::Asked { parts } => match front.map(|front| decisions::authorize(front, origin, parts)) {
                    None => return Poll::Ready(Err(Failure::NotFound)),
                    Some(Begun::Done(done)) => return Poll::Ready(decided(done)),
                    Some(Begun::Waits(waiting)) => waiting,
                },
                AtWork::Decision { waiting } => return waiting.as_mut().poll(cx).map(decided),
                AtWork::Routed { routed } => return routed.poll(cx).map(|Ok(response)| Ok(Answer { response, allowed: None })),
            };
            self.set(Self::Decision { waiting });
        }
    }
}

impl Future for Answering {
    type Output = Result<Response, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let _entered = this.span.enter();
        let _steps = this.about.origin.steps.as_ref().map(Steps::enter);
        let Some(work) = this.work.as_mut().as_pin_mut() else { return Poll::Pending };
        // A future that has panicked is never polled again, so no broken state is seen.
        let surface = &this.peer.surface;
        let done = match catch_unwind(AssertUnwindSafe(|| work.poll((surface.front.as_ref(), &this.about.origin), cx))) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(done)) => done,
            Err(_) => Err(Failure::Internal { cause: "a handler panicked" }),
        };
        this.work.set(None);
        Poll::Ready(Ok(this.about.finish(done, &surface.log)))
    }
}

impl About {
    /// Writes out a problem, and what every response carries.
    fn finish(&mut self, done: Result<Answer, Failure>, log: &RequestLog) -> Response {
        let request = Failed { origin: &self.origin, method: &self.method, path: self.path(), account: self.account.as_ref() };
        let mut response = match done {
            Ok(Answer { mut response, allowed }) => {
                // The control plane leaves its span behind, so that the line about its request is part of it.
                let span = response.extensions_mut().remove::<Span>();
                let _entered = span.as_ref().map(Span::enter);
                if !problem::finish(&mut response, &request, log) {
                    self.tell(response.status(), allowed.as_ref(), log);
                }
                response
            }
            Err(failure) => problem::answer(&failure, &request, log),
        };
        let headers = response.headers_mut();
        headers.insert(REQUEST_ID, self.origin.request_id.take_header());
        headers.insert(header::CACHE_CONTROL, NO_STORE);
        if self.method == Method::HEAD {
            take_body(&mut response);
        }
        response
    }

    fn path(&self) -> &str {
        self.uri.as_ref().map_or(decisions::PATH, Uri::path)
    }

    /// Tells the log of an answer that is no problem.
    fn tell(&self, status: StatusCode, allowed: Option<&KeyId>, log: &RequestLog) {
        let account = self.account.as_ref();
        let key_id = allowed.or_else(|| account?.key_id());
        let outcome = match account.and_then(Account::outcome) {
            Some(outcome) => outcome,
            None if allowed.is_some() => Outcome::Allowed,
            None if key_id.is_some() && !self.path().starts_with(HEALTH) => Outcome::Called,
            None => Outcome::Served,
        };
        let attention = log.attention(&self.origin, outcome, status);
        if attention.is_none() {
            return;
        }
        let (origin, method, path, key_id) = (&self.origin, &self.method, self.path(), key_id.map(KeyId::as_str));
        log.tell(attention, &Told { origin, method, path, status, outcome, code: None, key_id, cause: None });
    }
}

impl From<Authorized> for Answer {
    fn from(Authorized { response, key_id }: Authorized) -> Self {
        Self { response, allowed: Some(key_id) }
    }
}

/// The answer to a HEAD tells how long its body would be, and has none: over HTTP/2 nobody else
/// sees to that.
fn take_body(response: &mut Response) {
    let body = std::mem::take(response.body_mut());
    if let (false, Some(length)) = (response.headers().contains_key(header::CONTENT_LENGTH), body.size_hint().exact()) {
        response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    }
}

/// Bodies of responses.
pub(crate) type AnswerBody = Body;
