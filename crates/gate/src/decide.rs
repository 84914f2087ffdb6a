//! May he, now: the third stage of a request.

use tokio::time::Instant;
use tollgate_limits::{NamedLimit, RateLimit};
use tollgate_telemetry::{Source, Verdict as VerdictLabel};

use crate::{
    Gate, OutageMode,
    authenticate::{Caller, Standing, Verified},
    breaker::not_asked,
    gate::{DecisionSource, GateShared},
    leases::Stake,
    link::Trouble,
    ports::{BucketError, Decision, Outcome},
    standings::Standings,
    tally::Counting,
    verdict::{Denial, GateError, Identity, Passed, Unauthenticated, Verdict},
};

/// What one call to the bucket store came to.
pub(crate) enum Told {
    /// All allowed, or one refused.
    Decided { allowed: bool, standings: Standings, source: Source },
    /// All allowed and charged, but the store's fences may have been lost meanwhile and the cache
    /// no longer holds the asker's rules: they may have changed.
    Doubtful { standings: Standings, source: Source },
    /// The rules have changed since they were read.
    Stale,
    /// The key is revoked.
    Revoked,
}

/// What one attempt came to.
enum Attempt {
    Verdict(Verdict),
    AuthenticateAgain,
    /// Charged, by rules that have changed since: must not be charged again.
    ChargedByOldRules,
}

impl Gate {
    /// Decides for a caller. Rules that turn out to be out of date are read again, once.
    pub async fn decide(&self, caller: Caller) -> Result<Verdict, GateError> {
        let verified = match caller.0 {
            Standing::Refused(denial) => return Ok(self.shared.denied(denial)),
            Standing::Verified(verified) => verified,
        };
        let started = Instant::now();
        let verdict = self.shared.decide(verified).await;
        self.shared.metrics.decision_took(started.elapsed());
        verdict
    }

    /// The verdict on a caller, if that can be told without waiting for anybody: his credential was
    /// refused, or this node has tokens for him, or remembers a denial. Any other caller is given
    /// back, for [`Gate::decide`].
    pub fn decide_at_once(&self, caller: Caller) -> Result<Verdict, Caller> {
        let mut verified = match caller.0 {
            Standing::Refused(denial) => return Ok(self.shared.denied(denial)),
            Standing::Verified(verified) => verified,
        };
        let started = Instant::now();
        let Some(verdict) = self.shared.decide_from_memory(&verified, started) else {
            verified.asks = true;
            return Err(Caller(Standing::Verified(verified)));
        };
        let verdict = self.shared.tallied(&Counting::of(&verified), verdict);
        self.shared.metrics.decision_took(started.elapsed());
        Ok(verdict)
    }
}

impl GateShared {
    async fn decide(&self, first: Verified) -> Result<Verdict, GateError> {
        let charged = match self.attempt(&first).await? {
            Attempt::Verdict(verdict) => return Ok(self.tallied(&Counting::of(&first), verdict)),
            Attempt::AuthenticateAgain => false,
            Attempt::ChargedByOldRules => true,
        };
        // Rare, and large: in a box of its own, so that the usual request is small.
        Box::pin(self.decide_again(first, charged)).await
    }

    async fn decide_again(&self, first: Verified, charged: bool) -> Result<Verdict, GateError> {
        let counting = Counting::of(&first);
        let again = match self.authenticate_again(first.request, &first.entry).await? {
            Standing::Refused(denial) => return Ok(self.tallied(&counting, self.denied(denial))),
            Standing::Verified(_) if charged => return Err(self.unavailable("the rules changed while a charge was under way".to_owned())),
            Standing::Verified(verified) => verified,
        };
        let entry = again.entry.clone();
        match self.attempt(&again).await? {
            Attempt::Verdict(verdict) => Ok(self.tallied(&counting, verdict)),
            // A fence above what the key store says: a restored backup, or changes faster than reads.
            Attempt::AuthenticateAgain | Attempt::ChargedByOldRules => {
                self.look_for_rewind(&entry).await;
                Err(self.unavailable("the fence is ahead of the key store".to_owned()))
            }
        }
    }

    async fn attempt(&self, verified: &Verified) -> Result<Attempt, GateError> {
        if let Some(denial) = refusal(verified) {
            let stands = !verified.cached || Box::pin(self.is_confirmed(&verified.entry, verified.epoch)).await;
            return Ok(if stands { Attempt::Verdict(self.denied(denial)) } else { Attempt::AuthenticateAgain });
        }
        if !verified.asks
            && let Some(verdict) = self.decide_from_memory(verified, Instant::now())
        {
            return Ok(Attempt::Verdict(verdict));
        }
        let request = &verified.request;
        let decision = Decision { subjects: verified.subjects(), cost: request.cost, peek: request.peek };
        let is_current = || self.is_current(&verified.entry, verified.epoch);
        let mode = self.outage_mode(request.plane, verified.entry.rules.outage_mode);
        Ok(match self.ask(decision, mode, is_current, || self.stake(verified)).await? {
            Told::Decided { allowed, standings, source } => {
                let passed = self.passed(verified, standings);
                Attempt::Verdict(self.decided(allowed, passed, source, request.peek))
            }
            // Never charged a second time: either the rules are the same, or nobody can say.
            Told::Doubtful { standings, source } if Box::pin(self.has_same_rules(verified)).await? => {
                let passed = self.passed(verified, standings);
                Attempt::Verdict(self.decided(true, passed, source, request.peek))
            }
            Told::Doubtful { .. } => Attempt::ChargedByOldRules,
            Told::Stale => Attempt::AuthenticateAgain,
            Told::Revoked => {
                self.cache.forget(&verified.key_id());
                let Standing::Refused(denial) = self.refused(Unauthenticated::Revoked) else { return Ok(Attempt::AuthenticateAgain) };
                Attempt::Verdict(self.denied(denial))
            }
        })
    }

    /// Asks the bucket store, and where it does not answer, whatever the outage mode names. Where
    /// the store has lost its fences, `is_current` tells whether the asker's rules still hold.
    /// What it says is taken into what `stake` says is held.
    pub(crate) async fn ask<'a>(
        &self,
        decision: Decision,
        mode: OutageMode,
        is_current: impl Fn() -> bool,
        stake: impl Fn() -> Option<Stake<'a>>,
    ) -> Result<Told, GateError> {
        // Twice: a store that has lost its state is taken up again, then asked once more.
        for _ in 0..2 {
            if self.is_store_silent(&decision) {
                let reason = not_asked().to_string();
                self.begin_outage(&reason);
                return self.without_buckets(&decision, mode, &reason);
            }
            let seen = self.link.count();
            if !self.is_link_trusted()
                && let Err(trouble) = Box::pin(self.trust_link(seen)).await
            {
                return match trouble {
                    Trouble::Keys(reason) if Box::pin(self.is_answering(&decision)).await => Err(self.unavailable(reason.to_string())),
                    // With both gone nothing more can have been lost than what the grace is for.
                    Trouble::Keys(reason) | Trouble::Buckets(reason) => {
                        self.begin_outage(&reason);
                        self.without_buckets(&decision, mode, &reason)
                    }
                };
            }
            if !is_current() {
                return Ok(Told::Stale);
            }
            let source = self.source();
            let stake = stake();
            let leasing = stake.as_ref().map(Stake::leasing).unwrap_or_default();
            let mut answer = self.ask_store(decision.clone(), leasing).await;
            match &answer {
                Ok(_) => self.end_outage(),
                Err(error) => self.begin_outage(&error.to_string()),
            }
            let holds = answer.is_err() || self.still_holds(seen, &is_current).await?;
            let shared = self.learn(stake, &mut answer, holds);
            let figures = |standings: Vec<_>| shared.unwrap_or_else(|| standings.into());
            match answer {
                // The state was lost and made anew while this was under way.
                Ok(Outcome::Allowed(standings) | Outcome::Leased(standings, _)) if !holds => {
                    return Ok(Told::Doubtful { standings: figures(standings), source });
                }
                Ok(Outcome::Limited(_) | Outcome::LimitedForNow(_)) if !holds => return Ok(Told::Stale),
                Ok(Outcome::Allowed(standings) | Outcome::Leased(standings, _)) => {
                    return Ok(Told::Decided { allowed: true, standings: figures(standings), source });
                }
                Ok(Outcome::Limited(standings) | Outcome::LimitedForNow(standings)) => {
                    return Ok(Told::Decided { allowed: false, standings: standings.into(), source });
                }
                Ok(Outcome::Stale) => return Ok(Told::Stale),
                Ok(Outcome::Revoked) => return Ok(Told::Revoked),
                Ok(Outcome::Broken) => return self.broken(&decision, mode),
                Ok(Outcome::Lost) => self.lost(seen),
                Err(error @ (BucketError::Deadline | BucketError::Unreachable(_) | BucketError::QueueFull | BucketError::Unusable(_))) => {
                    return self.without_buckets(&decision, mode, &error.to_string());
                }
            }
        }
        Err(self.unavailable("the bucket store has lost its state".to_owned()))
    }

    /// Whether an answer was given to rules that still hold: over the connections that were
    /// trusted when it was asked for, or else by the change log.
    async fn still_holds(&self, seen: u64, is_current: &impl Fn() -> bool) -> Result<bool, GateError> {
        if !self.is_link_trusted()
            && let Err(Trouble::Keys(reason)) = Box::pin(self.trust_link(seen)).await
        {
            return Err(self.unavailable(reason.to_string()));
        }
        Ok(is_current())
    }

    fn source(&self) -> Source {
        match self.options.source {
            DecisionSource::Redis => Source::Redis,
            DecisionSource::Local => Source::Local,
        }
    }

    /// One entry's state cannot be read or written. In one process there is no other bucket to fall
    /// back to: a second one would hold the whole burst again.
    fn broken(&self, decision: &Decision, mode: OutageMode) -> Result<Told, GateError> {
        let reason = "a bucket's state cannot be read or written";
        match self.options.source {
            DecisionSource::Redis => self.without_buckets(decision, mode, reason),
            DecisionSource::Local => Err(self.unavailable(reason.to_owned())),
        }
    }

    pub(crate) fn lost(&self, seen: u64) {
        if self.link.distrust(seen) {
            tracing::warn!("the bucket store has lost its state; reading the change log before anything cached is used again");
        }
    }

    pub(crate) fn decided(&self, allowed: bool, passed: Passed, source: Source, peek: bool) -> Verdict {
        if allowed {
            self.metrics.decision(VerdictLabel::Allowed, source);
            return Verdict::Allowed(passed);
        }
        self.metrics.decision(VerdictLabel::Limited, source);
        if !peek {
            self.metrics.throttled();
        }
        Verdict::Limited(passed)
    }

    pub(crate) fn denied(&self, denial: Denial) -> Verdict {
        let source = if let Denial::AbnormalUsage { .. } = denial {
            self.metrics.throttled();
            Source::Preauth
        } else {
            Source::Local
        };
        self.metrics.decision(VerdictLabel::Denied, source);
        Verdict::Denied(denial)
    }

    /// Counts and words the verdict on a named thing.
    pub(crate) fn decided_named(&self, identity: &Identity, told: Told, peek: bool) -> Result<Verdict, GateError> {
        match told {
            Told::Decided { allowed, standings, source } => {
                Ok(self.decided(allowed, Passed { identity: identity.clone(), standings, deprecated: None }, source, peek))
            }
            // A named thing has neither a generation nor a revocation.
            Told::Stale | Told::Revoked | Told::Doubtful { .. } => {
                Err(self.unavailable("the state of a named thing has a fence".to_owned()))
            }
        }
    }
}

/// Why these rules never let the request pass.
pub(crate) fn refusal(verified: &Verified) -> Option<Denial> {
    let request = &verified.request;
    let identity = || verified.identity();
    if let Some(scope) = request.scope.as_ref().filter(|scope| !identity().may(scope)) {
        return Some(Denial::ScopeMissing { identity: identity(), scope: scope.clone() });
    }
    let limit = tightest(verified.entry.limits()).filter(|limit| request.cost.tokens() > limit.burst())?;
    Some(Denial::CostExceedsBurst { identity: identity(), limit })
}

/// The limit with the smallest burst: a cost above it can never pass.
pub(crate) fn tightest<'a>(limits: impl IntoIterator<Item = &'a NamedLimit>) -> Option<RateLimit> {
    limits.into_iter().map(|named| named.limit).min_by_key(|limit| limit.burst())
}
