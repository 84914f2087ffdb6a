//! A gate over in-process stores behind the real routes, and a client that checks every answer.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    body::Body,
    http::{HeaderMap, Method, Request},
};
use http_body_util::BodyExt;
use serde_json::{Map, Value, json};
use tollgate_api::{Problem, RateLimitFields, RateLimitSpec};
use tollgate_embedded::{KeyFile, KeyFileRetention, MemoryBuckets, MemoryBucketsBounds, MemoryUsage, MicrosClock};
use tollgate_gate::{
    CacheOptions, DecisionSource, EventOptions, FollowOptions, Gate, GateOptions, GateParts, HashingOptions, KindLives, OutageMode,
    OutageOptions, PreauthOptions, SystemClock, TallyOptions, UsageOptions,
    config::{ConfigService, KeyRules},
    mint_key,
    ports::{Alone, ChangeContext, CreateGuard, KeyStore},
};
use tollgate_http::{HttpOptions, Surface, surface};
use tollgate_keys::{HashParams, Scopes};
use tollgate_limits::RateLimits;
use tollgate_telemetry::Metrics;
use tollgate_testkit::eventually;

const PATIENCE: Duration = Duration::from_secs(30);

/// One node in this process, with a bucket clock that stands still until it is moved.
pub(crate) struct Site {
    pub(crate) surface: Surface,
    pub(crate) gate: Gate,
    /// The api key of an unlimited administrator.
    pub(crate) admin: String,
    now_us: Arc<AtomicU64>,
    running: tokio::task::JoinHandle<()>,
    _folder: tempfile::TempDir,
}

impl Drop for Site {
    fn drop(&mut self) {
        self.running.abort();
    }
}

impl Site {
    pub(crate) async fn start() -> Self {
        Self::with(|_| ()).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut HttpOptions)) -> Self {
        Self::over(change, |_| ()).await
    }

    /// The same with other options of the gate too.
    pub(crate) async fn over(change: impl FnOnce(&mut HttpOptions), change_gate: impl FnOnce(&mut GateOptions)) -> Self {
        let mut gate_options = gate_options();
        change_gate(&mut gate_options);
        let folder = tempfile::tempdir().expect("a folder");
        let keys: Arc<dyn KeyStore> = Arc::new(KeyFile::open(folder.path(), KeyFileRetention::default()).expect("a key file"));
        let admin = admin_key(&*keys).await;
        let now_us = Arc::new(AtomicU64::new(1_800_000_000_000_000));
        let gate = Gate::new(parts(keys, &now_us), gate_options).expect("random bytes");
        let running = tokio::spawn({
            let gate = gate.clone();
            async move { gate.run().await }
        });
        let ready = || async {
            anyhow::ensure!(gate.readiness().ready, "{:?}", gate.readiness());
            Ok(())
        };
        eventually("the gate takes up its stores", PATIENCE, ready).await.expect("a ready gate");
        let mut options = HttpOptions { node: "node-a".to_owned(), version: "1.2.3", ..HttpOptions::default() };
        change(&mut options);
        Self { surface: surface(gate.clone(), options), gate, admin, now_us, running, _folder: folder }
    }

    /// Moves the buckets' clock.
    pub(crate) fn pass(&self, time: Duration) {
        let us = u64::try_from(time.as_micros()).expect("a short time");
        self.now_us.fetch_add(us, Ordering::Relaxed);
    }

    /// A request without a credential.
    pub(crate) fn call(&self, method: Method, path: &str) -> Call<'_> {
        Call { site: self, builder: Request::builder().method(method).uri(path), body: Body::empty(), peer: [127, 0, 0, 1].into() }
    }

    pub(crate) fn get(&self, path: &str) -> Call<'_> {
        self.call(Method::GET, path)
    }

    pub(crate) fn post(&self, path: &str) -> Call<'_> {
        self.call(Method::POST, path)
    }

    /// Makes a key as the administrator: the answer of `POST /v1/keys`.
    pub(crate) async fn make(&self, body: Value) -> Value {
        let made = self.post("/v1/keys").bearer(&self.admin).json(&body).send().await;
        assert_eq!(made.status, 201, "{}", made.body);
        made.json()
    }

    /// The api key of a new key with these fields beside its name.
    pub(crate) async fn key(&self, fields: Value) -> String {
        let mut body = json!({"name": "test"});
        body.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
        self.make(body).await["api_key"].as_str().expect("an api key").to_owned()
    }
}

/// A request being put together.
pub(crate) struct Call<'a> {
    site: &'a Site,
    builder: axum::http::request::Builder,
    body: Body,
    peer: IpAddr,
}

impl Call<'_> {
    pub(crate) fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.builder = self.builder.header(name, value.as_ref());
        self
    }

    pub(crate) fn bearer(self, api_key: &str) -> Self {
        self.header("authorization", format!("Bearer {api_key}"))
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.text("application/json", &body.to_string())
    }

    pub(crate) fn text(mut self, content_type: &str, body: &str) -> Self {
        self.body = Body::from(body.to_owned());
        self.header("content-type", content_type)
    }

    pub(crate) fn body(mut self, body: Body) -> Self {
        self.body = body;
        self
    }

    /// The answer as soon as its head is there.
    pub(crate) async fn open(self) -> axum::response::Response {
        let request = self.builder.body(self.body).expect("a request");
        self.site.surface.of_peer(self.peer).answer(request).await.expect("infallible")
    }

    pub(crate) async fn send(self) -> Answer {
        let request = self.builder.body(self.body).expect("a request");
        let path = request.uri().path().to_owned();
        let response = self.site.surface.of_peer(self.peer).answer(request).await.expect("infallible");
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        let answer =
            Answer { status: parts.status.as_u16(), headers: parts.headers, body: String::from_utf8(body.to_vec()).expect("UTF-8") };
        answer.check(&path);
        answer
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    /// The value of a header; empty where there is none. Two of one name are a mistake anywhere.
    pub(crate) fn header(&self, name: &str) -> &str {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next().map_or("", |value| value.to_str().expect("visible ASCII"));
        assert!(values.next().is_none(), "two headers {name}");
        value
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    pub(crate) fn problem(&self) -> Problem {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {} {}", self.status, self.body))
    }

    /// Status and last part of the problem's type.
    pub(crate) fn refusal(&self) -> (u16, String) {
        let kind = self.problem().kind;
        (self.status, kind.rsplit([':', '#']).next().unwrap_or_default().to_owned())
    }

    /// What holds of every answer, whatever was asked.
    fn check(&self, path: &str) {
        let request_id = self.header("x-request-id");
        assert!(!request_id.is_empty() && request_id.len() <= 128);
        assert_eq!(self.header("cache-control"), "no-store");
        let rate_limited = self.headers.contains_key("ratelimit") || self.headers.contains_key("x-ratelimit-limit");
        assert!(self.status != 401 || !rate_limited, "a 401 tells nothing of limits");
        assert_eq!(self.status == 401, self.headers.contains_key("www-authenticate"));
        if self.status < 400 || path == "/health/ready" {
            return;
        }
        assert_eq!(self.header("content-type"), "application/problem+json");
        let problem = self.problem();
        assert_eq!(problem.status, self.status);
        assert_eq!(problem.instance, path);
        assert_eq!(problem.request_id, request_id);
        assert!(!problem.title.is_empty() && !problem.detail.is_empty() && !problem.detail.ends_with('.'), "{problem:?}");
        assert!(["tks_", "tku_"].iter().all(|secret| !self.body.contains(secret)), "{}", self.body);
    }
}

async fn admin_key(keys: &dyn KeyStore) -> String {
    let rules = KeyRules {
        name: "admin".to_owned(),
        owner: None,
        scopes: Scopes::parse(["admin"]).expect("a scope"),
        limits: RateLimits::unlimited(),
        expires_at_ms: None,
        metadata: Map::new(),
        outage_mode: None,
    };
    let context =
        ChangeContext { actor: "test".into(), request_id: "test".into(), action: "keys.create", now_ms: 1_700_000_000_000, once: None };
    let minted = mint_key(keys, None, cheap(), (rules, CreateGuard::None), context).await;
    minted.expect("a key store").expect("a key").api_key.expose().to_string()
}

fn cheap() -> HashParams {
    HashParams::new(8, 1, 1).expect("good parameters")
}

fn parts(keys: Arc<dyn KeyStore>, now_us: &Arc<AtomicU64>) -> GateParts {
    let clock = MicrosClock::new({
        let now_us = Arc::clone(now_us);
        move || now_us.load(Ordering::Relaxed)
    });
    let bounds = MemoryBucketsBounds { subjects_max: 10_000, fence_ttl: Duration::from_mins(70) };
    let buckets = || Arc::new(MemoryBuckets::new(bounds, clock.clone()));
    let default_limit = RateLimitSpec::One(RateLimitFields { burst: 1000, per_seconds: 60 });
    GateParts {
        keys,
        buckets: buckets(),
        nodes: Arc::new(Alone),
        receipts: None,
        usage: Arc::new(MemoryUsage::new(10_000)),
        bus: None,
        master_key: None,
        clock: Arc::new(SystemClock),
        config: ConfigService::new(&default_limit).expect("a good limit"),
        metrics: Metrics::noop(),
    }
}

fn gate_options() -> GateOptions {
    GateOptions {
        decision_timeout: PATIENCE,
        lookups_max: 16,
        lookups: tollgate_gate::LookupOptions::default(),
        filter: tollgate_gate::FilterOptions::default(),
        lookup_timeout: Duration::from_secs(5),
        outage: OutageOptions { mode: OutageMode::Closed, ..OutageOptions::default() },
        cache: CacheOptions { age_max: Duration::from_hours(1), count_max: 10_000 },
        hashing: HashingOptions { params: cheap(), threads: 2, queue_max: 1000, wait_max: Duration::from_secs(5) },
        preauth: PreauthOptions::default(),
        follow: FollowOptions { poll_interval: Duration::from_millis(500), page_size: 500, fence_timeout: PATIENCE },
        node: "here".to_owned(),
        version: "1.2.3",
        look_interval: Duration::from_secs(10),
        usage: UsageOptions { interval: Duration::from_secs(20), pending_max: 10_000 },
        events: EventOptions::default(),
        tally: TallyOptions { flush_interval: Duration::from_millis(20), keys_max: 10_000, top_keys: 16, top_owners_max: 100 },
        kinds: KindLives::default(),
        hot: tollgate_gate::HotOptions {
            leases: false,
            burst_percent_max: 5,
            refill_max: Duration::from_millis(400),
            denials: Duration::ZERO,
            keys_max: 1,
        },
        source: DecisionSource::Local,
    }
}
