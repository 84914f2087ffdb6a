//! The layer and its service.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response, request::Parts};
use tower::{Layer, Service};

use crate::{Demand, RemoteGate};

type DemandOf = Arc<dyn Fn(&Parts) -> Option<Demand> + Send + Sync>;

/// Puts a [`RemoteGate`] in front of a service.
#[derive(Clone)]
pub struct GateLayer {
    gate: RemoteGate,
    demand_of: DemandOf,
}

/// A service with the gate in front of it.
#[derive(Clone)]
pub struct GateService<S> {
    inner: S,
    gate: RemoteGate,
    demand_of: DemandOf,
}

impl GateLayer {
    pub(crate) fn new(gate: RemoteGate, demand_of: DemandOf) -> Self {
        Self { gate, demand_of }
    }
}

impl<S> Layer<S> for GateLayer {
    type Service = GateService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        GateService { inner, gate: self.gate.clone(), demand_of: Arc::clone(&self.demand_of) }
    }
}

impl<S, B, R> Service<Request<B>> for GateService<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
    R: From<Vec<u8>>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<R>, S::Error>> + Send>>;

    /// As ready as what is behind the gate.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The service that was polled ready is the one to call: a clone of it need not be.
        let next = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, next);
        let gate = self.gate.clone();
        let (mut parts, body) = request.into_parts();
        let demand = (self.demand_of)(&parts);
        Box::pin(async move {
            match gate.admit(&mut parts, demand).await {
                Ok(passage) => {
                    let mut response = inner.call(Request::from_parts(parts, body)).await?;
                    passage.mark(&mut response);
                    Ok(response)
                }
                Err(refusal) => Ok(refusal.into_response()),
            }
        })
    }
}

impl fmt::Debug for GateLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GateLayer").field("gate", &self.gate).finish_non_exhaustive()
    }
}

impl<S: fmt::Debug> fmt::Debug for GateService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GateService").field("inner", &self.inner).field("gate", &self.gate).finish_non_exhaustive()
    }
}
