//! Nodes, and the requests that tests make of them.

use std::{
    net::{IpAddr, Ipv4Addr},
    num::NonZeroU32,
    sync::Arc,
    time::Duration,
};

use serde_json::Map;
use tollgate_api::{RateLimitFields, RateLimitSpec};
use tollgate_gate::{
    CacheOptions, DecisionSource, EventOptions, FailureBudget, FilterOptions, FollowOptions, Gate, GateOptions, GateParts, HashingOptions,
    HotOptions, KindLives, LookupOptions, OutageOptions, PreauthOptions, Receipts, TallyOptions, UsageOptions,
    config::{ConfigService, KeyRules},
    control::Operator,
    mint_key,
    ports::{BucketStore, Bus, ChangeContext, CreateGuard, KeyStore},
    request::{CheckRequest, Credential, Plane, SharedKey},
    verdict::{Denial, GateError, Identity, Passed, Unauthenticated, Verdict},
};
use tollgate_keys::{HashParams, KeyId, OwnerName, Scope, Scopes};
use tollgate_limits::{Cost, LimitName, RateLimit, RateLimits};
use tollgate_telemetry::Recorder;

use super::{FakeBuckets, FakeKeys, FakeNodes, FakeUsage, TestClock};

pub(crate) fn hash_params() -> HashParams {
    HashParams::new(8, 1, 1).expect("the least there is")
}

pub(crate) fn options() -> GateOptions {
    GateOptions {
        decision_timeout: Duration::from_millis(50),
        lookups_max: 4,
        lookup_timeout: Duration::from_secs(5),
        lookups: LookupOptions::default(),
        filter: FilterOptions::default(),
        outage: OutageOptions::default(),
        cache: CacheOptions { age_max: Duration::from_hours(1), count_max: 10_000 },
        hashing: HashingOptions { params: hash_params(), threads: 2, queue_max: 100, wait_max: Duration::from_secs(5) },
        preauth: preauth(1_000_000),
        follow: FollowOptions { poll_interval: Duration::from_secs(2), page_size: 3, fence_timeout: Duration::from_millis(100) },
        node: "here".to_owned(),
        version: "1.2.3",
        look_interval: Duration::from_secs(10),
        usage: UsageOptions { interval: Duration::from_secs(20), pending_max: 10_000 },
        events: EventOptions::default(),
        tally: TallyOptions { flush_interval: Duration::from_secs(5), keys_max: 10_000, top_keys: 16, top_owners_max: 100 },
        kinds: KindLives::default(),
        hot: HotOptions {
            leases: false,
            burst_percent_max: 5,
            refill_max: Duration::from_millis(400),
            denials: Duration::ZERO,
            keys_max: 1000,
        },
        source: DecisionSource::Redis,
    }
}

/// So many failures a minute of each address, text and key id.
pub(crate) fn preauth(burst: u32) -> PreauthOptions {
    let budget = FailureBudget { burst: NonZeroU32::new(burst).expect("not zero"), period: Duration::from_mins(1) };
    PreauthOptions { address: budget, key_text: budget, key_id: budget, entries_max: 1024 }
}

/// One limit named `key`.
pub(crate) fn limits(burst: u64, per_seconds: u64) -> RateLimits {
    RateLimits::one(LimitName::new("key").expect("a name"), RateLimit::new(burst, per_seconds).expect("a limit"))
}

/// The rules of a key with a limit that no test reaches.
pub(crate) fn rules() -> KeyRules {
    KeyRules {
        name: "test".to_owned(),
        owner: None,
        scopes: Scopes::none(),
        limits: limits(1000, 60),
        expires_at_ms: None,
        metadata: Map::new(),
        outage_mode: None,
    }
}

/// One gate and its figures.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) gate: Gate,
    recorder: Recorder,
    /// A gate's loops run once at a time.
    running: Arc<tokio::sync::Mutex<()>>,
}

/// What is asked of a node, besides the key.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) cost: u64,
    pub(crate) scope: Option<Scope>,
    pub(crate) peek: bool,
    pub(crate) plane: Plane,
    pub(crate) client: IpAddr,
}

impl Default for Ask {
    fn default() -> Self {
        Self { cost: 1, scope: None, peek: false, plane: Plane::Data, client: IpAddr::V4(Ipv4Addr::LOCALHOST) }
    }
}

impl Ask {
    pub(crate) fn scope(scope: &str) -> Self {
        Self { scope: Some(Scope::parse(scope).expect("a scope")), ..Self::default() }
    }

    pub(crate) fn cost(cost: u64) -> Self {
        Self { cost, ..Self::default() }
    }

    pub(crate) fn peek() -> Self {
        Self { peek: true, ..Self::default() }
    }

    pub(crate) fn control() -> Self {
        Self { plane: Plane::Control, ..Self::default() }
    }

    /// From the `nth` address.
    pub(crate) fn client(nth: u32) -> Self {
        Self { client: IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + nth)), ..Self::default() }
    }

    pub(crate) fn with(self, credential: Credential) -> CheckRequest {
        let Self { cost, scope, peek, plane, client } = self;
        CheckRequest { credential, cost: Cost::new(cost).expect("a cost"), scope, peek, plane, client }
    }
}

impl Node {
    /// A node that leaves receipts for nobody.
    pub(crate) fn new(keys: Arc<dyn KeyStore>, buckets: Arc<dyn BucketStore>, clock: &TestClock, options: GateOptions) -> Self {
        Self::among(Arc::default(), (keys, buckets), (None, None), clock, options)
    }

    pub(crate) fn with_receipts(
        stores: (Arc<dyn KeyStore>, Arc<dyn BucketStore>),
        receipts: Option<Receipts>,
        clock: &TestClock,
        options: GateOptions,
    ) -> Self {
        Self::among(Arc::default(), stores, (receipts, None), clock, options)
    }

    pub(crate) fn on_bus(
        stores: (Arc<dyn KeyStore>, Arc<dyn BucketStore>),
        bus: Arc<dyn Bus>,
        clock: &TestClock,
        options: GateOptions,
    ) -> Self {
        Self::among(Arc::default(), stores, (None, Some(bus)), clock, options)
    }

    /// One of several nodes.
    pub(crate) fn among(
        nodes: Arc<FakeNodes>,
        stores: (Arc<dyn KeyStore>, Arc<dyn BucketStore>),
        shared: (Option<Receipts>, Option<Arc<dyn Bus>>),
        clock: &TestClock,
        options: GateOptions,
    ) -> Self {
        Self::counting(Arc::default(), (nodes, stores.0, stores.1), shared, clock, options)
    }

    /// The same, which tells this store what keys are used for.
    pub(crate) fn counting(
        usage: Arc<FakeUsage>,
        (nodes, keys, buckets): (Arc<FakeNodes>, Arc<dyn KeyStore>, Arc<dyn BucketStore>),
        (receipts, bus): (Option<Receipts>, Option<Arc<dyn Bus>>),
        clock: &TestClock,
        options: GateOptions,
    ) -> Self {
        let recorder = Recorder::new().expect("a recorder");
        let default = RateLimitSpec::One(RateLimitFields { burst: 1000, per_seconds: 60 });
        let config = ConfigService::new(&default).expect("a good default");
        let metrics = recorder.metrics();
        let clock = Arc::new(clock.clone());
        let parts = GateParts { keys, buckets, nodes, receipts, usage, bus, master_key: None, clock, config, metrics };
        Self { gate: Gate::new(parts, options).expect("randomness"), recorder, running: Arc::default() }
    }

    /// Lets the gate's loops do what is due: needs time that is paused.
    pub(crate) async fn turn(&self) {
        let _running = self.running.lock().await;
        let ran = tokio::time::timeout(Duration::from_millis(1), self.gate.run()).await;
        ran.expect_err("the loops never end");
    }

    pub(crate) async fn request(&self, request: CheckRequest) -> Result<Verdict, GateError> {
        let caller = self.gate.authenticate(request).await?;
        match self.gate.decide_at_once(caller) {
            Ok(verdict) => Ok(verdict),
            Err(caller) => self.gate.decide(caller).await,
        }
    }

    pub(crate) async fn ask(&self, key: &SharedKey, ask: Ask) -> Result<Verdict, GateError> {
        self.request(ask.with(Credential::ApiKey(key.clone()))).await
    }

    pub(crate) async fn check(&self, key: &SharedKey) -> Result<Verdict, GateError> {
        self.ask(key, Ask::default()).await
    }

    /// The value of one series of the metrics page.
    pub(crate) fn metric(&self, series: &str) -> u64 {
        self.figure(series).parse().expect("a whole number")
    }

    /// A time, to the nearest whole second.
    pub(crate) fn seconds(&self, series: &str) -> u64 {
        let seconds: f64 = self.figure(series).parse().expect("a number");
        Duration::from_secs_f64(seconds.round()).as_secs()
    }

    fn figure(&self, series: &str) -> String {
        let page = self.recorder.render();
        let value = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no {series} in\n{page}")).to_owned()
    }

    pub(crate) fn auth(&self, outcome: &str) -> u64 {
        self.metric(&format!("api_auth_total{{outcome=\"{outcome}\"}}"))
    }

    /// Secrets hashed by this node.
    pub(crate) fn hashes(&self) -> u64 {
        self.metric("tollgate_argon2_duration_seconds_count")
    }

    pub(crate) fn throttled(&self) -> u64 {
        self.metric("api_rate_limit_throttled_total")
    }
}

/// What tests want to know of a verdict.
pub(crate) trait Outcomes {
    fn allowed(self) -> Passed;
    fn limited(self) -> Passed;
    fn denied(self) -> Denial;
    fn unauthenticated(self) -> Unauthenticated;
    fn unavailable(self) -> String;
}

impl Outcomes for Result<Verdict, GateError> {
    #[track_caller]
    fn allowed(self) -> Passed {
        match self {
            Ok(Verdict::Allowed(passed)) => passed,
            other => panic!("not allowed: {other:?}"),
        }
    }

    #[track_caller]
    fn limited(self) -> Passed {
        match self {
            Ok(Verdict::Limited(passed)) => passed,
            other => panic!("not limited: {other:?}"),
        }
    }

    #[track_caller]
    fn denied(self) -> Denial {
        match self {
            Ok(Verdict::Denied(denial)) => denial,
            other => panic!("not denied: {other:?}"),
        }
    }

    #[track_caller]
    fn unauthenticated(self) -> Unauthenticated {
        match self.denied() {
            Denial::Unauthenticated(why) => why,
            other => panic!("authenticated: {other:?}"),
        }
    }

    #[track_caller]
    fn unavailable(self) -> String {
        match self {
            Err(GateError::Unavailable { reason, retry_after_s }) => {
                assert!(retry_after_s >= 1);
                reason
            }
            other => panic!("not unavailable: {other:?}"),
        }
    }
}

/// One node over scripted stores.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) keys: Arc<FakeKeys>,
    pub(crate) buckets: Arc<FakeBuckets>,
    pub(crate) nodes: Arc<FakeNodes>,
    pub(crate) usage: Arc<FakeUsage>,
    pub(crate) clock: TestClock,
    pub(crate) node: Node,
}

impl World {
    /// A node that has taken up its stores.
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut GateOptions)) -> Self {
        let world = Self::cold(change);
        world.node.turn().await;
        world
    }

    /// A node that was made a moment ago.
    pub(crate) fn cold(change: impl FnOnce(&mut GateOptions)) -> Self {
        Self::in_lanes(1, change)
    }

    /// The same before a bucket store in so many parts.
    pub(crate) fn in_lanes(lanes: usize, change: impl FnOnce(&mut GateOptions)) -> Self {
        let (clock, keys) = (TestClock::new(), Arc::new(FakeKeys::new()));
        let buckets = Arc::new(FakeBuckets::new(clock.micros()).in_lanes(lanes));
        let mut options = options();
        change(&mut options);
        let (nodes, usage) = (Arc::new(FakeNodes::default()), Arc::new(FakeUsage::default()));
        let node = Node::counting(usage.clone(), (nodes.clone(), keys.clone(), buckets.clone()), (None, None), &clock, options);
        Self { keys, buckets, nodes, usage, clock, node }
    }

    /// Another node of the same fleet.
    pub(crate) async fn other_node(&self) -> Node {
        self.other_node_with(|_| {}).await
    }

    pub(crate) async fn other_node_with(&self, change: impl FnOnce(&mut GateOptions)) -> Node {
        let mut options = options();
        change(&mut options);
        let stores = (Arc::default(), self.keys.clone() as Arc<dyn KeyStore>, Arc::new(self.buckets.beside()) as Arc<dyn BucketStore>);
        let node = Node::counting(self.usage.clone(), stores, (None, None), &self.clock, options);
        node.turn().await;
        node
    }

    /// The bucket store answers again, and the node has noticed.
    pub(crate) async fn come_back(&self) {
        self.buckets.set_down(None);
        self.node.turn().await;
    }

    /// A key made by somebody else: no hash is counted.
    pub(crate) async fn key(&self, rules: KeyRules) -> SharedKey {
        mint(&*self.keys, rules).await
    }

    /// A key that the node has used already.
    pub(crate) async fn used_key(&self, rules: KeyRules) -> SharedKey {
        let key = self.key(rules).await;
        self.node.check(&key).await.allowed();
        key
    }
}

pub(crate) async fn mint(keys: &dyn KeyStore, rules: KeyRules) -> SharedKey {
    let context = ChangeContext {
        actor: "test".to_owned(),
        request_id: "test".to_owned(),
        action: "keys.create",
        now_ms: 1_760_000_000_000,
        once: None,
    };
    let minted = mint_key(keys, None, hash_params(), (rules, CreateGuard::None), context).await;
    Arc::new(minted.expect("minted").expect("nothing guards it").api_key)
}

/// A caller of the control plane with these scopes.
pub(crate) fn operator(owner: Option<&str>, scopes: &[&str]) -> Operator {
    let identity = Identity {
        key_id: KeyId::parse("operator").expect("an id"),
        owner: owner.map(|owner| OwnerName::parse(owner).expect("an owner")),
        scopes: Scopes::parse(scopes.iter().copied()).expect("scopes"),
        generation: 0,
    };
    Operator { identity, request_id: "test".to_owned(), idempotency_key: None }
}
