//! Owners.

use serde_json::{Map, Value, json};

use super::{answer, keys::PROPAGATED, named, or_null, sent, text, whole, yes_or_no};

pub(super) fn all() -> Map<String, Value> {
    named([("PutOwnerBody", put_owner_body()), ("Owner", owner()), ("RevokedKeys", revoked_keys())])
}

fn put_owner_body() -> Value {
    let fields = json!({"rate_limit": or_null("The limit over all of its keys; null for none.", "RateLimitSpec")});
    sent("An owner's rules.", &["rate_limit"], fields)
}

fn owner() -> Value {
    let fields = json!({
        "owner": text("Its name."),
        "rate_limit": or_null("The limit over all of its keys; null for none.", "RateLimitSpec"),
        "generation": whole("Position of its last change in the change log; 0 where it never changed."),
        "propagated": yes_or_no(PROPAGATED),
    });
    answer("A tenant.", &["owner", "rate_limit", "generation"], fields)
}

fn revoked_keys() -> Value {
    let fields = json!({
        "owner": text("The owner."),
        "revoked": whole("Keys that this call revoked."),
        "propagated": yes_or_no(
            "Whether every fence was raised at once. False means that nodes learn of the rest from the change log, within seconds.",
        ),
    });
    answer("How many keys were revoked.", &["owner", "revoked", "propagated"], fields)
}
