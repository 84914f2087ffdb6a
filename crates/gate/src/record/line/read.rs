//! From lines to records, with every value checked.

use std::fmt;

use serde_json::{Map, Value};
use tollgate_api::{KeyKindName, RateLimitSpec};
use tollgate_keys::{KeyId, Lifecycle, OwnerName, PreviousHash, Scope, Scopes, SecretHash, SecretHashes, SecretKind, Status};
use tollgate_limits::RateLimits;

use super::{HashText, KEY_LIMIT_NAME, KeyLine, OWNER_LIMIT_NAME, OwnerLine, PreviousLine, RevocationLine, StatusName};
use crate::{
    config::{ConfigError, METADATA_BYTES_MAX, NAME_CHARS_MAX, REASON_CHARS_MAX},
    record::{KeyRecord, OwnerRecord, OwnerRules, Revocation, limits_from_spec},
};

impl TryFrom<KeyLine> for KeyRecord {
    type Error = ConfigError;

    /// Checks every field by itself, and that a revoked key says when.
    fn try_from(line: KeyLine) -> Result<Self, ConfigError> {
        let status = status(line.status);
        if (status == Status::Revoked) != line.revoked.is_some() {
            return Err(invalid("/revoked", "must be there for a revoked key, and for no other"));
        }
        Ok(Self {
            key_id: KeyId::parse(&line.key_id).map_err(|error| invalid("/key_id", error))?,
            owner: line.owner.as_deref().map(OwnerName::parse).transpose().map_err(|error| invalid("/owner", error))?,
            name: printable(line.name, NAME_CHARS_MAX, "/name")?,
            kind: kind(line.kind),
            secrets: SecretHashes {
                current: hash(&line.hash, "/hash")?,
                previous: line.previous.as_ref().map(|old| previous(old, line.kind)).transpose()?,
            },
            scopes: scopes(&line.scopes)?,
            limits: limits(line.rate_limit.as_ref(), KEY_LIMIT_NAME)?,
            lifecycle: Lifecycle { status, expires_at_ms: line.expires_at_ms },
            created_at_ms: line.created_at_ms,
            revoked: line.revoked.map(revocation).transpose()?,
            metadata: metadata(line.metadata)?,
            outage_mode: line.outage_mode.map(Into::into),
            generation: line.generation,
            last_used_at_ms: line.last_used_at_ms,
        })
    }
}

impl TryFrom<OwnerLine> for OwnerRecord {
    type Error = ConfigError;

    fn try_from(line: OwnerLine) -> Result<Self, ConfigError> {
        let owner = OwnerName::parse(&line.owner).map_err(|error| invalid("/owner", error))?;
        let limits = limits(line.rate_limit.as_ref(), OWNER_LIMIT_NAME)?;
        Ok(Self { owner, rules: OwnerRules { limits, generation: line.generation } })
    }
}

fn kind(name: KeyKindName) -> SecretKind {
    match name {
        KeyKindName::Signed => SecretKind::Signed,
        KeyKindName::Unsigned => SecretKind::Unsigned,
        KeyKindName::Imported => SecretKind::Imported,
    }
}

fn status(name: StatusName) -> Status {
    match name {
        StatusName::Active => Status::Active,
        StatusName::Suspended => Status::Suspended,
        StatusName::Revoked => Status::Revoked,
    }
}

fn hash(text: &HashText, pointer: &str) -> Result<SecretHash, ConfigError> {
    SecretHash::parse(&text.0).map_err(|error| invalid(pointer, error))
}

fn previous(line: &PreviousLine, newest: KeyKindName) -> Result<PreviousHash, ConfigError> {
    Ok(PreviousHash { hash: hash(&line.hash, "/previous/hash")?, kind: kind(line.kind.unwrap_or(newest)), valid_until_ms: line.until_ms })
}

fn revocation(line: RevocationLine) -> Result<Revocation, ConfigError> {
    let reason = line.reason.map(|text| printable(text, REASON_CHARS_MAX, "/revoked/reason")).transpose()?;
    Ok(Revocation { at_ms: line.at_ms, reason })
}

fn scopes(texts: &[String]) -> Result<Scopes, ConfigError> {
    let one = |(place, text): (usize, &String)| Scope::parse(text).map_err(|error| invalid(&format!("/scopes/{place}"), error));
    let scopes: Vec<Scope> = texts.iter().enumerate().map(one).collect::<Result<_, _>>()?;
    Scopes::new(scopes).map_err(|error| invalid("/scopes", error))
}

fn limits(spec: Option<&RateLimitSpec>, default_name: &str) -> Result<RateLimits, ConfigError> {
    let Some(spec) = spec else { return Ok(RateLimits::unlimited()) };
    limits_from_spec(spec, default_name).map_err(|error| error.under("/rate_limit"))
}

fn printable(text: String, chars_max: usize, pointer: &str) -> Result<String, ConfigError> {
    let fits = !text.is_empty() && text.chars().count() <= chars_max && !text.chars().any(char::is_control);
    if fits { Ok(text) } else { Err(invalid(pointer, format!("must be 1 to {chars_max} printable characters"))) }
}

fn metadata(map: Map<String, Value>) -> Result<Map<String, Value>, ConfigError> {
    let bytes = serde_json::to_vec(&map).map_or(usize::MAX, |json| json.len());
    if bytes <= METADATA_BYTES_MAX { Ok(map) } else { Err(invalid("/metadata", format!("must fit {METADATA_BYTES_MAX} bytes of JSON"))) }
}

fn invalid(pointer: &str, detail: impl fmt::Display) -> ConfigError {
    ConfigError::invalid(pointer, detail.to_string())
}
