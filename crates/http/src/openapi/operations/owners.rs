//! Owners.

use super::{Answer, Body, Content, Method, Needs, Operation};
use crate::openapi::parameters::OWNER;

const TAG: &str = "Owners";

pub(super) const CALLS: &[Operation] = &[
    Operation {
        tag: TAG,
        path: "/v1/owners/{owner}",
        method: Method::Get,
        id: "showOwner",
        summary: "Show an owner",
        about: "",
        needs: Needs::Scope("keys:read"),
        parameters: &[OWNER],
        body: Body::Ignored,
        answers: &[Answer { status: 200, about: "The owner.", content: Content::Json("Owner"), headers: &[] }],
        problems: &[404],
    },
    Operation {
        tag: TAG,
        path: "/v1/owners/{owner}",
        method: Method::Put,
        id: "putOwner",
        summary: "Set the limit over all keys of an owner",
        about: "null for none.",
        needs: Needs::Scope("owners:write"),
        parameters: &[OWNER],
        body: Body::Required("PutOwnerBody"),
        answers: &[Answer { status: 200, about: "The owner as it is now.", content: Content::Json("Owner"), headers: &[] }],
        problems: &[404],
    },
    Operation {
        tag: TAG,
        path: "/v1/owners/{owner}/revoke-keys",
        method: Method::Post,
        id: "revokeKeysOfOwner",
        summary: "Revoke all keys of an owner, for ever",
        about: "",
        needs: Needs::Scope("keys:write"),
        parameters: &[OWNER],
        body: Body::Optional("RevokeKeyBody"),
        answers: &[Answer { status: 200, about: "How many keys this call revoked.", content: Content::Json("RevokedKeys"), headers: &[] }],
        problems: &[404],
    },
];
