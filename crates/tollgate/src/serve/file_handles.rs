//! Room for as many connections as the settings allow: each takes a file handle, and many systems
//! give a process 1024 of them until it asks for more.

use tollgate_settings::Settings;

/// Handles beside those of clients: stores, files, the metrics listener.
const OWN: u64 = 512;

/// Asks the system for as many handles as the node may need, and says where it gives fewer.
pub(super) fn reserve(settings: &Settings) {
    let wanted = handles(settings.http.connections_max);
    match rlimit::increase_nofile_limit(wanted) {
        Ok(given) if given >= wanted => {}
        Ok(given) => tracing::warn!(
            wanted,
            given,
            "connections beyond the limit of open files are kept waiting: raise that limit (ulimit -n, LimitNOFILE), or lower http.connections_max"
        ),
        Err(error) => tracing::warn!(wanted, %error, "the limit of open files cannot be read or raised"),
    }
}

fn handles(connections: usize) -> u64 {
    u64::try_from(connections).unwrap_or(u64::MAX).saturating_add(OWN)
}
