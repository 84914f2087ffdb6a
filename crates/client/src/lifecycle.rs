//! What becomes of a key after it was made.

use reqwest::Method;
use tollgate_api::{CreatedKey, Key, RevokeKeyBody, RevokedKeys, RotateKeyBody};

use crate::{Client, ClientError, IdempotencyKey, client::Call};

impl Client {
    /// Makes another secret for a key; its api key is in the answer this once.
    pub async fn rotate_key(&self, key_id: &str, body: &RotateKeyBody) -> Result<CreatedKey, ClientError> {
        self.send(Call::new(Method::POST, &["v1", "keys", key_id, "rotate"]).body(body)).await
    }

    /// The same under a name, so that it is sent again where its answer was lost. An answer that is
    /// `replayed` has no api key: it was lost with the first answer, so rotate once more.
    pub async fn rotate_key_once(&self, key_id: &str, body: &RotateKeyBody, key: &IdempotencyKey) -> Result<CreatedKey, ClientError> {
        self.send(Call::new(Method::POST, &["v1", "keys", key_id, "rotate"]).body(body).named(key)).await
    }

    /// Takes a key out of use until it is resumed.
    pub async fn suspend_key(&self, key_id: &str) -> Result<Key, ClientError> {
        self.send(Call::new(Method::POST, &["v1", "keys", key_id, "suspend"])).await
    }

    /// Takes a suspended key into use again.
    pub async fn resume_key(&self, key_id: &str) -> Result<Key, ClientError> {
        self.send(Call::new(Method::POST, &["v1", "keys", key_id, "resume"])).await
    }

    /// Makes a key's buckets full.
    pub async fn reset_key(&self, key_id: &str) -> Result<Key, ClientError> {
        self.send(Call::new(Method::POST, &["v1", "keys", key_id, "reset"])).await
    }

    /// Revokes every key of an owner, for ever.
    pub async fn revoke_keys_of(&self, owner: &str, body: &RevokeKeyBody) -> Result<RevokedKeys, ClientError> {
        self.send(Call::new(Method::POST, &["v1", "owners", owner, "revoke-keys"]).body(body)).await
    }
}
