//! Keys.

use super::{Answer, Body, Content, Method, Needs, Operation};
use crate::openapi::parameters::{IDEMPOTENCY_KEY, IF_MATCH, KEY_CURSOR, KEY_ID, OWNER_FILTER, PAGE_SIZE, STATUS};

const TAG: &str = "Keys";
const READ: Needs = Needs::Scope("keys:read");
const WRITE: Needs = Needs::Scope("keys:write");
const NOW: Answer = Answer { status: 200, about: "The key as it is now.", content: Content::Json("Key"), headers: &["ETag"] };

/// What calls that change a key in one way have in common.
const fn change(path: &'static str, id: &'static str, summary: &'static str, about: &'static str, body: Body) -> Operation {
    Operation {
        tag: TAG,
        path,
        method: Method::Post,
        id,
        summary,
        about,
        needs: WRITE,
        parameters: &[KEY_ID],
        body,
        answers: &[NOW],
        problems: &[404, 409],
    }
}

pub(super) const CALLS: &[Operation] = &[
    Operation {
        tag: TAG,
        path: "/v1/keys",
        method: Method::Post,
        id: "createKey",
        summary: "Make a key",
        about: "The api key is shown this once. A key without a limit, and one with an outage mode of its own, need the scope owners:write. Nobody grants a scope that he lacks.",
        needs: WRITE,
        parameters: &[IDEMPOTENCY_KEY],
        body: Body::Required("CreateKeyBody"),
        answers: &[
            Answer { status: 201, about: "Made.", content: Content::Json("CreatedKey"), headers: &["Location", "ETag"] },
            Answer {
                status: 200,
                about: "An earlier call under the same Idempotency-Key made it: nothing was made now, and api_key is null.",
                content: Content::Json("CreatedKey"),
                headers: &["Location", "ETag"],
            },
        ],
        problems: &[409],
    },
    Operation {
        tag: TAG,
        path: "/v1/keys",
        method: Method::Get,
        id: "listKeys",
        summary: "List keys",
        about: "In order of their ids. A key with an owner sees that owner's keys.",
        needs: READ,
        parameters: &[OWNER_FILTER, STATUS, KEY_CURSOR, PAGE_SIZE],
        body: Body::Ignored,
        answers: &[Answer { status: 200, about: "A page of keys.", content: Content::Json("KeyPage"), headers: &[] }],
        problems: &[422],
    },
    Operation {
        tag: TAG,
        path: "/v1/keys/{key_id}",
        method: Method::Get,
        id: "showKey",
        summary: "Show a key",
        about: "ETag is its generation.",
        needs: READ,
        parameters: &[KEY_ID],
        body: Body::Ignored,
        answers: &[NOW],
        problems: &[404],
    },
    Operation {
        tag: TAG,
        path: "/v1/keys/{key_id}",
        method: Method::Patch,
        id: "updateKey",
        summary: "Change a key",
        about: "What is absent stays; null takes a limit, an expiry or an outage mode away.",
        needs: WRITE,
        parameters: &[KEY_ID, IF_MATCH],
        body: Body::Required("PatchKeyBody"),
        answers: &[NOW],
        problems: &[404, 409, 412],
    },
    Operation {
        tag: TAG,
        path: "/v1/keys/{key_id}/rotate",
        method: Method::Post,
        id: "rotateKey",
        summary: "Make another secret for a key",
        about: "The new api key is shown this once; the secret before stays good for a while.",
        needs: WRITE,
        parameters: &[KEY_ID, IDEMPOTENCY_KEY],
        body: Body::Optional("RotateKeyBody"),
        answers: &[Answer {
            status: 200,
            about: "The key with its new api key; without one where an earlier call under the same Idempotency-Key did it.",
            content: Content::Json("CreatedKey"),
            headers: &["ETag"],
        }],
        problems: &[404, 409],
    },
    change("/v1/keys/{key_id}/suspend", "suspendKey", "Take a key out of use until it is resumed", "", Body::Empty),
    change("/v1/keys/{key_id}/resume", "resumeKey", "Take a suspended key into use again", "", Body::Empty),
    change("/v1/keys/{key_id}/reset", "resetKey", "Make a key's buckets full", "", Body::Empty),
    change(
        "/v1/keys/{key_id}/revoke",
        "revokeKey",
        "Revoke a key, for ever",
        "A second time changes nothing.",
        Body::Optional("RevokeKeyBody"),
    ),
];
