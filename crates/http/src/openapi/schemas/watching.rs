//! What operators look at.

use serde_json::{Map, Value, json};

use super::{answer, instant, list, named, of, text, text_or_null, whole};

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
