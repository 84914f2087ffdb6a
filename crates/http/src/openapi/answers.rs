//! What comes back: headers, and responses of problems.

use serde_json::{Map, Value, json};

use super::{
    operations::{Answer, Content, Operation},
    problems, schemas,
};

/// A header of answers.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    /// Whether it is on every answer that names it.
    always: bool,
}

const fn header(name: &'static str, always: bool, about: &'static str) -> Header {
    Header { name, about, always }
}

/// All headers that an answer can carry, beside those of HTTP itself.
pub(super) const HEADERS: &[Header] = &[
    header("x-request-id", true, "The request's id: the caller's where it is 1 to 128 visible ASCII characters, else a new one."),
    header("Cache-Control", true, "no-store: no answer may be kept."),
    header(
        "RateLimit-Policy",
        false,
        "The limits of the caller, one list item each: \"key\";q=100;w=60 (burst, seconds). As the setting ratelimit_headers says; absent where nothing is limited.",
    ),
    header("RateLimit", false, "How they stand: \"key\";r=41;t=36 (tokens left at least, seconds until full)."),
    header("X-RateLimit-Limit", false, "Burst of the tightest limit, where the setting ratelimit_headers is legacy or both."),
    header("X-RateLimit-Remaining", false, "Tokens left of it."),
    header("X-RateLimit-Reset", false, "Seconds until it is full."),
    header(
        "Retry-After",
        false,
        "Whole seconds, rounded up, at least 1: wait so long. On every 429 and 503 that is a problem, and on a 403 that a limit makes.",
    ),
    header("WWW-Authenticate", true, "Bearer realm=\"tollgate\"."),
    header("Allow", true, "The methods that the path has."),
    header("ETag", true, "The key's generation in quotes, for If-Match."),
    header("Location", true, "The path of the new key."),
    header("Warning", false, "299: the key is of a kind on its way out; rotate it."),
    header("Sunset", false, "When keys of that kind will be refused."),
    header("X-Tollgate-Key-Id", true, "The key's public id."),
    header("X-Tollgate-Owner", true, "Its owner, or empty."),
    header("X-Tollgate-Scopes", true, "Its scopes, separated by spaces, or empty."),
    header("X-Accel-Buffering", true, "no: a proxy is to pass on each event at once."),
    header("Content-Security-Policy", true, "What the page may do: nothing but show itself."),
];

/// On every answer.
const ALWAYS: &[&str] = &["x-request-id", "Cache-Control"];
/// On answers to callers whose key was verified, and whom no scope or state refused.
const STANDING: &[&str] =
    &["RateLimit-Policy", "RateLimit", "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "Warning", "Sunset"];

/// The headers of an answer, by name.
pub(super) fn headers_of(operation: &Operation, answer: &Answer) -> Vec<&'static str> {
    let standing: &[&str] = if operation.tells_limits() { STANDING } else { &[] };
    [ALWAYS, answer.headers, standing].concat()
}

/// The headers of a problem of this status, by name.
pub(super) fn headers_of_problem(status: u16) -> Vec<&'static str> {
    let own: &[&str] = match status {
        401 => &["WWW-Authenticate"],
        405 => &["Allow"],
        403 | 429 | 503 => &["Retry-After"],
        _ => &[],
    };
    let standing: &[&str] = if matches!(status, 403 | 429) { STANDING } else { &[] };
    [ALWAYS, own, standing].concat()
}

/// `components.headers`.
pub(super) fn header_components() -> Value {
    let headers = HEADERS.iter().map(|header| {
        let schema = json!({"type": "string"});
        (header.name.to_owned(), json!({"description": header.about, "required": header.always, "schema": schema}))
    });
    headers.collect::<Map<_, _>>().into()
}

/// `components.responses`: one for each status of problems.
pub(super) fn problem_components() -> Value {
    let mut statuses: Vec<u16> = problems::ALL.iter().map(|kind| kind.status).collect();
    statuses.dedup();
    let mut responses: Map<_, _> = statuses.into_iter().map(|status| (component(status), problem(status))).collect();
    responses.insert(TOO_LARGE.to_owned(), json!({"description": TOO_LARGE_ABOUT}));
    responses.into()
}

/// The reference to the response of a problem.
pub(super) fn problem_of(status: u16) -> Value {
    json!({"$ref": format!("#/components/responses/{}", component(status))})
}

/// What the accept loop answers before there is a request.
pub(super) const TOO_LARGE: &str = "HeadersTooLarge";
pub(super) const TOO_LARGE_ABOUT: &str = "The headers are above http.header_bytes_max. No problem document; the connection ends.";

/// An answer where nothing is wrong.
pub(super) fn answer(operation: &Operation, answer: &Answer) -> Value {
    let headers = references(&headers_of(operation, answer));
    match answer.content {
        Content::Nothing => json!({"description": answer.about, "headers": headers}),
        Content::Json(schema) => {
            json!({"description": answer.about, "headers": headers, "content": {"application/json": {"schema": schemas::of(schema)}}})
        }
        Content::Text(kind) => {
            json!({"description": answer.about, "headers": headers, "content": {kind: {"schema": {"type": "string"}}}})
        }
    }
}

fn component(status: u16) -> String {
    format!("Problem{status}")
}

fn problem(status: u16) -> Value {
    let kinds: Vec<&str> = problems::of(status).map(|kind| kind.uri).collect();
    let lines: Vec<String> = problems::of(status).map(|kind| format!("`{}`: {}", kind.uri, kind.about)).collect();
    let own = json!({"type": "object", "properties": {"type": {"enum": kinds}, "status": {"const": status}}});
    json!({
        "description": lines.join("; "),
        "headers": references(&headers_of_problem(status)),
        "content": {"application/problem+json": {"schema": {"allOf": [schemas::of("Problem"), own]}}},
    })
}

fn references(names: &[&str]) -> Value {
    let all = names.iter().map(|name| ((*name).to_owned(), json!({"$ref": format!("#/components/headers/{name}")})));
    all.collect::<Map<_, _>>().into()
}
