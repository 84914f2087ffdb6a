//! Where a request came from, when, and its id.

use std::{
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

use http::{HeaderMap, HeaderName, HeaderValue, Request};
use tokio::time::Instant;
use tollgate_api::{REQUEST_ID_HEADER, is_sane_request_id};
use tollgate_settings::Network;
use tollgate_telemetry::{Steps, mixed};

use crate::{
    client_address::{client_address, counted_as},
    trace::Trace,
};

/// The header that carries a request's id.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static(REQUEST_ID_HEADER);

/// What the surface knows of a request before anybody looks into it.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    /// The other end of the socket, an IPv4 address as such even on an IPv6 socket.
    pub(crate) peer: IpAddr,
    /// The address that the client counts as.
    pub(crate) client: IpAddr,
    /// Names the request in answers, log lines and audit rows.
    pub(crate) request_id: RequestId,
    /// The trace that it belongs to.
    pub(crate) trace: Trace,
    /// When it began.
    pub(crate) began: Instant,
    /// What it waits for, where its trace is recorded.
    pub(crate) steps: Option<Steps>,
}

impl Origin {
    /// Reads or makes the request's id. The word of `trusted` peers on the client's address is taken.
    pub(crate) fn of(headers: &HeaderMap, peer: IpAddr, trusted: &[Network], began: Instant) -> Self {
        let peer = peer.to_canonical();
        let client = counted_as(client_address(headers, peer, trusted));
        Self { peer, client, request_id: RequestId::of(headers), trace: Trace::of(headers), began, steps: None }
    }

    /// What the surface left with a request.
    pub(crate) fn left_with<B>(request: &Request<B>) -> Option<&Self> {
        request.extensions().get()
    }
}

/// The id of a request: the caller's where it is sane, else one of ours.
#[derive(Debug, Clone)]
pub(crate) struct RequestId(HeaderValue);

impl RequestId {
    fn of(headers: &HeaderMap) -> Self {
        let mut given = headers.get_all(&REQUEST_ID).iter();
        match (given.next(), given.next()) {
            (Some(id), None) if id.to_str().is_ok_and(is_sane_request_id) => Self(id.clone()),
            _ => Self::make(),
        }
    }

    /// 128 bits in hex. Within a process no two are equal, as each half is a bijection of a
    /// counter; between processes the random start of each half tells them apart. They name
    /// requests and guard nothing.
    fn make() -> Self {
        static STARTS: LazyLock<(u64, u64)> = LazyLock::new(|| (RandomState::new().hash_one(1_u8), RandomState::new().hash_one(2_u8)));
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let count = COUNTER.fetch_add(1, Ordering::Relaxed);
        let step = count.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let bits = u128::from(mixed(STARTS.0.wrapping_add(step))) << 64 | u128::from(mixed(STARTS.1.wrapping_add(step)));
        Self(hex(bits))
    }

    /// The id as text.
    pub(crate) fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    /// The id as a header's value, for the answer: a request that has one needs its id no more.
    pub(crate) fn take_header(&mut self) -> HeaderValue {
        std::mem::replace(&mut self.0, HeaderValue::from_static(""))
    }
}

fn hex(bits: u128) -> HeaderValue {
    let digit = |place: u32| {
        let nibble = u8::try_from((bits >> (4 * place)) & 15).unwrap_or(0);
        if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 }
    };
    let text: [u8; 32] = std::array::from_fn(|place| digit(31 - u32::try_from(place).unwrap_or(31)));
    HeaderValue::from_bytes(&text).unwrap_or(HeaderValue::from_static("unknown"))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn id_for(values: &[&[u8]]) -> String {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(REQUEST_ID_HEADER, HeaderValue::from_bytes(value).expect("a header value"));
        }
        RequestId::of(&headers).as_str().to_owned()
    }

    #[test]
    fn a_sane_id_is_taken() {
        assert_eq!(id_for(&[b"abc-1"]), "abc-1");
        assert_eq!(id_for(&[&[b'~'; 128]]), "~".repeat(128));
    }

    #[test]
    fn an_insane_or_doubled_id_is_replaced() {
        let bad: [&[&[u8]]; 6] = [&[], &[b""], &[b"a b"], &[b"a\tb"], &[&[b'a'; 129]], &[b"a", b"b"]];
        for values in bad {
            let id = id_for(values);
            assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{values:?} became {id}");
        }
        assert_eq!(id_for(&["é".as_bytes()]).len(), 32);
    }

    #[test]
    fn made_ids_differ() {
        let ids: HashSet<String> = (0..1000).map(|_| id_for(&[])).collect();
        assert_eq!(ids.len(), 1000);
    }
}
