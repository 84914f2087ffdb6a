//! The app behind a gateway. It answers everything with 200 and remembers what it was sent.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::{Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

/// Far more than any test sends.
const BODY_BYTES_MAX: usize = 1 << 20;

/// A request as the app saw it.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// A running app; ends with its value.
#[derive(Debug)]
pub(super) struct App {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    serving: AbortHandle,
}

impl App {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let address = listener.local_addr().expect("an address");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let router = Router::new().fallback(remember).with_state(Arc::clone(&seen));
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        Self { address, seen, serving: serving.abort_handle() }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it was sent since this was last asked.
    pub(super) fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The one request that it was sent.
    #[track_caller]
    pub(super) fn take_one(&self, what: &str) -> Seen {
        let mut seen = self.take();
        assert_eq!(seen.len(), 1, "{what}: {seen:?}");
        seen.remove(0)
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Seen {
    /// The values of all headers that an app could read as this one: the same letters, whatever stands
    /// between them.
    pub(super) fn read_as(&self, name: &str) -> Vec<String> {
        let plain = |name: &str| name.to_lowercase().replace(|letter: char| !letter.is_ascii_alphanumeric(), "-");
        let alike = self.headers.iter().filter(|(other, _)| plain(other.as_str()) == name);
        alike.map(|(_, value)| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect()
    }
}

async fn remember(State(seen): State<Arc<Mutex<Vec<Seen>>>>, request: Request) -> &'static str {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, BODY_BYTES_MAX).await.unwrap_or_default();
    let one = Seen { method: parts.method.to_string(), target: parts.uri.to_string(), headers: parts.headers, body };
    seen.lock().unwrap_or_else(PoisonError::into_inner).push(one);
    "the app"
}
