//! `tollgate events`: follows changes of keys and of health, a line each.

use std::time::Duration;

use tollgate_api::{
    ChangeTold, ChangesMissed, ComponentState, EndReason, HealthChanged, HealthSnapshot, MissedReason, Rfc3339, StreamEvent,
};
use tollgate_client::{Client, FollowOptions, Followed, Follower, SentEvent};

use crate::{
    cli::EventsArgs,
    exit::{Exit, Failure},
    output::{Output, Written},
    table,
};

/// Widths of the columns that most lines fill.
const TYPE_WIDTH: usize = 14;

pub(crate) async fn run(client: Client, args: &EventsArgs, output: Output) -> Result<Exit, Failure> {
    let mut follower = Follower::new(client, args.last_event_id.clone(), FollowOptions::default());
    let mut left = args.count;
    while left != Some(0) {
        match follower.next().await? {
            Followed::Event(event) => {
                if let Written::Unheard = show(&event, output)? {
                    return Ok(Exit::Done);
                }
                left = left.map(|left| left - 1);
            }
            Followed::Lost { why, wait } => output.note(&lost(why.map(|why| why.to_string()), wait)),
        }
    }
    Ok(Exit::Done)
}

fn lost(why: Option<String>, wait: Duration) -> String {
    let why = why.unwrap_or_else(|| "the stream has ended".to_owned());
    format!("{why}; going on in {:.1} s", wait.as_secs_f64())
}

fn show(event: &SentEvent, output: Output) -> Result<Written, Failure> {
    output.line(&with_id(event), || line(event))
}

/// What the node said, with the id beside it.
fn with_id(event: &SentEvent) -> serde_json::Value {
    let mut body = event.body.clone();
    if let (Some(fields), Some(id)) = (body.as_object_mut(), &event.id) {
        fields.insert("id".to_owned(), id.as_str().into());
    }
    body
}

/// Time, type, what it is of, and the rest in words.
fn line(event: &SentEvent) -> String {
    let (at, rest) = match &event.event {
        StreamEvent::HealthChanged(changed) => (Some(changed.at), health_changed(changed)),
        StreamEvent::Health(snapshot) => (Some(snapshot.at), health(snapshot)),
        StreamEvent::ChangesMissed(missed) => (None, changes_missed(missed)),
        StreamEvent::Lagged { missed } => (None, format!("{missed} changes of health were missed; how things are comes next")),
        StreamEvent::Ended(ended) => (None, end_reason(ended.reason).to_owned()),
        StreamEvent::Unknown => (None, "an event that this version does not know: see --output json".to_owned()),
        known => known.change().map_or((None, String::new()), |change| (Some(change.at), told(change))),
    };
    let name = event.body.get("type").and_then(serde_json::Value::as_str).unwrap_or("unknown");
    let at = at.map_or_else(|| "-".to_owned(), time_text);
    let line = format!("{at:<24}  {name:<TYPE_WIDTH$}  {rest}");
    table::printable(line.trim_end())
}

/// Milliseconds, so that the columns stand below each other.
fn time_text(at: Rfc3339) -> String {
    let at = at.0.to_offset(time::UtcOffset::UTC);
    let (date, (hour, minute, second, milli)) = (at.date(), at.time().as_hms_milli());
    format!("{date}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

fn told(change: &ChangeTold) -> String {
    let ChangeTold { position, key_id, owner, actor, request_id, .. } = change;
    let subject = key_id.as_deref().or(owner.as_deref()).unwrap_or("-");
    let of = owner.as_deref().filter(|_| key_id.is_some()).map(|owner| format!("  owner {owner}"));
    let by = actor.as_deref().map(|actor| format!("  by {actor}"));
    let request = request_id.as_deref().map(|id| format!("  request {id}"));
    let more: String = [of, by, request].into_iter().flatten().collect();
    format!("{subject}{more}  L{position}")
}

fn health_changed(changed: &HealthChanged) -> String {
    let HealthChanged { component, from, to, reason, node, .. } = changed;
    let at = node.as_deref().map(|node| format!(" at {node}")).unwrap_or_default();
    format!("{}{at}  {} -> {}  {reason}", component.as_str(), state(*from), state(*to))
}

fn health(snapshot: &HealthSnapshot) -> String {
    let bad = snapshot.components.iter().filter(|one| one.state != ComponentState::Ok);
    let bad: Vec<String> = bad
        .map(|one| format!("{} {}: {}", one.component.as_str(), state(one.state), one.reason.as_deref().unwrap_or("no reason told")))
        .collect();
    format!("{}  {}", snapshot.node, if bad.is_empty() { "all is well".to_owned() } else { bad.join("; ") })
}

fn changes_missed(missed: &ChangesMissed) -> String {
    let ChangesMissed { after, resumed_after, reason } = missed;
    let why = match reason {
        MissedReason::NotKept => "are no longer kept",
        MissedReason::LogChanged => "are of a log that was reset or restored",
    };
    format!("changes after L{after} {why}: read the keys anew; going on after L{resumed_after}")
}

fn end_reason(reason: EndReason) -> &'static str {
    match reason {
        EndReason::NodeStops => "the node stops",
        EndReason::NotAllowed => "the key may read no more events",
        EndReason::SecretChanged => "the key's secret was changed",
        EndReason::CannotTell => "the node cannot tell any more whether the key is good",
    }
}

fn state(state: ComponentState) -> &'static str {
    match state {
        ComponentState::Ok => "ok",
        ComponentState::Degraded => "degraded",
        ComponentState::Down => "down",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(json: serde_json::Value, id: Option<&str>) -> SentEvent {
        let event = serde_json::from_value(json.clone()).expect("an event");
        SentEvent { id: id.map(str::to_owned), body: json, event }
    }

    #[test]
    fn each_event_is_a_line_for_people() {
        let lines = [
            serde_json::json!({"type": "suspended", "position": 7, "at": "2026-01-02T03:04:05.006Z", "key_id": "tk_a", "owner": "acme", "actor": "tk_b", "action": "keys.suspend", "request_id": "r"}),
            serde_json::json!({"type": "owner_updated", "position": 8, "at": "2026-01-02T03:04:05Z", "owner": "acme"}),
            serde_json::json!({"type": "health_changed", "component": "redis", "from": "ok", "to": "down", "reason": "gone", "node": "n:1", "at": "2026-01-02T03:04:05Z"}),
            serde_json::json!({"type": "health", "node": "n:1", "at": "2026-01-02T03:04:05Z", "components": [{"component": "redis", "state": "ok"}]}),
            serde_json::json!({"type": "health", "node": "n:1", "at": "2026-01-02T03:04:05Z", "components": [{"component": "redis", "state": "down", "reason": "gone\u{1b}[2J"}]}),
            serde_json::json!({"type": "changes_missed", "after": 1, "resumed_after": 9, "reason": "not_kept"}),
            serde_json::json!({"type": "ended", "reason": "not_allowed"}),
            serde_json::json!({"type": "sung"}),
        ];
        let lines = lines.map(|json| line(&sent(json, None)));
        assert_eq!(
            lines.join("\n"),
            "2026-01-02T03:04:05.006Z  suspended       tk_a  owner acme  by tk_b  request r  L7
2026-01-02T03:04:05.000Z  owner_updated   acme  L8
2026-01-02T03:04:05.000Z  health_changed  redis at n:1  ok -> down  gone
2026-01-02T03:04:05.000Z  health          n:1  all is well
2026-01-02T03:04:05.000Z  health          n:1  redis down: gone\u{fffd}[2J
-                         changes_missed  changes after L1 are no longer kept: read the keys anew; going on after L9
-                         ended           the key may read no more events
-                         sung            an event that this version does not know: see --output json"
        );
    }

    #[test]
    fn programs_get_what_the_node_said_and_the_id() {
        let json = serde_json::json!({"type": "sung", "song": 1});
        assert_eq!(with_id(&sent(json.clone(), None)), json);
        assert_eq!(with_id(&sent(json, Some("L7"))), serde_json::json!({"type": "sung", "song": 1, "id": "L7"}));
    }
}
