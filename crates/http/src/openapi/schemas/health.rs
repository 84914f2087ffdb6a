//! Health.

use serde_json::{Map, Value, json};

use super::{answer, instant, list, named, of, text, whole, word, yes_or_no};

const COMPONENTS: &[&str] = &[
    "redis",
    "postgres",
    "key_file",
    "pubsub",
    "bloom_filter",
    "argon2_pool",
    "change_log_rewound",
    "untrusted_forwarder",
    "redis_eviction",
    "redis_state_lost",
    "clock_skew",
    "unlimited_keys",
];

pub(super) fn all() -> Map<String, Value> {
    named([
        ("Liveness", answer("A sign of life.", &["live"], json!({"live": {"const": true, "description": "The process answers."}}))),
        ("Component", word("A part of a node, something it depends on, or a guard rail.", COMPONENTS)),
        (
            "ComponentState",
            word("How it is: as it should be; working, but somebody should look; not working.", &["ok", "degraded", "down"]),
        ),
        (
            "ComponentHealth",
            answer(
                "One of them, and why it is as it is.",
                &["component", "state"],
                json!({
                    "component": of("Component"),
                    "state": of("ComponentState"),
                    "reason": text("Why, where it is not ok, and what to do."),
                    "since": instant("Since when, by this node's clock."),
                }),
            ),
        ),
        ("Readiness", answer("Whether this node should be sent requests.", &["ready", "components"], readiness_fields())),
        (
            "DecisionFigures",
            answer(
                "Decisions by verdict.",
                &["allowed", "limited", "denied"],
                json!({
                    "allowed": whole("Might pass."),
                    "limited": whole("Refused by a rate limit."),
                    "denied": whole("Refused for the credential or its scope."),
                }),
            ),
        ),
        ("NodeFigures", node_figures()),
        ("FullHealth", full_health()),
        (
            "OpenApi",
            answer(
                "An OpenAPI document.",
                &["openapi", "info", "paths", "components"],
                json!({
                    "openapi": {"const": "3.1.0"},
                    "info": {"type": "object"},
                    "paths": {"type": "object"},
                    "components": {"type": "object"},
                }),
            ),
        ),
    ])
}

fn readiness_fields() -> Value {
    json!({
        "ready": yes_or_no("Whether it should."),
        "reason": text("Why not, where it should not."),
        "components": list("Its parts, and the guard rails that are on.", &of("ComponentHealth")),
    })
}

fn node_figures() -> Value {
    let fields = json!({
        "nodes": whole("Nodes that were seen alive, this one included."),
        "change_log_position": whole("The position of the change log that this node has applied."),
        "change_log_age_ms": whole("Milliseconds since the log was last read to its head; absent before it ever was."),
        "decisions": of("DecisionFigures"),
        "in_outage": yes_or_no("Whether decisions are made without Redis now."),
        "unlimited_keys": list("Keys that may be used and have no rate limit of their own, at most 100 of them.", &text("A key id.")),
    });
    answer("What a node holds and knows.", &["nodes", "change_log_position", "decisions", "in_outage", "unlimited_keys"], fields)
}

fn full_health() -> Value {
    let mut fields = readiness_fields();
    if let Some(fields) = fields.as_object_mut() {
        fields.insert("guard_rails".to_owned(), list("All guard rails: degraded is on, ok is off.", &of("ComponentHealth")));
        fields.insert("figures".to_owned(), of("NodeFigures"));
        fields.insert("node".to_owned(), text("This node's name."));
        fields.insert("version".to_owned(), text("This node's version."));
    }
    answer("How a node is.", &["ready", "components", "guard_rails", "figures", "node", "version"], fields)
}
