//! What keys were used for.

use super::{Answer, Body, Content, Method, Needs, Operation};
use crate::openapi::parameters::{KEY_ID, OWNER_FILTER, TOP_COUNT, TOP_WINDOW, USAGE_STEP};

const TAG: &str = "Usage";
const READ: Needs = Needs::Scope("usage:read");

pub(super) const CALLS: &[Operation] = &[
    Operation {
        tag: TAG,
        path: "/v1/keys/{key_id}/usage",
        method: Method::Get,
        id: "showKeyUsage",
        summary: "What a key was used for lately",
        about: "Counts of decisions, peeks left out, as all nodes have told them: usage.flush_interval ago at most. Nothing decides by them.",
        needs: READ,
        parameters: &[KEY_ID, USAGE_STEP],
        body: Body::Ignored,
        answers: &[Answer { status: 200, about: "Totals and a series.", content: Content::Json("KeyUsage"), headers: &[] }],
        problems: &[404],
    },
    Operation {
        tag: TAG,
        path: "/v1/usage/top",
        method: Method::Get,
        id: "listTopUsage",
        summary: "The keys that limits have refused most",
        about: "From summaries of bounded size: each figure comes with its bounds. A key with an owner sees that owner's keys.",
        needs: READ,
        parameters: &[OWNER_FILTER, TOP_WINDOW, TOP_COUNT],
        body: Body::Ignored,
        answers: &[Answer { status: 200, about: "The most limited first.", content: Content::Json("TopUsage"), headers: &[] }],
        problems: &[422],
    },
];
