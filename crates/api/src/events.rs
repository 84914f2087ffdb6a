//! What nodes tell each other, as it stands on the wire.
//!
//! An event is a hint and never the authority: it says where in the change log there is something
//! to read. So it carries nothing that could let anybody in.

use serde::{Deserialize, Serialize};

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
    /// Which log it speaks of.
    pub fn log_id(&self) -> &str {
        match self {
            Self::Created(change) | Self::Updated(change) | Self::Rotated(change) | Self::Revoked(change) | Self::OwnerUpdated(change) => {
                &change.log_id
            }
            Self::Heartbeat(beat) => &beat.log_id,
        }
    }

    /// The position up to which the log has something to read.
    pub fn position(&self) -> u64 {
        match self {
            Self::Created(change) | Self::Updated(change) | Self::Rotated(change) | Self::Revoked(change) | Self::OwnerUpdated(change) => {
                change.position
            }
            Self::Heartbeat(beat) => beat.position,
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
    fn a_newer_version_may_say_more() {
        let newer = r#"{"type":"heartbeat","log_id":"l","position":7,"node":"n","mood":"good"}"#;
        let event: BusEvent = serde_json::from_str(newer).expect("read");
        assert_eq!((event.log_id(), event.position()), ("l", 7));
        assert!(serde_json::from_str::<BusEvent>(r#"{"type":"sung","log_id":"l","position":7,"node":"n"}"#).is_err());
        assert!(serde_json::from_str::<BusEvent>(r#"{"type":"heartbeat","log_id":"l","position":-7,"node":"n"}"#).is_err());
    }
}
