//! Keys by the million that can be used, put into a database before any node reads it.
//!
//! All of them have the same random part, and so one hash: only their ids and tags differ.

use std::ops::Range;

use anyhow::{Context, Result};
use tollgate_keys::{ApiKey, HashParams, KeyId, RandomPart, RingChar, Secret, SigningKey, hash_random_part};

use crate::TestDatabase;

/// The least that a hash may cost.
const MEMORY_KIB: u32 = 8;

/// What such keys have in common.
#[derive(Debug)]
pub struct StoredKeys {
    random: RandomPart,
    hash: String,
}

impl StoredKeys {
    /// None yet.
    pub fn generate() -> Result<Self> {
        let random = RandomPart::generate()?;
        let hash = hash_random_part(&HashParams::new(MEMORY_KIB, 1, 1)?, &random)?.as_str().to_owned();
        Ok(Self { random, hash })
    }

    /// Adds keys with these numbers and that rate limit (as the API has it). Checks go as with [`TestDatabase::fill`],
    /// whose numbers are others.
    pub async fn put(&self, database: &TestDatabase, numbers: Range<u64>, rate_limit: &serde_json::Value) -> Result<()> {
        database.fill_with(numbers, &self.hash, Some(&rate_limit.to_string())).await
    }

    /// The texts of keys with these numbers, signed by the key of the nodes on that database: there once a
    /// node has started, and no master key wraps it.
    pub async fn api_keys(&self, database: &TestDatabase, numbers: Range<u64>) -> Result<Vec<String>> {
        let mut connection = database.connection().await?;
        let signing: (String, Vec<u8>) = sqlx::query_as("select ring, sealed from signing_keys").fetch_one(&mut connection).await?;
        let ring = RingChar::new(signing.0.chars().next().context("a ring has a character")?)?;
        // In the clear it stands behind one byte that says so.
        let bare = signing.1.get(1..).and_then(|bytes| bytes.try_into().ok()).context("a signing key has 32 bytes")?;
        let signer = SigningKey::new(ring, bare);
        let of = |number| {
            let key_id = KeyId::parse(&format!("tk_01hq3m{number:020}"))?;
            let secret = Secret::signed(&signer, &key_id, &self.random);
            Ok(ApiKey { key_id, secret }.expose().to_string())
        };
        numbers.map(of).collect()
    }
}
