//! Keys by the thousand, put into the store before any node reads it.
//!
//! All of them have the same random part, and so one hash: only their ids and tags differ.

use sqlx::PgConnection;
use tollgate_keys::{ApiKey, HashParams, KeyId, RandomPart, RingChar, Secret, SigningKey, hash_random_part};

/// An instant long before the test's.
const LONG_AGO_MS: u64 = 1_700_000_000_000;
/// Rows of one statement.
const ROWS: usize = 10_000;

/// Keys that were put in.
pub(super) struct Keys {
    count: usize,
    random: RandomPart,
}

/// The id with this number, the same every time.
pub(super) fn nth_id(number: usize) -> KeyId {
    let mut entropy = [7; 10];
    entropy[2..].copy_from_slice(&(number as u64).to_be_bytes());
    KeyId::from_parts(LONG_AGO_MS, entropy)
}

impl Keys {
    /// Keys without a limit, in that state, whose hashes cost `memory_kib`.
    pub(super) async fn put(database: &mut PgConnection, count: usize, status: &str, memory_kib: u32) -> Self {
        let random = RandomPart::generate().expect("randomness");
        let params = HashParams::new(memory_kib, 1, 1).expect("in range");
        let hash = hash_random_part(&params, &random).expect("hashed");
        let ids: Vec<String> = (0..count).map(|number| nth_id(number).as_str().to_owned()).collect();
        let sql = "insert into keys (key_id, name, kind, secret_phc, status, created_at_ms, revoked_at_ms, generation) \
            select key_id, 'one of many', 'signed', $2, $3, $4, case $3 when 'revoked' then $4 end, 1 from unnest($1::text[]) as key_id";
        for some in ids.chunks(ROWS) {
            let query = sqlx::query(sql).bind(some).bind(hash.as_str()).bind(status).bind(LONG_AGO_MS.cast_signed());
            query.execute(&mut *database).await.expect("filled");
        }
        Self { count, random }
    }

    /// Their texts, signed by the fleet's own key, which is there once it has started.
    pub(super) async fn api_keys(&self, database: &mut PgConnection) -> Vec<String> {
        let sql = "select ring, sealed from signing_keys";
        let (ring, sealed): (String, Vec<u8>) = sqlx::query_as(sql).fetch_one(database).await.expect("a signing key");
        let ring = RingChar::new(ring.chars().next().expect("a character")).expect("a ring character");
        // Without a master key it stands behind one byte that says so.
        let signer = SigningKey::new(ring, sealed[1..].try_into().expect("32 bytes"));
        let of = |number| {
            let key_id = nth_id(number);
            let secret = Secret::signed(&signer, &key_id, &self.random);
            ApiKey { key_id, secret }.expose().to_string()
        };
        (0..self.count).map(of).collect()
    }
}
