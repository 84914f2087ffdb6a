//! Requests of HTTP/1.1 that two readers could cut at different places.

use super::{BURST, Route, Version, Ways};
use crate::support::{Told, over_http1};

/// Heads that say twice, or wrongly, how long the request is. A request with a good key lies in the
/// body of each, and must stay there.
fn heads(target: &str, inner: usize) -> Vec<String> {
    let length = inner + 5;
    let chunked = "transfer-encoding: chunked";
    let lines = [
        format!("content-length: {length}\r\n{chunked}"),
        format!("{chunked}\r\ncontent-length: {length}"),
        format!("content-length: 0\r\n{chunked}"),
        format!("content-length: 5\r\ncontent-length: {length}"),
        format!("content-length: {length}\r\ncontent-length: 5"),
        format!("content-length: {length}, 5"),
        format!("content-length: +{length}"),
        format!("content-length: -{length}"),
        format!("content-length: 0x{length:x}"),
        format!("content-length: {length}_"),
        "content-length: 99999999999999999999999".into(),
        "content-length: five".into(),
        "content-length;: 5".into(),
        "content-length : 5".into(),
        format!("{chunked}, identity"),
        format!("{chunked}\r\n{chunked}, x"),
        "transfer-encoding: xchunked".into(),
        "transfer-encoding: chunked;q=1, x".into(),
        "transfer-encoding: \x0bchunked".into(),
        "transfer-encoding : chunked".into(),
        "transfer-encoding: identity".into(),
        format!("x: y\r\n {chunked}"),
        "x: y\r\n\tx-api-key: x".into(),
        "host: second".into(),
    ];
    let whole = ["GET", "POST"].map(|method| {
        let heads = lines.iter().map(move |lines| format!("{method} {target} HTTP/1.1\r\nhost: tollgate\r\n{lines}\r\n"));
        heads.collect::<Vec<_>>()
    });
    let starts = ["GET TARGET HTTP/1.2", "GET  TARGET HTTP/1.1", "GET TARGET", "G\0T TARGET HTTP/1.1", " / HTTP/1.1"];
    let starts = starts
        .map(|start| start.replace("TARGET", target))
        .map(|start| format!("{start}\r\nhost: tollgate\r\ncontent-length: {length}\r\n"));
    [whole.concat(), starts.to_vec()].concat()
}

/// Whoever reads such a request refuses it, or takes it for one that names nobody; whatever lies in
/// its body is asked of nobody.
pub(super) async fn nothing_is_smuggled(ways: &Ways) {
    for route in ways.routes().into_iter().filter(|route| route.version == Version::One) {
        nothing_is_smuggled_on(route, "/v1/authorize", &ways.other.api_key).await;
    }
    assert_eq!(ways.left().await[1], Some(BURST), "a request that lay within another was charged");
}

/// The same of one way, where a request for `target` without a key is 401, and one lies in the body
/// with this key.
pub(crate) async fn nothing_is_smuggled_on(route: Route, target: &str, api_key: &str) {
    let inner = format!("GET {target} HTTP/1.1\r\nhost: tollgate\r\nx-api-key: {api_key}\r\n\r\n");
    for head in heads(target, inner.len()) {
        let told = over_http1(route.address, format!("{head}connection: close\r\n\r\n0\r\n\r\n{inner}").as_bytes()).await;
        let refused = matches!(told.status(), None | Some(400 | 401 | 404 | 405 | 411 | 413 | 414 | 426 | 501 | 505));
        assert!(refused && told != Told::Bare(200), "{route:?}, {head:?}: {told:?}");
        // Whoever comes next is told what is his own.
        let next = format!("GET {target} HTTP/1.1\r\nhost: tollgate\r\nconnection: close\r\n\r\n");
        let told = over_http1(route.address, next.as_bytes()).await;
        assert_eq!(told.status(), Some(401), "{route:?}, after {head:?}");
    }
}
