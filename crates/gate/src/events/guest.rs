//! Whether the reader of a stream may still read.
//!
//! He was let in once, and his secret is not kept. From then on his key's record is followed: by the
//! log while that can be read, by its fence while it cannot, and for a grace when neither can. A
//! secret that was changed ends the stream, as nobody can say any more which one he holds.

use std::sync::Arc;

use tokio::time::Instant;
use tollgate_api::EndReason;
use tollgate_keys::{KeyId, OwnerName, Scope};
use tollgate_limits::Cost;

use super::Place;
use crate::{
    authenticate::{Known, WasSecret, identity_of},
    cache::CachedKey,
    gate::GateShared,
    lookups::{Reading, Wanted},
    ports::{Change, Decision, Leasing, Outcome},
    verdict::Identity,
};

/// The reader of one stream.
#[derive(Debug)]
pub(super) struct Guest {
    key_id: KeyId,
    owner: Option<OwnerName>,
    /// The generation of the record that he was let in by.
    generation: u64,
    held: Option<Arc<CachedKey>>,
    /// The end of the older of two secrets: it may be the one that he holds.
    secret_until_ms: Option<u64>,
    /// Where the log was when his record was last looked at.
    reviewed: Place,
    /// When somebody could last say that his record is as it is held.
    sure_at: Instant,
}

impl Guest {
    pub(super) fn new(identity: &Identity, now: Instant) -> Self {
        let Identity { key_id, owner, generation, .. } = identity.clone();
        Self { key_id, owner, generation, held: None, secret_until_ms: None, reviewed: Place::default(), sure_at: now }
    }

    /// Whether he has no owner, and sees everything.
    pub(super) fn is_operator(&self) -> bool {
        self.owner.is_none()
    }

    /// Whether a change concerns him: a tenant sees his own.
    pub(super) fn may_see(&self, change: &Change) -> bool {
        self.is_operator() || self.owner == change.owner
    }

    /// Whether a change is of his own key.
    pub(super) fn is_of(&self, change: &Change) -> bool {
        change.key_id.as_ref() == Some(&self.key_id)
    }

    /// Looks whether he may still read; why not, where he may not.
    pub(super) async fn review(&mut self, shared: &GateShared) -> Result<(), EndReason> {
        // By what was held: a record that is read anew no longer tells that his secret has ended.
        self.judge(shared)?;
        let place = shared.events.place();
        let stands = self.held.as_ref().is_some_and(|held| place == self.reviewed || shared.cache.holds(held));
        let is_known = stands || self.read(shared).await?;
        self.judge(shared)?;
        let is_sure = is_known && (shared.is_log_current() || self.is_fenced(shared).await?);
        if is_known {
            self.reviewed = place;
        }
        if is_sure {
            self.sure_at = Instant::now();
        }
        let is_over = self.sure_at.elapsed() > shared.options.outage.stale_grace;
        if is_over && !is_sure { Err(EndReason::CannotTell) } else { Ok(()) }
    }

    /// Reads his record anew; false where nobody can say.
    async fn read(&mut self, shared: &GateShared) -> Result<bool, EndReason> {
        let known = match &self.held {
            None => Known::Nothing,
            Some(held) => Known::Outdated { entry: held.clone(), since: Instant::now(), secret: WasSecret::Right },
        };
        let entry = match shared.read(Wanted { key_id: &self.key_id, is_signed: true }, &known).await {
            Ok(Reading::Found { entry, .. }) => entry,
            Ok(Reading::Refused(_)) => return Err(EndReason::NotAllowed),
            Ok(Reading::NotNow(_)) | Err(_) => return Ok(false),
        };
        let is_changed = match &self.held {
            Some(held) => !held.has_secrets_of(&entry),
            // Between his being let in and this first look: it may have been the secret.
            None => entry.generations().0 > self.generation,
        };
        let now_ms = shared.clock.unix_ms();
        let previous = entry.proofs.previous().map(|previous| previous.valid_until_ms);
        self.secret_until_ms = previous.filter(|until_ms| now_ms < *until_ms);
        self.held = Some(entry);
        // That he may not read at all is the better answer.
        self.judge(shared)?;
        if is_changed { Err(EndReason::SecretChanged) } else { Ok(true) }
    }

    /// What the record that is held says now.
    fn judge(&self, shared: &GateShared) -> Result<(), EndReason> {
        let Some(held) = &self.held else { return Ok(()) };
        let now_ms = shared.day.of(&held.time, shared.clock.unix_ms());
        let is_over = shared.options.kinds.is_over(held.kind, now_ms);
        if held.lifecycle().usable(now_ms).is_err() || is_over || !identity_of(held, self.key_id.clone()).may(&Scope::EVENTS_READ) {
            return Err(EndReason::NotAllowed);
        }
        if self.secret_until_ms.is_some_and(|until_ms| now_ms >= until_ms) { Err(EndReason::SecretChanged) } else { Ok(()) }
    }

    /// While the log cannot be read: whether his record's fence has nothing against it.
    async fn is_fenced(&mut self, shared: &GateShared) -> Result<bool, EndReason> {
        let Some(held) = self.held.as_ref().filter(|_| shared.is_link_trusted()) else { return Ok(false) };
        let subjects = held.fences();
        match shared.ask_store(Decision { subjects, cost: Cost::ONE, peek: true }, Leasing::default()).await {
            Ok(Outcome::Allowed(_) | Outcome::Leased(..)) => Ok(true),
            Ok(Outcome::Revoked) => Err(EndReason::NotAllowed),
            Ok(Outcome::Stale) => self.read(shared).await,
            Ok(Outcome::Limited(_) | Outcome::LimitedForNow(_) | Outcome::Broken | Outcome::Lost) | Err(_) => Ok(false),
        }
    }
}
