//! The client itself: whom it asks, with what, and how long it tries.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde::de::DeserializeOwned;
use tokio::time::Instant;
use tollgate_api::REQUEST_ID_HEADER;
use tollgate_telemetry::{TRACEPARENT_HEADER, TraceContext, request_span};
use tracing::Instrument as _;

pub(crate) use crate::call::Call;
use crate::{
    ClientError, ClientSetupError, Credential, Randomness, RateLimits, RequestId, RetryPolicy,
    answer::{Answer, failed},
    nodes::Nodes,
    retry::Retries,
    transport::{told, transport},
};

/// A client of one node, of several, or of the balancer in front of them. Cheap to clone; clones
/// share their connections.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    shared: Arc<Shared>,
    credential: Option<Credential>,
    request_id: Option<RequestId>,
    trace: Option<TraceContext>,
    deadline: Duration,
}

/// What clones share.
struct Shared {
    nodes: Nodes,
    timeout: Duration,
    retry: RetryPolicy,
    random: Randomness,
    limits: Mutex<Option<RateLimits>>,
}

/// What a call goes by, however often it is sent.
struct Names {
    request_id: RequestId,
    trace: Option<TraceContext>,
}

/// Bounds of a client.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// The longest wait for a connection.
    pub connect_timeout: Duration,
    /// The longest that one attempt may take.
    pub timeout: Duration,
    /// The longest that one call may take in all: its attempts and the waits between them.
    pub deadline: Duration,
    /// When a call is sent again.
    pub retry: RetryPolicy,
    /// Connections to each node that are kept while nothing is sent over them.
    pub idle_connections_max: usize,
    /// Certificate authorities to trust besides the machine's: PEM.
    pub ca_pem: Option<Vec<u8>>,
    /// Where the jitter of waits comes from.
    pub random: Randomness,
}

impl Default for ClientOptions {
    /// 3 s for a connection, 15 s for an attempt, which is longer than a node takes for any, 30 s in
    /// all; 32 idle connections.
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(3),
            timeout: Duration::from_secs(15),
            deadline: Duration::from_secs(30),
            retry: RetryPolicy::default(),
            idle_connections_max: 32,
            ca_pem: None,
            random: Randomness::default(),
        }
    }
}

impl Client {
    /// A client of the node at `url`, such as `http://127.0.0.1:8080`.
    pub fn new(url: &str, credential: Option<Credential>) -> Result<Self, ClientSetupError> {
        Self::with_options(url, credential, &ClientOptions::default())
    }

    /// The same with other bounds or other certificate authorities.
    pub fn with_options(url: &str, credential: Option<Credential>, options: &ClientOptions) -> Result<Self, ClientSetupError> {
        Self::of_nodes(&[url], credential, options)
    }

    /// A client of several nodes of one cluster. It asks one of them, and the next one as soon as
    /// that one fails.
    pub fn of_nodes(urls: &[&str], credential: Option<Credential>, options: &ClientOptions) -> Result<Self, ClientSetupError> {
        let nodes = Nodes::parse(urls)?;
        let http = transport(&nodes, options)?;
        let (timeout, retry, random) = (options.timeout, options.retry, options.random.clone());
        let shared = Arc::new(Shared { nodes, timeout, retry, random, limits: Mutex::default() });
        Ok(Self { http, shared, credential, request_id: None, trace: None, deadline: options.deadline })
    }

    /// Sends this id with every call, instead of a new one with each.
    #[must_use]
    pub fn with_request_id(mut self, id: RequestId) -> Self {
        self.request_id = Some(id);
        self
    }

    /// Sends this with every call, as it is: a client makes no spans, so those of nodes are right under
    /// `trace.span_id`. A client without one sends no trace, and the node may begin its own.
    #[must_use]
    pub fn with_trace(mut self, trace: TraceContext) -> Self {
        self.trace = Some(trace);
        self
    }

    /// Gives every call this long in all, attempts and waits.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Whether what is sent, the credential too, can be read on its way to another machine.
    pub fn is_exposed(&self) -> bool {
        self.shared.nodes.are_exposed()
    }

    /// How the limits of this client's key stood when a node last told. Clones share it, so it is
    /// of their last answer whoever got it.
    pub fn rate_limits(&self) -> Option<RateLimits> {
        self.shared.limits.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends a call and reads its answer as `T`.
    pub(crate) async fn send<T: DeserializeOwned>(&self, call: Call<'_>) -> Result<T, ClientError> {
        let answer = self.ask(call).await?;
        if answer.is_success() { answer.decode() } else { Err(answer.refusal()) }
    }

    /// Sends a call, again if need be, and reads the answer whatever its status.
    pub(crate) async fn ask(&self, call: Call<'_>) -> Result<Answer, ClientError> {
        let names = self.names();
        let retries = Retries {
            policy: &self.shared.retry,
            random: &self.shared.random,
            call: call.repeat,
            nodes: self.shared.nodes.count(),
            until: until(self.deadline),
        };
        let attempts = retries.run(|left| self.attempt(&call, &names, left), failed);
        let trace_id = names.trace.map(|trace| trace.trace_id);
        let result = attempts.instrument(request_span(names.request_id.as_str(), trace_id.as_ref())).await;
        if let Some(limits) = result.as_ref().ok().filter(|_| call.shown.is_none()).and_then(|answer| answer.headers.rate_limits()) {
            *self.shared.limits.lock().unwrap_or_else(PoisonError::into_inner) = Some(limits);
        }
        result
    }

    /// Sends a call once and gives the answer as soon as its head is there. What comes after has no
    /// bound but those of its reader.
    pub(crate) async fn open(&self, call: &Call<'_>, header: Option<(&str, &str)>) -> Result<(reqwest::Response, RequestId), ClientError> {
        let names = self.names();
        let failure = |kind| ClientError { kind, request_id: names.request_id.to_string() };
        let Some((number, base)) = self.shared.nodes.preferred() else {
            return Err(failure(crate::ErrorKind::Unreachable("there is no node to ask".into())));
        };
        let request = self.request(call, base, &names);
        let request = header.into_iter().fold(request, |request, (name, value)| request.header(name, value));
        let head = tokio::time::timeout(self.shared.timeout, request.send()).await;
        let head = head.map_or(Err(crate::ErrorKind::Timeout), |head| head.map_err(told));
        let is_gone = head.as_ref().map_or(true, |response| matches!(response.status().as_u16(), 502..=504));
        if is_gone {
            self.shared.nodes.leave(number);
        }
        let head = head.map_err(failure)?;
        Ok((head, names.request_id))
    }

    /// The longest that one attempt may take.
    pub(crate) fn timeout(&self) -> Duration {
        self.shared.timeout
    }

    /// What the next call goes by.
    fn names(&self) -> Names {
        let request_id = self.request_id.clone().unwrap_or_else(RequestId::generate);
        Names { request_id, trace: self.trace }
    }

    /// A call with all that goes with it.
    fn request(&self, call: &Call<'_>, base: &reqwest::Url, names: &Names) -> reqwest::RequestBuilder {
        let request = self.http.request(call.method.clone(), call.url(base));
        let request = call.fill(request).header(REQUEST_ID_HEADER, names.request_id.as_str());
        let request = names.trace.iter().fold(request, |request, trace| request.header(TRACEPARENT_HEADER, trace.to_string()));
        match (call.shown, &self.credential) {
            (Some(shown), _) => request.headers(shown.clone()),
            // Marked as sensitive, so that it is never printed on the way.
            (None, Some(credential)) => request.bearer_auth(credential.expose()),
            (None, None) => request,
        }
    }

    /// Sends a call once, to the node that is preferred now.
    async fn attempt(&self, call: &Call<'_>, names: &Names, left: Duration) -> Result<Answer, ClientError> {
        let failure = |kind| ClientError { kind, request_id: names.request_id.to_string() };
        let Some((number, base)) = self.shared.nodes.preferred() else {
            return Err(failure(crate::ErrorKind::Unreachable("there is no node to ask".into())));
        };
        let request = self.request(call, base, names).timeout(left.min(self.shared.timeout));
        let result = match request.send().await {
            Ok(response) => Answer::read(response, &names.request_id).await,
            Err(error) => Err(told(error)),
        };
        let result = result.map_err(failure);
        if failed(&result).is_some_and(|failed| failed.is_of_node) {
            tracing::debug!(node = base.as_str(), "no answer");
            self.shared.nodes.leave(number);
        }
        result
    }
}

/// When a time is over that begins now; where the clock does not reach that far, in a century.
fn until(deadline: Duration) -> Instant {
    const CENTURY: Duration = Duration::from_hours(24 * 365 * 100);
    let now = Instant::now();
    now.checked_add(deadline).unwrap_or(now + CENTURY)
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { http: _, shared, credential, request_id, trace, deadline } = self;
        let nodes: Vec<&str> = shared.nodes.all().iter().map(reqwest::Url::as_str).collect();
        let mut out = f.debug_struct("Client");
        out.field("nodes", &nodes).field("credential", credential).field("request_id", request_id);
        out.field("trace", trace).field("deadline", deadline);
        out.finish_non_exhaustive()
    }
}

#[cfg(test)]
mod resending;
#[cfg(test)]
mod spans;
#[cfg(test)]
mod tests;
