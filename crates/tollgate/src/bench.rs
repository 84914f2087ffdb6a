//! The load tool: asks a forward-auth URL as often as it is told to, or can, and tells how that went.
//!
//! The loop is one of two. **Closed**: each connection asks as soon as it was answered, which finds out
//! how much there is to have; whoever stalls is asked less, so its latencies look better than they are.
//! **Open**: requests are due at instants that are fixed beforehand, and the latency of each counts from
//! when it was due, whether a connection was free then or not: what a stall costs is seen in full
//! (no coordinated omission).
//!
//! A connection is one of hyper's, spoken to directly; all that can be made before the load is made then.

mod connection;
mod keys;
mod load;
mod mix;
mod pace;
mod report;
mod requests;
mod tally;

pub(crate) use keys::{MadeKeys, read as read_keys};
pub(crate) use load::{Load, run};
pub(crate) use mix::{CostMix, Share, Skew};
pub(crate) use report::{Asked, Report, Told};
pub(crate) use requests::{HeaderTemplate, Requests, Target};
