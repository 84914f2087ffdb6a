//! Streams of events: changes of keys from the change log, and changes of health.
//!
//! A stream keeps nothing but its place in the log, so it goes on at any node. What it tells is read
//! from the log once for all who listen at this node, and again for those who are behind. Whether its
//! reader may still read is asked all the time, by the same records and fences as any request's.

mod feed;
mod guest;
mod seats;
mod stream;

pub use stream::{EventStream, Told};

use std::time::Duration;

use tokio::sync::watch;

use crate::{Gate, control::Operator};
use feed::Feed;
use seats::Seats;

/// How many streams there may be, and how often they give a sign of life.
#[derive(Debug, Clone, Copy)]
pub struct EventOptions {
    /// Streams at this node.
    pub streams_max: usize,
    /// Streams of one owner, or of one key without an owner.
    pub streams_per_caller_max: usize,
    /// From one sign of life to the next.
    pub heartbeat_interval: Duration,
}

impl Default for EventOptions {
    /// The defaults of the settings.
    fn default() -> Self {
        Self { streams_max: 256, streams_per_caller_max: 16, heartbeat_interval: Duration::from_secs(15) }
    }
}

/// Why there is no stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoStream {
    /// So many are open at this node.
    #[error("this node has as many event streams as it may have")]
    NodeFull,
    /// So many are open for the caller's owner, or for his key where it has none.
    #[error("as many event streams as one owner may have are open at this node")]
    CallerFull,
    /// The node is about to stop.
    #[error("the node is about to stop")]
    Stopping,
}

/// Where this node is in the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// The last position that it has applied.
    position: u64,
    /// How often it has lost its place: positions before and after may be of different logs.
    restarts: u64,
    /// Where it went on the last time.
    resumed_after: u64,
}

#[derive(Debug)]
pub(crate) struct Events {
    place: watch::Sender<Place>,
    /// Whether all streams are to end.
    ending: watch::Sender<bool>,
    seats: Seats,
    feed: Feed,
}

impl Events {
    pub(crate) fn new(options: EventOptions) -> Self {
        Self { place: watch::Sender::default(), ending: watch::Sender::default(), seats: Seats::new(options), feed: Feed::default() }
    }

    /// This node has applied the log up to here.
    pub(crate) fn moved(&self, position: u64) {
        self.place.send_if_modified(|place| std::mem::replace(&mut place.position, position) != position);
    }

    /// This node has lost its place in the log, and goes on from here.
    pub(crate) fn restarted(&self, position: u64) {
        self.place.send_modify(|place| *place = Place { position, restarts: place.restarts + 1, resumed_after: position });
    }

    fn place(&self) -> Place {
        *self.place.borrow()
    }
}

impl Gate {
    /// Opens a stream for a caller whose right to it has been checked. It begins after the position
    /// `after`, or with what happens from now on.
    pub fn follow(&self, operator: &Operator, after: Option<u64>) -> Result<EventStream, NoStream> {
        let events = &self.shared.events;
        if *events.ending.borrow() {
            return Err(NoStream::Stopping);
        }
        let seat = Seats::take(&self.shared, &operator.identity)?;
        Ok(EventStream::new(self.clone(), seat, &operator.identity, after))
    }

    /// Streams that are open at this node.
    pub fn event_streams(&self) -> usize {
        self.shared.events.seats.taken()
    }

    /// Ends all streams, for the node is about to stop.
    pub fn end_streams(&self) {
        self.shared.events.ending.send_replace(true);
    }
}
