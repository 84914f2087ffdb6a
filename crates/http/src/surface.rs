//! What lies around every request and is blind to what it asks.
//!
//! One hand-written service instead of a stack of layers: each layer of a router is a boxed
//! clone a request, and a decision is to cost little more than an empty handler.

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
use http::{HeaderName, HeaderValue, Method, Request, Uri, header};
use tollgate_api::REQUEST_ID_HEADER;
use tower::Service;
use tracing::Span;

use crate::{
    log_budget::LogBudget,
    origin::Origin,
    problem::{self, Failure},
};

const REQUEST_ID: HeaderName = HeaderName::from_static(REQUEST_ID_HEADER);
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// Routes with all that lies around them; a server makes one [`Envelope`] a connection of it.
#[derive(Debug, Clone)]
pub struct Surface {
    router: Router,
    log: Arc<LogBudget>,
}

/// A surface as one peer sees it.
#[derive(Debug, Clone)]
pub struct Envelope {
    surface: Surface,
    peer: IpAddr,
}

/// An answer on its way.
pub struct Answering {
    /// None once it has panicked.
    inner: Option<RouteFuture<Infallible>>,
    about: About,
    log: Arc<LogBudget>,
    span: Span,
}

/// What an answer must know of its request.
#[derive(Debug)]
struct About {
    origin: Origin,
    method: Method,
    uri: Uri,
}

impl std::fmt::Debug for Answering {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answering").field("request_id", &self.about.origin.request_id).finish_non_exhaustive()
    }
}

impl Surface {
    /// Puts the envelope around any routes.
    pub fn new(router: Router) -> Self {
        Self::with_log(router, Arc::new(LogBudget::new()))
    }

    /// The same for routes that log refusals themselves.
    pub(crate) fn with_log(router: Router, log: Arc<LogBudget>) -> Self {
        Self { router, log }
    }

    /// The surface for the requests of one peer.
    pub fn of_peer(&self, peer: IpAddr) -> Envelope {
        Envelope { surface: self.clone(), peer }
    }
}

impl Envelope {
    /// Answers one request. Whatever happens inside, this becomes a response.
    pub fn answer<B>(&self, mut request: Request<B>) -> Answering
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let origin = Origin::of(request.headers(), self.peer);
        request.extensions_mut().insert(origin.clone());
        let span = tracing::debug_span!("request", request_id = origin.request_id.as_str());
        let about = About { origin, method: request.method().clone(), uri: request.uri().clone() };
        let inner = self.surface.router.clone().call(request);
        Answering { inner: Some(inner), about, log: Arc::clone(&self.surface.log), span }
    }
}

impl<B> Service<Request<B>> for Envelope
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Answering {
        self.answer(request)
    }
}

impl Future for Answering {
    type Output = Result<Response, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let _entered = this.span.enter();
        let Some(inner) = &mut this.inner else { return Poll::Pending };
        // A future that has panicked is never polled again, so no broken state is seen.
        let mut response = match catch_unwind(AssertUnwindSafe(|| Pin::new(inner).poll(cx))) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(Ok(response))) => response,
            Err(_) => Failure::Internal { cause: "a handler panicked" }.into_response(),
        };
        this.inner = None;
        this.about.finish(&mut response, &this.log);
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
        tracing::debug!(status = response.status().as_u16(), method = %self.method, "answered");
    }
}

/// Bodies of responses.
pub(crate) type AnswerBody = Body;
