//! What a client's calls are logged under.

use std::{
    fmt::Write as _,
    sync::{Arc, Mutex},
};

use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};

use super::*;

/// Notes every span that is opened: its name and fields.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<String>>>);

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string cannot fail.
        write!(self.0, " {}={value:?}", field.name()).unwrap_or_default();
    }
}

impl Subscriber for Notes {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_span()
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut text = Text(span.metadata().name().to_owned());
        span.record(&mut text);
        self.0.lock().expect("no panic").push(text.0);
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[tokio::test]
async fn a_call_is_logged_in_the_span_that_the_server_uses() {
    let notes = Notes::default();
    let _guard = tracing::subscriber::set_default(notes.clone());
    let credential = Credential::parse("mine:open-sesame").expect("a credential");
    let options = ClientOptions { retry: RetryPolicy::never(), ..ClientOptions::default() };
    // Nobody can listen on port 0.
    let client = Client::with_options("http://127.0.0.1:0", Some(credential), &options).expect("a client");
    let id = RequestId::parse("my-request").expect("an id");
    let trace = id.begin_trace();
    client.with_request_id(id).with_trace(trace).live().await.expect_err("nobody is there");
    let mut seen = notes.0.lock().expect("no panic").clone();
    seen.retain(|span| span.contains("request_id"));
    tollgate_telemetry::request_span("my-request", Some(&trace.trace_id));
    let of_server = notes.0.lock().expect("no panic").last().cloned();
    assert_eq!(seen.first(), of_server.as_ref(), "{seen:?}");
    assert!(seen.first().is_some_and(|span| span.contains(&trace.trace_id.to_string())), "{seen:?}");
    assert!(!seen.iter().any(|span| span.contains("sesame")), "{seen:?}");
}
