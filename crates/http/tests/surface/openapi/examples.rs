//! One example of every type of the wire with all of its fields, written without `..`, so that a new
//! field does not compile until it is here, and is not accepted until it is in the document.

use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use tollgate_api::{
    AuditEntry, AuditPage, CheckAnswer, CheckBody, Component, ComponentHealth, ComponentState, CreateKeyBody, CreatedKey, DecisionFigures,
    FilterFigures, Key, KeyKindName, KeyPage, KeyStatus, KeyUsage, LimitBody, LimitStanding, LimitedKey, NamedRateLimitFields, NodeFigures,
    NodeList, NodeStatus, OutageModeName, Owner, Patch, PatchKeyBody, Problem, PutOwnerBody, RateLimitFields, RateLimitSpec, Readiness,
    RevokeKeyBody, RevokedKeys, Rfc3339, RotateKeyBody, TopUsage, TopWindow, UsageFigures, UsagePoint, UsageStep, UsageWindow,
    UsageWindows, VerdictName,
};

use super::told::Told;

fn text(text: &str) -> String {
    text.to_owned()
}

fn one() -> RateLimitSpec {
    RateLimitSpec::One(RateLimitFields { burst: 100, per_seconds: 60 })
}

fn many() -> RateLimitSpec {
    RateLimitSpec::Many(vec![NamedRateLimitFields { name: text("second"), burst: 10, per_seconds: 1 }])
}

fn metadata() -> Map<String, Value> {
    json!({"team": "billing", "deep": {"er": [1, null]}}).as_object().expect("an object").clone()
}

const NOW: OffsetDateTime = time::macros::datetime!(2027-01-02 03:04:05.678 UTC);

fn key() -> Key {
    Key {
        key_id: text("tk_01k9q3m4n5p6q7r8s9t0v1w2x3"),
        name: text("billing"),
        owner: Some(text("acme")),
        kind: KeyKindName::Signed,
        status: KeyStatus::Revoked,
        scopes: vec![text("orders:read")],
        rate_limit: Some(many()),
        generation: 17,
        created_at: NOW,
        expires_at: Some(NOW),
        previous_secret_until: Some(NOW),
        last_used_at: Some(NOW),
        revoked_at: Some(NOW),
        revoke_reason: Some(text("left")),
        metadata: metadata(),
        outage_mode: Some(OutageModeName::Open),
        propagated: Some(true),
    }
}

fn least_key() -> Key {
    Key {
        owner: None,
        scopes: Vec::new(),
        rate_limit: None,
        expires_at: None,
        previous_secret_until: None,
        last_used_at: None,
        revoked_at: None,
        revoke_reason: None,
        metadata: Map::new(),
        outage_mode: None,
        propagated: None,
        ..key()
    }
}

#[tokio::test]
async fn bodies_that_are_sent_are_read_as_the_document_says() {
    let told = Told::start().await;
    let check = CheckBody { api_key: Some("a:b".into()), cost: Some(5), scope: Some(text("a:b")), peek: true };
    told.sent("CheckBody", &check);
    let limit = |rate_limit| LimitBody { namespace: text("login"), id: text("me"), rate_limit, cost: Some(1), peek: true };
    told.sent("LimitBody", &limit(one()));
    told.sent("LimitBody", &limit(many()));
    let create = CreateKeyBody {
        name: text("billing"),
        owner: Some(text("acme")),
        scopes: vec![text("orders:read")],
        rate_limit: Patch::Set(one()),
        expires_at: Some(NOW),
        metadata: metadata(),
        outage_mode: Some(OutageModeName::Closed),
        kind: Some(KeyKindName::Unsigned),
    };
    told.sent("CreateKeyBody", &create);
    let patch = PatchKeyBody {
        name: Some(text("billing")),
        scopes: Some(vec![text("orders:read")]),
        rate_limit: Patch::Set(many()),
        expires_at: Patch::Set(Rfc3339(NOW)),
        metadata: Some(metadata()),
        outage_mode: Patch::Set(OutageModeName::Local),
    };
    told.sent("PatchKeyBody", &patch);
    told.sent("RotateKeyBody", &RotateKeyBody { grace_seconds: Some(60), kind: Some(KeyKindName::Signed) });
    told.sent("RevokeKeyBody", &RevokeKeyBody { reason: Some(text("left")) });
    told.sent("PutOwnerBody", &PutOwnerBody { rate_limit: Some(one()) });
    told.sent("RateLimit", &RateLimitFields { burst: 1, per_seconds: 1 });
    told.sent("NamedRateLimit", &NamedRateLimitFields { name: text("day"), burst: 1, per_seconds: 1 });
}

#[tokio::test]
async fn keys_and_owners_are_told_as_the_document_says() {
    let told = Told::start().await;
    told.answer("Key", &key(), &least_key());
    let created = |key, api_key, replayed| CreatedKey { api_key, replayed, key };
    told.answer("CreatedKey", &created(key(), Some(text("a:b")), true), &created(least_key(), None, false));
    let page = KeyPage { keys: vec![key(), least_key()], next_cursor: Some(text("k")) };
    told.answer("KeyPage", &page, &KeyPage { keys: Vec::new(), next_cursor: None });
    let owner = |rate_limit, propagated| Owner { owner: text("acme"), rate_limit, generation: 0, propagated };
    told.answer("Owner", &owner(Some(one()), Some(false)), &owner(None, None));
    let revoked = RevokedKeys { owner: text("acme"), revoked: 3, propagated: false };
    told.answer("RevokedKeys", &revoked, &revoked);
    told.words::<KeyKindName>("KeyKind");
    told.words::<KeyStatus>("KeyStatus");
    told.words::<OutageModeName>("OutageMode");
}

#[tokio::test]
async fn verdicts_problems_and_the_audit_log_are_told_as_the_document_says() {
    let told = Told::start().await;
    let standing = LimitStanding { name: text("key"), burst: 1, per_seconds: 1, remaining: 0, retry_after_ms: 1000, reset_after_ms: 1000 };
    told.answer("LimitStanding", &standing, &standing);
    let verdict = CheckAnswer {
        verdict: VerdictName::Limited,
        code: text("limited"),
        limit: Some(text("key")),
        key_id: Some(text("k")),
        owner: Some(text("acme")),
        remaining: Some(0),
        retry_after_ms: Some(1000),
        reset_after_ms: Some(1000),
        limits: vec![standing],
    };
    let denied = CheckAnswer {
        verdict: VerdictName::Denied,
        code: text("unauthenticated"),
        limit: None,
        key_id: None,
        owner: None,
        remaining: None,
        retry_after_ms: None,
        reset_after_ms: None,
        limits: Vec::new(),
    };
    told.answer("CheckAnswer", &verdict, &denied);
    let problem = Problem {
        kind: text("https://iana.org/assignments/http-problem-types#quota-exceeded"),
        title: text("Rate limited"),
        status: 429,
        detail: text("later"),
        instance: text("/v1/authorize"),
        request_id: text("r"),
        pointer: Some(text("/cost")),
        violated_policies: vec![text("key")],
        retry_after_ms: Some(1),
    };
    let least = Problem { pointer: None, violated_policies: Vec::new(), retry_after_ms: None, ..problem.clone() };
    told.answer("Problem", &problem, &least);
    let entry = AuditEntry {
        position: 1,
        at: NOW,
        actor: text("bootstrap"),
        action: text("keys.create"),
        key_id: Some(text("k")),
        owner: None,
        request_id: text("r"),
        detail: metadata(),
    };
    told.answer("AuditEntry", &entry, &entry);
    let page = AuditPage { entries: vec![entry], next_cursor: Some(text("1")) };
    told.answer("AuditPage", &page, &AuditPage { entries: Vec::new(), next_cursor: None });
}

#[tokio::test]
async fn health_is_told_as_the_document_says() {
    let told = Told::start().await;
    told.words::<Component>("Component");
    told.words::<ComponentState>("ComponentState");
    let (component, state) = (Component::Redis, ComponentState::Down);
    let health = ComponentHealth { component, state, reason: Some(text("gone")), since: Some(Rfc3339(NOW)) };
    let well = ComponentHealth { component, state: ComponentState::Ok, reason: None, since: None };
    told.answer("ComponentHealth", &health, &well);
    let readiness = Readiness { ready: false, reason: Some(text("stopping")), components: vec![health] };
    told.answer("Readiness", &readiness, &Readiness { ready: true, reason: None, components: Vec::new() });
    let decisions = DecisionFigures { allowed: 1, limited: 2, denied: 3 };
    told.answer("DecisionFigures", &decisions, &decisions);
    let figures = NodeFigures {
        nodes: 1,
        change_log_position: 1,
        change_log_age_ms: Some(1),
        decisions,
        in_outage: false,
        unlimited_keys: vec![text("k")],
    };
    told.answer("NodeFigures", &figures, &NodeFigures { change_log_age_ms: None, unlimited_keys: Vec::new(), ..figures.clone() });
}

#[tokio::test]
async fn nodes_are_told_as_the_document_says() {
    let told = Told::start().await;
    let filter = FilterFigures { keys: 1, bytes: 2, built_at: Some(Rfc3339(NOW)) };
    told.answer("FilterFigures", &filter, &FilterFigures { built_at: None, ..filter });
    let node = NodeStatus {
        id: text("00"),
        node: text("host:8080"),
        version: text("1.2.3"),
        mode: text("cluster"),
        started_at: Rfc3339(NOW),
        uptime_seconds: 1,
        seen_at: Rfc3339(NOW),
        ready: true,
        outage_mode: OutageModeName::Local,
        in_outage: false,
        change_log_position: 7,
        change_log_lag: 0,
        change_log_age_ms: Some(5),
        bloom_filter: filter,
        troubles: vec![Component::Redis],
    };
    told.answer("NodeStatus", &node, &NodeStatus { change_log_age_ms: None, troubles: Vec::new(), ..node.clone() });
    told.answer("NodeList", &NodeList { nodes: vec![node], complete: true }, &NodeList { nodes: Vec::new(), complete: false });
}

#[tokio::test]
async fn usage_is_told_as_the_document_says() {
    let told = Told::start().await;
    let figures = UsageFigures { allowed: 1, limited: 2, denied: 3, cost: 4 };
    let (window, point) = (UsageWindow { from: NOW, figures }, UsagePoint { at: NOW, figures });
    told.answer("UsageWindow", &window, &window);
    told.answer("UsagePoint", &point, &point);
    let windows = UsageWindows { minute: window, hour: window, day: window };
    told.answer("UsageWindows", &windows, &windows);
    let usage = KeyUsage {
        key_id: text("k"),
        owner: Some(text("acme")),
        last_used_at: Some(NOW),
        as_of: NOW,
        windows,
        step: UsageStep::Minute,
        series: vec![point],
    };
    told.answer("KeyUsage", &usage, &KeyUsage { owner: None, last_used_at: None, series: Vec::new(), ..usage.clone() });
    let key = LimitedKey { key_id: text("k"), owner: None, limited_at_least: 1, limited_at_most: 2 };
    told.answer("LimitedKey", &key, &key);
    let top = TopUsage {
        window: TopWindow::Hour,
        from: NOW,
        as_of: NOW,
        owner: Some(text("acme")),
        limited: 3,
        keys: vec![key],
        others_limited_at_most: 0,
        complete: false,
    };
    told.answer("TopUsage", &top, &TopUsage { owner: None, keys: Vec::new(), ..top.clone() });
    told.words::<UsageStep>("UsageStep");
    told.words::<TopWindow>("TopWindow");
}
