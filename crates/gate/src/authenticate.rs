//! Who asks: the second stage of a request.
//!
//! The cheap checks come first: a forged signature costs one HMAC, and neither memory nor I/O; a
//! secret this process has verified before costs that HMAC, or a keyed hash where it is not signed.
//! Only what passes is looked up, and only what is found is hashed.

mod verify;

use std::{net::IpAddr, sync::Arc};

use tokio::time::Instant;
use tollgate_keys::{ApiKey, KeyId, SecretDigest, SecretKind, TagCheck, Unusable};
use tollgate_telemetry::AuthOutcome;

use crate::{
    Gate,
    cache::{CachedKey, InUse, KeyCache},
    gate::GateShared,
    kinds::{kind_in_use, label_of, may_be_of},
    lookups::{Reading, Wanted},
    ports::{Decision, Leasing, Outcome, Subjects},
    preauth::TooManyFailures,
    request::{CheckRequest, Credential, SharedKey},
    verdict::{Denial, GateError, Identity, Unauthenticated},
};

/// A caller whose credential was looked at. Only [`Gate::authenticate`] makes one.
#[derive(Debug)]
pub struct Caller(pub(crate) Standing);

/// Who asks, as far as this node can tell without waiting for anybody.
#[derive(Debug)]
pub enum Recognised {
    /// Refused at sight, or verified here before.
    Caller(Caller),
    /// To be looked up.
    Stranger(Stranger),
}

/// A request that this node knows too little of: [`Gate::look_up`] finds out.
#[derive(Debug)]
pub struct Stranger {
    request: CheckRequest,
    examined: Option<Examined>,
    epoch: u64,
}

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
    /// Whether the rules were in memory before, so that a refusal must ask the fence first.
    pub(crate) cached: bool,
    /// The link's epoch from before the rules were looked up.
    pub(crate) epoch: u64,
    /// What this node holds of the key was looked at already: the store is to be asked.
    pub(crate) asks: bool,
}

/// What is already known of a key's record when it is looked at.
pub(crate) enum Known {
    Nothing,
    /// This entry turned out, at this instant, to rest on rules that may have changed.
    Outdated {
        entry: Arc<CachedKey>,
        since: Instant,
        secret: WasSecret,
    },
}

/// What is known of the secret that was shown.
#[derive(PartialEq, Eq)]
pub(crate) enum WasSecret {
    Right,
    Wrong,
}

impl Known {
    fn outdated(entry: &Arc<CachedKey>, secret: WasSecret) -> Self {
        Self::Outdated { entry: entry.clone(), since: Instant::now(), secret }
    }

    pub(crate) fn is_something(&self) -> bool {
        self.entry().is_some()
    }

    pub(crate) fn entry(&self) -> Option<&CachedKey> {
        match self {
            Self::Nothing => None,
            Self::Outdated { entry, .. } => Some(entry),
        }
    }

    /// Whether a cached entry tells anything new: its read began after the change was noticed.
    pub(crate) fn allows(&self, cache: &KeyCache, entry: &CachedKey) -> bool {
        match self {
            Self::Nothing => true,
            Self::Outdated { since, .. } => cache.is_read_after(entry, *since),
        }
    }

    /// Whether the secret was found wrong for these very hashes, so that it need not be hashed again.
    fn refutes(&self, new: &CachedKey) -> bool {
        matches!(self, Self::Outdated { entry, secret: WasSecret::Wrong, .. } if entry.has_secrets_of(new))
    }
}

/// What a look at one record came to.
enum Look {
    Good {
        entry: Arc<CachedKey>,
        cached: bool,
    },
    Bad {
        why: Unauthenticated,
        cached: Option<Arc<CachedKey>>,
    },
    /// Too many failures came before this one: it was not looked at.
    NotNow(TooManyFailures),
}

/// An api key, and where it comes from.
#[derive(Clone, Copy)]
struct Asked<'a> {
    api_key: &'a SharedKey,
    client: IpAddr,
}

/// What was shown, what its tag says, and what that gives to remember it by.
struct Shown<'a> {
    asked: Asked<'a>,
    is_signed: bool,
    tag_digest: Option<SecretDigest>,
}

/// What a tag says, and what to remember a secret by where its tag is right.
type Examined = (TagCheck, Option<SecretDigest>);

/// How a secret was found right.
type Proven = AuthOutcome;

/// What came of comparing a secret with a key's.
enum Check {
    Right(Proven),
    Wrong,
    NotNow(TooManyFailures),
}

impl Gate {
    /// Finds out who asks. A refusal is a value; an error means that nobody can say.
    pub async fn authenticate(&self, request: CheckRequest) -> Result<Caller, GateError> {
        match self.recognise(request) {
            Recognised::Caller(caller) => Ok(caller),
            Recognised::Stranger(stranger) => self.look_up(stranger).await,
        }
    }

    /// The first step of [`Gate::authenticate`], which waits for nothing: a flood of forgeries, and
    /// keys in use, need no more.
    pub fn recognise(&self, request: CheckRequest) -> Recognised {
        self.shared.recognise(request)
    }

    /// The second step, for whom the first did not recognise.
    pub async fn look_up(&self, stranger: Stranger) -> Result<Caller, GateError> {
        // Rare, and large: in a box of its own, so that the usual request is small.
        Box::pin(self.shared.authenticate_anew(stranger)).await.map(Caller)
    }
}

impl GateShared {
    fn recognise(&self, request: CheckRequest) -> Recognised {
        let (client, found) = (request.client, |standing| Recognised::Caller(Caller(standing)));
        let api_key = match &request.credential {
            Credential::Missing => return found(self.refused(Unauthenticated::Missing)),
            Credential::Malformed => return found(self.wrong(Unauthenticated::Malformed, client, None)),
            Credential::Read(api_key) => api_key,
            Credential::ApiKey(api_key) => api_key,
        };
        let examined = self.signing.examine(api_key);
        // Before anything that is remembered: a forgery is to cost this and no more.
        if let Some((TagCheck::Forged | TagCheck::UnknownRing, _)) = examined {
            return found(self.wrong(Unauthenticated::BadSignature, client, Some(api_key)));
        }
        let epoch = self.link.epoch();
        match self.recall(api_key, examined.as_ref()) {
            Some(entry) => found(Standing::Verified(Verified { request, entry, cached: true, epoch, asks: false })),
            None => Recognised::Stranger(Stranger { request, examined, epoch }),
        }
    }

    /// The key of a secret that this node has verified before, if it may be used now.
    fn recall(&self, api_key: &ApiKey, examined: Option<&Examined>) -> Option<Arc<CachedKey>> {
        let (_, tag_digest) = examined?;
        let entry = self.cache.get(&api_key.key_id)?;
        let now_ms = self.clock.unix_ms();
        let digest = tag_digest.unwrap_or_else(|| self.cache.digest(api_key));
        if !entry.is_verified(&digest, self.day.of(&entry.time, now_ms)) {
            return None;
        }
        match self.judge(entry, true, (AuthOutcome::Cached, now_ms), api_key.secret.kind()) {
            Look::Good { entry, .. } => Some(entry),
            Look::Bad { .. } | Look::NotNow(_) => None,
        }
    }

    async fn authenticate_anew(&self, Stranger { mut request, examined, epoch }: Stranger) -> Result<Standing, GateError> {
        let Some(api_key) = request.credential.share() else { return Ok(self.refused(Unauthenticated::Missing)) };
        let (client, peek) = (request.client, request.peek);
        let standing = match self.look(Asked { api_key: &api_key, client }, examined, &Known::Nothing).await? {
            Look::Good { entry, cached } => return Ok(Standing::Verified(Verified { request, entry, cached, epoch, asks: false })),
            Look::Bad { why, cached: None } => self.refused(why),
            Look::Bad { why, cached: Some(entry) } if self.is_confirmed(&entry, epoch).await => self.refused(why),
            Look::Bad { why, cached: Some(entry) } => {
                let secret = if why == Unauthenticated::BadSecret { WasSecret::Wrong } else { WasSecret::Right };
                self.authenticate_from(request, Known::outdated(&entry, secret)).await?
            }
            Look::NotNow(too_many) => self.not_now(too_many),
        };
        self.charge_failure(&standing, client, &api_key);
        if !peek {
            self.tally_refused(&standing, &api_key.key_id);
        }
        Ok(standing)
    }

    /// The same from a record that is newer than `outdated`.
    pub(crate) async fn authenticate_again(&self, request: CheckRequest, outdated: &Arc<CachedKey>) -> Result<Standing, GateError> {
        self.authenticate_from(request, Known::outdated(outdated, WasSecret::Right)).await
    }

    async fn authenticate_from(&self, mut request: CheckRequest, known: Known) -> Result<Standing, GateError> {
        let Some(api_key) = &request.credential.share() else { return Ok(self.refused(Unauthenticated::Missing)) };
        let epoch = self.link.epoch();
        let examined = self.signing.examine(api_key);
        match self.look(Asked { api_key, client: request.client }, examined, &known).await? {
            // Read since this request began, by whomever: a refusal need not ask the fence.
            Look::Good { entry, .. } => Ok(Standing::Verified(Verified { request, entry, cached: false, epoch, asks: false })),
            Look::Bad { why, .. } => Ok(self.refused(why)),
            Look::NotNow(too_many) => Ok(self.not_now(too_many)),
        }
    }

    async fn look(&self, asked: Asked<'_>, examined: Option<Examined>, known: &Known) -> Result<Look, GateError> {
        let (tag, tag_digest) = match self.examine(asked, examined, known).await? {
            Ok(examined) => examined,
            Err(too_many) => return Ok(Look::NotNow(too_many)),
        };
        if matches!(tag, TagCheck::Forged | TagCheck::UnknownRing) {
            let bad = Look::Bad { why: Unauthenticated::BadSignature, cached: None };
            return Ok(self.admit(asked, known).map_or_else(Look::NotNow, |()| bad));
        }
        let (api_key, now_ms) = (asked.api_key, self.clock.unix_ms());
        let cached = self.cache.get(&api_key.key_id).filter(|entry| known.allows(&self.cache, entry));
        let shown = Shown { asked, is_signed: tag == TagCheck::Good, tag_digest };
        if let Some(entry) = cached.as_ref().filter(|entry| entry.is_verified(&self.digest(&shown), self.day.of(&entry.time, now_ms))) {
            return Ok(self.judge(entry.clone(), true, (AuthOutcome::Cached, now_ms), api_key.secret.kind()));
        }
        if let Err(too_many) = self.admit_unverified(&shown, known, now_ms) {
            return Ok(Look::NotNow(too_many));
        }
        let (entry, from_cache) = match cached {
            Some(entry) => (entry, true),
            None => match self.read(Wanted { key_id: &api_key.key_id, is_signed: shown.is_signed }, known).await? {
                Reading::Found { entry, cached } => (entry, cached),
                Reading::Refused(why) => return Ok(Look::Bad { why, cached: None }),
                Reading::NotNow(too_many) => return Ok(Look::NotNow(too_many)),
            },
        };
        // The reading may have taken a while, and so may the hashing: what time it is by then counts.
        let (kind, held_ms) = (api_key.secret.kind(), self.day.of(&entry.time, self.clock.unix_ms()));
        let may_be = may_be_of(&entry, kind, held_ms);
        if may_be && self.options.kinds.is_over(kind_in_use(&entry, kind), held_ms) {
            return Ok(Look::Bad { why: Unauthenticated::KindEnded, cached: None });
        }
        let wrong = known.refutes(&entry) || !may_be;
        let check = if wrong { Check::Wrong } else { self.verify(&entry, &shown, held_ms).await? };
        Ok(match check {
            Check::Right(proven) => self.judge(entry, from_cache, (proven, self.clock.unix_ms()), kind),
            Check::Wrong => Look::Bad { why: Unauthenticated::BadSecret, cached: from_cache.then_some(entry) },
            Check::NotNow(too_many) => Look::NotNow(too_many),
        })
    }

    /// Whether the key of a right secret may be used now.
    fn judge(&self, entry: Arc<CachedKey>, cached: bool, (proven, now_ms): (Proven, u64), shown: SecretKind) -> Look {
        let (now_ms, kind) = (self.day.of(&entry.time, now_ms), kind_in_use(&entry, shown));
        let why = match entry.lifecycle().usable(now_ms) {
            // The settings say so, so no fence need be asked.
            Ok(()) if self.options.kinds.is_over(kind, now_ms) => return Look::Bad { why: Unauthenticated::KindEnded, cached: None },
            Ok(()) => {
                self.metrics.auth(proven);
                self.metrics.key_use(label_of(kind));
                self.usage.note(&entry, now_ms);
                return Look::Good { entry, cached };
            }
            // Nothing takes a revocation back.
            Err(Unusable::Revoked) => return Look::Bad { why: Unauthenticated::Revoked, cached: None },
            Err(Unusable::Suspended) => Unauthenticated::Suspended,
            Err(Unusable::Expired) => Unauthenticated::Expired,
        };
        Look::Bad { why, cached: cached.then_some(entry) }
    }

    /// What a secret is remembered by. One that is not signed costs a keyed hash of its own.
    fn digest(&self, shown: &Shown<'_>) -> SecretDigest {
        shown.tag_digest.unwrap_or_else(|| self.cache.digest(shown.asked.api_key))
    }

    /// What the tag says, by a ring that has its character if any has.
    async fn examine(
        &self,
        asked: Asked<'_>,
        examined: Option<Examined>,
        known: &Known,
    ) -> Result<Result<Examined, TooManyFailures>, GateError> {
        if let Some(examined) = examined {
            return Ok(Ok(examined));
        }
        if let Err(too_many) = self.admit(asked, known) {
            return Ok(Err(too_many));
        }
        let patience = self.options.lookup_timeout;
        let reload = self.signing.reload_for_unknown(&*self.keys, self.clock.unix_ms(), patience);
        let reloaded = tokio::time::timeout(patience, reload).await;
        let late = || self.unavailable("the signing keys could not be read in time".to_owned());
        reloaded.map_err(|_| late())?.map_err(|error| self.unavailable(format!("the signing keys cannot be read: {error}")))?;
        self.signing.examine(asked.api_key).map(Ok).ok_or_else(late)
    }

    /// Whether something else than a good tag may be looked at now. Who was let in once with this
    /// request is not asked again.
    fn admit(&self, asked: Asked<'_>, known: &Known) -> Result<(), TooManyFailures> {
        match known {
            Known::Nothing => self.preauth.admit(asked.client, Some(asked.api_key), Instant::now()),
            Known::Outdated { .. } => Ok(()),
        }
    }

    /// The same for a secret that is no forgery: neither a good tag nor a secret that was found
    /// right before, by whatever rules, is kept waiting for what others did.
    fn admit_unverified(&self, shown: &Shown<'_>, known: &Known, now_ms: u64) -> Result<(), TooManyFailures> {
        let was_right = || self.cache.was_verified(&shown.asked.api_key.key_id, &self.digest(shown), now_ms);
        if shown.is_signed || was_right() { Ok(()) } else { self.admit(shown.asked, known) }
    }

    /// A credential that needs no look-up to be found wrong.
    fn wrong(&self, why: Unauthenticated, client: IpAddr, api_key: Option<&ApiKey>) -> Standing {
        let failed = self.preauth.fail(client, api_key, Instant::now());
        failed.map_or_else(|too_many| self.not_now(too_many), |()| self.refused(why))
    }

    /// A right secret of a key that may not be used for a while is no guess, and costs nothing.
    fn charge_failure(&self, standing: &Standing, client: IpAddr, api_key: &SharedKey) {
        let Standing::Refused(Denial::Unauthenticated(why)) = standing else { return };
        match why {
            Unauthenticated::BadSignature
            | Unauthenticated::Unknown
            | Unauthenticated::Stranger
            | Unauthenticated::BadSecret
            | Unauthenticated::Tombstone
            | Unauthenticated::Revoked => {
                self.preauth.charge(client, Some(api_key), Instant::now());
            }
            Unauthenticated::Missing
            | Unauthenticated::Malformed
            | Unauthenticated::Suspended
            | Unauthenticated::Expired
            | Unauthenticated::KindEnded => {}
        }
    }

    fn not_now(&self, too_many: TooManyFailures) -> Standing {
        self.metrics.auth(AuthOutcome::PreauthLimited);
        Standing::Refused(Denial::AbnormalUsage { retry_after_s: too_many.retry_after_s() })
    }

    /// Whether the rules of a caller are, in the key store now, those that he was decided by.
    pub(crate) async fn has_same_rules(&self, verified: &Verified) -> Result<bool, GateError> {
        let Some(api_key) = verified.request.credential.api_key() else { return Ok(false) };
        let known = Known::outdated(&verified.entry, WasSecret::Right);
        let reading = self.read(Wanted { key_id: &api_key.key_id, is_signed: true }, &known).await?;
        Ok(matches!(reading, Reading::Found { entry, .. } if entry.generations() == verified.entry.generations()))
    }

    /// Whether a refusal that rests on a cached record stands: its generation is still the
    /// newest, as the fence tells. Where the fence cannot be asked the record is read again.
    pub(crate) async fn is_confirmed(&self, entry: &Arc<CachedKey>, epoch: u64) -> bool {
        if !self.is_link_trusted() {
            return false;
        }
        let asked = Decision { subjects: entry.fences(), cost: tollgate_limits::Cost::ONE, peek: true };
        let told = self.ask_store(asked, Leasing::default()).await;
        matches!(told, Ok(Outcome::Allowed(_) | Outcome::Revoked)) && self.is_current(entry, epoch)
    }

    pub(crate) fn refused(&self, why: Unauthenticated) -> Standing {
        self.metrics.auth(match why {
            Unauthenticated::Missing | Unauthenticated::Malformed | Unauthenticated::Unknown => AuthOutcome::Unknown,
            Unauthenticated::BadSignature => AuthOutcome::BadSignature,
            Unauthenticated::Stranger => AuthOutcome::BloomRejected,
            Unauthenticated::Tombstone => AuthOutcome::Tombstone,
            Unauthenticated::BadSecret => AuthOutcome::BadSecret,
            Unauthenticated::Revoked | Unauthenticated::Suspended => AuthOutcome::Revoked,
            Unauthenticated::Expired | Unauthenticated::KindEnded => AuthOutcome::Expired,
        });
        Standing::Refused(Denial::Unauthenticated(why))
    }

    pub(crate) fn unavailable(&self, reason: String) -> GateError {
        self.metrics.auth(AuthOutcome::Unavailable);
        GateError::Unavailable { reason, retry_after_s: 1 }
    }
}

impl Verified {
    /// The id of his key: the text that he showed.
    pub(crate) fn key_id(&self) -> KeyId {
        self.request.credential.api_key().map_or_else(|| self.entry.key_id(), |api_key| api_key.key_id.clone())
    }

    /// Whom a decision on his key asks.
    pub(crate) fn subjects(&self) -> Subjects {
        self.entry.subjects(&self.key_id())
    }

    /// Who he is.
    pub(crate) fn identity(&self) -> Identity {
        identity_of(&self.entry, self.key_id())
    }
}

/// Who the holder of a key is, whose id is given.
pub(crate) fn identity_of(entry: &CachedKey, key_id: KeyId) -> Identity {
    Identity { key_id, owner: entry.owner().cloned(), scopes: entry.rules.scopes.clone(), generation: entry.generations().0 }
}
