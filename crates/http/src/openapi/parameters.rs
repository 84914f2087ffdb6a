//! What calls are told by besides their bodies.

use serde_json::{Value, json};
use tollgate_gate::control::TOP_MAX;

use super::schemas::{COST_MAX, NAME_PATTERN};

/// One parameter of a call.
#[derive(Debug)]
pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) place: Place,
    pub(super) about: &'static str,
    pub(super) form: Form,
}

/// Where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Path,
    Query,
    Header,
}

/// Which values it takes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Form {
    Any,
    Name,
    Cost,
    PageSize,
    TopCount,
    Position,
    /// What this pattern matches.
    Pattern(&'static str),
    /// One of these.
    OneOf(&'static [&'static str]),
}

const fn query(name: &'static str, about: &'static str, form: Form) -> Parameter {
    Parameter { name, place: Place::Query, about, form }
}

const fn path(name: &'static str, about: &'static str) -> Parameter {
    Parameter { name, place: Place::Path, about, form: Form::Any }
}

pub(super) const COST: Parameter = query("cost", "Tokens to spend; 1 where absent.", Form::Cost);
pub(super) const SCOPE: Parameter = query("scope", "A scope that the key must have, else 403.", Form::Name);
pub(super) const LIMITED_STATUS: Parameter = query(
    "limited_status",
    "How a limit that refuses is told, for gateways that know only 401 and 403; 429 where absent.",
    Form::OneOf(&["429", "403"]),
);
pub(super) const REST: Parameter = path("rest", "The path of somebody's client; ignored.");
pub(super) const KEY_ID: Parameter = path("key_id", "The key's public id.");
pub(super) const OWNER: Parameter = path("owner", "The owner's name.");
pub(super) const OWNER_FILTER: Parameter = query("owner", "Only what is of this owner.", Form::Name);
pub(super) const KEY_FILTER: Parameter = query("key_id", "Only what is of this key.", Form::Pattern(KEY_ID_PATTERN));
pub(super) const STATUS: Parameter =
    query("status", "Only keys in this state.", Form::OneOf(&["active", "suspended", "revoked", "expired"]));
pub(super) const KEY_CURSOR: Parameter = query("cursor", "Where to go on: next_cursor of the page before.", Form::Pattern(KEY_ID_PATTERN));
pub(super) const AUDIT_CURSOR: Parameter = query("cursor", "Where to go on: next_cursor of the page before.", Form::Position);
pub(super) const PAGE_SIZE: Parameter = query("page_size", "At most so many; 100 where absent.", Form::PageSize);
pub(super) const USAGE_STEP: Parameter = query(
    "step",
    "From one point of the series to the next: each minute of the last hour, or each hour of the last day; minute where absent.",
    Form::OneOf(&["minute", "hour"]),
);
pub(super) const TOP_WINDOW: Parameter = query("window", "For how long a time; hour where absent.", Form::OneOf(&["hour", "day"]));
pub(super) const TOP_COUNT: Parameter = query("count", "Keys at most; 10 where absent.", Form::TopCount);
pub(super) const IF_MATCH: Parameter = Parameter {
    name: "If-Match",
    place: Place::Header,
    about: "Change it only if this is its generation, as ETag told it; * for any.",
    form: Form::Pattern("^(\\*|\"[0-9]{1,19}\")$"),
};
pub(super) const LAST_EVENT_ID: Parameter = Parameter {
    name: "Last-Event-ID",
    place: Place::Header,
    about: "The id that was seen last: the stream begins after it; with what happens from now on where absent.",
    form: Form::Pattern("^(L[0-9]{1,19})?$"),
};
pub(super) const IDEMPOTENCY_KEY: Parameter = Parameter {
    name: "Idempotency-Key",
    place: Place::Header,
    about: "A name for this call: the same call under the same name within 24 hours makes nothing. Another call under it is 422.",
    form: Form::Pattern("^[!-~]{1,255}$"),
};

/// Our own ids, and those that imported keys brought along.
const KEY_ID_PATTERN: &str = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$";

impl Parameter {
    /// As it stands in the document.
    pub(super) fn write(&self) -> Value {
        let place = match self.place {
            Place::Path => "path",
            Place::Query => "query",
            Place::Header => "header",
        };
        let required = self.place == Place::Path;
        json!({"name": self.name, "in": place, "required": required, "description": self.about, "schema": self.form.schema()})
    }
}

impl Form {
    pub(super) fn schema(self) -> Value {
        match self {
            Self::Any => json!({"type": "string", "minLength": 1}),
            Self::Name => json!({"type": "string", "pattern": NAME_PATTERN}),
            Self::Cost => json!({"type": "integer", "minimum": 1, "maximum": COST_MAX}),
            Self::PageSize => json!({"type": "integer", "minimum": 1, "maximum": 1000}),
            Self::TopCount => json!({"type": "integer", "minimum": 1, "maximum": TOP_MAX}),
            Self::Position => json!({"type": "integer", "minimum": 0}),
            Self::Pattern(pattern) => json!({"type": "string", "pattern": pattern}),
            Self::OneOf(words) => json!({"type": "string", "enum": words}),
        }
    }

    /// The same in words.
    pub(super) fn words(self) -> String {
        match self {
            Self::Any => "text".to_owned(),
            Self::Name => "name".to_owned(),
            Self::Cost => format!("whole number, 1 to {COST_MAX}"),
            Self::PageSize => "whole number, 1 to 1000".to_owned(),
            Self::TopCount => format!("whole number, 1 to {TOP_MAX}"),
            Self::Position => "whole number".to_owned(),
            Self::Pattern(pattern) => format!("text, {pattern}"),
            Self::OneOf(words) => words.join(" or "),
        }
    }
}
