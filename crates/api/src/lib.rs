//! The types of Tollgate's wire: requests, answers, problems and the auth context.
//!
//! Server, client and command line share these, so none of them can disagree about a name. The
//! types say what may be written, not what is allowed: ranges and privileges are checked by the
//! gate's `ConfigService`.

mod audit;
mod auth;
mod decisions;
mod events;
mod health;
mod keys;
mod nodes;
mod owners;
mod patch;
mod problem;
mod rate_limit;
mod secret_text;
mod stream;
mod usage;

pub use audit::{AuditEntry, AuditPage};
pub use auth::{AuthContext, KEY_ID_HEADER, OWNER_HEADER, REQUEST_ID_BYTES_MAX, REQUEST_ID_HEADER, SCOPES_HEADER, is_sane_request_id};
pub use decisions::{CheckAnswer, CheckBody, LimitBody, LimitStanding, VerdictName};
pub use events::{BusEvent, ChangeEvent, HealthChanged, HealthTold, HeartbeatEvent};
pub use health::{Component, ComponentHealth, ComponentState, DecisionFigures, NodeFigures, Readiness};
pub use keys::{
    CreateKeyBody, CreatedKey, Key, KeyKindName, KeyPage, KeyStatus, OutageModeName, PatchKeyBody, RevokeKeyBody, RevokedKeys, Rfc3339,
    RotateKeyBody,
};
pub use nodes::{FilterFigures, NodeList, NodeStatus};
pub use owners::{Owner, PutOwnerBody};
pub use patch::Patch;
pub use problem::{PROBLEM_JSON, Problem};
pub use rate_limit::{NamedRateLimitFields, RateLimitFields, RateLimitSpec};
pub use secret_text::SecretText;
pub use stream::{ChangeTold, ChangesMissed, EndReason, HealthSnapshot, MissedReason, StreamEnded, StreamEvent, event_id, event_position};
pub use usage::{KeyUsage, LimitedKey, TopUsage, TopWindow, UsageFigures, UsagePoint, UsageStep, UsageWindow, UsageWindows};
