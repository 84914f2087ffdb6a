//! Ids, paths and headers that were made to break a line of the log.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Site;

/// What somebody would try who wants to forge a line, end one early, or hide one.
const PIECES: [&[u8]; 24] = [
    b"\"",
    b"\\",
    b"\\\"",
    b"{",
    b"}",
    b"\",\"level\":\"ERROR\",\"x\":\"",
    b"\r\n",
    b"\n",
    b"\x00",
    b"\x1b[31m",
    b"\xff",
    b"\xc3\x28",
    b"%0a",
    b"\\u0022",
    b"\xe2\x80\xa8",
    b" ",
    b"a",
    b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    b"tks_hunter2",
    b"://u:p@h\\",
    b"Bearer aaaaaaaaaaaaaaaaaaaa\\",
    b"/v1/authorize",
    b"?x=",
    b"\t",
];
const HEADERS: [&str; 7] =
    ["x-request-id", "traceparent", "tracestate", "user-agent", "x-forwarded-for", "authorization", "idempotency-key"];
const REQUESTS: u64 = 1500;

/// Numbers that are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % end
    }

    fn text(&mut self) -> Vec<u8> {
        (0..self.below(6)).flat_map(|_| PIECES[self.below(PIECES.len())]).copied().collect()
    }
}

fn request(numbers: &mut Numbers) -> Vec<u8> {
    let method = ["GET", "POST", "PUT", "{}", "G\"T"][numbers.below(5)];
    let path = ["/v1/authorize", "/v1/keys/", "/v1/check", "/", "/v1/authorize/"][numbers.below(5)];
    // Neither a path nor a query is told.
    let untold = ["", "canary", "?canary="][numbers.below(3)];
    let mut request =
        [method.as_bytes(), b" ", path.as_bytes(), untold.as_bytes(), &numbers.text(), b" HTTP/1.1\r\nhost: h\r\nconnection: close\r\n"]
            .concat();
    for _ in 0..numbers.below(4) {
        let name = HEADERS[numbers.below(HEADERS.len())];
        request.extend([name.as_bytes(), b": ", &numbers.text(), b"\r\n"].concat());
    }
    request.extend(b"\r\n");
    request
}

#[tokio::test]
async fn whatever_is_sent_each_line_of_the_log_is_one_json_object() {
    let all = "1000000";
    let site = Site::start(|builder| {
        let builder = builder.env("TOLLGATE_LOG__FILTER", "trace").env("TOLLGATE_TRUSTED_PROXIES", "127.0.0.1");
        builder.env("TOLLGATE_LOG__ALLOWED_PPM", all).env("TOLLGATE_LOG__LINES_PER_SECOND_MAX", all)
    })
    .await;
    let mut numbers = Numbers(1);
    for _ in 0..REQUESTS {
        let mut stream = TcpStream::connect(site.node.address()).await.unwrap();
        // A node that has heard enough hangs up, in the middle of a request too.
        stream.write_all(&request(&mut numbers)).await.ok();
        stream.read_to_end(&mut Vec::new()).await.ok();
    }
    let id = "last{\"request_id\":\"x\"}";
    site.admin().get("/v1/keys/a%0a%22b").request_id(id).send().await.expect(404);
    let lines = site.lines();
    let requests = lines.iter().filter(|line| line["message"] == "request").count();
    // Many are no HTTP at all and get no further than the accept loop.
    assert!(requests > 200, "{requests} of {} lines", lines.len());
    assert_eq!(site.lines_of(id).len(), 1);
    let routes: std::collections::BTreeSet<&str> = lines.iter().filter_map(|line| line["route"].as_str()).collect();
    assert!(routes.iter().all(|route| route.bytes().all(|byte| byte.is_ascii_lowercase() || b"/{}_1-.".contains(&byte))), "{routes:?}");
    let log = site.node.process().stderr();
    assert!(!log.contains("hunter2") && !log.contains("canary"), "what was sent is in no line");
}
