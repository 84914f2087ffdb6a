//! What one run of a command goes by: its request id, and the trace that all it does is part of.
//!
//! Where the environment names a collector, the command sends it a span of its own: the parent of the
//! spans of the nodes that it has asked.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tollgate_client::{Collector, RequestId, TraceContext};
use tollgate_telemetry::{Attribute, FinishedSpan, Resource, SpanKind, Steps, to_otlp_json};

use crate::{
    cli::{Command, Global, KeysCommand},
    collector,
    exit::{Exit, Failure},
    output::Output,
};

/// The same as for nodes.
const ENDPOINT: &str = "TOLLGATE_TELEMETRY__OTLP_ENDPOINT";
/// How long a command may last longer for its span's sake.
const SENT_WITHIN: Duration = Duration::from_secs(2);

/// One run of a command.
#[derive(Debug)]
pub(super) struct Session<'a> {
    pub(super) global: &'a Global,
    pub(super) id: RequestId,
    pub(super) trace: TraceContext,
}

/// The span of a command that is at work.
#[derive(Debug)]
pub(super) struct Recording {
    collector: Collector,
    name: String,
    kind: SpanKind,
    began: SystemTime,
    pub(super) steps: Steps,
}

impl<'a> Session<'a> {
    pub(super) fn begin(global: &'a Global, command: &Command) -> Result<Self, Failure> {
        let id = match &global.request_id {
            Some(id) => RequestId::parse(id).map_err(|error| Failure::usage(error.to_string(), "give another --request-id, or none"))?,
            None => RequestId::generate(),
        };
        // Health checks come every few seconds for ever: nobody wants to have them recorded.
        let is_sampled = !matches!(command, Command::Health);
        let trace = TraceContext { is_sampled, ..id.begin_trace() };
        Ok(Self { global, id, trace })
    }

    /// Begins the command's span, if there is anybody who wants it. `name` is of a fixed set.
    pub(super) fn record(&self, name: &str, command: &Command, output: Output) -> Result<Option<Recording>, Failure> {
        let endpoint = std::env::var(ENDPOINT).unwrap_or_default();
        if endpoint.is_empty() || !self.trace.is_sampled {
            return Ok(None);
        }
        let collector = collector::at(&endpoint, SENT_WITHIN)?;
        if collector.is_exposed() {
            output.note("warning: what this command did is told in plain text to another machine: use an https:// URL for the collector");
        }
        let kind = if asks_nodes(command) { SpanKind::Client } else { SpanKind::Internal };
        Ok(Some(Recording { collector, name: format!("tollgate {name}"), kind, began: SystemTime::now(), steps: Steps::default() }))
    }
}

impl Recording {
    /// Sends the span. That it is not taken is no reason for a command to fail.
    pub(super) async fn end(self, session: &Session<'_>, exit: Exit, output: Output) {
        let Self { collector, name, kind, began, steps } = self;
        let attributes = vec![
            ("tollgate.request_id", Attribute::Text(session.id.to_string())),
            ("process.exit.code", Attribute::Whole(exit.code().into())),
        ];
        let (context, is_failure) = (session.trace, exit != Exit::Done);
        let own = FinishedSpan { context, parent: None, name, kind, began, ended: SystemTime::now(), is_failure, attributes };
        let spans: Vec<FinishedSpan> = std::iter::once(own).chain(steps.spans(&context)).collect();
        let instance = std::process::id().to_string();
        let resource = Resource { service: "tollgate-cli", instance, version: env!("CARGO_PKG_VERSION") };
        if let Err(error) = collector.send_spans(Bytes::from(to_otlp_json(&resource, &spans))).await {
            output.note(&format!("warning: no trace of this command: {error}"));
        }
    }
}

/// Whether it speaks to nodes; the others go straight into the store.
fn asks_nodes(command: &Command) -> bool {
    let is_of_store = matches!(
        command,
        Command::Migrate(_)
            | Command::Bootstrap(_)
            | Command::SigningKeys(_)
            | Command::Log(_)
            | Command::Keys(KeysCommand::Import(_) | KeysCommand::Export(_))
    );
    !is_of_store
}
