//! A TCP proxy that can be broken and mended.

mod pump;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// What happens to the bytes of one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fault {
    /// They pass.
    #[default]
    None,
    /// They are held back; connections stay open, and all goes on when this ends.
    BlackHole,
    /// They arrive that much later; the rate is not lowered.
    Delay(Duration),
    /// At most so many bytes per second pass.
    Throttle(u32),
    /// Connections are reset, and new ones as soon as they are made.
    Cut,
}

/// A way through the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From the client to the server: requests.
    Up,
    /// From the server to the client: answers.
    Down,
}

/// A proxy on a loopback port; gone with this value or with the runtime it was started in.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
    task: AbortHandle,
}

#[derive(Debug)]
struct State {
    up: watch::Sender<Fault>,
    down: watch::Sender<Fault>,
    /// How often [`Proxy::cut`] was called.
    cuts: watch::Sender<u64>,
    connections: AtomicU64,
    bytes_up: AtomicU64,
    bytes_down: AtomicU64,
}

impl Proxy {
    /// Starts one before `server` (host:port), without a fault.
    pub async fn start(server: impl std::fmt::Display) -> Result<Self> {
        let server = server.to_string();
        let listener = TcpListener::bind("127.0.0.1:0").await.context("binding the proxy")?;
        let address = listener.local_addr()?;
        let state = Arc::new(State {
            up: watch::Sender::default(),
            down: watch::Sender::default(),
            cuts: watch::Sender::default(),
            connections: AtomicU64::new(0),
            bytes_up: AtomicU64::new(0),
            bytes_down: AtomicU64::new(0),
        });
        let task = tokio::spawn(accept(listener, server, Arc::clone(&state))).abort_handle();
        Ok(Self { address, state, task })
    }

    /// Where clients connect to.
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// Sets the fault of both ways.
    pub fn set(&self, fault: Fault) {
        self.set_way(Way::Up, fault);
        self.set_way(Way::Down, fault);
    }

    /// Sets the fault of one way: a black hole on [`Way::Down`] loses answers, not requests.
    pub fn set_way(&self, way: Way, fault: Fault) {
        self.state.fault(way).send_replace(fault);
    }

    /// Resets all open connections; new ones pass as the faults say.
    pub fn cut(&self) {
        self.state.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Lets everything pass again.
    pub fn mend(&self) {
        self.set(Fault::None);
    }

    /// How many connections were made.
    pub fn connections(&self) -> u64 {
        self.state.connections.load(Ordering::Relaxed)
    }

    /// How many bytes were passed on, one way.
    pub fn bytes(&self, way: Way) -> u64 {
        self.state.bytes(way).load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
        self.set(Fault::Cut);
    }
}

impl State {
    fn fault(&self, way: Way) -> &watch::Sender<Fault> {
        match way {
            Way::Up => &self.up,
            Way::Down => &self.down,
        }
    }

    fn bytes(&self, way: Way) -> &AtomicU64 {
        match way {
            Way::Up => &self.bytes_up,
            Way::Down => &self.bytes_down,
        }
    }
}

async fn accept(listener: TcpListener, server: String, state: Arc<State>) {
    while let Ok((client, _)) = listener.accept().await {
        state.connections.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(carry(client, server.clone(), Arc::clone(&state)));
    }
}

/// Passes bytes both ways until both ends are done, one fails, or the connection is cut.
async fn carry(mut client: TcpStream, server: String, state: Arc<State>) {
    let cut = cut(&state);
    let Ok(mut upstream) = TcpStream::connect(server).await else {
        reset(&client);
        return;
    };
    let was_cut = {
        let ((client_reads, client_writes), (server_reads, server_writes)) = (client.split(), upstream.split());
        let up = pump::pump(client_reads, server_writes, state.up.subscribe(), &state.bytes_up);
        let down = pump::pump(server_reads, client_writes, state.down.subscribe(), &state.bytes_down);
        tokio::select! {
            () = cut => true,
            ended = async { tokio::try_join!(up, down) } => ended.is_err(),
        }
    };
    if was_cut {
        reset(&client);
        reset(&upstream);
    }
}

/// Ends when connections are to be reset; a cut before the first poll counts too.
fn cut(state: &State) -> impl Future<Output = ()> + use<> {
    let (mut up, mut down, mut cuts) = (state.up.subscribe(), state.down.subscribe(), state.cuts.subscribe());
    async move {
        // An error means that the proxy is gone, which is a cut.
        tokio::select! {
            _ = up.wait_for(|fault| *fault == Fault::Cut) => (),
            _ = down.wait_for(|fault| *fault == Fault::Cut) => (),
            _ = cuts.changed() => (),
        }
    }
}

/// Makes the coming close a reset.
fn reset(stream: &TcpStream) {
    // A stream that is gone already needs none.
    stream.set_zero_linger().ok();
}

#[cfg(test)]
mod tests;
