//! The accept loop, and how a listener ends.
//!
//! axum's own `serve` sets no time-outs and no caps. Here a connection is bounded in all it may
//! take: silence, slow headers, idleness, header bytes, streams; and so is their number. A
//! listener stops in phases, so that a balancer sees it coming.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use hyper_util::{
    rt::{TokioExecutor, TokioTimer},
    server::conn::auto::Builder,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
};

use crate::{options::ServerOptions, surface::Surface, tls::Certificate};

mod activity;
mod connection;
mod gathered;
mod request_body;
mod watched;

pub(crate) use activity::Lasting;

/// Where a listener is in its life; it only moves on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Serves.
    Serve,
    /// Serves on, and tells every client to come back elsewhere (`Connection: close`).
    Drain,
    /// Accepts nothing more, ends what is in flight.
    Stop,
}

/// How serving ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Served {
    /// Connections that were cut off as they had not ended within the grace.
    pub connections_cut: usize,
}

/// A bound listener.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    options: ServerOptions,
    certificate: Option<Certificate>,
}

/// What every connection of a listener has in common.
pub(crate) struct Shared {
    surface: Surface,
    builder: Builder<TokioExecutor>,
    options: ServerOptions,
    certificate: Option<Certificate>,
}

impl Server {
    /// Takes the address; from now on the system queues connections.
    pub async fn bind(address: SocketAddr, options: ServerOptions) -> io::Result<Self> {
        Ok(Self { listener: TcpListener::bind(address).await?, options, certificate: None })
    }

    /// Speaks TLS, and nothing but TLS, where there is a certificate.
    #[must_use]
    pub fn with_certificate(self, certificate: Option<Certificate>) -> Self {
        Self { certificate, ..self }
    }

    /// The address it has, with the port that the system chose where 0 was asked for.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `phase` says [`Phase::Stop`] or its sender is gone, and all connections have
    /// ended or the grace is over.
    pub async fn serve(self, surface: Surface, phase: watch::Receiver<Phase>) -> Served {
        let Self { listener, options, certificate } = self;
        let slots = Arc::new(Semaphore::new(options.connections_max.min(Semaphore::MAX_PERMITS)));
        let grace = options.stop_grace;
        let shared = Arc::new(Shared { surface, builder: builder(&options), options, certificate });
        let mut tasks = JoinSet::new();
        let mut stopping = phase.clone();
        loop {
            let accepted = tokio::select! {
                _ = stopping.wait_for(|phase| *phase == Phase::Stop) => break,
                accepted = accept(&listener, &slots) => accepted,
            };
            if let Some((slot, stream, peer)) = accepted {
                let (shared, phase) = (Arc::clone(&shared), phase.clone());
                tasks.spawn(async move {
                    connection::run(stream, peer, &shared, phase).await;
                    drop(slot);
                });
            }
            while tasks.try_join_next().is_some() {}
        }
        drop(listener);
        end(tasks, grace).await
    }
}

fn builder(options: &ServerOptions) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    // hyper's own header timer is armed anew for every request and runs while a connection is
    // idle: it would cost an allocation a request and close idle connections after it. The
    // connection's watch (`activity.rs`) does both jobs.
    let mut http1 = builder.http1();
    http1.timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(options.header_bytes_max.max(8 * 1024));
    http1.half_close(false);
    let mut http2 = builder.http2();
    http2.timer(TokioTimer::new()).max_concurrent_streams(options.streams_max);
    http2.max_header_list_size(u32::try_from(options.header_bytes_max).unwrap_or(u32::MAX));
    builder
}

/// The next connection, once there is room for it; none where accepting failed.
async fn accept(listener: &TcpListener, slots: &Arc<Semaphore>) -> Option<(OwnedSemaphorePermit, TcpStream, SocketAddr)> {
    let slot = Arc::clone(slots).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => Some((slot, stream, peer)),
        Err(error) => {
            pause_after(&error).await;
            None
        }
    }
}

/// A connection that was gone before it was accepted is nothing. Anything else (no more file
/// handles, no memory) will not be better at once: wait for connections to end.
async fn pause_after(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    if matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted) {
        return;
    }
    tracing::warn!(%error, "cannot accept connections");
    tokio::time::sleep(Duration::from_millis(200)).await;
}

/// Waits for the connections, at most for the grace.
async fn end(mut tasks: JoinSet<()>, grace: Duration) -> Served {
    let all = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(grace, all).await.is_ok() {
        return Served { connections_cut: 0 };
    }
    let connections_cut = tasks.len();
    tasks.shutdown().await;
    Served { connections_cut }
}
