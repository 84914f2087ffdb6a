//! What operators look at: who changed what, and what is going on.

use super::{Answer, Body, Content, Method, Needs, Operation};
use crate::openapi::parameters::{AUDIT_CURSOR, KEY_FILTER, LAST_EVENT_ID, OWNER_FILTER, PAGE_SIZE};

const TAG: &str = "Watching";

pub(super) const CALLS: &[Operation] = &[AUDIT, EVENTS, NODES];

const AUDIT: Operation = Operation {
    tag: TAG,
    path: "/v1/audit",
    method: Method::Get,
    id: "listAudit",
    summary: "Who changed what, newest first",
    about: "A key with an owner sees what concerns that owner and its keys.",
    needs: Needs::Scope("events:read"),
    parameters: &[OWNER_FILTER, KEY_FILTER, AUDIT_CURSOR, PAGE_SIZE],
    body: Body::Ignored,
    answers: &[Answer { status: 200, about: "A page of changes.", content: Content::Json("AuditPage"), headers: &[] }],
    problems: &[422],
};

const EVENTS: Operation = Operation {
    tag: TAG,
    path: "/v1/events",
    method: Method::Get,
    id: "events",
    summary: "Changes of keys and of health as they happen",
    about: "Server-sent events, without an end; the book tells their types. A key with an owner is told of that owner's changes.",
    needs: Needs::Scope("events:read"),
    parameters: &[LAST_EVENT_ID],
    body: Body::Ignored,
    answers: &[Answer {
        status: 200,
        about: "A stream. Ids are L and a position of the change log, and are good at any node.",
        content: Content::Text("text/event-stream"),
        headers: &["X-Accel-Buffering"],
    }],
    problems: &[],
};

const NODES: Operation = Operation {
    tag: TAG,
    path: "/v1/nodes",
    method: Method::Get,
    id: "listNodes",
    summary: "The nodes that serve together, and how each is",
    about: "For keys without an owner. A node that has gone leaves the list after outage.nodes_ttl.",
    needs: Needs::Scope("events:read"),
    parameters: &[],
    body: Body::Ignored,
    answers: &[Answer { status: 200, about: "All nodes, by name.", content: Content::Json("NodeList"), headers: &[] }],
    problems: &[],
};
