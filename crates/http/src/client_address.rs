//! The address of the client behind proxies, as far as it can be trusted.
//!
//! A proxy adds the address it saw at the right end of `X-Forwarded-For` or `Forwarded`, so the
//! list is walked from the right, and only while the hop that said so is itself trusted. What a
//! client wrote stands to the left of that and never counts.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use http::{HeaderMap, HeaderName, header};
use tollgate_settings::Network;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The rightmost address that no trusted proxy has; the peer's where nothing better is known.
///
/// Where both headers are there and disagree, one of them was not written by the proxies, and
/// nobody can say which: the peer's address is taken. A hop that is no address (`unknown`, an
/// obfuscated name, garbage) ends the walk at the proxy that wrote it.
pub fn client_address(headers: &HeaderMap, peer: IpAddr, trusted: &[Network]) -> IpAddr {
    let peer = peer.to_canonical();
    if !is_trusted(peer, trusted) {
        return peer;
    }
    let by_list = headers.contains_key(X_FORWARDED_FOR).then(|| walk(headers, &X_FORWARDED_FOR, peer, trusted, listed));
    let by_element = headers.contains_key(header::FORWARDED).then(|| walk(headers, &header::FORWARDED, peer, trusted, element));
    match (by_list, by_element) {
        (Some(one), Some(other)) if one != other => peer,
        (Some(client), _) | (None, Some(client)) => client,
        (None, None) => peer,
    }
}

/// Whether a peer whose word is not taken says whose request it passes on.
pub fn is_untrusted_forwarder(headers: &HeaderMap, peer: IpAddr, trusted: &[Network]) -> bool {
    let speaks = headers.contains_key(X_FORWARDED_FOR) || headers.contains_key(header::FORWARDED);
    speaks && !is_trusted(peer.to_canonical(), trusted)
}

/// What an address counts as where clients are told apart: an IPv6 client has a /64 to itself.
pub fn counted_as(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
    }
}

fn is_trusted(address: IpAddr, trusted: &[Network]) -> bool {
    trusted.iter().any(|network| network.contains(address))
}

fn walk(headers: &HeaderMap, name: &HeaderName, peer: IpAddr, trusted: &[Network], read: fn(&str) -> Option<IpAddr>) -> IpAddr {
    let mut nearest = peer;
    for line in headers.get_all(name).iter().rev() {
        // A comma in quotes is cut too: reading quotes from the left would let a client's open
        // quote swallow what the proxies added. No address has a comma in it.
        for hop in line.as_bytes().rsplit(|byte| *byte == b',') {
            let Some(address) = std::str::from_utf8(hop).ok().and_then(read) else { return nearest };
            nearest = address;
            if !is_trusted(nearest, trusted) {
                return nearest;
            }
        }
    }
    nearest
}

/// One entry of `X-Forwarded-For`: an address, perhaps with a port.
fn listed(text: &str) -> Option<IpAddr> {
    let text = text.trim_matches([' ', '\t']);
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    text.parse().ok().or_else(with_port).or_else(bracketed).map(|address: IpAddr| address.to_canonical())
}

/// One element of `Forwarded` (RFC 7239): the node of its one `for` parameter.
fn element(text: &str) -> Option<IpAddr> {
    let mut nodes = text.split(';').filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim_matches([' ', '\t']).eq_ignore_ascii_case("for").then_some(value.trim_matches([' ', '\t']))
    });
    let (node, None) = (nodes.next()?, nodes.next()) else { return None };
    listed(node.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(node))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn ask(peer: &str, lines: &[(&'static str, &str)]) -> String {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_str(value).expect("a header value"));
        }
        let trusted = ["10.0.0.0/8", "fd00::/8"].map(|network| network.parse().expect("a network"));
        client_address(&headers, peer.parse().expect("an address"), &trusted).to_string()
    }

    #[test]
    fn an_untrusted_peer_is_the_client_whatever_it_says() {
        assert_eq!(ask("192.0.2.1", &[("x-forwarded-for", "203.0.113.9")]), "192.0.2.1");
        assert_eq!(ask("192.0.2.1", &[("forwarded", "for=203.0.113.9")]), "192.0.2.1");
        assert_eq!(ask("::ffff:192.0.2.1", &[]), "192.0.2.1");
    }

    #[test]
    fn only_a_peer_that_is_not_trusted_and_says_something_is_an_untrusted_forwarder() {
        let is_one = |peer: &str, name: &'static str| {
            let mut headers = HeaderMap::new();
            headers.append(name, HeaderValue::from_static("203.0.113.9"));
            is_untrusted_forwarder(&headers, peer.parse().expect("an address"), &["10.0.0.0/8".parse().expect("a network")])
        };
        assert!(is_one("192.0.2.1", "x-forwarded-for") && is_one("192.0.2.1", "forwarded") && is_one("::ffff:192.0.2.1", "forwarded"));
        assert!(!is_one("192.0.2.1", "x-real-ip") && !is_one("10.0.0.1", "forwarded") && !is_one("::ffff:10.0.0.1", "x-forwarded-for"));
    }

    #[test]
    fn the_rightmost_untrusted_hop_is_the_client() {
        assert_eq!(ask("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(ask("10.0.0.1", &[("x-forwarded-for", "203.0.113.9")]), "203.0.113.9");
        assert_eq!(ask("10.0.0.1", &[("x-forwarded-for", "1.1.1.1, 203.0.113.9, 10.0.0.2")]), "203.0.113.9");
        assert_eq!(ask("10.0.0.1", &[("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "203.0.113.9")]), "203.0.113.9");
        assert_eq!(ask("10.0.0.1", &[("x-forwarded-for", "10.0.0.3, 10.0.0.2")]), "10.0.0.3");
        assert_eq!(ask("fd00::1", &[("x-forwarded-for", "2001:db8::1")]), "2001:db8::1");
    }

    #[test]
    fn entries_may_have_ports_and_brackets() {
        for (entry, client) in [
            ("203.0.113.9:4711", "203.0.113.9"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("::ffff:203.0.113.9", "203.0.113.9"),
        ] {
            assert_eq!(ask("10.0.0.1", &[("x-forwarded-for", entry)]), client);
            assert_eq!(ask("10.0.0.1", &[("forwarded", &format!("proto=https; For=\"{entry}\";by=_x"))]), client);
        }
        assert_eq!(ask("10.0.0.1", &[("forwarded", "for=203.0.113.9")]), "203.0.113.9");
    }

    #[test]
    fn a_hop_that_is_no_address_ends_the_walk() {
        for garbage in ["unknown", "", "_hidden", "203.0.113.9.1", "203.0.113.999", "[::1", "\"", "1"] {
            assert_eq!(ask("10.0.0.1", &[("x-forwarded-for", garbage)]), "10.0.0.1", "{garbage}");
            assert_eq!(ask("10.0.0.1", &[("x-forwarded-for", &format!("{garbage}, 10.0.0.2"))]), "10.0.0.2", "{garbage}");
        }
        for garbage in ["for", "by=203.0.113.9", "for=1.1.1.1;for=2.2.2.2", "for=\"1.1.1.1", "203.0.113.9"] {
            assert_eq!(ask("10.0.0.1", &[("forwarded", garbage)]), "10.0.0.1", "{garbage}");
        }
    }

    #[test]
    fn a_quote_opened_by_the_client_swallows_nothing() {
        assert_eq!(ask("10.0.0.1", &[("forwarded", "for=\"1.1.1.1, for=203.0.113.9")]), "203.0.113.9");
    }

    #[test]
    fn headers_that_disagree_are_both_disbelieved() {
        let forwarded = ("forwarded", "for=203.0.113.9");
        assert_eq!(ask("10.0.0.1", &[("x-forwarded-for", "203.0.113.9"), forwarded]), "203.0.113.9");
        assert_eq!(ask("10.0.0.1", &[("x-forwarded-for", "203.0.113.8"), forwarded]), "10.0.0.1");
    }

    #[test]
    fn an_ipv6_client_counts_by_its_64() {
        let counted = |text: &str| counted_as(text.parse().expect("an address")).to_string();
        assert_eq!(counted("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(counted("203.0.113.9"), "203.0.113.9");
        assert_eq!(counted("::ffff:203.0.113.9"), "203.0.113.9");
    }
}
