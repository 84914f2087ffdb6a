//! What the cache's threads meet at: locks and flags of the standard library, and in unit tests
//! those of loom, which runs a model through every order in which threads can meet.

#[cfg(test)]
pub(super) use loom::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, Ordering},
};
#[cfg(not(test))]
pub(super) use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, Ordering},
};

/// A point where another thread may come in between: before each use of the map, which loom does
/// not look into. Nothing at all outside of models.
#[derive(Debug, Default)]
pub(super) struct Step(#[cfg(test)] loom::sync::atomic::AtomicUsize);

impl Step {
    #[cfg_attr(not(test), allow(clippy::unused_self, reason = "the point is one of this cache"))]
    pub(super) fn take(&self) {
        #[cfg(test)]
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}
