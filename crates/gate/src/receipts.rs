//! Receipts of secrets that some node has verified: a fleet that restarts hashes nothing again.
//!
//! A receipt proves what the hash would, and no more: whether the key may be used is asked as
//! ever. It is looked for at most once a second and key, whatever callers send, and outside of the
//! turn in which secrets are hashed, so that nobody who guesses keeps its owner waiting.

use std::{sync::Arc, time::Duration};

use sha2::{Digest, Sha256};
use tokio::time::Instant;
use tollgate_keys::{KeyId, Receipt, Secret, SecretHash, SecretHashes, SecretKind, Slot};

use crate::{
    cache::Secrets,
    gate::GateShared,
    ports::{ReceiptName, ReceiptStore},
    request::SharedKey,
};

/// How long what was found, or not found, is taken for what is there.
const KEPT: Duration = Duration::from_secs(1);

/// The receipts of a fleet.
#[derive(Debug, Clone)]
pub struct Receipts {
    /// Where they lie.
    pub store: Arc<dyn ReceiptStore>,
    /// How long one is good for. Using it makes it good for as long again.
    pub ttl: Duration,
}

/// What was found of one key when it was last looked for.
#[derive(Debug)]
pub(crate) struct Found {
    at: Instant,
    receipts: Vec<(SecretHash, Box<[u8]>)>,
}

impl GateShared {
    /// Which of the key's secrets that are good at `now_ms` this is, if a receipt says so.
    pub(crate) async fn receipted(&self, (kind, secrets): (SecretKind, &Secrets), api_key: &SharedKey, now_ms: u64) -> Option<Slot> {
        let receipts = self.receipts.as_ref()?;
        let (key_id, ring) = (&api_key.key_id, self.signing.ring());
        let right = |hash: &SecretHash| ring.receipt(key_id, hash, &api_key.secret);
        // Before anything is asked for: imported secrets have none.
        right(&secrets.hashes.current)?;
        let mut found = secrets.receipts.lock().await;
        let is_new = found.as_ref().is_none_or(|found| found.at.elapsed() >= KEPT);
        if is_new {
            *found = Some(self.find_receipts(receipts, (key_id, &secrets.hashes), now_ms).await);
        }
        let proven = secrets.candidates(kind, api_key.secret.kind(), now_ms).find_map(|(slot, hash)| {
            let stored = found.iter().flat_map(|found| &found.receipts).find(|(of, _)| of == hash);
            let receipt = right(hash)?;
            receipt.matches(&stored?.1).then(|| (slot, hash.clone(), receipt))
        });
        drop(found);
        let (slot, hash, receipt) = proven?;
        if is_new {
            self.put_receipt(receipts, (key_id, &hash), receipt).await;
        }
        Some(slot)
    }

    /// Leaves a receipt for a secret that was made or verified just now.
    pub(crate) async fn leave_receipt(&self, key_id: &KeyId, hash: &SecretHash, secret: &Secret) {
        let Some(receipts) = &self.receipts else { return };
        if let Some(receipt) = self.signing.ring().receipt(key_id, hash, secret) {
            self.put_receipt(receipts, (key_id, hash), receipt).await;
        }
    }

    async fn find_receipts(&self, receipts: &Receipts, (key_id, hashes): (&KeyId, &SecretHashes), now_ms: u64) -> Found {
        let at = Instant::now();
        let hashes: Vec<SecretHash> = hashes.usable(now_ms).map(|(_, hash)| hash.clone()).collect();
        let names = hashes.iter().map(|hash| name_of(key_id, hash)).collect();
        let deadline = at + self.options.decision_timeout;
        let stored = receipts.store.find(names, deadline).await.unwrap_or_else(|error| {
            tracing::debug!(%error, "a secret is hashed, whether there is a receipt or not");
            Vec::new()
        });
        let receipts = hashes.into_iter().zip(stored).filter_map(|(hash, stored)| Some((hash, stored?))).collect();
        Found { at, receipts }
    }

    async fn put_receipt(&self, receipts: &Receipts, (key_id, hash): (&KeyId, &SecretHash), receipt: Receipt) {
        let deadline = Instant::now() + self.options.decision_timeout;
        if let Err(error) = receipts.store.leave(name_of(key_id, hash), *receipt.as_bytes(), receipts.ttl, deadline).await {
            tracing::debug!(%error, "no receipt was left; other nodes hash the secret themselves");
        }
    }
}

fn name_of(key_id: &KeyId, hash: &SecretHash) -> ReceiptName {
    let digest = Sha256::digest(hash.as_str().as_bytes());
    let fingerprint = digest.first_chunk().map_or(0, |first| u64::from_be_bytes(*first));
    ReceiptName { key_id: key_id.as_str().into(), fingerprint }
}
