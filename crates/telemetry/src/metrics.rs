//! The handles of all metrics, made once.

mod family;

use crate::{
    catalogue::{self, Metric},
    labels::{
        AuthOutcome, CertificateFate, Component, HealthState, KindLabel, LookupOutcome, OutageState, PoolState, RedisErrorKind, Source,
        SpanFate, Verdict,
    },
};
use ::metrics::{Counter, Gauge, Histogram, Recorder};
use family::{Family, Family2, single};
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// What a node counts and measures. Cloning shares the handles; recording allocates nothing.
#[derive(Clone)]
pub struct Metrics(Arc<Handles>);

struct Handles {
    throttled: Counter,
    decisions: Family2<Counter, Verdict, Source>,
    decided: Decided,
    auth: Family<Counter, AuthOutcome>,
    key_uses: Family<Counter, KindLabel>,
    decision_duration: Histogram,
    redis_batch_size: Histogram,
    redis_call_duration: Histogram,
    redis_errors: Family<Counter, RedisErrorKind>,
    redis_state_lost: Counter,
    lease_taken: Counter,
    lease_returned: Counter,
    lease_expired: Counter,
    postgres_lookups: Family<Counter, LookupOutcome>,
    postgres_pool: Family<Gauge, PoolState>,
    argon2_queue: Gauge,
    argon2_duration: Histogram,
    revocation_propagation: Histogram,
    bloom_keys: Gauge,
    bloom_bytes: Gauge,
    bloom_rebuild_duration: Histogram,
    bloom_false_positives: Counter,
    change_log_lag: Gauge,
    health_state: Family<Gauge, Component>,
    outage_mode: Gauge,
    nodes: Gauge,
    usage_waiting: Gauge,
    usage_dropped: Counter,
    usage_flush_failures: Counter,
    request_lines_dropped: Counter,
    spans: Family<Counter, SpanFate>,
    certificate_reloads: Family<Counter, CertificateFate>,
    certificate_not_after: Gauge,
}

/// Decisions by verdict, for whoever asks this node and not its metrics.
#[derive(Default)]
struct Decided {
    allowed: AtomicU64,
    limited: AtomicU64,
    denied: AtomicU64,
}

impl Decided {
    fn of(&self, verdict: Verdict) -> &AtomicU64 {
        match verdict {
            Verdict::Allowed => &self.allowed,
            Verdict::Limited => &self.limited,
            Verdict::Denied => &self.denied,
        }
    }
}

impl Metrics {
    /// Handles that lead nowhere, for tests of other things.
    pub fn noop() -> Self {
        Self::made_by(&::metrics::NoopRecorder)
    }

    /// Registers every metric with `recorder`, so that all of them show from the start.
    pub(crate) fn made_by(recorder: &impl Recorder) -> Self {
        single::<Gauge>(recorder, &catalogue::BUILD_INFO).set(1.0);
        let histogram = |metric: &'static Metric| single::<Histogram>(recorder, metric);
        Self(Arc::new(Handles {
            throttled: single(recorder, &catalogue::THROTTLED),
            decisions: Family2::new(recorder, &catalogue::DECISIONS),
            decided: Decided::default(),
            auth: Family::new(recorder, &catalogue::AUTH),
            key_uses: Family::new(recorder, &catalogue::KEY_USES),
            decision_duration: histogram(&catalogue::DECISION_DURATION),
            redis_batch_size: histogram(&catalogue::REDIS_BATCH_SIZE),
            redis_call_duration: histogram(&catalogue::REDIS_CALL_DURATION),
            redis_errors: Family::new(recorder, &catalogue::REDIS_ERRORS),
            redis_state_lost: single(recorder, &catalogue::REDIS_STATE_LOST),
            lease_taken: single(recorder, &catalogue::LEASE_TAKEN),
            lease_returned: single(recorder, &catalogue::LEASE_RETURNED),
            lease_expired: single(recorder, &catalogue::LEASE_EXPIRED),
            postgres_lookups: Family::new(recorder, &catalogue::POSTGRES_LOOKUPS),
            postgres_pool: Family::new(recorder, &catalogue::POSTGRES_POOL),
            argon2_queue: single(recorder, &catalogue::ARGON2_QUEUE),
            argon2_duration: histogram(&catalogue::ARGON2_DURATION),
            revocation_propagation: histogram(&catalogue::REVOCATION_PROPAGATION),
            bloom_keys: single(recorder, &catalogue::BLOOM_KEYS),
            bloom_bytes: single(recorder, &catalogue::BLOOM_BYTES),
            bloom_rebuild_duration: histogram(&catalogue::BLOOM_REBUILD_DURATION),
            bloom_false_positives: single(recorder, &catalogue::BLOOM_FALSE_POSITIVES),
            change_log_lag: single(recorder, &catalogue::CHANGE_LOG_LAG),
            health_state: Family::new(recorder, &catalogue::HEALTH_STATE),
            outage_mode: single(recorder, &catalogue::OUTAGE_MODE),
            nodes: single(recorder, &catalogue::NODES),
            usage_waiting: single(recorder, &catalogue::USAGE_WAITING),
            usage_dropped: single(recorder, &catalogue::USAGE_DROPPED),
            usage_flush_failures: single(recorder, &catalogue::USAGE_FLUSH_FAILURES),
            request_lines_dropped: single(recorder, &catalogue::REQUEST_LINES_DROPPED),
            spans: Family::new(recorder, &catalogue::SPANS),
            certificate_reloads: Family::new(recorder, &catalogue::CERTIFICATE_RELOADS),
            certificate_not_after: single(recorder, &catalogue::CERTIFICATE_NOT_AFTER),
        }))
    }

    /// A rate limit refused a request.
    pub fn throttled(&self) {
        self.0.throttled.increment(1);
    }

    /// A request was decided.
    pub fn decision(&self, verdict: Verdict, source: Source) {
        self.0.decisions.with(verdict, source, |counter| counter.increment(1));
        self.0.decided.of(verdict).fetch_add(1, Ordering::Relaxed);
    }

    /// Decisions of that verdict since the start.
    pub fn decided(&self, verdict: Verdict) -> u64 {
        self.0.decided.of(verdict).load(Ordering::Relaxed)
    }

    /// Tokens were taken ahead.
    pub fn lease_taken(&self, tokens: u32) {
        self.0.lease_taken.increment(tokens.into());
    }

    /// Tokens that were taken ahead were handed back.
    pub fn lease_returned(&self, tokens: u32) {
        self.0.lease_returned.increment(tokens.into());
    }

    /// Tokens that were taken ahead were neither spent nor handed back.
    pub fn lease_expired(&self, tokens: u32) {
        self.0.lease_expired.increment(tokens.into());
    }

    /// A decision took so long.
    pub fn decision_took(&self, duration: Duration) {
        self.0.decision_duration.record(duration);
    }

    /// A credential fared so.
    pub fn auth(&self, outcome: AuthOutcome) {
        self.0.auth.with(outcome, |counter| counter.increment(1));
    }

    /// A good secret of this kind was presented.
    pub fn key_use(&self, kind: KindLabel) {
        self.0.key_uses.with(kind, |counter| counter.increment(1));
    }

    /// A call to Redis with so many decisions took so long.
    pub fn redis_call(&self, decisions: usize, duration: Duration) {
        self.0.redis_batch_size.record(u32::try_from(decisions).unwrap_or(u32::MAX));
        self.0.redis_call_duration.record(duration);
    }

    /// Something went wrong with Redis.
    pub fn redis_error(&self, kind: RedisErrorKind) {
        self.0.redis_errors.with(kind, |counter| counter.increment(1));
    }

    /// Redis was found to have lost its state.
    pub fn redis_state_lost(&self) {
        self.0.redis_state_lost.increment(1);
    }

    /// A look-up of a key in the store ended so.
    pub fn postgres_lookup(&self, outcome: LookupOutcome) {
        self.0.postgres_lookups.with(outcome, |counter| counter.increment(1));
    }

    /// So many connections to Postgres wait for work, and so many work.
    pub fn postgres_pool(&self, idle: u32, in_use: u32) {
        self.0.postgres_pool.with(PoolState::Idle, |gauge| gauge.set(idle));
        self.0.postgres_pool.with(PoolState::InUse, |gauge| gauge.set(in_use));
    }

    /// So many secrets wait to be hashed.
    pub fn argon2_queue_depth(&self, waiting: usize) {
        self.0.argon2_queue.set(u32::try_from(waiting).unwrap_or(u32::MAX));
    }

    /// Hashing a secret took so long.
    pub fn argon2_took(&self, duration: Duration) {
        self.0.argon2_duration.record(duration);
    }

    /// A revocation was read in the change log so long after it was made.
    pub fn revocation_propagated(&self, duration: Duration) {
        self.0.revocation_propagation.record(duration);
    }

    /// The filter holds so many ids in so many bytes.
    pub fn bloom(&self, keys: u64, bytes: usize) {
        // As the other gauges: what is above 2^32 is shown as that.
        self.0.bloom_keys.set(u32::try_from(keys).map_or(f64::from(u32::MAX), f64::from));
        self.0.bloom_bytes.set(u32::try_from(bytes).map_or(f64::from(u32::MAX), f64::from));
    }

    /// Making a filter took so long.
    pub fn bloom_rebuilt(&self, duration: Duration) {
        self.0.bloom_rebuild_duration.record(duration);
    }

    /// The filter took an id for that of a key, and the store did not have it.
    pub fn bloom_false_positive(&self) {
        self.0.bloom_false_positives.increment(1);
    }

    /// The last good read of the change log began so long ago.
    pub fn change_log_lag(&self, age: Duration) {
        self.0.change_log_lag.set(age);
    }

    /// A component is so.
    pub fn health(&self, component: Component, state: HealthState) {
        let value = match state {
            HealthState::Ok => 0.0,
            HealthState::Degraded => 1.0,
            HealthState::Down => 2.0,
        };
        self.0.health_state.with(component, |gauge| gauge.set(value));
    }

    /// So many nodes live.
    pub fn nodes(&self, live: u32) {
        self.0.nodes.set(live);
    }

    /// So many counts of keys, one for each key and minute, wait to be told to the store.
    pub fn usage_waiting(&self, counts: usize) {
        self.0.usage_waiting.set(u32::try_from(counts).unwrap_or(u32::MAX));
    }

    /// So many decisions were not counted for their keys.
    pub fn usage_dropped(&self, decisions: u64) {
        self.0.usage_dropped.increment(decisions);
    }

    /// A call that was to tell the store what keys were used for has failed; it is made again.
    pub fn usage_flush_failed(&self) {
        self.0.usage_flush_failures.increment(1);
    }

    /// A line about a request was left out.
    pub fn request_line_dropped(&self) {
        self.0.request_lines_dropped.increment(1);
    }

    /// So many spans came to this.
    pub fn spans(&self, fate: SpanFate, count: usize) {
        self.0.spans.with(fate, |counter| counter.increment(u64::try_from(count).unwrap_or(u64::MAX)));
    }

    /// A new certificate of the listeners came to this.
    pub fn certificate_reload(&self, fate: CertificateFate) {
        self.0.certificate_reloads.with(fate, |counter| counter.increment(1));
    }

    /// The certificate that listeners show is good until then, in seconds since 1970.
    pub fn certificate_not_after(&self, seconds: u64) {
        self.0.certificate_not_after.set(Duration::from_secs(seconds));
    }

    /// This decides now.
    pub fn outage(&self, state: OutageState) {
        self.0.outage_mode.set(match state {
            OutageState::None => 0.0,
            OutageState::Local => 1.0,
            OutageState::Open => 2.0,
            OutageState::Closed => 3.0,
        });
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}
