//! The lines that are brought in. They may leave out more than an export does.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use tollgate_api::{KeyKindName, OutageModeName, Patch, RateLimitSpec};

use crate::{
    config::{ConfigError, ConfigService},
    ports::StoredSigningKey,
    record::{
        HashText, KEY_LIMIT_NAME, KeyLine, KeyRecord, OwnerLine, OwnerRecord, PreviousLine, RevocationLine, StatusName, limits_to_spec,
    },
};

/// What one line brings.
pub(super) enum Brought {
    Key(Box<KeyRecord>),
    Owner(OwnerRecord),
    SigningKey(StoredSigningKey),
}

/// A key, as anybody may write it: only `hash` is required.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BroughtKey {
    key_id: Option<String>,
    owner: Option<String>,
    name: Option<String>,
    kind: Option<KeyKindName>,
    hash: HashText,
    previous: Option<PreviousLine>,
    #[serde(default)]
    scopes: Vec<String>,
    #[serde(default)]
    rate_limit: Patch<RateLimitSpec>,
    status: Option<StatusName>,
    expires_at_ms: Option<u64>,
    created_at_ms: Option<u64>,
    revoked: Option<RevocationLine>,
    #[serde(default)]
    metadata: Map<String, Value>,
    outage_mode: Option<OutageModeName>,
    #[serde(default)]
    generation: u64,
    last_used_at_ms: Option<u64>,
}

/// A signing key, as it is written: its bytes as they lie in the store, wrapped or not.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SigningKeyLine {
    /// The ring character.
    pub ring: char,
    /// The id of the log of the store that it signs or signed for.
    pub origin: String,
    /// Its bytes, in hexadecimal digits.
    pub sealed: String,
    /// When it was added, in milliseconds since 1970.
    pub added_at_ms: u64,
    /// When it was retired, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retired_at_ms: Option<u64>,
}

impl std::fmt::Debug for SigningKeyLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKeyLine").field("ring", &self.ring).field("origin", &self.origin).finish_non_exhaustive()
    }
}

impl SigningKeyLine {
    pub(super) fn of(key: &StoredSigningKey, log: &str) -> Self {
        let origin = if key.origin.is_empty() { log.to_owned() } else { key.origin.clone() };
        Self { ring: key.ring, origin, sealed: digits_of(&key.sealed), added_at_ms: key.added_at_ms, retired_at_ms: key.retired_at_ms }
    }

    fn read(self) -> Result<StoredSigningKey, ConfigError> {
        let is_id = |text: &str| (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if !self.ring.is_ascii_alphanumeric() {
            return Err(ConfigError::invalid("/ring", "ring is one character of 0-9, A-Z and a-z"));
        }
        if !is_id(&self.origin) {
            return Err(ConfigError::invalid("/origin", "origin is the id of a change log: 1 to 64 letters, digits and hyphens"));
        }
        let sealed =
            bytes_of(&self.sealed).ok_or_else(|| ConfigError::invalid("/sealed", "sealed is 1 to 1024 bytes in hexadecimal digits"))?;
        let Self { ring, origin, added_at_ms, retired_at_ms, .. } = self;
        Ok(StoredSigningKey { ring, origin, sealed, added_at_ms, retired_at_ms })
    }
}

fn digits_of(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(value.into(), 16).unwrap_or_default();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

fn bytes_of(digits: &str) -> Option<Vec<u8>> {
    if digits.is_empty() || digits.len() > 2048 || !digits.len().is_multiple_of(2) || !digits.is_ascii() {
        return None;
    }
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok()).collect()
}

/// Reads one line and checks all that it says. `now_ms` is when a key was made that does not say.
pub(super) fn read(text: &str, config: &ConfigService, now_ms: u64) -> Result<Brought, ConfigError> {
    let mut object: Map<String, Value> = serde_json::from_str(text).map_err(|error| unreadable(&error))?;
    let kind = object.remove("type").map_or(Some("key".to_owned()), |kind| kind.as_str().map(str::to_owned));
    let object = Value::Object(object);
    match kind.as_deref() {
        Some("key") => {
            let key: BroughtKey = serde_json::from_value(object).map_err(|error| unreadable(&error))?;
            Ok(Brought::Key(Box::new(ConfigService::brought_key(record(key, config, now_ms)?)?)))
        }
        Some("owner") => {
            let owner: OwnerLine = serde_json::from_value(object).map_err(|error| unreadable(&error))?;
            Ok(Brought::Owner(OwnerRecord::try_from(owner)?))
        }
        Some("signing_key") => {
            let key: SigningKeyLine = serde_json::from_value(object).map_err(|error| unreadable(&error))?;
            Ok(Brought::SigningKey(key.read()?))
        }
        _ => Err(ConfigError::invalid("/type", "type is key, owner or signing_key")),
    }
}

fn record(key: BroughtKey, config: &ConfigService, now_ms: u64) -> Result<KeyRecord, ConfigError> {
    let key_id = key.key_id.unwrap_or_else(|| id_of(&key.hash));
    let rate_limit = match key.rate_limit {
        Patch::Keep => limits_to_spec(config.default_limits(), KEY_LIMIT_NAME),
        Patch::Clear => None,
        Patch::Set(spec) => Some(spec),
    };
    KeyRecord::try_from(KeyLine {
        name: key.name.unwrap_or_else(|| key_id.clone()),
        key_id,
        owner: key.owner,
        kind: key.kind.unwrap_or(KeyKindName::Imported),
        hash: key.hash,
        previous: key.previous,
        scopes: key.scopes,
        rate_limit,
        status: key.status.unwrap_or(StatusName::Active),
        expires_at_ms: key.expires_at_ms,
        created_at_ms: key.created_at_ms.unwrap_or(now_ms),
        revoked: key.revoked,
        metadata: key.metadata,
        outage_mode: key.outage_mode,
        generation: key.generation,
        last_used_at_ms: key.last_used_at_ms,
    })
}

/// The id of a key that brings none: always the same for one hash, so that a line that comes again
/// is known again.
fn id_of(hash: &HashText) -> String {
    let digest = Sha256::digest(hash.0.as_bytes());
    format!("imported-{}", digits_of(digest.get(..16).unwrap_or_default()))
}

/// What of serde's words may be repeated: names of fields, never a value.
fn unreadable(error: &serde_json::Error) -> ConfigError {
    let message = error.to_string();
    let field = ["missing field `", "unknown field `", "duplicate field `"].into_iter().find_map(|start| {
        message.strip_prefix(start).and_then(|rest| rest.split('`').next()).map(|field| (start.trim_end_matches(" `"), field))
    });
    match field {
        Some((what, field)) => ConfigError::invalid(format!("/{}", field.chars().take(64).collect::<String>()), what),
        None if error.is_data() => ConfigError::invalid("", "a value is not of the documented form"),
        None => ConfigError::invalid("", format!("this is no JSON object (column {})", error.column())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tollgate_api::RateLimitFields;
    use tollgate_keys::{SecretKind, Status};

    const HASH: &str = "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$AAECAwQFBgcICQoLDA0ODw";

    fn config() -> ConfigService {
        ConfigService::new(&RateLimitSpec::One(RateLimitFields { burst: 7, per_seconds: 60 })).expect("a good default")
    }

    fn key(fields: &str) -> Result<KeyRecord, ConfigError> {
        match read(&format!(r#"{{"hash":"{HASH}"{fields}}}"#), &config(), 5)? {
            Brought::Key(key) => Ok(*key),
            Brought::Owner(_) | Brought::SigningKey(_) => panic!("a key"),
        }
    }

    #[test]
    fn a_hash_is_enough_for_a_key() {
        let least = key("").expect("a key");
        assert!(least.key_id.as_str().starts_with("imported-") && least.key_id.is_foreign(), "{}", least.key_id);
        assert_eq!(key("").expect("a key").key_id, least.key_id, "known again");
        assert_eq!((least.kind, least.lifecycle.status, least.created_at_ms), (SecretKind::Imported, Status::Active, 5));
        assert_eq!(least.limits.burst_min(), Some(7), "the default of the settings");
        assert!(key(r#","rate_limit":null"#).expect("a key").limits.is_unlimited());
        assert_eq!(key(r#","key_id":"mine","owner":"acme""#).expect("a key").key_id.as_str(), "mine");
    }

    #[test]
    fn what_no_key_may_be_is_refused_by_its_field() {
        for (fields, pointer) in [
            (r#","key_id":"tk_short""#, "/key_id"),
            (r#","owner":"Not A Name""#, "/owner"),
            (r#","owner":"acme","scopes":["owners:write"]"#, "/scopes"),
            (r#","rate_limit":{"burst":0,"per_seconds":1}"#, "/rate_limit/burst"),
            (r#","rate_limit":[{"name":"owner","burst":1,"per_seconds":1}]"#, "/rate_limit/0/name"),
            (r#","status":"revoked""#, "/revoked"),
            (r#","nonsense":1"#, "/nonsense"),
        ] {
            assert_eq!(key(fields).expect_err(fields).pointer, pointer, "{fields}");
        }
        let error = read(r#"{"hash":"$argon2id$open-sesame"}"#, &config(), 5).err().expect("no hash");
        assert!(error.pointer == "/hash" && !error.to_string().contains("sesame"), "{error}");
        for text in ["", "[]", "open-sesame", r#"{"hash":["open-sesame"]}"#, r#"{"type":"sesame"}"#, r#"{"name":"open-sesame"}"#] {
            let error = read(text, &config(), 5).err().expect(text);
            assert!(!error.to_string().contains("sesame"), "{error}");
        }
    }

    #[test]
    fn a_signing_key_comes_back_as_it_was() {
        let stored = StoredSigningKey { ring: 'Z', origin: String::new(), sealed: vec![0, 1, 255], added_at_ms: 7, retired_at_ms: Some(9) };
        let line = SigningKeyLine::of(&stored, "a-log");
        assert!(!format!("{line:?}").contains("0001ff"));
        let read = line.clone().read().expect("a signing key");
        assert_eq!(read, StoredSigningKey { origin: "a-log".to_owned(), ..stored });
        assert_eq!(SigningKeyLine::of(&read, "another").origin, "a-log", "where it was first");
        for bad in [
            SigningKeyLine { ring: 'ä', ..line.clone() },
            SigningKeyLine { origin: String::new(), ..line.clone() },
            SigningKeyLine { sealed: "0".to_owned(), ..line.clone() },
            SigningKeyLine { sealed: "zz".to_owned(), ..line },
        ] {
            assert!(bad.read().is_err());
        }
    }
}
