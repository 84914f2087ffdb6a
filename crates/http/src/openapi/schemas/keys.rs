//! Keys.

use serde_json::{Map, Value, json};

use super::{
    answer, instant, instant_or_null, list, name, named, of, or_null, printable, sent, text, text_or_null, whole, word, yes_or_no,
};

pub(super) const PROPAGATED: &str =
    "After a change: whether the fence was raised at once. False means that nodes learn of it from the change log, within seconds.";
const KEY_PROPAGATED: &str = "After a change: whether the fence was raised at once; of a new key, which needs none, whether the nodes were told. \
     False means that nodes learn of it from the change log, within seconds.";

pub(super) fn all() -> Map<String, Value> {
    named([
        ("CreateKeyBody", create_key_body()),
        ("PatchKeyBody", patch_key_body()),
        ("RotateKeyBody", rotate_key_body()),
        ("RevokeKeyBody", revoke_key_body()),
        ("Empty", sent("Nothing.", &[], json!({}))),
        ("Key", answer("A key, never its secret.", KEY_REQUIRED, key_fields())),
        ("CreatedKey", created_key()),
        ("KeyPage", key_page()),
        ("KeyKind", word("How a key's secret is made.", &["signed", "unsigned", "imported"])),
        ("KeyStatus", word("Where a key is in its life.", &["active", "suspended", "revoked", "expired"])),
        (
            "OutageMode",
            word(
                "What decides while Redis cannot: each node over its share, nobody (it passes), nobody (503).",
                &["local", "open", "closed"],
            ),
        ),
    ])
}

fn rotate_key_body() -> Value {
    let fields = json!({
        "grace_seconds": {"type": ["integer", "null"], "minimum": 0, "description": "Seconds for which the secret before stays good: 0 for not at all, at most keys.rotation_grace_max; keys.rotation_grace where absent."},
        "kind": or_null("How the new secret is made; as the one before where absent, signed after an imported one. Not imported.", "KeyKind"),
    });
    sent("How to rotate.", &[], fields)
}

fn revoke_key_body() -> Value {
    sent("Why.", &[], json!({"reason": {"anyOf": [printable("For the audit log.", 256), {"type": "null"}]}}))
}

fn key_page() -> Value {
    let fields = json!({
        "keys": list("In order of their ids.", &of("Key")),
        "next_cursor": text_or_null("Where to go on; null at the end."),
    });
    answer("A page of keys.", &["keys", "next_cursor"], fields)
}

fn scopes() -> Value {
    json!({"type": "array", "description": "What the key may do.", "items": name("A scope."), "maxItems": 32})
}

fn metadata() -> Value {
    json!({"type": "object", "description": "Anything that fits 4 KiB of JSON."})
}

fn create_key_body() -> Value {
    let fields = json!({
        "name": printable("What people call it.", 128),
        "owner": {"anyOf": [name("The tenant that holds it; fixed for the key's life."), {"type": "null"}]},
        "scopes": scopes(),
        "rate_limit": or_null("Its limit; the default of the settings where absent, unlimited where null (needs owners:write).", "RateLimitSpec"),
        "expires_at": instant_or_null("When it ends; in the future."),
        "metadata": metadata(),
        "outage_mode": or_null("What decides on it while Redis cannot (needs owners:write); the deployment's where absent.", "OutageMode"),
        "kind": or_null("How its secret is made; signed where absent. Not imported.", "KeyKind"),
    });
    sent("A key to make.", &["name"], fields)
}

fn patch_key_body() -> Value {
    let fields = json!({
        "name": {"anyOf": [printable("A new name.", 128), {"type": "null"}]},
        "scopes": {"anyOf": [scopes(), {"type": "null"}]},
        "rate_limit": or_null("A new limit; null for none (needs owners:write).", "RateLimitSpec"),
        "expires_at": instant_or_null("A new end, in the future; null for none."),
        "metadata": {"anyOf": [metadata(), {"type": "null"}]},
        "outage_mode": or_null("What decides on it while Redis cannot; null for the deployment's. Needs owners:write.", "OutageMode"),
    });
    sent("What is to change; what is absent stays.", &[], fields)
}

const KEY_REQUIRED: &[&str] = &[
    "key_id",
    "name",
    "owner",
    "kind",
    "status",
    "scopes",
    "rate_limit",
    "generation",
    "created_at",
    "expires_at",
    "last_used_at",
    "metadata",
];

fn key_fields() -> Value {
    json!({
        "key_id": text("Its public id."),
        "name": text("Its name."),
        "owner": text_or_null("The tenant that holds it; null for an operator's key."),
        "kind": of("KeyKind"),
        "status": of("KeyStatus"),
        "scopes": scopes(),
        "rate_limit": or_null("Its limit; null for none.", "RateLimitSpec"),
        "generation": whole("Position of its last change in the change log; what If-Match takes."),
        "created_at": instant("When it was made."),
        "expires_at": instant_or_null("When it ends."),
        "previous_secret_until": instant("Until when the secret before the last rotation is good; absent where none is."),
        "last_used_at": instant_or_null("When it was last used, give or take a minute; null for never."),
        "revoked_at": instant("When it was revoked."),
        "revoke_reason": text("Why it was revoked."),
        "metadata": metadata(),
        "outage_mode": of("OutageMode"),
        "propagated": yes_or_no(KEY_PROPAGATED),
    })
}

fn created_key() -> Value {
    let mut fields = key_fields();
    if let Some(fields) = fields.as_object_mut() {
        fields.insert("api_key".to_owned(), json!({"type": ["string", "null"], "format": "password", "description": "key_id:secret, shown this once; null where an earlier call told it."}));
        fields.insert("replayed".to_owned(), yes_or_no("Whether an earlier call under the same Idempotency-Key did this."));
    }
    answer("A key with its new secret.", &[&["api_key"], KEY_REQUIRED].concat(), fields)
}
