//! What nodes tell each other, as it stands on the wire.
//!
//! An event is a hint and never the authority: it says where in the change log there is something
//! to read. So it carries nothing that could let anybody in.

use serde::{Deserialize, Serialize};

use crate::{Component, ComponentState, Rfc3339};

/// One event on the bus of a deployment. Fields that a newer version adds are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum BusEvent {
    /// A key was made.
    Created(ChangeEvent),
    /// A key's rules, name or state changed.
    Updated(ChangeEvent),
    /// A key has another secret.
    Rotated(ChangeEvent),
    /// A key was revoked.
    Revoked(ChangeEvent),
    /// An owner's rules changed.
    OwnerUpdated(ChangeEvent),
    /// A node is there and has read the log so far.
    Heartbeat(HeartbeatEvent),
    /// Something about a node is in another state than before.
    HealthChanged(HealthTold),
}

/// A component or guard rail is in another state than before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthChanged {
    /// Which.
    pub component: Component,
    /// How it was.
    pub from: ComponentState,
    /// How it is.
    pub to: ComponentState,
    /// Why: at most 512 characters.
    pub reason: String,
    /// The name of the node that it is a condition of; none for a condition of the whole fleet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// When that was noticed, by the clock of who noticed it.
    pub at: Rfc3339,
    /// The request that made it so, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

/// A change of health as one node tells it to the others. It is shown, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthTold {
    /// The random id of the sender's process.
    pub process: String,
    /// What changed.
    #[serde(flatten)]
    pub changed: HealthChanged,
}

/// A change that stands in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeEvent {
    /// The id of the change log.
    pub log_id: String,
    /// The change's position in it, from 1.
    pub position: u64,
    /// The key that changed; none for an owner's change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// The key's owner, or the owner that changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Who tells it: the random id of a node's process.
    pub node: String,
}

/// A sign of life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeartbeatEvent {
    /// The id of the change log.
    pub log_id: String,
    /// The last position that the sender has applied; 0 for none.
    pub position: u64,
    /// The random id of the sender's process.
    pub node: String,
}

impl BusEvent {
    /// Which log it speaks of; empty where it speaks of none.
    pub fn log_id(&self) -> &str {
        match self {
            Self::Created(change) | Self::Updated(change) | Self::Rotated(change) | Self::Revoked(change) | Self::OwnerUpdated(change) => {
                &change.log_id
            }
            Self::Heartbeat(beat) => &beat.log_id,
            Self::HealthChanged(_) => "",
        }
    }

    /// The position up to which the log has something to read; 0 where it does not speak of the log.
    pub fn position(&self) -> u64 {
        match self {
            Self::Created(change) | Self::Updated(change) | Self::Rotated(change) | Self::Revoked(change) | Self::OwnerUpdated(change) => {
                change.position
            }
            Self::Heartbeat(beat) => beat.position,
            Self::HealthChanged(_) => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_flat_and_tagged() {
        let change = ChangeEvent { log_id: "l".into(), position: 7, key_id: Some("tk_a".into()), owner: None, node: "n".into() };
        let json = serde_json::to_string(&BusEvent::Revoked(change.clone())).expect("json");
        assert_eq!(json, r#"{"type":"revoked","log_id":"l","position":7,"key_id":"tk_a","node":"n"}"#);
        assert_eq!(serde_json::from_str::<BusEvent>(&json).expect("read"), BusEvent::Revoked(change));
    }

    #[test]
    fn a_change_of_health_is_flat_too() {
        let json = r#"{"type":"health_changed","process":"p","component":"redis_eviction","from":"ok","to":"degraded","reason":"why","node":"n:1","at":"2026-01-02T03:04:05Z"}"#;
        let event: BusEvent = serde_json::from_str(json).expect("read");
        assert_eq!(serde_json::to_string(&event).expect("json"), json);
        assert_eq!((event.log_id(), event.position()), ("", 0));
        let BusEvent::HealthChanged(told) = event else { panic!("{event:?}") };
        assert_eq!(serde_json::to_value(told.changed.component).expect("json"), told.changed.component.as_str());
    }

    #[test]
    fn a_newer_version_may_say_more() {
        let newer = r#"{"type":"heartbeat","log_id":"l","position":7,"node":"n","mood":"good"}"#;
        let event: BusEvent = serde_json::from_str(newer).expect("read");
        assert_eq!((event.log_id(), event.position()), ("l", 7));
        assert!(serde_json::from_str::<BusEvent>(r#"{"type":"sung","log_id":"l","position":7,"node":"n"}"#).is_err());
        assert!(serde_json::from_str::<BusEvent>(r#"{"type":"heartbeat","log_id":"l","position":-7,"node":"n"}"#).is_err());
    }
}
