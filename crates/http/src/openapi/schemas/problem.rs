//! Problems (RFC 9457).

use serde_json::{Map, Value, json};

use super::{answer, list, named, text, whole};
use crate::openapi::problems;

pub(super) fn all() -> Map<String, Value> {
    named([("Problem", problem())])
}

fn problem() -> Value {
    let types: Vec<&str> = problems::ALL.iter().map(|one| one.uri).collect();
    let fields = json!({
        "type": {"type": "string", "description": "What kind of problem: a URI that does not change.", "enum": types},
        "title": text("The kind in a few words."),
        "status": {"type": "integer", "description": "The HTTP status.", "minimum": 400, "maximum": 599},
        "detail": text("What is wrong here, and what to do."),
        "instance": text("The path that was asked for."),
        "request_id": text("The id of the request."),
        "pointer": text("JSON pointer to the field that is wrong."),
        "violated-policies": list("The limits that refused, by the names that RateLimit-Policy gives them.", &text("A limit's name.")),
        "retry_after_ms": whole("Where a limit refused: milliseconds after which the same request passes, rounded up."),
    });
    answer("Anything but an answer.", &["type", "title", "status", "detail", "instance", "request_id"], fields)
}
