//! What must hold for every limit, cost and history.
//!
//! The crate keeps a bucket as an instant. The oracle here ([`oracle::TokenCount`]) keeps it as
//! a count of tokens, so that an error of thought in the one is no error in the other. The
//! interval theorem needs neither: it looks at nothing but what was admitted, and when.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by a panic")]

mod changes;
mod clock;
mod drift;
mod fences;
mod figures;
mod forgetting;
mod intervals;
mod moves;
mod oracle;
mod subject;
mod subjects;
