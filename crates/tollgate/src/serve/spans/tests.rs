use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::SystemTime,
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
};
use tollgate_settings::LoadFrom;
use tollgate_telemetry::{Recorder, SpanId, SpanKind, TraceContext, TraceId};

use super::*;

fn span() -> FinishedSpan {
    let context = TraceContext { trace_id: TraceId::of_bits(1), span_id: SpanId::of_bits(2), is_sampled: true };
    let at = SystemTime::UNIX_EPOCH;
    let (name, attributes) = ("GET /x".to_owned(), Vec::new());
    FinishedSpan { context, parent: None, name, kind: SpanKind::Server, began: at, ended: at, is_failure: false, attributes }
}

/// An exporter that sends one span at a time and holds three, and where it is to send them.
async fn exporter() -> (Exporter, Recorder, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let telemetry =
        [("OTLP_ENDPOINT", url.as_str()), ("SPANS_MAX", "3"), ("BATCH_MAX", "1"), ("EXPORT_INTERVAL", "10ms"), ("EXPORT_TIMEOUT", "1m")];
    let env = telemetry.map(|(name, value)| (format!("TOLLGATE_TELEMETRY__{name}"), value.to_owned())).to_vec();
    let settings = Settings::load(&LoadFrom { env, ..LoadFrom::default() }).expect("settings");
    let recorder = Recorder::new().expect("a recorder");
    let exporter = Exporter::start(&settings, recorder.metrics(), "here".to_owned()).ok().flatten().expect("an exporter");
    (exporter, recorder, listener)
}

fn counted(recorder: &Recorder, outcome: &str) -> usize {
    let (page, name) = (recorder.render(), format!("tollgate_spans_total{{outcome=\"{outcome}\"}} "));
    page.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok()).expect("the metric")
}

/// Reads one request; `false` where the connection has ended.
async fn read(stream: &mut BufReader<TcpStream>) -> bool {
    let (mut line, mut length) = (String::new(), 0);
    loop {
        line.clear();
        if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
            return false;
        }
        match line.trim_end().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.parse().expect("a length"),
            _ if line == "\r\n" => break,
            _ => {}
        }
    }
    stream.read_exact(&mut vec![0; length]).await.is_ok()
}

#[tokio::test]
async fn a_collector_that_takes_all_at_once_gets_no_more_than_an_interval_may_cost() {
    let (mut exporter, recorder, listener) = exporter().await;
    let (traces, calls) = (exporter.traces(), Arc::new(AtomicUsize::new(0)));
    (0..3).for_each(|_| traces.push(span));
    let (told, mut heard) = watch::channel(0);
    let collector = tokio::spawn({
        let (traces, calls) = (traces.clone(), Arc::clone(&calls));
        async move {
            let mut stream = BufReader::new(listener.accept().await.expect("a connection").0);
            while read(&mut stream).await {
                // Somebody asks faster than spans are sent.
                (0..10).for_each(|_| traces.push(span));
                told.send_replace(calls.fetch_add(1, Ordering::Relaxed) + 1);
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await.expect("told");
            }
        }
    });
    heard.wait_for(|calls| *calls == 3).await.expect("three calls");
    exporter.stop(Duration::from_mins(1)).await;
    assert_eq!((calls.load(Ordering::Relaxed), counted(&recorder, "exported"), counted(&recorder, "queue_full")), (3, 3, 30));
    collector.abort();
}

#[tokio::test]
async fn what_is_not_sent_when_the_node_ends_has_failed() {
    let (mut exporter, recorder, listener) = exporter().await;
    (0..3).for_each(|_| exporter.traces().push(span));
    let mut stream = BufReader::new(listener.accept().await.expect("a connection").0);
    assert!(read(&mut stream).await, "the first is under way, two wait");
    exporter.stop(Duration::ZERO).await;
    assert_eq!((counted(&recorder, "failed"), counted(&recorder, "exported")), (3, 0));
}
