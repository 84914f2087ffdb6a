//! Loopback ports that stay ours.
//!
//! A port from `bind(0)` can be taken by any outgoing connection between the moment it is
//! released and the moment the server binds it, and load tests open thousands. So ports are
//! taken below the range that the kernel hands out, and held by a lock file against the other
//! test processes.

use std::fs::{File, OpenOptions};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};

use crate::scratch::Scratch;

const FIRST: u32 = 20_000;
const COUNT: u32 = 12_000;

/// A port on 127.0.0.1 that no other test gets while this value lives.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _lock: File,
}

impl Port {
    /// Takes a free port.
    pub fn take() -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let folder = lock_folder()?;
        let start = std::process::id().wrapping_mul(37);
        for _ in 0..COUNT {
            let step = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
            let number = u16::try_from(FIRST + step % COUNT)?;
            if let Some(lock) = try_take(&folder, number)? {
                return Ok(Self { number, _lock: lock });
            }
        }
        anyhow::bail!("no port is free between {FIRST} and {}", FIRST + COUNT)
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// The loopback address with this port.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.number).into()
    }
}

fn try_take(folder: &std::path::Path, number: u16) -> Result<Option<File>> {
    let lock = OpenOptions::new().create(true).truncate(false).write(true).open(folder.join(number.to_string()))?;
    let ours = lock.try_lock().is_ok() && TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok();
    Ok(ours.then_some(lock))
}

/// One folder per user, as another user's lock files could not be opened.
fn lock_folder() -> Result<PathBuf> {
    let owner = Scratch::new("owner")?.owner()?;
    // Not the scratch folder and not `TMPDIR`: all processes of this user must agree on it.
    let folder = PathBuf::from(format!("/tmp/tollgate-test-ports-{owner}"));
    std::fs::create_dir_all(&folder).context("making the folder of port locks")?;
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_given_once_while_it_is_held() {
        let held: Vec<Port> = (0..50).map(|_| Port::take().unwrap()).collect();
        let mut numbers: Vec<u16> = held.iter().map(Port::number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), held.len());
        assert!(try_take(&lock_folder().unwrap(), held[0].number()).unwrap().is_none());
    }
}
