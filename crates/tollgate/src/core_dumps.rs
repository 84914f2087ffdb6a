//! Memory of a process that crashes stays off the disk: secrets pass through it.

use rlimit::Resource;

/// Sets the limit on core files to nothing, for good.
pub(crate) fn forbid() {
    // Any process may lower its own limits; where a sandbox denies even that, there is nothing to be done.
    rlimit::setrlimit(Resource::CORE, 0, 0).ok();
}
