//! What `GET /v1/events` tells, one JSON object an event.

use serde::{Deserialize, Serialize};

use crate::{ComponentHealth, HealthChanged, Rfc3339};

/// One event. Readers must take a type that they do not know for [`StreamEvent::Unknown`]: newer
/// versions have more of them, and more fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum StreamEvent {
    /// A key was made.
    Created(ChangeTold),
    /// A key's rules or name changed.
    Updated(ChangeTold),
    /// A key was suspended.
    Suspended(ChangeTold),
    /// A suspended key may be used again.
    Resumed(ChangeTold),
    /// A key's buckets were filled.
    Reset(ChangeTold),
    /// A key has another secret.
    Rotated(ChangeTold),
    /// A key was revoked.
    Revoked(ChangeTold),
    /// An owner's rules changed.
    OwnerUpdated(ChangeTold),
    /// A component or guard rail is in another state than before.
    HealthChanged(HealthChanged),
    /// How the node that serves the stream is now: the first event of every stream, and whenever
    /// changes of health were lost to it.
    Health(HealthSnapshot),
    /// Changes can no longer be told: read the keys anew.
    ChangesMissed(ChangesMissed),
    /// The reader was too slow, and so many changes of health are lost to it; how things are is told
    /// next. No change of a key is lost by that.
    Lagged {
        /// Changes of health that were not told.
        missed: u64,
    },
    /// The last event of a stream that the node ends.
    Ended(StreamEnded),
    /// An event of a newer version.
    #[serde(other)]
    Unknown,
}

/// A change of a key or of an owner's rules. Its event's id is `L` and the position.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeTold {
    /// Its place in the change log, from 1, in order of commits.
    pub position: u64,
    /// When.
    pub at: Rfc3339,
    /// The key that changed; none for an owner's change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// The key's owner, or the owner that changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The key id of who asked for it, or a word for the command line, as the audit log has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// What was asked for, such as `keys.update`, as the audit log has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// The id of the request that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

/// How a node is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthSnapshot {
    /// The node's name.
    pub node: String,
    /// When this was so, by the node's clock.
    pub at: Rfc3339,
    /// Its parts, and the guard rails that are on.
    pub components: Vec<ComponentHealth>,
}

/// A hole in what is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangesMissed {
    /// The last position that was told.
    pub after: u64,
    /// Changes after this position are told from now on.
    pub resumed_after: u64,
    /// Why.
    pub reason: MissedReason,
}

/// Why changes cannot be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MissedReason {
    /// They are older than what the change log keeps.
    NotKept,
    /// The change log is not the one that the position is of: it was reset or restored, or has lost
    /// its end.
    LogChanged,
}

/// Why a stream ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamEnded {
    /// Why.
    pub reason: EndReason,
}

/// Why a node ends a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// The node stops: come back, another one goes on.
    NodeStops,
    /// The key may read no more events.
    NotAllowed,
    /// The key's secret was changed, or the older of its two has ended: come back.
    SecretChanged,
    /// Nobody can say any more whether the key is still good: come back.
    CannotTell,
}

impl StreamEvent {
    /// The type on the wire.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Created(_) => "created",
            Self::Updated(_) => "updated",
            Self::Suspended(_) => "suspended",
            Self::Resumed(_) => "resumed",
            Self::Reset(_) => "reset",
            Self::Rotated(_) => "rotated",
            Self::Revoked(_) => "revoked",
            Self::OwnerUpdated(_) => "owner_updated",
            Self::HealthChanged(_) => "health_changed",
            Self::Health(_) => "health",
            Self::ChangesMissed(_) => "changes_missed",
            Self::Lagged { .. } => "lagged",
            Self::Ended(_) => "ended",
            Self::Unknown => "unknown",
        }
    }

    /// The change, where it is one.
    pub const fn change(&self) -> Option<&ChangeTold> {
        match self {
            Self::Created(change)
            | Self::Updated(change)
            | Self::Suspended(change)
            | Self::Resumed(change)
            | Self::Reset(change)
            | Self::Rotated(change)
            | Self::Revoked(change)
            | Self::OwnerUpdated(change) => Some(change),
            Self::HealthChanged(_) | Self::Health(_) | Self::ChangesMissed(_) | Self::Lagged { .. } | Self::Ended(_) | Self::Unknown => {
                None
            }
        }
    }
}

/// The id of the event of a change: `L` and its position in the change log.
pub fn event_id(position: u64) -> String {
    format!("L{position}")
}

/// The position of an event's id.
pub fn event_position(id: &str) -> Option<u64> {
    let digits = id.strip_prefix('L')?;
    (digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change() -> ChangeTold {
        let at = Rfc3339(time::OffsetDateTime::UNIX_EPOCH);
        let (actor, request_id) = (Some("tk_a".to_owned()), Some("r".to_owned()));
        ChangeTold { position: 7, at, key_id: Some("tk_b".into()), owner: None, actor, action: Some("keys.suspend".into()), request_id }
    }

    #[test]
    fn events_are_flat_and_named_by_their_type() {
        let event = StreamEvent::Suspended(change());
        let json = serde_json::to_string(&event).expect("json");
        assert_eq!(
            json,
            r#"{"type":"suspended","position":7,"at":"1970-01-01T00:00:00Z","key_id":"tk_b","actor":"tk_a","action":"keys.suspend","request_id":"r"}"#
        );
        assert_eq!(serde_json::from_str::<StreamEvent>(&json).expect("read"), event);
        let missed = ChangesMissed { after: 1, resumed_after: 9, reason: MissedReason::NotKept };
        let others = [
            StreamEvent::Created(change()),
            StreamEvent::OwnerUpdated(change()),
            StreamEvent::ChangesMissed(missed),
            StreamEvent::Lagged { missed: 3 },
            StreamEvent::Ended(StreamEnded { reason: EndReason::NodeStops }),
        ];
        for event in others {
            let json = serde_json::to_value(&event).expect("json");
            assert_eq!(json["type"], event.name());
            assert_eq!(serde_json::from_value::<StreamEvent>(json).expect("read"), event);
        }
    }

    #[test]
    fn what_a_newer_version_tells_is_no_error() {
        let newer = r#"{"type":"sung","position":7,"song":"a"}"#;
        assert_eq!(serde_json::from_str::<StreamEvent>(newer).expect("read"), StreamEvent::Unknown);
    }

    #[test]
    fn ids_are_positions() {
        assert_eq!(event_position(&event_id(u64::MAX)), Some(u64::MAX));
        for bad in ["", "L", "7", "L-7", "L+7", "l7", "L7 ", "L18446744073709551616", "H7"] {
            assert_eq!(event_position(bad), None, "{bad}");
        }
    }
}
