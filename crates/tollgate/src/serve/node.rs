//! A node that runs: the gate, its loops and its listeners.

use std::{sync::Arc, time::Duration};

use http::HeaderName;
use tokio::{sync::watch, task::JoinHandle, time::MissedTickBehavior};
use tollgate_embedded::MemoryUsage;
use tollgate_gate::{
    BudgetOptions, CacheOptions, DecisionSource, EventOptions, FailureBudget, FilterOptions, FollowOptions, Gate, GateOptions, GateParts,
    HashingOptions, HotOptions, KindLife, KindLives, LookupOptions, MissOptions, PreauthOptions, Receipts, SystemClock, TallyOptions,
    UsageOptions,
    ports::{Alone, BucketStore, Bus, NodeRegistry, UsageStore},
};
use tollgate_http::{EventStreamOptions, HttpOptions, Phase, Served, TelemetryOptions, metrics_surface, surface};
use tollgate_settings::{DeprecatedKinds, KindEnd, Mode, Settings};
use tollgate_telemetry::Recorder;

use super::{certificate::WatchedCertificate, listeners::Listeners, spans::Exporter};
use crate::{
    exit::{Exit, Failure},
    store::{Keys, Rules, memory_buckets, outage, redis_buckets, redis_bus},
};

/// How often samples are moved into their buckets and the pool is looked at.
const UPKEEP_PAUSE: Duration = Duration::from_secs(5);
/// How long the first start waits for the node to be ready before it greets all the same.
const GREET_WITHIN: Duration = Duration::from_secs(5);
/// How long a fence may take; a change that cannot be fenced stands all the same and says so.
const FENCE_TIMEOUT: Duration = Duration::from_secs(1);
/// How long the tokens that were taken ahead may take to be handed back when the node ends.
const LEASES_WITHIN: Duration = Duration::from_secs(1);
/// How long the last uses of keys may take to be written when the node ends.
const USES_WITHIN: Duration = Duration::from_secs(2);
/// How long the last spans may take to be sent when the node ends.
const SPANS_WITHIN: Duration = Duration::from_secs(2);
/// Look-ups in a key file at a time.
const FILE_LOOKUPS_MAX: usize = 64;

/// A node that runs, until it is stopped or the process ends.
#[derive(Debug)]
pub(super) struct Node {
    gate: Gate,
    loops: JoinHandle<()>,
    upkeep: JoinHandle<()>,
    requests: JoinHandle<Served>,
    metrics: JoinHandle<Served>,
    requests_phase: watch::Sender<Phase>,
    metrics_phase: watch::Sender<Phase>,
    exporter: Option<Exporter>,
}

impl Node {
    /// Starts everything. Stores that cannot be reached are no failure: the node is not ready
    /// until they can.
    pub(super) fn start(settings: &Settings, rules: Rules, keys: Keys, listeners: Listeners) -> Result<Self, Failure> {
        let recorder = Recorder::new().map_err(|error| Failure::other(error.to_string(), "this is a defect: please report it"))?;
        let gate = gate(settings, rules, &keys, &recorder)?;
        let exporter = Exporter::start(settings, recorder.metrics(), node_name(settings))?;
        let http = http_options(settings, telemetry(settings, &recorder, exporter.as_ref()))?;
        let (requests_phase, requests_told) = watch::channel(Phase::Serve);
        let (metrics_phase, metrics_told) = watch::channel(Phase::Serve);
        let page = recorder.clone();
        Ok(Self {
            loops: tokio::spawn({
                let gate = gate.clone();
                async move { gate.run().await }
            }),
            upkeep: tokio::spawn(upkeep(recorder, keys, listeners.certificate)),
            requests: tokio::spawn(listeners.requests.serve(surface(gate.clone(), http), requests_told)),
            metrics: tokio::spawn(listeners.metrics.serve(metrics_surface(move || page.render()), metrics_told)),
            gate,
            requests_phase,
            metrics_phase,
            exporter,
        })
    }

    /// Waits until the node is ready, not for ever.
    pub(super) async fn ready(&self) {
        let until_ready = async {
            let mut ticks = tokio::time::interval(Duration::from_millis(10));
            while !self.gate.readiness().ready {
                ticks.tick().await;
            }
        };
        tokio::time::timeout(GREET_WITHIN, until_ready).await.ok();
    }

    /// Comes back only if a part has ended that never should.
    pub(super) async fn broken(&mut self) {
        tokio::select! {
            _ = &mut self.loops => {}
            _ = &mut self.upkeep => {}
            _ = &mut self.requests => {}
            _ = &mut self.metrics => {}
        }
    }

    /// Not ready at once; serves on for `drain_delay`; ends what is in flight; ends. Metrics to
    /// the last.
    pub(super) async fn stop(&mut self, drain_delay: Duration) {
        tracing::info!(?drain_delay, "stopping: not ready from now on");
        self.gate.start_draining();
        self.requests_phase.send_replace(Phase::Drain);
        tokio::time::sleep(drain_delay).await;
        self.gate.end_streams();
        self.requests_phase.send_replace(Phase::Stop);
        // The listener itself says how many connections it had to cut off.
        (&mut self.requests).await.ok();
        tokio::time::timeout(LEASES_WITHIN, self.gate.hand_back_leases()).await.ok();
        // What they used is known until then; a store that does not answer is not waited for.
        tokio::time::timeout(USES_WITHIN, self.gate.write_uses()).await.ok();
        // A flush that is under way leaves the store some air, and would take longer than this one may.
        self.loops.abort();
        let spans = async {
            if let Some(exporter) = &mut self.exporter {
                exporter.stop(SPANS_WITHIN).await;
            }
        };
        tokio::join!(tokio::time::timeout(USES_WITHIN, self.gate.flush_usage()), spans).0.ok();
        // A scraper that holds its connection open holds nobody up.
        self.metrics_phase.send_replace(Phase::Stop);
        self.gate.leave().await;
        self.upkeep.abort();
        tracing::info!("stopped");
    }
}

fn gate(settings: &Settings, rules: Rules, keys: &Keys, recorder: &Recorder) -> Result<Gate, Failure> {
    let Rules { config, params, master_key } = rules;
    let (hashing, cache, log) = (&settings.argon2, &settings.cache, &settings.change_log);
    let (source, lookups_max) = match settings.mode {
        Mode::Embedded => (DecisionSource::Local, FILE_LOOKUPS_MAX),
        Mode::Cluster => (DecisionSource::Redis, settings.postgres.lookups_in_flight as usize),
    };
    let options = GateOptions {
        decision_timeout: settings.redis.decision_timeout.get(),
        lookups_max,
        lookup_timeout: settings.postgres.lookup_timeout.get(),
        lookups: lookups(settings),
        filter: filter(settings),
        outage: outage(settings),
        cache: CacheOptions { age_max: cache.age_max.get(), count_max: cache.keys_max },
        hashing: HashingOptions {
            params,
            threads: hashing.threads_or_half(),
            queue_max: hashing.queue_max,
            wait_max: hashing.wait_max.get(),
        },
        preauth: preauth(settings),
        follow: FollowOptions { poll_interval: log.poll_interval.get(), page_size: log.page, fence_timeout: FENCE_TIMEOUT },
        node: node_name(settings),
        version: env!("CARGO_PKG_VERSION"),
        look_interval: settings.redis.look_interval.get(),
        usage: UsageOptions { interval: settings.keys.last_used_interval.get(), pending_max: settings.keys.last_used_pending_max },
        events: EventOptions {
            streams_max: settings.events.streams_max,
            streams_per_caller_max: settings.events.streams_per_caller_max,
            heartbeat_interval: settings.events.heartbeat_interval.get(),
        },
        tally: tally(settings),
        kinds: kinds(settings),
        hot: HotOptions {
            leases: settings.leases.enabled,
            burst_percent_max: settings.leases.burst_percent_max,
            refill_max: settings.leases.refill_max.get(),
            denials: settings.deny_memory.duration_max.get(),
            keys_max: settings.leases.keys_max,
        },
        source,
    };
    let (buckets, nodes, receipts, usage) = buckets(settings, recorder)?;
    let parts = GateParts {
        keys: keys.port(),
        buckets,
        receipts,
        usage,
        nodes,
        bus: bus(settings)?,
        master_key,
        clock: Arc::new(SystemClock),
        config,
        metrics: recorder.metrics(),
    };
    Gate::new(parts, options).map_err(|error| Failure::other(error.to_string(), "the system gives no random bytes"))
}

fn lookups(settings: &Settings) -> LookupOptions {
    let lookup = &settings.lookup;
    LookupOptions {
        waiting_max: lookup.waiting_max,
        budget: BudgetOptions { burst: lookup.budget.burst, per_second: lookup.budget.per_second },
        misses: MissOptions { count_max: lookup.misses_max, ttl: lookup.miss_ttl.get() },
    }
}

fn filter(settings: &Settings) -> FilterOptions {
    let filter = &settings.bloom_filter;
    FilterOptions {
        false_positives_ppm: filter.false_positives_ppm,
        head_room_percent: filter.head_room_percent,
        bytes_max: filter.bytes_max.as_len(),
        page_size: filter.page,
        load_timeout: filter.load_timeout.get(),
        rebuild_interval: filter.rebuild_interval.get(),
        tombstones_min: filter.tombstones_min,
        tombstones_percent: filter.tombstones_percent,
    }
}

fn preauth(settings: &Settings) -> PreauthOptions {
    let preauth = &settings.preauth;
    let budget = |set: tollgate_settings::FailureBudget| FailureBudget { burst: set.burst, period: set.period.get() };
    PreauthOptions {
        address: budget(preauth.address),
        key_text: budget(preauth.key_text),
        key_id: budget(preauth.key_id),
        entries_max: preauth.entries_max,
    }
}

fn tally(settings: &Settings) -> TallyOptions {
    let usage = &settings.usage;
    TallyOptions {
        flush_interval: usage.flush_interval.get(),
        keys_max: usage.keys_max,
        top_keys: usage.top_keys,
        top_owners_max: usage.top_owners_max,
    }
}

fn kinds(settings: &Settings) -> KindLives {
    let life = |end| match end {
        KindEnd::Never => KindLife::Current,
        KindEnd::Open => KindLife::Deprecated,
        KindEnd::At(end_ms) => KindLife::Until(end_ms),
    };
    let DeprecatedKinds { signed, unsigned, imported } = settings.keys.deprecated;
    KindLives { signed: life(signed), unsigned: life(unsigned), imported: life(imported) }
}

type Buckets = (Arc<dyn BucketStore>, Arc<dyn NodeRegistry>, Option<Receipts>, Arc<dyn UsageStore>);

/// The buckets, and what lies beside them: the registry of nodes, receipts, usage.
fn buckets(settings: &Settings, recorder: &Recorder) -> Result<Buckets, Failure> {
    match settings.mode {
        Mode::Embedded => {
            let usage = Arc::new(MemoryUsage::new(settings.usage.keys_max));
            Ok((Arc::new(memory_buckets(settings)), Arc::new(Alone), None, usage))
        }
        Mode::Cluster => {
            let redis = Arc::new(redis_buckets(settings, recorder.metrics())?);
            let receipts = Receipts { store: redis.clone(), ttl: settings.redis.receipt_ttl.get() };
            Ok((redis.clone(), redis.clone(), Some(receipts), redis))
        }
    }
}

fn bus(settings: &Settings) -> Result<Option<Arc<dyn Bus>>, Failure> {
    match settings.mode {
        Mode::Embedded => Ok(None),
        Mode::Cluster => redis_bus(settings).map(|bus| Some(Arc::new(bus) as Arc<dyn Bus>)),
    }
}

fn telemetry(settings: &Settings, recorder: &Recorder, exporter: Option<&Exporter>) -> TelemetryOptions {
    TelemetryOptions {
        allowed_ppm: settings.log.allowed_ppm,
        lines_per_second_max: settings.log.lines_per_second_max,
        metrics: recorder.metrics(),
        traces: exporter.map(Exporter::traces),
    }
}

fn http_options(settings: &Settings, telemetry: TelemetryOptions) -> Result<HttpOptions, Failure> {
    let invalid = |_| Failure::new(Exit::Settings, "invalid settings: forward_auth: no name of a header", "mend the setting");
    let header = |name: &Option<String>| name.as_deref().map(str::parse::<HeaderName>).transpose().map_err(invalid);
    Ok(HttpOptions {
        body_bytes_max: settings.http.body_bytes_max.as_len(),
        request_timeout: settings.http.request_timeout.get(),
        ratelimit_headers: settings.ratelimit_headers,
        trusted_proxies: settings.trusted_proxies.clone(),
        cost_header: header(&settings.forward_auth.cost_header)?,
        scope_header: header(&settings.forward_auth.scope_header)?,
        events: EventStreamOptions { queue_max: settings.events.queue_max, stall_timeout: settings.events.stall_timeout.get() },
        telemetry,
        node: node_name(settings),
        version: env!("CARGO_PKG_VERSION"),
    })
}

/// The machine's name and the port: what tells nodes apart for people.
fn node_name(settings: &Settings) -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}:{}", if host.trim().is_empty() { "node" } else { host.trim() }, settings.listen.port())
}

/// What goes on beside requests, for ever.
async fn upkeep(recorder: Recorder, keys: Keys, certificate: Option<WatchedCertificate>) {
    let watch = async {
        match certificate {
            Some(certificate) => certificate.watch(recorder.metrics()).await,
            None => std::future::pending().await,
        }
    };
    tokio::join!(render(&recorder, &keys), watch);
}

async fn render(recorder: &Recorder, keys: &Keys) {
    let metrics = recorder.metrics();
    let mut ticks = tokio::time::interval(UPKEEP_PAUSE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        recorder.upkeep();
        if let Keys::Postgres(keys) = keys {
            let pool = keys.pool_status();
            metrics.postgres_pool(pool.idle, pool.used);
        }
    }
}
