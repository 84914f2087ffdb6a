//! Calls that act once, however often they are sent (`Idempotency-Key`).
//!
//! Who got no answer sends the same call again under the same key of his choice. What it made is
//! told again, but for the secret, which nobody has any more.

use serde::Serialize;
use sha2::{Digest, Sha256};
use tollgate_api::CreatedKey;
use tollgate_keys::KeyId;

use crate::{
    config::ConfigError,
    control::{ControlError, Operator},
    gate::GateShared,
    ports::Once,
    record::KeyRecord,
    view::key_view,
};

/// What a caller names a call by: 1 to 255 visible ASCII characters, told apart by caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// The longest, in characters.
    pub const LENGTH_MAX: usize = 255;

    /// Checks the form of one; `None` where it has another.
    pub fn parse(text: &str) -> Option<Self> {
        let is_good = (1..=Self::LENGTH_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        is_good.then(|| Self(text.to_owned()))
    }
}

/// A call that its caller has named.
pub(crate) fn once_of(operator: &Operator, action: &str, target: &str, body: &impl Serialize) -> Result<Option<Once>, ControlError> {
    let Some(IdempotencyKey(name)) = &operator.idempotency_key else { return Ok(None) };
    let body = serde_json::to_vec(body).map_err(|error| ControlError::Unavailable(error.to_string()))?;
    let name = hash_of(&[operator.identity.key_id.as_str().as_bytes(), name.as_bytes()]);
    Ok(Some(Once { name, request: hash_of(&[action.as_bytes(), target.as_bytes(), &body]) }))
}

/// SHA-256 over parts with their lengths, so that none can pass for another's end.
fn hash_of(parts: &[&[u8]]) -> [u8; 32] {
    let hash = parts.iter().fold(Sha256::new(), |hash, part| hash.chain_update((part.len() as u64).to_be_bytes()).chain_update(part));
    hash.finalize().into()
}

impl GateShared {
    /// The key that a call under this name has made or changed before, if one has.
    pub(crate) async fn done_before(&self, once: Option<Once>) -> Result<Option<KeyRecord>, ControlError> {
        let Some(once) = once else { return Ok(None) };
        let Some(done) = self.keys.done_once(once.name, self.clock.unix_ms()).await? else { return Ok(None) };
        if done.request != once.request {
            let detail = "this Idempotency-Key was used for another call: take a new one for each call, and the same only to repeat it";
            return Err(ConfigError::invalid("", detail).into());
        }
        self.record_of(done.key_id).await.map(Some)
    }

    async fn record_of(&self, key_id: KeyId) -> Result<KeyRecord, ControlError> {
        self.keys.find(key_id).await?.map(|found| found.key).ok_or(ControlError::NotFound)
    }

    /// What is told of a call that was made before.
    pub(crate) fn replayed(&self, record: &KeyRecord, propagated: Option<bool>) -> CreatedKey {
        CreatedKey { api_key: None, replayed: true, key: key_view(record, self.clock.unix_ms(), propagated) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_visible_ascii_and_not_too_long() {
        for good in ["a", "\"quoted\"", &"~".repeat(255)] {
            assert!(IdempotencyKey::parse(good).is_some(), "{good}");
        }
        for bad in ["", "a b", "a\tb", "ä", &"~".repeat(256)] {
            assert_eq!(IdempotencyKey::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        assert_ne!(hash_of(&[b"ab", b"c"]), hash_of(&[b"a", b"bc"]));
        assert_ne!(hash_of(&[b"ab"]), hash_of(&[b"ab", b""]));
    }
}
