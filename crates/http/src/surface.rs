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
use http::{HeaderValue, Method, Request, Uri, header, request::Parts};
use pin_project_lite::pin_project;
use tokio::time::Instant;
use tollgate_api::KEY_ID_HEADER;
use tower::Service;
use tracing::Span;

use crate::{
    decisions::{self, Begun, Waiting},
    front::Front,
    origin::{Origin, REQUEST_ID},
    problem::{self, Failed, Failure},
    request_log::{KnownCaller, Noted, Outcome, RequestLog, Told},
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
    /// Who it turns out to be of; none for those of decisions, where answer or failure says so.
    caller: Option<KnownCaller>,
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
        let origin = Origin::of(request.headers(), *address, trusted, began);
        let span = tollgate_telemetry::request_span(origin.request_id.as_str(), Some(&origin.trace.named()));
        let mut about = About { origin, method: request.method().clone(), uri: None, caller: None };
        let work = if surface.front.is_some() && request.uri().path() == decisions::PATH {
            Work::Asked { parts: request.into_parts().0 }
        } else {
            about.uri = Some(request.uri().clone());
            request.extensions_mut().insert(about.origin.clone());
            about.caller = Some(KnownCaller::leave_with(&mut request));
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
    ) -> Poll<Result<Response, Failure>> {
        loop {
            let waiting = match self.as_mut().project() {
                AtWork::Asked { parts } => match front.map(|front| decisions::authorize(front, origin, parts)) {
                    None => return Poll::Ready(Err(Failure::NotFound)),
                    Some(Begun::Done(done)) => return Poll::Ready(done),
                    Some(Begun::Waits(waiting)) => waiting,
                },
                AtWork::Decision { waiting } => return waiting.as_mut().poll(cx),
                AtWork::Routed { routed } => return routed.poll(cx).map(|Ok(response)| Ok(response)),
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
    fn finish(&self, done: Result<Response, Failure>, log: &RequestLog) -> Response {
        let request = Failed { origin: &self.origin, method: &self.method, path: self.path(), caller: self.caller.as_ref() };
        let mut response = match done {
            Ok(mut response) => {
                // The control plane leaves its span behind, so that the line about its request is part of it.
                let span = response.extensions_mut().remove::<Span>();
                let _entered = span.as_ref().map(Span::enter);
                if !problem::finish(&mut response, &request, log) {
                    self.tell(&mut response, log);
                }
                response
            }
            Err(failure) => problem::answer(&failure, &request, log),
        };
        let headers = response.headers_mut();
        headers.insert(REQUEST_ID, self.origin.request_id.to_header());
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
    fn tell(&self, response: &mut Response, log: &RequestLog) {
        let (status, noted) = (response.status(), response.extensions_mut().remove::<Noted>());
        let caller = self.caller.as_ref().and_then(KnownCaller::get);
        let outcome = match (&noted, &self.caller) {
            (Some(noted), _) => noted.outcome,
            (None, None) => Outcome::Allowed,
            (None, Some(_)) if response.headers().contains_key(KEY_ID_HEADER) => Outcome::Allowed,
            (None, Some(_)) if caller.is_some() && !self.path().starts_with(HEALTH) => Outcome::Called,
            (None, Some(_)) => Outcome::Served,
        };
        let attention = log.attention(&self.origin, outcome, status);
        if attention.is_none() {
            return;
        }
        let told = response.headers().get(KEY_ID_HEADER).and_then(|id| id.to_str().ok());
        let key_id = noted.as_ref().and_then(|noted| noted.key_id.as_ref()).or(caller).map_or(told, |id| Some(id.as_str()));
        let (origin, method, path) = (&self.origin, &self.method, self.path());
        log.tell(attention, &Told { origin, method, path, status, outcome, code: None, key_id, cause: None });
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
