//! Who asks: the second stage of a request.
//!
//! The cheap checks come first: a secret this process has verified before costs one keyed hash;
//! a forged signature costs one HMAC and no I/O. Only what passes is looked up, and only what is
//! found is hashed.

use std::sync::Arc;

use tokio::time::Instant;
use tollgate_keys::{Slot, TagCheck, Unusable};
use tollgate_telemetry::AuthOutcome;

use crate::{
    Gate,
    cache::CachedKey,
    gate::GateShared,
    hashing::HashingError,
    ports::{Decision, Outcome, SubjectKind},
    request::{CheckRequest, Credential, SharedKey},
    verdict::{Denial, GateError, Identity, Unauthenticated},
};

/// A caller whose credential was looked at. Only [`Gate::authenticate`] makes one.
#[derive(Debug)]
pub struct Caller(pub(crate) Standing);

#[derive(Debug)]
pub(crate) enum Standing {
    Refused(Denial),
    Verified(Verified),
}

/// A caller whose secret is right and whose key may be used now.
#[derive(Debug)]
pub(crate) struct Verified {
    pub(crate) request: CheckRequest,
    pub(crate) entry: Arc<CachedKey>,
    /// Whether the rules come from memory, so that a refusal must ask the fence first.
    pub(crate) cached: bool,
}

/// What a look at one record came to.
enum Look {
    Good { entry: Arc<CachedKey>, cached: bool },
    Bad { why: Unauthenticated, cached: Option<Arc<CachedKey>> },
}

impl Gate {
    /// Finds out who asks. A refusal is a value; an error means that nobody can say.
    pub async fn authenticate(&self, request: CheckRequest) -> Result<Caller, GateError> {
        self.shared.authenticate(request).await.map(Caller)
    }
}

impl GateShared {
    async fn authenticate(&self, request: CheckRequest) -> Result<Standing, GateError> {
        let api_key = match &request.credential {
            Credential::Missing => return Ok(self.refused(Unauthenticated::Missing)),
            Credential::Malformed => return Ok(self.refused(Unauthenticated::Malformed)),
            Credential::ApiKey(api_key) => api_key.clone(),
        };
        match self.look(&api_key, true).await? {
            Look::Good { entry, cached } => Ok(Standing::Verified(Verified { request, entry, cached })),
            Look::Bad { why, cached: None } => Ok(self.refused(why)),
            Look::Bad { why, cached: Some(entry) } if self.is_confirmed(&entry).await => Ok(self.refused(why)),
            Look::Bad { .. } => self.authenticate_again(request).await,
        }
    }

    /// The same from the record as the key store has it now.
    pub(crate) async fn authenticate_again(&self, request: CheckRequest) -> Result<Standing, GateError> {
        let Credential::ApiKey(api_key) = &request.credential else {
            return Ok(self.refused(Unauthenticated::Missing));
        };
        match self.look(&api_key.clone(), false).await? {
            Look::Good { entry, cached } => Ok(Standing::Verified(Verified { request, entry, cached })),
            Look::Bad { why, .. } => Ok(self.refused(why)),
        }
    }

    async fn look(&self, api_key: &SharedKey, from_cache: bool) -> Result<Look, GateError> {
        let now_ms = self.clock.unix_ms();
        let cached = if from_cache { self.cache.get(&api_key.key_id) } else { None };
        if let Some(entry) = cached.as_ref().filter(|entry| self.cache.is_verified(entry, api_key, now_ms)) {
            self.metrics.auth(AuthOutcome::Cached);
            return Ok(self.judge(entry.clone(), true, now_ms));
        }
        if self.is_forged(api_key, now_ms).await? {
            return Ok(Look::Bad { why: Unauthenticated::BadSignature, cached: None });
        }
        let (entry, from_cache) = match cached {
            Some(entry) => (entry, true),
            None => match self.read(api_key).await? {
                Some(entry) => (entry, false),
                None => return Ok(Look::Bad { why: Unauthenticated::Unknown, cached: None }),
            },
        };
        if self.verify(&entry, api_key, now_ms).await?.is_none() {
            return Ok(Look::Bad { why: Unauthenticated::BadSecret, cached: from_cache.then_some(entry) });
        }
        self.metrics.auth(AuthOutcome::Verified);
        Ok(self.judge(entry, from_cache, now_ms))
    }

    /// Whether the key of a right secret may be used now.
    fn judge(&self, entry: Arc<CachedKey>, cached: bool, now_ms: u64) -> Look {
        let why = match entry.found.key.lifecycle.usable(now_ms) {
            Ok(()) => return Look::Good { entry, cached },
            // Nothing takes a revocation back.
            Err(Unusable::Revoked) => return Look::Bad { why: Unauthenticated::Revoked, cached: None },
            Err(Unusable::Suspended) => Unauthenticated::Suspended,
            Err(Unusable::Expired) => Unauthenticated::Expired,
        };
        Look::Bad { why, cached: cached.then_some(entry) }
    }

    async fn is_forged(&self, api_key: &SharedKey, now_ms: u64) -> Result<bool, GateError> {
        let check = || self.signing.ring().verify(&api_key.key_id, &api_key.secret);
        let first = check();
        if first != TagCheck::UnknownRing {
            return Ok(first == TagCheck::Forged);
        }
        let reloaded = self.signing.reload_for_unknown(&*self.keys, now_ms).await;
        reloaded.map_err(|error| self.unavailable(format!("the signing keys cannot be read: {error}")))?;
        Ok(matches!(check(), TagCheck::Forged | TagCheck::UnknownRing))
    }

    async fn read(&self, api_key: &SharedKey) -> Result<Option<Arc<CachedKey>>, GateError> {
        let permit = self.lookups.acquire().await.map_err(|_| self.unavailable("the gate has stopped".to_owned()))?;
        let mark = self.cache.mark();
        let found = self.keys.find(api_key.key_id.clone()).await;
        drop(permit);
        let found = found.map_err(|error| self.unavailable(error.to_string()))?;
        Ok(found.map(|found| self.cache.insert(found, mark)))
    }

    async fn verify(&self, entry: &CachedKey, api_key: &SharedKey, now_ms: u64) -> Result<Option<Slot>, GateError> {
        let slot = self.hashing.verify(&entry.found.key, api_key, now_ms).await.map_err(|error| self.hashing_failed(&error))?;
        if let Some(slot) = slot {
            self.cache.set_verified(entry, api_key, slot);
        }
        Ok(slot)
    }

    /// Whether a refusal that rests on a cached record stands: its generation is still the
    /// newest, as the fence tells. Where the fence cannot be asked the record is read again.
    pub(crate) async fn is_confirmed(&self, entry: &CachedKey) -> bool {
        if !self.is_link_trusted() {
            return false;
        }
        let mut subjects = subjects_of(entry);
        for subject in std::iter::once(&mut subjects.first).chain(&mut subjects.owner) {
            subject.limits = tollgate_limits::RateLimits::unlimited();
        }
        let deadline = Instant::now() + self.options.decision_timeout;
        let asked = Decision { subjects, cost: tollgate_limits::Cost::ONE, peek: true };
        matches!(self.buckets.decide(asked, deadline).await, Ok(Outcome::Allowed(_) | Outcome::Revoked))
    }

    pub(crate) fn refused(&self, why: Unauthenticated) -> Standing {
        self.metrics.auth(match why {
            Unauthenticated::Missing | Unauthenticated::Malformed | Unauthenticated::Unknown => AuthOutcome::Unknown,
            Unauthenticated::BadSignature => AuthOutcome::BadSignature,
            Unauthenticated::BadSecret => AuthOutcome::BadSecret,
            Unauthenticated::Revoked | Unauthenticated::Suspended => AuthOutcome::Revoked,
            Unauthenticated::Expired => AuthOutcome::Expired,
        });
        Standing::Refused(Denial::Unauthenticated(why))
    }

    fn hashing_failed(&self, error: &HashingError) -> GateError {
        self.unavailable(error.to_string())
    }

    pub(crate) fn unavailable(&self, reason: String) -> GateError {
        self.metrics.auth(AuthOutcome::Unavailable);
        GateError::Unavailable { reason, retry_after_s: 1 }
    }
}

/// The subjects of a key's decisions.
pub(crate) fn subjects_of(entry: &CachedKey) -> crate::ports::Subjects {
    let key = &entry.found.key;
    let owner = key.owner.as_ref().zip(entry.found.owner.as_ref()).map(|(owner, rules)| crate::ports::Subject {
        kind: SubjectKind::Owner,
        id: owner.as_str().into(),
        generation: rules.generation,
        limits: rules.limits.clone(),
    });
    let first = crate::ports::Subject {
        kind: SubjectKind::Key,
        id: key.key_id.as_str().into(),
        generation: key.generation,
        limits: key.limits.clone(),
    };
    crate::ports::Subjects { first, owner }
}

/// Who a verified caller is.
pub(crate) fn identity_of(entry: &CachedKey) -> Identity {
    let key = &entry.found.key;
    Identity { key_id: key.key_id.clone(), owner: key.owner.clone(), scopes: key.scopes.clone() }
}
