//! The nodes that may be asked, and which of them is asked first.

use std::sync::atomic::{AtomicUsize, Ordering};

use reqwest::Url;

use crate::ClientSetupError;

/// Several nodes of one cluster. The one that answered last is asked first.
#[derive(Debug)]
pub(crate) struct Nodes {
    bases: Vec<Url>,
    preferred: AtomicUsize,
}

impl Nodes {
    /// At least one URL.
    pub(crate) fn parse(urls: &[&str]) -> Result<Self, ClientSetupError> {
        let bases: Vec<Url> = urls.iter().map(|url| base(url)).collect::<Result<_, _>>()?;
        if bases.is_empty() { Err(ClientSetupError::Url) } else { Ok(Self { bases, preferred: AtomicUsize::new(0) }) }
    }

    pub(crate) fn all(&self) -> &[Url] {
        &self.bases
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u32 {
        u32::try_from(self.bases.len()).unwrap_or(u32::MAX)
    }

    /// The one to ask, and its number.
    pub(crate) fn preferred(&self) -> Option<(usize, &Url)> {
        let number = self.preferred.load(Ordering::Relaxed) % self.bases.len().max(1);
        Some((number, self.bases.get(number)?))
    }

    /// Asks the next one first from now on, unless somebody has left this one already.
    pub(crate) fn leave(&self, number: usize) {
        let next = (number + 1) % self.bases.len().max(1);
        // Lost where another call was quicker: it has said the same.
        self.preferred.compare_exchange(number, next, Ordering::Relaxed, Ordering::Relaxed).ok();
    }

    /// Whether what is sent, the credential too, can be read on its way to another machine.
    pub(crate) fn are_exposed(&self) -> bool {
        self.bases.iter().any(|base| base.scheme() == "http" && !is_loopback(base))
    }
}

fn base(url: &str) -> Result<Url, ClientSetupError> {
    let base = Url::parse(url).map_err(|_| ClientSetupError::Url)?;
    let plain = base.username().is_empty() && base.password().is_none() && base.query().is_none() && base.fragment().is_none();
    if plain && base.has_host() && matches!(base.scheme(), "http" | "https") { Ok(base) } else { Err(ClientSetupError::Url) }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    address.map_or(host == "localhost", |address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_failed_is_asked_last() {
        let nodes = Nodes::parse(&["http://a", "http://b", "http://c"]).expect("nodes");
        let first = || nodes.preferred().map(|(number, _)| number);
        assert_eq!(first(), Some(0));
        nodes.leave(0);
        // Said twice, by two calls at once, it is left once.
        nodes.leave(0);
        assert_eq!(first(), Some(1));
        nodes.leave(1);
        nodes.leave(2);
        assert_eq!(first(), Some(0));
        assert!(matches!(Nodes::parse(&[]), Err(ClientSetupError::Url)));
    }
}
