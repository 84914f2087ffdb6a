//! Networks of peers that are trusted.

use std::{fmt, net::IpAddr, str::FromStr};

/// An address with a prefix length, such as `10.0.0.0/8`; an address alone is that address only.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network {
    address: IpAddr,
    prefix_bits: u8,
}

/// A text that is no network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be an address or a network, such as \"10.0.0.0/8\" or \"fd00::/8\", without bits set beyond the prefix")]
pub struct NetworkError;

impl Network {
    /// Whether `address` lies in this network. An IPv4 address that came mapped into IPv6
    /// (`::ffff:10.0.0.1`, as sockets of both kinds give it) counts as the IPv4 address.
    pub fn contains(self, address: IpAddr) -> bool {
        let (ours, ours_bits) = bits(self.address);
        let (theirs, theirs_bits) = bits(address.to_canonical());
        ours_bits == theirs_bits && (ours ^ theirs) & mask(self.prefix_bits) == 0
    }
}

/// An address as the leading bits of 128, and how many bits it has.
fn bits(address: IpAddr) -> (u128, u8) {
    match address {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()) << 96, 32),
        IpAddr::V6(v6) => (v6.to_bits(), 128),
    }
}

/// The leading `prefix_bits` of 128.
fn mask(prefix_bits: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(prefix_bits)).unwrap_or(0)
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let address: IpAddr = address.parse().map_err(|_| NetworkError)?;
        let (value, width) = bits(address);
        let prefix_bits = prefix.map_or(Some(width), plain_number).filter(|bits| *bits <= width).ok_or(NetworkError)?;
        // 10.0.0.5/8 is more often a slip than a network, and a slip here is trust given away.
        if value & !mask(prefix_bits) != 0 {
            return Err(NetworkError);
        }
        Ok(Self { address, prefix_bits })
    }
}

/// A number of digits alone (`parse` would take a sign).
fn plain_number(text: &str) -> Option<u8> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix_bits)
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<'de> serde::Deserialize<'de> for Network {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(network: &str, address: &str) -> bool {
        network.parse::<Network>().unwrap().contains(address.parse().unwrap())
    }

    #[test]
    fn holds_exactly_its_addresses() {
        assert!(holds("10.0.0.0/8", "10.255.255.255"));
        assert!(!holds("10.0.0.0/8", "11.0.0.0"));
        assert!(holds("192.0.2.1", "192.0.2.1"));
        assert!(!holds("192.0.2.1", "192.0.2.2"));
        assert!(holds("fd00::/8", "fdff::1"));
        assert!(!holds("fd00::/8", "fe00::1"));
        assert!(holds("0.0.0.0/0", "203.0.113.9"));
    }

    #[test]
    fn families_do_not_mix_except_mapped_addresses() {
        assert!(!holds("::/0", "10.0.0.1"));
        assert!(!holds("0.0.0.0/0", "fd00::1"));
        assert!(holds("10.0.0.0/8", "::ffff:10.1.2.3"));
    }

    #[test]
    fn refuses_what_is_no_network() {
        for text in [
            "",
            "10.0.0.0/33",
            "10.0.0.0/",
            "10.0.0.0/-1",
            "10.0.0.0/+8",
            "10.0.0.5/8",
            "10.0.0/8",
            "host",
            "fd00::/129",
            "fd00::1/8",
            "10.0.0.0/8/8",
        ] {
            assert_eq!(text.parse::<Network>(), Err(NetworkError), "{text}");
        }
    }
}
