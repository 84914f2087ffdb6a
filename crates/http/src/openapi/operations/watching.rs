//! What operators look at: who changed what.

use super::{Answer, Body, Content, Method, Needs, Operation};
use crate::openapi::parameters::{AUDIT_CURSOR, KEY_FILTER, OWNER_FILTER, PAGE_SIZE};

const TAG: &str = "Watching";

pub(super) const CALLS: &[Operation] = &[Operation {
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
}];
