//! `ConfigService`: the one place that says which rules of keys and owners are good, and who may
//! set them. The API, the import and the bootstrap all come through here.

mod limits;

use std::time::Duration;

use serde_json::{Map, Value};
use tollgate_api::{CreateKeyBody, LimitBody, Patch, PatchKeyBody, PutOwnerBody, RateLimitSpec, RevokeKeyBody};
use tollgate_keys::{Namespace, OwnerName, Scope, Scopes};
use tollgate_limits::{Cost, RateLimits};

use crate::{
    NamedDecision, OutageMode,
    record::{KEY_LIMIT_NAME, KeyRecord, limits_to_spec},
    verdict::Identity,
};
use limits::{limits_of_key, limits_of_owner, limits_of_thing};

/// The most bytes of JSON that a key's metadata may take.
pub const METADATA_BYTES_MAX: usize = 4096;
/// The most characters of a key's name.
pub const NAME_CHARS_MAX: usize = 128;
/// The most characters of a revocation's reason.
pub const REASON_CHARS_MAX: usize = 256;
/// The most bytes of a named thing's id.
pub const THING_BYTES_MAX: usize = 256;

/// Rules that are refused, with the field to mend.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{pointer}: {detail}")]
pub struct ConfigError {
    /// What kind of refusal.
    pub kind: ConfigErrorKind,
    /// JSON pointer to the field, such as `/rate_limit/burst`; empty for the whole.
    pub pointer: String,
    /// What is wrong and which range is right.
    pub detail: String,
}

/// What kind of refusal, which tells its status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigErrorKind {
    /// Out of range or form (422).
    Invalid,
    /// The caller lacks the privilege (403).
    Forbidden,
    /// Not in this state of the key (409).
    Conflict,
    /// `If-Match` named another generation (412).
    GenerationMismatch,
}

impl ConfigError {
    /// A field that is out of its range or form.
    pub fn invalid(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { kind: ConfigErrorKind::Invalid, pointer: pointer.into(), detail: detail.into() }
    }

    /// A field that this caller may not set so.
    pub fn forbidden(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { kind: ConfigErrorKind::Forbidden, pointer: pointer.into(), detail: detail.into() }
    }

    /// A change that the key's state does not allow.
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self { kind: ConfigErrorKind::Conflict, pointer: String::new(), detail: detail.into() }
    }

    /// The same refusal of a field within `parent`.
    #[must_use]
    pub fn under(mut self, parent: &str) -> Self {
        self.pointer.insert_str(0, parent);
        self
    }
}

/// What a new key is to be, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyRules {
    /// Name.
    pub name: String,
    /// Tenant.
    pub owner: Option<OwnerName>,
    /// Scopes.
    pub scopes: Scopes,
    /// Limits; empty means unlimited.
    pub limits: RateLimits,
    /// End, in milliseconds since 1970.
    pub expires_at_ms: Option<u64>,
    /// Metadata.
    pub metadata: Map<String, Value>,
    /// What decides in an outage; `None` for the deployment's.
    pub outage_mode: Option<OutageMode>,
}

/// What of a key is to change, checked; `None` stays.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct KeyChanges {
    /// Name.
    pub name: Option<String>,
    /// Scopes.
    pub scopes: Option<Scopes>,
    /// Limits; empty means unlimited.
    pub limits: Option<RateLimits>,
    /// End, in milliseconds since 1970; `Some(None)` for none.
    pub expires_at_ms: Option<Option<u64>>,
    /// Metadata.
    pub metadata: Option<Map<String, Value>>,
    /// What decides in an outage; `Some(None)` for the deployment's.
    pub outage_mode: Option<Option<OutageMode>>,
}

/// Validates rules of keys and owners.
#[derive(Debug, Clone)]
pub struct ConfigService {
    default_limits: RateLimits,
    rotation: RotationGrace,
}

/// How long the secret before a rotation stays good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RotationGrace {
    /// Where the call names none.
    pub default: Duration,
    /// At most.
    pub max: Duration,
}

impl Default for RotationGrace {
    /// An hour, and a week at most.
    fn default() -> Self {
        Self { default: Duration::from_hours(1), max: Duration::from_hours(7 * 24) }
    }
}

impl ConfigService {
    /// Takes the limit of keys that are made without one, as the settings give it.
    pub fn new(default_limit: &RateLimitSpec) -> Result<Self, ConfigError> {
        Ok(Self { default_limits: limits_of_key(default_limit)?, rotation: RotationGrace::default() })
    }

    /// The same with other grace periods of rotations.
    #[must_use]
    pub fn with_rotation_grace(self, rotation: RotationGrace) -> Self {
        Self { rotation, ..self }
    }

    /// Checks the grace period of a rotation, and gives it in milliseconds.
    pub fn rotation_grace_ms(&self, asked_seconds: Option<u64>) -> Result<u64, ConfigError> {
        let RotationGrace { default, max } = self.rotation;
        let grace = asked_seconds.map_or(default, Duration::from_secs);
        if grace > max {
            return Err(ConfigError::invalid("/grace_seconds", format!("grace_seconds is 0 to {}", max.as_secs())));
        }
        Ok(u64::try_from(grace.as_millis()).unwrap_or(u64::MAX))
    }

    /// Checks a new key's rules against ranges and against what `creator` may grant.
    pub fn create_key(&self, creator: &Identity, body: CreateKeyBody, now_ms: u64) -> Result<KeyRules, ConfigError> {
        let owner = owner_of_new_key(creator, body.owner.as_deref())?;
        let scopes = scopes(&body.scopes)?;
        may_grant(creator, &scopes, &Scopes::none())?;
        may_be_held(owner.as_ref(), &scopes)?;
        let limits = match &body.rate_limit {
            Patch::Keep => self.default_limits.clone(),
            Patch::Clear => may_make_unlimited(creator).map(|()| RateLimits::unlimited())?,
            Patch::Set(spec) => limits_of_key(spec).map_err(|error| error.under("/rate_limit"))?,
        };
        Ok(KeyRules {
            name: name(&body.name)?,
            owner,
            scopes,
            limits,
            expires_at_ms: body.expires_at.map(|at| end(at, now_ms)).transpose()?,
            metadata: metadata(body.metadata)?,
            outage_mode: body.outage_mode.map(|mode| may_set_outage_mode(creator).map(|()| mode.into())).transpose()?,
        })
    }

    /// Checks what of a key is to change. Which scopes may be granted depends on those that the
    /// key has, so [`KeyChanges::apply`](crate::record::KeyRecord) asks again.
    pub fn patch_key(&self, editor: &Identity, body: PatchKeyBody, now_ms: u64) -> Result<KeyChanges, ConfigError> {
        let limits = match &body.rate_limit {
            Patch::Keep => None,
            Patch::Clear => Some(may_make_unlimited(editor).map(|()| RateLimits::unlimited())?),
            Patch::Set(spec) => Some(limits_of_key(spec).map_err(|error| error.under("/rate_limit"))?),
        };
        let expires_at_ms = match body.expires_at {
            Patch::Keep => None,
            Patch::Clear => Some(None),
            Patch::Set(at) => Some(Some(end(at.0, now_ms)?)),
        };
        Ok(KeyChanges {
            name: body.name.as_deref().map(name).transpose()?,
            scopes: body.scopes.as_deref().map(scopes).transpose()?,
            limits,
            expires_at_ms,
            metadata: body.metadata.map(metadata).transpose()?,
            outage_mode: match body.outage_mode {
                Patch::Keep => None,
                Patch::Clear => may_set_outage_mode(editor).map(|()| Some(None))?,
                Patch::Set(mode) => may_set_outage_mode(editor).map(|()| Some(Some(mode.into())))?,
            },
        })
    }

    /// Checks that `editor` may give a key of `owner` these scopes, where it `has` others.
    pub fn may_change_scopes(editor: &Identity, owner: Option<&OwnerName>, has: &Scopes, to: &Scopes) -> Result<(), ConfigError> {
        may_grant(editor, to, has)?;
        may_be_held(owner, to)
    }

    /// Checks an owner's rules.
    pub fn put_owner(&self, body: &PutOwnerBody) -> Result<RateLimits, ConfigError> {
        let Some(spec) = &body.rate_limit else { return Ok(RateLimits::unlimited()) };
        limits_of_owner(spec).map_err(|error| error.under("/rate_limit"))
    }

    /// Checks the reason of a revocation.
    pub fn revocation_reason(&self, body: RevokeKeyBody) -> Result<Option<String>, ConfigError> {
        let Some(reason) = body.reason else { return Ok(None) };
        printable("/reason", &reason, REASON_CHARS_MAX).map(|()| Some(reason))
    }

    /// The limit of keys that are made without one.
    pub(crate) fn default_limits(&self) -> &RateLimits {
        &self.default_limits
    }

    /// Checks what the fields of a key that is brought along do not say one by one.
    pub(crate) fn brought_key(record: KeyRecord) -> Result<KeyRecord, ConfigError> {
        may_be_held(record.owner.as_ref(), &record.scopes)?;
        if let Some(spec) = limits_to_spec(&record.limits, KEY_LIMIT_NAME) {
            limits_of_key(&spec).map_err(|error| error.under("/rate_limit"))?;
        }
        Ok(record)
    }

    /// Checks a decision on a named thing.
    pub fn named_decision(&self, body: LimitBody) -> Result<NamedDecision, ConfigError> {
        let namespace = Namespace::parse(&body.namespace).map_err(|error| ConfigError::invalid("/namespace", error.to_string()))?;
        if body.id.is_empty() || body.id.len() > THING_BYTES_MAX || body.id.chars().any(char::is_control) {
            return Err(ConfigError::invalid("/id", format!("id is 1 to {THING_BYTES_MAX} bytes of printable text")));
        }
        let limits = limits_of_thing(&body.rate_limit).map_err(|error| error.under("/rate_limit"))?;
        let cost = Cost::new(body.cost.unwrap_or(1)).map_err(|error| ConfigError::invalid("/cost", error.to_string()))?;
        Ok(NamedDecision { namespace, id: body.id, limits, cost, peek: body.peek })
    }
}

/// A tenant's key makes keys for its tenant alone; an operator's for anybody.
fn owner_of_new_key(creator: &Identity, asked: Option<&str>) -> Result<Option<OwnerName>, ConfigError> {
    let asked = asked.map(OwnerName::parse).transpose().map_err(|error| ConfigError::invalid("/owner", error.to_string()))?;
    match (&creator.owner, asked) {
        (None, asked) => Ok(asked),
        (Some(own), None) => Ok(Some(own.clone())),
        (Some(own), Some(asked)) if *own == asked => Ok(Some(asked)),
        (Some(_), Some(_)) => Err(ConfigError::forbidden("/owner", "a key with an owner makes keys for that owner only")),
    }
}

fn scopes(texts: &[String]) -> Result<Scopes, ConfigError> {
    let mut list = Vec::with_capacity(texts.len());
    for (place, text) in texts.iter().enumerate() {
        list.push(Scope::parse(text).map_err(|error| ConfigError::invalid(format!("/scopes/{place}"), error.to_string()))?);
    }
    Scopes::new(list).map_err(|error| ConfigError::invalid("/scopes", error.to_string()))
}

fn may_grant(grantor: &Identity, to: &Scopes, has: &Scopes) -> Result<(), ConfigError> {
    // Named, not pointed at: a set of scopes no longer knows where each stood in the request.
    match to.iter().find(|scope| !has.allows(scope) && !grantor.may(scope)) {
        None => Ok(()),
        Some(scope) => Err(ConfigError::forbidden("/scopes", format!("nobody grants a scope that he lacks: {scope}"))),
    }
}

/// Whoever rotates a key is told its new secret, and with it may do what the key may: nobody gets
/// a scope that he lacks in this way.
pub(crate) fn may_hold_secret_of(holder: &Identity, key: &KeyRecord) -> Result<(), ConfigError> {
    if holder.key_id == key.key_id { Ok(()) } else { may_grant(holder, &key.scopes, &Scopes::none()) }
}

/// `owners:write` sets owners' limits and makes keys unlimited: no tenant may hold it.
fn may_be_held(owner: Option<&OwnerName>, scopes: &Scopes) -> Result<(), ConfigError> {
    let writes_owners = Scope::OWNERS_WRITE;
    if owner.is_some() && scopes.iter().any(|scope| *scope == writes_owners) {
        return Err(ConfigError::invalid("/scopes", format!("a key with an owner cannot hold {writes_owners}")));
    }
    Ok(())
}

fn may_make_unlimited(identity: &Identity) -> Result<(), ConfigError> {
    if identity.may(&Scope::OWNERS_WRITE) {
        return Ok(());
    }
    Err(ConfigError::forbidden("/rate_limit", "an unlimited key needs the scope owners:write, which no key with an owner has"))
}

/// A key that is open in an outage is unlimited as long as it lasts.
fn may_set_outage_mode(identity: &Identity) -> Result<(), ConfigError> {
    if identity.may(&Scope::OWNERS_WRITE) {
        return Ok(());
    }
    Err(ConfigError::forbidden("/outage_mode", "a mode of its own needs the scope owners:write, which no key with an owner has"))
}

fn name(text: &str) -> Result<String, ConfigError> {
    printable("/name", text, NAME_CHARS_MAX).map(|()| text.to_owned())
}

fn printable(pointer: &str, text: &str, chars_max: usize) -> Result<(), ConfigError> {
    let count = text.chars().count();
    if count == 0 || count > chars_max || text.chars().any(char::is_control) {
        let field = pointer.trim_start_matches('/');
        return Err(ConfigError::invalid(pointer, format!("{field} is 1 to {chars_max} printable characters")));
    }
    Ok(())
}

fn end(at: time::OffsetDateTime, now_ms: u64) -> Result<u64, ConfigError> {
    let at_ms = u64::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap_or(0);
    if at_ms <= now_ms {
        return Err(ConfigError::invalid("/expires_at", "expires_at must lie in the future; to end a key now, revoke it"));
    }
    Ok(at_ms)
}

fn metadata(map: Map<String, Value>) -> Result<Map<String, Value>, ConfigError> {
    let bytes = serde_json::to_vec(&map).map_or(usize::MAX, |json| json.len());
    if bytes > METADATA_BYTES_MAX {
        return Err(ConfigError::invalid("/metadata", format!("metadata is at most {METADATA_BYTES_MAX} bytes of JSON")));
    }
    Ok(map)
}

#[cfg(test)]
mod tests;
