//! A node that runs.

use std::fmt;

use testcontainers::ContainerAsync;

use crate::{PORT, StartError, Tollgate};

/// A node in a container; both are gone with this value.
pub struct RunningTollgate {
    container: ContainerAsync<Tollgate>,
    url: String,
    admin_key: String,
}

impl RunningTollgate {
    /// Of a container that was started with more than [`Tollgate`] knows, such as a network (`ImageExt::with_network`):
    /// its own `start` gives the container alone.
    pub async fn of(container: ContainerAsync<Tollgate>) -> Result<Self, StartError> {
        let (host, port) = (container.get_host().await?, container.get_host_port_ipv4(PORT).await?);
        let printed = container.stdout_to_vec().await?;
        let admin_key = key_in(&String::from_utf8_lossy(&printed)).ok_or(StartError::NoKey)?;
        Ok(Self { container, url: format!("http://{host}:{port}"), admin_key })
    }

    /// Where it takes requests, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// An api key, `key_id:secret`, with the scope `admin`.
    pub fn admin_key(&self) -> &str {
        &self.admin_key
    }

    /// The container, to stop it, to look at its log, and so on.
    pub fn container(&self) -> &ContainerAsync<Tollgate> {
        &self.container
    }
}

impl fmt::Debug for RunningTollgate {
    /// Not the key: it would be in the log of every test that fails.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunningTollgate").field("url", &self.url).field("container", &self.container.id()).finish_non_exhaustive()
    }
}

/// The api key stands on a line of its own.
fn key_in(printed: &str) -> Option<String> {
    let mut lines = printed.lines().map(str::trim);
    lines.find(|line| line.starts_with("tk_") && line.contains(':') && !line.contains(' ')).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_found_in_what_a_node_prints() {
        let welcome = "Tollgate is running on http://x with a new admin key:\n\n  tk_a:tks_b\n\nTry it:\n\n  curl tk_a:tks_b\n";
        assert_eq!(key_in(welcome).as_deref(), Some("tk_a:tks_b"));
        assert_eq!(key_in("tk_a\nno tk_a:b\n"), None);
    }
}
