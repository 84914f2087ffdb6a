//! The gate: what it is made of, and the loops that keep it true.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tollgate_keys::{ProcessKey, RandomnessError};
use tollgate_telemetry::Metrics;

use crate::{
    breaker::Breaker,
    bus::Line,
    cache::{CacheOptions, KeyCache},
    clock::Clock,
    config::ConfigService,
    control::Revoking,
    daytime::DayTime,
    events::{EventOptions, Events},
    filter::{FilterOptions, KeyFilter},
    follower::{FollowOptions, Follower},
    hashing::{HashingOptions, HashingPool},
    hot::{HeldKeys, HotOptions},
    kinds::KindLives,
    link::Link,
    lookups::{LookupOptions, Lookups},
    marks::Marks,
    nodes::Birth,
    outage::{LocalBuckets, OutageOptions},
    ports::{BucketStore, Bus, KeyStore, NodeRegistry, UsageStore},
    preauth::{Preauth, PreauthOptions},
    rails::Rails,
    receipts::Receipts,
    registry::Registry,
    signing::{MasterKey, Signing},
    tag::Tagger,
    tally::{Tally, TallyOptions},
    telling::Telling,
    unlimited::UnlimitedKeys,
    usage::{Usage, UsageOptions},
};

/// Every bound and choice of the gate.
#[derive(Debug, Clone)]
pub struct GateOptions {
    /// The longest that one decision may wait for the bucket store.
    pub decision_timeout: Duration,
    /// Look-ups in the key store at a time; more wait.
    pub lookups_max: usize,
    /// The longest that one request may wait for its turn and its look-up.
    pub lookup_timeout: Duration,
    /// Ids that cannot be told, ids looked up in vain, and how many may wait.
    pub lookups: LookupOptions,
    /// The filter of key ids.
    pub filter: FilterOptions,
    /// What to do when the bucket store does not answer.
    pub outage: OutageOptions,
    /// Keys held in memory.
    pub cache: CacheOptions,
    /// Hashing of secrets.
    pub hashing: HashingOptions,
    /// The limit of failed attempts.
    pub preauth: PreauthOptions,
    /// Following the change log.
    pub follow: FollowOptions,
    /// What people call this node.
    pub node: String,
    /// The version that it runs.
    pub version: &'static str,
    /// From one look at the bucket store's servers to the next.
    pub look_interval: Duration,
    /// When keys were last used.
    pub usage: UsageOptions,
    /// Streams of events.
    pub events: EventOptions,
    /// What keys are used for.
    pub tally: TallyOptions,
    /// How long each kind of key is still good.
    pub kinds: KindLives,
    /// Tokens taken ahead and denials remembered.
    pub hot: HotOptions,
    /// Where decisions come from, for the metric: another process, or this one's memory.
    pub source: DecisionSource,
}

/// Where the bucket store decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecisionSource {
    /// In Redis.
    Redis,
    /// In this process.
    Local,
}

/// What the gate stands on.
#[derive(Debug)]
pub struct GateParts {
    /// Keys, owners, change log.
    pub keys: Arc<dyn KeyStore>,
    /// Buckets and fences.
    pub buckets: Arc<dyn BucketStore>,
    /// The nodes that serve together.
    pub nodes: Arc<dyn NodeRegistry>,
    /// Receipts of verified secrets, where nodes share any.
    pub receipts: Option<Receipts>,
    /// What keys are used for.
    pub usage: Arc<dyn UsageStore>,
    /// What the nodes of a cluster tell each other; none for a node that is alone.
    pub bus: Option<Arc<dyn Bus>>,
    /// Seals signing keys.
    pub master_key: Option<MasterKey>,
    /// Time of day.
    pub clock: Arc<dyn Clock>,
    /// Rules of keys and owners.
    pub config: ConfigService,
    /// Figures.
    pub metrics: Metrics,
}

/// The gate. Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub struct Gate {
    pub(crate) shared: Arc<GateShared>,
}

#[derive(Debug)]
pub(crate) struct GateShared {
    pub(crate) options: GateOptions,
    pub(crate) keys: Arc<dyn KeyStore>,
    pub(crate) buckets: Arc<dyn BucketStore>,
    pub(crate) nodes: Arc<dyn NodeRegistry>,
    pub(crate) registry: Registry,
    pub(crate) birth: Birth,
    pub(crate) breaker: Breaker,
    /// Buckets of this node alone, for outages in mode `local`.
    pub(crate) local: LocalBuckets,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) day: DayTime,
    pub(crate) config: ConfigService,
    pub(crate) metrics: Metrics,
    pub(crate) cache: KeyCache,
    pub(crate) hashing: HashingPool,
    pub(crate) preauth: Preauth,
    pub(crate) revoking: Revoking,
    pub(crate) marks: Marks,
    pub(crate) rails: Rails,
    pub(crate) telling: Telling,
    pub(crate) events: Events,
    pub(crate) unlimited: UnlimitedKeys,
    pub(crate) receipts: Option<Receipts>,
    pub(crate) signing: Signing,
    pub(crate) usage: Usage,
    pub(crate) tally: Tally,
    pub(crate) usage_store: Arc<dyn UsageStore>,
    pub(crate) follower: Follower,
    pub(crate) link: Link,
    pub(crate) line: Line,
    /// Whether the key store was found to be behind its own fences.
    pub(crate) rewound: AtomicBool,
    pub(crate) lookups: Lookups,
    pub(crate) filter: KeyFilter,
    /// Why the bucket store was found down when it was last asked.
    pub(crate) buckets_down: Mutex<Option<String>>,
    /// Whether the last decision had to be made without the bucket store.
    pub(crate) in_outage: AtomicBool,
    /// When an outage was last told to the log.
    pub(crate) outage_logged: Mutex<Option<tokio::time::Instant>>,
    pub(crate) draining: AtomicBool,
    pub(crate) held: HeldKeys,
}

impl Gate {
    /// Puts a gate together. It answers 503 until [`Gate::run`] has taken up its stores.
    pub fn new(parts: GateParts, options: GateOptions) -> Result<Self, RandomnessError> {
        let GateParts { keys, buckets, nodes, receipts, usage, bus, master_key, clock, config, metrics } = parts;
        let tagger = Tagger::generate()?;
        let shared = GateShared {
            cache: KeyCache::new(options.cache, ProcessKey::generate()?),
            hashing: HashingPool::new(options.hashing, metrics.clone()),
            preauth: Preauth::new(options.preauth, tokio::time::Instant::now()),
            revoking: Revoking::default(),
            marks: Marks::new(tokio::time::Instant::now()),
            rails: Rails::default(),
            telling: Telling::new(tokio::time::Instant::now()),
            events: Events::new(options.events),
            unlimited: UnlimitedKeys::default(),
            day: DayTime::new(tokio::time::Instant::now()),
            signing: Signing::new(master_key, options.source),
            usage: Usage::new(options.usage),
            tally: Tally::new(options.tally),
            usage_store: usage,
            follower: Follower::new(options.follow),
            link: Link::default(),
            line: Line::new(bus)?,
            rewound: AtomicBool::new(false),
            lookups: Lookups::new(options.lookups_max, options.lookups, tagger.clone()),
            filter: KeyFilter::new(options.filter, tagger, metrics.clone()),
            buckets_down: Mutex::new(None),
            in_outage: AtomicBool::new(false),
            outage_logged: Mutex::new(None),
            draining: AtomicBool::new(false),
            held: HeldKeys::new(options.hot),
            registry: Registry::new()?,
            birth: Birth::new(clock.unix_ms()),
            breaker: Breaker::new(buckets.lanes(), options.outage.failures_max),
            local: LocalBuckets::new(options.outage.subjects_max),
            options,
            keys,
            buckets,
            nodes,
            receipts,
            clock,
            config,
            metrics,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Keeps the gate true until dropped: takes up the stores, follows the change log, forgets
    /// what is old. Never returns.
    pub async fn run(&self) {
        self.shared.run().await;
    }

    /// Tells the other nodes that this one is about to end.
    pub async fn leave(&self) {
        self.shared.unregister().await;
    }

    /// From now on not ready: the node is about to stop.
    pub fn start_draining(&self) {
        self.shared.draining.store(true, Ordering::Release);
    }

    /// The checker of rules.
    pub fn config(&self) -> &ConfigService {
        &self.shared.config
    }

    /// Checks the fields of a decision on a named thing.
    pub fn named_decision(&self, body: tollgate_api::LimitBody) -> Result<crate::NamedDecision, crate::config::ConfigError> {
        self.shared.config.named_decision(body)
    }
}
