//! What operators look at.

use serde_json::{Map, Value, json};

use super::{answer, instant, list, named, of, text, text_or_null, whole, yes_or_no};

pub(super) fn all() -> Map<String, Value> {
    named([
        ("AuditEntry", audit_entry()),
        (
            "AuditPage",
            answer(
                "A page of changes.",
                &["entries", "next_cursor"],
                json!({
                    "entries": list("Newest first.", &of("AuditEntry")),
                    "next_cursor": text_or_null("Where to go on to older ones; null at the end."),
                }),
            ),
        ),
        ("FilterFigures", filter_figures()),
        ("NodeStatus", node_status()),
        (
            "NodeList",
            answer(
                "The nodes that serve together.",
                &["nodes", "complete"],
                json!({
                    "nodes": list("By name.", &of("NodeStatus")),
                    "complete": yes_or_no("Whether these are all: not while the registry cannot be read."),
                }),
            ),
        ),
    ])
}

fn audit_entry() -> Value {
    let fields = json!({
        "position": whole("Its position in the change log."),
        "at": instant("When."),
        "actor": text("The key id of who asked for it, or a word for the command line: bootstrap, import."),
        "action": text("What was asked for, such as keys.create."),
        "key_id": text_or_null("The key that changed."),
        "owner": text_or_null("The owner of that key, or the owner that changed."),
        "request_id": text("The id of the request."),
        "detail": {"type": "object", "description": "Which fields became what, as far as the store keeps that."},
    });
    answer(
        "One change. Secrets, hashes and metadata are never in it.",
        &["position", "at", "actor", "action", "key_id", "owner", "request_id", "detail"],
        fields,
    )
}

fn filter_figures() -> Value {
    let fields = json!({
        "keys": whole("Ids that are in it."),
        "bytes": whole("Memory that it takes."),
        "built_at": instant("When it was built; absent where there is none yet."),
    });
    answer("A filter of key ids.", &["keys", "bytes"], fields)
}

fn node_status() -> Value {
    let fields = json!({
        "id": text("The random id of its process."),
        "node": text("Its name: machine and port."),
        "version": text("The version that it runs."),
        "mode": text("embedded or cluster."),
        "started_at": instant("When it started, by its own clock."),
        "uptime_seconds": whole("Seconds since then."),
        "seen_at": instant("When it told all this, by its own clock."),
        "ready": yes_or_no("Whether it should be sent requests."),
        "outage_mode": of("OutageMode"),
        "in_outage": yes_or_no("Whether decisions are made without the bucket store now."),
        "change_log_position": whole("The position of the change log that it has applied."),
        "change_log_lag": whole("Positions that it is behind the node that is ahead of all."),
        "change_log_age_ms": whole("Milliseconds since it last read the log to its head; absent before it ever did."),
        "bloom_filter": of("FilterFigures"),
        "troubles": list("Parts that are not well, and guard rails that are on.", &of("Component")),
    });
    let required = [
        "id",
        "node",
        "version",
        "mode",
        "started_at",
        "uptime_seconds",
        "seen_at",
        "ready",
        "outage_mode",
        "in_outage",
        "change_log_position",
        "change_log_lag",
        "bloom_filter",
        "troubles",
    ];
    answer("One node, as it tells of itself.", &required, fields)
}
