//! OTLP as JSON (`ExportTraceServiceRequest` of opentelemetry-proto 1, in the JSON mapping of the
//! protocol: ids in hex, 64-bit numbers as text, enums as numbers).

use std::{borrow::Cow, time::SystemTime};

use serde::Serialize;

use super::{Attribute, FinishedSpan, SpanKind};
use crate::scrub;

/// `STATUS_CODE_ERROR`.
const ERROR: u8 = 2;
/// Bit 0 of a span's flags, as in `traceparent`.
const SAMPLED: u32 = 1;

/// Who sends the spans.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// What sort of program: `service.name`.
    pub service: &'static str,
    /// Which one, such as a node's name: `service.instance.id`.
    pub instance: String,
    /// Its version: `service.version`.
    pub version: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Export<'a> {
    resource_spans: [ResourceSpans<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResourceSpans<'a> {
    resource: Attributes<'a>,
    scope_spans: [ScopeSpans<'a>; 1],
}

#[derive(Serialize)]
struct Attributes<'a> {
    attributes: Vec<KeyValue<'a>>,
}

#[derive(Serialize)]
struct ScopeSpans<'a> {
    scope: Scope,
    spans: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Scope {
    name: &'static str,
    version: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    trace_id: String,
    span_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_span_id: Option<String>,
    flags: u32,
    name: &'a str,
    kind: u8,
    start_time_unix_nano: String,
    end_time_unix_nano: String,
    attributes: Vec<KeyValue<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
}

#[derive(Serialize)]
struct Status {
    code: u8,
}

#[derive(Serialize)]
struct KeyValue<'a> {
    key: &'a str,
    value: Value<'a>,
}

#[derive(Serialize)]
enum Value<'a> {
    #[serde(rename = "stringValue")]
    Text(Cow<'a, str>),
    #[serde(rename = "intValue")]
    Whole(String),
}

/// The body of one call to a collector's `/v1/traces`.
pub fn to_otlp_json(resource: &Resource, spans: &[FinishedSpan]) -> Vec<u8> {
    let attributes = vec![
        text("service.name", resource.service),
        text("service.version", resource.version),
        text("service.instance.id", &resource.instance),
    ];
    let scope = Scope { name: "tollgate", version: resource.version };
    let scope_spans = [ScopeSpans { scope, spans: spans.iter().map(written).collect() }];
    let export = Export { resource_spans: [ResourceSpans { resource: Attributes { attributes }, scope_spans }] };
    // Plain data: it can always be written.
    serde_json::to_vec(&export).unwrap_or_default()
}

fn written(span: &FinishedSpan) -> Entry<'_> {
    let attributes = span.attributes.iter().map(|(key, value)| match value {
        Attribute::Text(given) => text(key, given),
        Attribute::Whole(number) => KeyValue { key, value: Value::Whole(number.to_string()) },
    });
    Entry {
        trace_id: span.context.trace_id.to_string(),
        span_id: span.context.span_id.to_string(),
        parent_span_id: span.parent.map(|parent| parent.to_string()),
        flags: SAMPLED,
        name: &span.name,
        kind: number_of(span.kind),
        start_time_unix_nano: unix_nanos(span.began),
        end_time_unix_nano: unix_nanos(span.ended.max(span.began)),
        attributes: attributes.collect(),
        status: span.is_failure.then_some(Status { code: ERROR }),
    }
}

/// The number of `SpanKind` of the protocol.
fn number_of(kind: SpanKind) -> u8 {
    match kind {
        SpanKind::Internal => 1,
        SpanKind::Server => 2,
        SpanKind::Client => 3,
    }
}

/// A text goes through the same net as a line of the log: a caller may have put a credential anywhere.
fn text<'a>(key: &'a str, given: &'a str) -> KeyValue<'a> {
    KeyValue { key, value: Value::Text(scrub(given)) }
}

fn unix_nanos(at: SystemTime) -> String {
    at.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_nanos()).to_string()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{SpanId, TraceContext, TraceId};

    #[test]
    fn a_span_is_written_as_the_protocol_has_it() {
        let began = SystemTime::UNIX_EPOCH + Duration::from_nanos(1_700_000_000_000_000_001);
        let span = FinishedSpan {
            context: TraceContext { trace_id: TraceId::of_bits(0xa1), span_id: SpanId::of_bits(0xb2), is_sampled: true },
            parent: Some(SpanId::of_bits(0xc3)),
            name: "GET /v1/authorize".to_owned(),
            kind: SpanKind::Server,
            began,
            ended: began + Duration::from_micros(7),
            is_failure: true,
            attributes: vec![
                ("http.response.status_code", Attribute::Whole(503)),
                ("tollgate.request_id", Attribute::Text("\"x\"".to_owned())),
            ],
        };
        let plain = FinishedSpan { parent: None, is_failure: false, attributes: Vec::new(), ..span.clone() };
        let resource = Resource { service: "tollgate", instance: "here:1".to_owned(), version: "1.2.3" };
        let written: serde_json::Value = serde_json::from_slice(&to_otlp_json(&resource, &[span, plain])).expect("JSON");
        let common = serde_json::json!({
            "traceId": "000000000000000000000000000000a1",
            "spanId": "00000000000000b2",
            "flags": 1,
            "name": "GET /v1/authorize",
            "kind": 2,
            "startTimeUnixNano": "1700000000000000001",
            "endTimeUnixNano": "1700000000000007001",
            "attributes": [],
        });
        let mut first = common.clone();
        first["parentSpanId"] = "00000000000000c3".into();
        first["status"] = serde_json::json!({"code": 2});
        first["attributes"] = serde_json::json!([
            {"key": "http.response.status_code", "value": {"intValue": "503"}},
            {"key": "tollgate.request_id", "value": {"stringValue": "\"x\""}},
        ]);
        let expected = serde_json::json!({"resourceSpans": [{
            "resource": {"attributes": [
                {"key": "service.name", "value": {"stringValue": "tollgate"}},
                {"key": "service.version", "value": {"stringValue": "1.2.3"}},
                {"key": "service.instance.id", "value": {"stringValue": "here:1"}},
            ]},
            "scopeSpans": [{"scope": {"name": "tollgate", "version": "1.2.3"}, "spans": [first, common]}],
        }]});
        assert_eq!(written, expected);
    }

    #[test]
    fn a_credential_in_an_attribute_is_not_sent() {
        let context = TraceContext { trace_id: TraceId::of_bits(1), span_id: SpanId::of_bits(2), is_sampled: true };
        let attributes = ["tk_01:tks_hunter2", "tk_01:tku_hunter2", "redis://u:hunter2@h"];
        let attributes = attributes.map(|id| ("tollgate.request_id", Attribute::Text(id.to_owned()))).to_vec();
        let (began, name) = (SystemTime::UNIX_EPOCH, "GET /x".to_owned());
        let span = FinishedSpan { context, parent: None, name, began, ended: began, kind: SpanKind::Server, is_failure: false, attributes };
        let resource = Resource { service: "tollgate", instance: "here:1".to_owned(), version: "1.2.3" };
        let written = String::from_utf8(to_otlp_json(&resource, &[span])).expect("text");
        assert!(!written.contains("hunter2") && written.contains("tk_01:tks_***"), "{written}");
    }
}
