//! Whether a secret is one of a key's: by what is remembered, by a receipt, or by hashing it.

use std::sync::Arc;

use tokio::time::Instant;
use tollgate_keys::{SecretDigest, Slot};
use tollgate_telemetry::AuthOutcome;

use super::{Asked, Check, Shown};
use crate::{
    cache::{CachedKey, Secrets},
    gate::GateShared,
    hashing::HashingError,
    verdict::GateError,
};

impl GateShared {
    /// How the secret is one of the key's, if it is.
    pub(super) async fn verify(&self, entry: &CachedKey, shown: &Shown<'_>, now_ms: u64) -> Result<Check, GateError> {
        // In this order: where there are none any more, what is verified is all there will be.
        let (secrets, digest) = (entry.proofs.secrets(), self.digest(shown));
        if entry.is_verified(&digest, now_ms) {
            return Ok(Check::Right(AuthOutcome::Cached));
        }
        let Some(secrets) = secrets else { return Ok(self.wrong_unhashed(shown)) };
        if shown.is_signed && secrets.refutes(&digest) {
            return Ok(Check::Wrong);
        }
        let Asked { api_key, .. } = shown.asked;
        if let Some(slot) = self.receipted((entry.kind, &secrets), api_key, now_ms).await {
            entry.set_verified(&secrets, digest, slot);
            return Ok(Check::Right(AuthOutcome::Verified));
        }
        let (check, slot) = self.hash((entry, &secrets), (shown, digest), now_ms).await?;
        if let Some(hash) = slot.and_then(|slot| secrets.hash(slot)) {
            self.leave_receipt(&api_key.key_id, hash, &api_key.secret).await;
        }
        Ok(check)
    }

    /// What comes of a secret that is not the only one which the key has. To try is limited as if it
    /// had been hashed.
    fn wrong_unhashed(&self, shown: &Shown<'_>) -> Check {
        let (Asked { api_key, client }, now) = (shown.asked, Instant::now());
        if !shown.is_signed {
            if let Err(too_many) = self.preauth.admit_hash(&api_key.key_id, client, now) {
                return Check::NotNow(too_many);
            }
            self.preauth.charge_hash(&api_key.key_id, client, now);
        }
        Check::Wrong
    }

    /// The same by hashing, and which secret it is if that was not known before. One request at a
    /// time hashes for one key; the others find it done.
    async fn hash(
        &self,
        (entry, secrets): (&CachedKey, &Arc<Secrets>),
        (shown, digest): (&Shown<'_>, SecretDigest),
        now_ms: u64,
    ) -> Result<(Check, Option<Slot>), GateError> {
        let turn = tokio::time::timeout(self.options.lookup_timeout, secrets.verifying.lock()).await;
        let _turn = turn.map_err(|_| self.unavailable("too many secrets of one key wait to be hashed".to_owned()))?;
        let (Asked { api_key, client }, are_all_known) = (shown.asked, entry.proofs.secrets().is_none());
        if entry.is_verified(&digest, now_ms) {
            return Ok((Check::Right(AuthOutcome::Cached), None));
        }
        if are_all_known {
            return Ok((self.wrong_unhashed(shown), None));
        }
        // Only its holder can show a good tag, so nobody else can use up what he needs.
        if !shown.is_signed
            && let Err(too_many) = self.preauth.admit_hash(&api_key.key_id, client, Instant::now())
        {
            return Ok((Check::NotNow(too_many), None));
        }
        if shown.is_signed && secrets.refutes(&digest) {
            return Ok((Check::Wrong, None));
        }
        let candidates = secrets.candidates(entry.kind, api_key.secret.kind(), now_ms);
        let hashed = self.hashing.verify(candidates.map(|(slot, hash)| (slot, hash.clone())).collect(), api_key).await;
        let slot = hashed.map_err(|error| self.unhashed(&error))?;
        let Some(slot) = slot else {
            if shown.is_signed {
                secrets.refute(digest);
            } else {
                self.preauth.charge_hash(&api_key.key_id, client, Instant::now());
            }
            return Ok((Check::Wrong, None));
        };
        entry.set_verified(secrets, digest, slot);
        Ok((Check::Right(AuthOutcome::Verified), Some(slot)))
    }

    fn unhashed(&self, error: &HashingError) -> GateError {
        if matches!(error, HashingError::QueueFull | HashingError::TooLate) {
            self.marks.shed();
        }
        self.unavailable(error.to_string())
    }
}
