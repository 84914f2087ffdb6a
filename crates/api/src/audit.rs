//! Who changed what.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// One change, as the audit log keeps it. Secrets, hashes and metadata are never in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// Its position in the change log.
    pub position: u64,
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// The key id of who asked for it, or a word for the command line: `bootstrap`, `import`.
    pub actor: String,
    /// What was asked for, such as `keys.create`.
    pub action: String,
    /// The key that changed.
    pub key_id: Option<String>,
    /// The owner of that key, or the owner that changed.
    pub owner: Option<String>,
    /// The id of the request.
    pub request_id: String,
    /// Which fields became what, as far as the store keeps that.
    pub detail: serde_json::Map<String, serde_json::Value>,
}

/// Answer of `GET /v1/audit`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditPage {
    /// Changes, newest first.
    pub entries: Vec<AuditEntry>,
    /// Where to go on to older ones; null at the end.
    pub next_cursor: Option<String>,
}
