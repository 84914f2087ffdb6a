//! The data plane.

use super::{Answer, Body, Content, Method, Needs, Operation};
use crate::openapi::parameters::{COST, LIMITED_STATUS, REST, SCOPE};

const TAG: &str = "Decisions";
const IDENTITY: &[&str] = &["X-Tollgate-Key-Id", "X-Tollgate-Owner", "X-Tollgate-Scopes"];
const MAY_PASS: Answer = Answer { status: 200, about: "It may pass, and was charged.", content: Content::Nothing, headers: IDENTITY };

pub(super) const CALLS: &[Operation] = &[
    Operation {
        tag: TAG,
        path: "/v1/authorize",
        method: Method::Any,
        id: "authorize",
        summary: "Forward authentication: may this request pass?",
        about: "Any method. The caller's own credential, in the headers. The three X-Tollgate headers are always there, empty where there is nothing to say.",
        needs: Needs::Key,
        parameters: &[COST, SCOPE, LIMITED_STATUS],
        body: Body::Ignored,
        answers: &[MAY_PASS],
        problems: &[422],
    },
    Operation {
        tag: TAG,
        path: "/v1/authorize/{rest}",
        method: Method::Any,
        id: "authorizeForwarded",
        summary: "The same for gateways that append their client's path",
        about: "Any method. Path and query are those of somebody's client and are ignored; the rest may be empty and may hold slashes. Cost and scope come from the headers that the settings forward_auth.cost_header and forward_auth.scope_header name, by default from none.",
        needs: Needs::Key,
        parameters: &[REST],
        body: Body::Ignored,
        answers: &[MAY_PASS],
        problems: &[422],
    },
    Operation {
        tag: TAG,
        path: "/v1/check",
        method: Method::Post,
        id: "check",
        summary: "The same as data, for back ends",
        about: "All fields may be left out, and so may the body. The key to check is in the body, or it is the caller's own in the headers, never both; without any the verdict is denied. A key that was verified is charged, unless it is a peek.",
        needs: Needs::KeyAnywhere,
        parameters: &[],
        body: Body::Optional("CheckBody"),
        answers: &[Answer { status: 200, about: "Any verdict.", content: Content::Json("CheckAnswer"), headers: &[] }],
        problems: &[],
    },
    Operation {
        tag: TAG,
        path: "/v1/limit",
        method: Method::Post,
        id: "limit",
        summary: "Limit anything that has a name",
        about: "Costs the caller's key one token. The figures of the answer are the named thing's; key_id, owner and the headers are the caller's.",
        needs: Needs::Scope("limit:write"),
        parameters: &[],
        body: Body::Required("LimitBody"),
        answers: &[Answer { status: 200, about: "Allowed or limited.", content: Content::Json("CheckAnswer"), headers: &[] }],
        problems: &[],
    },
];
