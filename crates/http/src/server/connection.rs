//! One connection from its first byte to its end.

use std::{
    convert::Infallible,
    future::poll_fn,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::{HeaderValue, Request, Response, Version, header};
use hyper::{
    body::{Body as _, Incoming},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use pin_project_lite::pin_project;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::watch,
    time::Instant,
};

use super::{
    Phase, Shared,
    activity::{Activity, Found, InFlight, Lasting},
    gathered::Gathered,
    request_body::RequestBody,
    watched::Watched,
};
use crate::surface::{AnswerBody, Envelope};

/// How long a connection that was told to end may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

/// Serves one connection. Errors of a connection are the client's affair and end it.
pub(super) async fn run(stream: TcpStream, peer: SocketAddr, shared: &Shared, mut phase: watch::Receiver<Phase>) {
    // Without it answers come later, but they come.
    stream.set_nodelay(true).unwrap_or_default();
    if !spoke_up(&stream, shared, &mut phase).await {
        return;
    }
    let Some(certificate) = &shared.certificate else { return serve(stream, peer, shared, phase).await };
    // In a box, so that connections without TLS do not take its room.
    Box::pin(async {
        let hands = tokio::select! {
            hands = certificate.accept(stream, shared.options.header_timeout) => hands,
            _ = phase.wait_for(|phase| *phase == Phase::Stop) => None,
        };
        if let Some(stream) = hands {
            serve(stream, peer, shared, phase).await;
        }
    })
    .await;
}

/// Serves requests over a stream that can be read and written.
async fn serve<S>(stream: S, peer: SocketAddr, shared: &Shared, mut phase: watch::Receiver<Phase>)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let activity = Arc::new(Activity::new(Instant::now()));
    let gathered = Gathered::new(TokioIo::new(stream));
    let io = Watched { inner: gathered.clone(), activity: Arc::clone(&activity) };
    let requests = Requests { envelope: shared.surface.of_peer(peer.ip()), activity: Arc::clone(&activity) };
    match *phase.borrow_and_update() {
        Phase::Serve => {}
        Phase::Drain => activity.close(),
        Phase::Stop => return,
    }
    let mut connection = pin!(shared.builder.serve_connection(io, service_fn(|request| requests.answer(request))));
    let mut look_again = pin!(tokio::time::sleep(Activity::look_every(&shared.options)));
    let goodbye = loop {
        tokio::select! {
            () = poll_fn(|cx| gathered.poll_while(connection.as_mut(), cx)) => return,
            now = next(&mut phase) => match now {
                Phase::Serve => {}
                Phase::Drain => {
                    activity.close();
                    // HTTP/2 has no `Connection: close`; it says once, to all streams, that it goes.
                    if activity.is_http2() {
                        connection.as_mut().graceful_shutdown();
                    }
                }
                // The listener cuts off whoever outlives its grace.
                Phase::Stop => break Duration::MAX,
            },
            () = look_again.as_mut() => match activity.look(Instant::now(), &shared.options) {
                Found::Fine { look_again: then } => look_again.as_mut().reset(then),
                Found::Slow => return,
                Found::Idle => break GOODBYE,
            },
        }
    };
    activity.close();
    connection.as_mut().graceful_shutdown();
    // However it ends, in order or cut off, was the client's choice.
    drop(tokio::time::timeout(goodbye, poll_fn(|cx| gathered.poll_while(connection.as_mut(), cx))).await);
}

/// Whether the client said anything before its time was up. hyper has no timer for this.
async fn spoke_up(stream: &TcpStream, shared: &Shared, phase: &mut watch::Receiver<Phase>) -> bool {
    let mut byte = [0];
    tokio::select! {
        first = tokio::time::timeout(shared.options.first_byte_timeout, stream.peek(&mut byte)) => matches!(first, Ok(Ok(1..))),
        _ = phase.wait_for(|phase| *phase == Phase::Stop) => false,
    }
}

/// The next phase; without anybody to tell there is only the end.
async fn next(phase: &mut watch::Receiver<Phase>) -> Phase {
    phase.changed().await.map_or(Phase::Stop, |()| *phase.borrow_and_update())
}

/// The requests of one connection.
#[derive(Debug)]
struct Requests {
    envelope: Envelope,
    activity: Arc<Activity>,
}

impl Requests {
    fn answer(
        &self,
        request: Request<Incoming>,
    ) -> impl Future<Output = Result<Response<AnswerBody>, Infallible>> + Send + 'static + use<> {
        let http2 = request.version() == Version::HTTP_2;
        let in_flight = self.activity.begin(http2, !request.body().is_end_stream());
        let request = request.map(|body| RequestBody::new(body, &self.activity));
        Counted { answering: self.envelope.answer_since(request, in_flight.began()), in_flight: Some(in_flight), http2 }
    }
}

pin_project! {
    /// An answer on its way, and in flight until it is there.
    struct Counted<F> {
        #[pin]
        answering: F,
        in_flight: Option<InFlight>,
        http2: bool,
    }
}

impl<F: Future<Output = Result<Response<AnswerBody>, Infallible>>> Future for Counted<F> {
    type Output = Result<Response<AnswerBody>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Poll::Ready(Ok(mut response)) = this.answering.poll(cx) else { return Poll::Pending };
        let in_flight = this.in_flight.take();
        let closing = in_flight.as_ref().is_some_and(InFlight::is_last);
        if let (Some(lasting), Some(in_flight)) = (response.extensions_mut().remove::<Lasting>(), in_flight) {
            lasting.hold(in_flight);
        }
        if closing && !*this.http2 {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        Poll::Ready(Ok(response))
    }
}
