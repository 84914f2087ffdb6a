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
    response::{IntoResponse, Response},
    routing::future::RouteFuture,
};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Uri, header};
use pin_project_lite::pin_project;
use tower::Service;
use tracing::Span;

use crate::{
    decisions,
    front::Front,
    log_budget::LogBudget,
    origin::{Origin, REQUEST_ID},
    problem::{self, Failure},
};

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// Routes with all that lies around them; a server makes one [`Envelope`] a connection of it.
#[derive(Debug, Clone)]
pub struct Surface {
    router: Router,
    /// Who answers [`decisions::PATH`], which the router does not know.
    front: Option<Arc<Front>>,
    log: Arc<LogBudget>,
}

/// A surface as one peer sees it.
#[derive(Debug, Clone)]
pub struct Envelope {
    surface: Surface,
    peer: IpAddr,
}

pin_project! {
    /// An answer on its way.
    struct Answering<F> {
        // None once it has panicked.
        #[pin]
        inner: Option<F>,
        about: About,
        log: Arc<LogBudget>,
        span: Span,
    }
}

pin_project! {
    /// Who is at work on an answer.
    #[project = AtWork]
    enum Work<D> {
        Decision { #[pin] decision: D },
        Routed { #[pin] routed: RouteFuture<Infallible> },
    }
}

/// What an answer must know of its request.
#[derive(Debug)]
struct About {
    origin: Origin,
    method: Method,
    uri: Uri,
}

impl Surface {
    /// Puts the envelope around any routes.
    pub fn new(router: Router) -> Self {
        Self { router, front: None, log: Arc::new(LogBudget::new()) }
    }

    /// The same beside the decisions of a front.
    pub(crate) fn of(front: Arc<Front>, router: Router) -> Self {
        Self { router, log: Arc::clone(&front.log), front: Some(front) }
    }

    /// The surface for the requests of one peer.
    pub fn of_peer(&self, peer: IpAddr) -> Envelope {
        Envelope { surface: self.clone(), peer }
    }
}

impl Envelope {
    /// Answers one request. Whatever happens inside, this becomes a response.
    pub fn answer<B>(&self, mut request: Request<B>) -> impl Future<Output = Result<Response, Infallible>> + Send + 'static + use<B>
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let origin = Origin::of(request.headers(), self.peer);
        let span = tollgate_telemetry::request_span(origin.request_id.as_str());
        let about = About { origin: origin.clone(), method: request.method().clone(), uri: request.uri().clone() };
        let work = match &self.surface.front {
            Some(front) if request.uri().path() == decisions::PATH => {
                let (parts, _) = request.into_parts();
                Work::Decision { decision: decisions::authorize(Arc::clone(front), origin, parts) }
            }
            _ => {
                request.extensions_mut().insert(origin);
                Work::Routed { routed: self.surface.router.clone().call(request) }
            }
        };
        Answering { inner: Some(work), about, log: Arc::clone(&self.surface.log), span }
    }
}

impl<D: Future<Output = Response>> Future for Work<D> {
    type Output = Response;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Response> {
        match self.project() {
            AtWork::Decision { decision } => decision.poll(cx),
            AtWork::Routed { routed } => routed.poll(cx).map(|Ok(response)| response),
        }
    }
}

impl<F: Future<Output = Response>> Future for Answering<F> {
    type Output = Result<Response, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let _entered = this.span.enter();
        let Some(inner) = this.inner.as_mut().as_pin_mut() else { return Poll::Pending };
        // A future that has panicked is never polled again, so no broken state is seen.
        let mut response = match catch_unwind(AssertUnwindSafe(|| inner.poll(cx))) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(response)) => response,
            Err(_) => Failure::Internal { cause: "a handler panicked" }.into_response(),
        };
        this.inner.set(None);
        this.about.finish(&mut response, this.log);
        Poll::Ready(Ok(response))
    }
}

impl About {
    /// Writes out a problem, and what every response carries.
    fn finish(&self, response: &mut Response, log: &LogBudget) {
        // The control plane leaves its span behind, so that the line about a failure is part of it.
        let span = response.extensions_mut().remove::<Span>();
        let _entered = span.as_ref().map(Span::enter);
        problem::finish(response, &self.origin, &self.method, self.uri.path(), log);
        let headers = response.headers_mut();
        headers.insert(REQUEST_ID, self.origin.request_id.to_header());
        headers.insert(header::CACHE_CONTROL, NO_STORE);
        if self.method == Method::HEAD {
            take_body(response);
        }
        tracing::debug!(status = response.status().as_u16(), method = %self.method, "answered");
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
