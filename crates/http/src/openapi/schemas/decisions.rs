//! Checks, and limits as they are written.

use serde_json::{Map, Value, json};

use super::{
    about, answer, burst, cost, list, name, named, of, per_seconds, sent, text, text_or_null, whole, whole_or_null, word, yes_or_no,
};

const PEEK: &str = "Answer as if asked, and charge nothing.";

pub(super) fn all() -> Map<String, Value> {
    named([
        ("CheckBody", check_body()),
        ("LimitBody", limit_body()),
        ("CheckAnswer", check_answer()),
        ("LimitStanding", limit_standing()),
        (
            "RateLimit",
            sent(
                "One rate limit: an empty bucket fills evenly in per_seconds.",
                &["burst", "per_seconds"],
                json!({
                    "burst": burst(),
                    "per_seconds": per_seconds(),
                }),
            ),
        ),
        (
            "NamedRateLimit",
            sent(
                "One rate limit of a list.",
                &["name", "burst", "per_seconds"],
                json!({
                    "name": name("Its name, no other's in the list."),
                    "burst": burst(),
                    "per_seconds": per_seconds(),
                }),
            ),
        ),
        (
            "RateLimitSpec",
            json!({
                "description": "One limit, or up to four named ones that all must allow.",
                "anyOf": [of("RateLimit"), {"type": "array", "items": of("NamedRateLimit"), "minItems": 1, "maxItems": 4}],
            }),
        ),
    ])
}

fn check_body() -> Value {
    let fields = json!({
        "api_key": {"type": ["string", "null"], "format": "password", "description": "The api key to check, key_id:secret; the caller's own credential where absent."},
        "cost": {"anyOf": [cost(), {"type": "null"}]},
        "scope": {"anyOf": [name("A scope that the key must have."), {"type": "null"}]},
        "peek": yes_or_no(PEEK),
    });
    sent("What is asked about a key.", &[], fields)
}

fn limit_body() -> Value {
    let fields = json!({
        "namespace": name("The kind of thing that is limited, such as login."),
        "id": {"type": "string", "description": "The thing itself: 1 to 256 bytes of printable text.", "minLength": 1, "maxLength": 256},
        "rate_limit": about("The limit to hold it to.", "RateLimitSpec"),
        "cost": {"anyOf": [cost(), {"type": "null"}]},
        "peek": yes_or_no(PEEK),
    });
    sent("What is asked about a named thing.", &["namespace", "id", "rate_limit"], fields)
}

fn check_answer() -> Value {
    let fields = json!({
        "verdict": word("The answer.", &["allowed", "limited", "denied"]),
        "code": word("Why.", &["allowed", "limited", "unauthenticated", "scope_missing"]),
        "limit": text("The limit that refused: key, owner, or the name it was given."),
        "key_id": text_or_null("The key that was checked; null where it could not be verified."),
        "owner": text_or_null("The tenant that holds it."),
        "remaining": whole_or_null("Whole tokens left in the tightest bucket; null where nothing is limited."),
        "retry_after_ms": whole_or_null("Milliseconds after which the same request passes, rounded up; 0 where it passed."),
        "reset_after_ms": whole_or_null("Milliseconds until every bucket is full, rounded up."),
        "limits": list("Each limit by itself.", &of("LimitStanding")),
    });
    answer("A verdict.", &["verdict", "code", "key_id", "owner", "remaining", "retry_after_ms", "reset_after_ms"], fields)
}

fn limit_standing() -> Value {
    let fields = json!({
        "name": text("The limit's name."),
        "burst": burst(),
        "per_seconds": per_seconds(),
        "remaining": whole("Whole tokens left."),
        "retry_after_ms": whole("Milliseconds after which the same request fits, rounded up."),
        "reset_after_ms": whole("Milliseconds until it is full, rounded up."),
    });
    answer("One limit after a decision.", &["name", "burst", "per_seconds", "remaining", "retry_after_ms", "reset_after_ms"], fields)
}
