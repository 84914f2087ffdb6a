//! One request at the gate: what it shows, what the nodes say, what becomes of it.

use std::{
    fmt,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use http::{HeaderMap, HeaderName, HeaderValue, header, request::Parts};
use tokio::{sync::Semaphore, time::Instant};
use tollgate_api::REQUEST_ID_HEADER;
use tollgate_client::{Client, ClientError, ClientSetupError, ErrorKind, RequestId, TRACEPARENT_HEADER, TraceContext};

use crate::{
    Demand, GateLayer, GateOptions, OutageMode,
    passage::Passage,
    refusal::{Refusal, is_for_clients},
};

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The headers that may hold a credential. All of them go to the node, as often as they stand: it
/// refuses a request that shows two.
pub(crate) const CREDENTIALS: [HeaderName; 2] = [header::AUTHORIZATION, X_API_KEY];

type AddressOf = Arc<dyn Fn(&Parts) -> Option<IpAddr> + Send + Sync>;

/// The nodes that decide, and how they are asked. Cheap to clone; clones share connections and
/// bounds.
#[derive(Clone)]
pub struct RemoteGate {
    shared: Arc<Shared>,
    address_of: Option<AddressOf>,
}

struct Shared {
    client: Client,
    calls: Semaphore,
    outage: OutageMode,
    keeps_credential: bool,
    began: Instant,
    /// The second after `began`, counted from 1, in which an outage was last logged.
    complained_in: AtomicU64,
}

impl RemoteGate {
    /// A gate over the nodes at `urls`, such as `http://127.0.0.1:8080`, or over the balancer in front
    /// of them. The first is asked until it fails, then the next.
    pub fn new(urls: &[&str], options: &GateOptions) -> Result<Self, ClientSetupError> {
        let client = Client::of_nodes(urls, None, &options.client_options(urls.len()))?;
        let calls = Semaphore::new(options.calls_max.min(Semaphore::MAX_PERMITS));
        let (outage, keeps_credential) = (options.outage, options.keeps_credential);
        let shared = Shared { client, calls, outage, keeps_credential, began: Instant::now(), complained_in: AtomicU64::new(0) };
        Ok(Self { shared: Arc::new(shared), address_of: None })
    }

    /// Tells the nodes the address of each client, as `address_of` reads it from the request, such as
    /// from axum's `ConnectInfo`. The nodes believe it only of `trusted_proxies`.
    #[must_use]
    pub fn with_address(mut self, address_of: impl Fn(&Parts) -> Option<IpAddr> + Send + Sync + 'static) -> Self {
        self.address_of = Some(Arc::new(address_of));
        self
    }

    /// A layer that demands the same of every request.
    pub fn layer(&self, demand: Demand) -> GateLayer {
        self.layer_by(move |_| Some(demand.clone()))
    }

    /// A layer that demands what `demand_of` says of a request; nothing at all where it says `None`:
    /// the request passes without being asked who it is.
    pub fn layer_by(&self, demand_of: impl Fn(&Parts) -> Option<Demand> + Send + Sync + 'static) -> GateLayer {
        GateLayer::new(self.clone(), Arc::new(demand_of))
    }

    /// Whether credentials can be read on their way to a node on another machine.
    pub fn is_exposed(&self) -> bool {
        self.shared.client.is_exposed()
    }

    /// Asks for a request, and makes it ready for the app if it may pass.
    pub(crate) async fn admit(&self, parts: &mut Parts, demand: Option<Demand>) -> Result<Passage, Refusal> {
        let request_id = request_id(&parts.headers);
        let passage = match demand {
            None => Passage::unasked(request_id),
            Some(demand) => self.ask(parts, &demand, request_id).await?,
        };
        passage.prepare(parts, self.shared.keeps_credential);
        Ok(passage)
    }

    async fn ask(&self, parts: &Parts, demand: &Demand, request_id: RequestId) -> Result<Passage, Refusal> {
        // No queue: who cannot be asked for now comes back later.
        let Ok(_turn) = self.shared.calls.try_acquire() else { return Err(Refusal::busy(parts, &request_id)) };
        let client = self.shared.client.clone().with_request_id(request_id.clone());
        let client = trace(&parts.headers).into_iter().fold(client, Client::with_trace);
        let result = client.authorize_bearer(&demand.ask(), &self.shown(parts)).await;
        if let Some(error) = result.as_ref().err().filter(|error| !is_for_clients(error)) {
            self.complain(error);
        }
        match result {
            Ok(authorized) => Ok(Passage::known(request_id, authorized)),
            Err(error) if is_outage(&error) && self.shared.outage == OutageMode::FailOpen => Ok(Passage::unknown(request_id)),
            Err(error) => Err(Refusal::of(error, parts)),
        }
    }

    /// What a node must see of the request.
    fn shown(&self, parts: &Parts) -> HeaderMap {
        let mut shown = HeaderMap::new();
        for name in CREDENTIALS {
            for value in parts.headers.get_all(&name) {
                let mut value = value.clone();
                value.set_sensitive(true);
                shown.append(&name, value);
            }
        }
        let address = self.address_of.as_ref().and_then(|address_of| address_of(parts));
        if let Some(address) = address.and_then(|address| HeaderValue::from_str(&address.to_string()).ok()) {
            shown.insert(X_FORWARDED_FOR, address);
        }
        shown
    }

    /// Logs that nobody decides, at most once a second however many requests there are.
    fn complain(&self, error: &ClientError) {
        let second = self.shared.began.elapsed().as_secs() + 1;
        if self.shared.complained_in.swap(second, Ordering::Relaxed) != second {
            let Shared { outage, .. } = &*self.shared;
            tracing::error!(request_id = error.request_id, mode = ?outage, "no node decides: {error}");
        }
    }
}

impl fmt::Debug for RemoteGate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shared { client, calls, outage, keeps_credential, .. } = &*self.shared;
        let mut out = f.debug_struct("RemoteGate");
        out.field("client", client).field("calls_free", &calls.available_permits()).field("outage", outage);
        out.field("keeps_credential", keeps_credential).finish_non_exhaustive()
    }
}

/// The caller's id where it is sane, as a node would take it; else a new one.
fn request_id(headers: &HeaderMap) -> RequestId {
    let mut given = headers.get_all(REQUEST_ID_HEADER).iter();
    let only = given.next().filter(|_| given.next().is_none()).and_then(|id| id.to_str().ok());
    only.and_then(|id| RequestId::parse(id).ok()).unwrap_or_else(RequestId::generate)
}

/// The trace that the request is a part of, if it is.
fn trace(headers: &HeaderMap) -> Option<TraceContext> {
    let mut given = headers.get_all(TRACEPARENT_HEADER).iter();
    let only = given.next().filter(|_| given.next().is_none())?;
    TraceContext::parse(only.to_str().ok()?)
}

/// Whether nobody has decided: no node, none in time, or a balancer that finds none. A problem is a
/// node's own word, also where it says that it cannot decide.
fn is_outage(error: &ClientError) -> bool {
    match &error.kind {
        ErrorKind::Unreachable(_) | ErrorKind::Broken(_) | ErrorKind::Timeout => true,
        ErrorKind::Status(status) => matches!(status, 502..=504),
        ErrorKind::Problem(_) | ErrorKind::Undecodable(_) => false,
    }
}
