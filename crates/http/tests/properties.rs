//! What a client writes never changes the address it is taken for.

#![allow(clippy::expect_used, reason = "a test fails by a panic")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;
use tollgate_http::client_address::{client_address, counted_as};
use tollgate_settings::Network;

fn trusted() -> Vec<Network> {
    ["10.0.0.0/8", "fd00::/8"].map(|network| network.parse().expect("a network")).to_vec()
}

fn proxy() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<[u8; 3]>().prop_map(|[b, c, d]| IpAddr::V4(Ipv4Addr::new(10, b, c, d))),
        any::<u64>().prop_map(|low| IpAddr::V6(Ipv6Addr::from_bits(0xfd00_u128 << 112 | u128::from(low)))),
    ]
}

fn client() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        (11..=255_u8, any::<[u8; 3]>()).prop_map(|(a, [b, c, d])| IpAddr::V4(Ipv4Addr::new(a, b, c, d))),
        any::<u64>().prop_map(|low| IpAddr::V6(Ipv6Addr::from_bits(0x2001_u128 << 112 | u128::from(low)))),
    ]
}

/// What a client may have written: addresses, trusted ones among them, quotes, commas, garbage.
fn written() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ -~]{0,40}",
        "(for=)?\"?[0-9a-f.:,;\"= ]{0,40}",
        prop::collection::vec(prop_oneof![proxy(), client()], 0..4).prop_map(|list| list
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", ")),
    ]
}

/// Which header the proxies use, and whether each adds to the last line or begins its own.
fn chain(name: &'static str, written: &str, hops: &[IpAddr], own_lines: bool) -> HeaderMap {
    let entry = |hop: &IpAddr| match (name, hop) {
        ("forwarded", IpAddr::V4(v4)) => format!("for={v4};proto=https"),
        ("forwarded", IpAddr::V6(v6)) => format!("for=\"[{v6}]:4711\""),
        _ => hop.to_string(),
    };
    let mut lines = vec![written.to_owned()];
    for hop in hops {
        match lines.last_mut().filter(|_| !own_lines) {
            Some(last) => *last = format!("{last}, {}", entry(hop)),
            None => lines.push(entry(hop)),
        }
    }
    let mut headers = HeaderMap::new();
    for line in lines {
        headers.append(HeaderName::from_static(name), HeaderValue::from_str(&line).expect("a header value"));
    }
    headers
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    /// A client behind any chain of trusted proxies is taken for itself, whatever it wrote.
    #[test]
    fn the_client_controlled_part_never_counts(
        forwarded in any::<bool>(), text in written(), client in client(), between in prop::collection::vec(proxy(), 0..4),
        peer in proxy(), own_lines in any::<bool>(),
    ) {
        let name = if forwarded { "forwarded" } else { "x-forwarded-for" };
        let hops: Vec<IpAddr> = std::iter::once(client).chain(between).collect();
        let headers = chain(name, &text, &hops, own_lines);
        prop_assert_eq!(client_address(&headers, peer, &trusted()), client);
    }

    /// A client that speaks to a node directly is taken for itself, whatever it wrote.
    #[test]
    fn an_untrusted_peer_is_always_the_client(one in written(), other in written(), client in client()) {
        let mut headers = chain("forwarded", &one, &[], false);
        headers.extend(chain("x-forwarded-for", &other, &[], false));
        prop_assert_eq!(client_address(&headers, client, &trusted()), client);
    }

    /// A header that the proxies do not write can at worst hide the client behind the proxy.
    #[test]
    fn a_second_header_gives_the_client_or_the_peer(text in written(), client in client(), peer in proxy()) {
        let mut headers = chain("x-forwarded-for", "", &[client], true);
        headers.extend(chain("forwarded", &text, &[], false));
        let found = client_address(&headers, peer, &trusted());
        prop_assert!(found == client || found == peer, "{found}");
    }

    /// Addresses of one /64 count as one, others do not.
    #[test]
    fn ipv6_counts_by_64_bits(high in any::<u64>(), one in any::<u64>(), other in any::<u64>()) {
        prop_assume!(high != 0);
        let address = |high: u64, low: u64| IpAddr::V6(Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low)));
        prop_assert_eq!(counted_as(address(high, one)), counted_as(address(high, other)));
        prop_assert_ne!(counted_as(address(high, one)), counted_as(address(high ^ 1, one)));
    }
}
