//! Health, and this document.

use super::{Answer, Body, Content, Method, Needs, Operation};

const HEALTH: &str = "Health";
const DOCUMENTS: &str = "Documents";

/// A call that anybody may make, without any parameter.
const fn open(tag: &'static str, path: &'static str, id: &'static str, summary: &'static str, answers: &'static [Answer]) -> Operation {
    Operation {
        tag,
        path,
        method: Method::Get,
        id,
        summary,
        about: "",
        needs: Needs::Nothing,
        parameters: &[],
        body: Body::Ignored,
        answers,
        problems: &[],
    }
}

pub(super) const CALLS: &[Operation] = &[
    open(
        HEALTH,
        "/health/live",
        "live",
        "Whether the process answers",
        &[Answer { status: 200, about: "It does.", content: Content::Json("Liveness"), headers: &[] }],
    ),
    open(
        HEALTH,
        "/health/ready",
        "ready",
        "Whether a balancer should send requests here",
        &[
            Answer { status: 200, about: "It should.", content: Content::Json("Readiness"), headers: &[] },
            Answer {
                status: 503,
                about: "It should not; reason says why. This is no problem document.",
                content: Content::Json("Readiness"),
                headers: &[],
            },
        ],
    ),
    Operation {
        tag: HEALTH,
        path: "/health/full",
        method: Method::Get,
        id: "health",
        summary: "How this node and what it depends on are",
        about: "Always 200, also while something is down.",
        needs: Needs::Scope("health:read"),
        parameters: &[],
        body: Body::Ignored,
        answers: &[Answer { status: 200, about: "Parts, guard rails, figures.", content: Content::Json("FullHealth"), headers: &[] }],
        problems: &[],
    },
    open(
        DOCUMENTS,
        "/openapi.json",
        "openapi",
        "This document, for machines",
        &[Answer { status: 200, about: "OpenAPI 3.1.", content: Content::Json("OpenApi"), headers: &[] }],
    ),
    open(
        DOCUMENTS,
        "/docs",
        "docs",
        "This document, for people",
        &[Answer {
            status: 200,
            about: "One page that loads nothing.",
            content: Content::Text("text/html; charset=utf-8"),
            headers: &["Content-Security-Policy"],
        }],
    ),
];
