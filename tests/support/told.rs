//! Requests by the byte over HTTP/1.1 and HTTP/2, and what became of them.
//!
//! A client library refuses to send most of what the tests of malformed requests are about, and a
//! decoder of all of HTTP/2 is not needed: the status is the first field of an answer.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longer than anybody takes who answers at all.
const PATIENCE: Duration = Duration::from_secs(30);

/// A header: name and value, as bytes.
pub(crate) type Field = (Vec<u8>, Vec<u8>);

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Told {
    /// A node answered: status, and the last word of the problem's type, or the key id.
    Node(u16, String),
    /// Somebody answered without asking a node, or without saying why.
    Bare(u16),
    /// No answer: the connection or the stream was ended.
    Nothing,
}

impl Told {
    /// The status, if there was an answer.
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Self::Node(status, _) | Self::Bare(status) => Some(*status),
            Self::Nothing => None,
        }
    }

    fn of(status: u16, body: &[u8]) -> Self {
        let problem = serde_json::from_slice::<tollgate_api::Problem>(body);
        problem
            .map_or(Self::Bare(status), |problem| Self::Node(status, problem.kind.rsplit([':', '#']).next().unwrap_or_default().to_owned()))
    }
}

/// Sends these bytes on a connection of their own and reads one answer of HTTP/1.1.
pub(crate) async fn over_http1(address: SocketAddr, request: &[u8]) -> Told {
    tokio::time::timeout(PATIENCE, http1_exchange(address, request)).await.expect("an answer, or none")
}

async fn http1_exchange(address: SocketAddr, request: &[u8]) -> Told {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    // Whoever refuses early may have closed already.
    stream.write_all(request).await.ok();
    let mut seen = Vec::new();
    loop {
        if let Some(told) = http1_answer(&seen) {
            return told;
        }
        // A reset is an end too.
        if stream.read_buf(&mut seen).await.unwrap_or(0) == 0 {
            return http1_head(&seen).map_or(Told::Nothing, |(status, _, body)| Told::of(status, body));
        }
    }
}

/// Status, the stated length of the body, and what there is of it.
fn http1_head(seen: &[u8]) -> Option<(u16, Option<usize>, &[u8])> {
    let end = seen.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&seen[..end]).ok()?.to_lowercase();
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")).and_then(|length| length.trim().parse().ok());
    Some((status, length, &seen[end..]))
}

fn http1_answer(seen: &[u8]) -> Option<Told> {
    let (status, length, body) = http1_head(seen)?;
    (body.len() >= length?).then(|| Told::of(status, body))
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// Sends one request of HTTP/2, fields as they are, on a connection of its own.
pub(crate) async fn over_http2(address: SocketAddr, fields: &[Field]) -> Told {
    tokio::time::timeout(PATIENCE, http2_exchange(address, fields)).await.expect("an answer, or none")
}

async fn http2_exchange(address: SocketAddr, fields: &[Field]) -> Told {
    let block: Vec<u8> = fields.iter().flat_map(|(name, value)| literal(name, value)).collect();
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let frames = [frame(SETTINGS, 0, 0, &[]), frame(HEADERS, END_STREAM | END_HEADERS, 1, &block), frame(SETTINGS, 1, 0, &[])];
    stream.write_all(&[PREFACE, &frames.concat()].concat()).await.ok();
    let (mut seen, mut status, mut body) = (Vec::new(), None, Vec::new());
    loop {
        while let Some((kind, flags, payload)) = next_frame(&mut seen) {
            match kind {
                HEADERS => status = Some(http2_status(&payload)),
                DATA => body.extend(payload),
                RST_STREAM | GOAWAY if status.is_none() => return Told::Nothing,
                _ => continue,
            }
            if flags & END_STREAM != 0 {
                return Told::of(status.expect("headers come first"), &body);
            }
        }
        if stream.read_buf(&mut seen).await.unwrap_or(0) == 0 {
            return status.map_or(Told::Nothing, |status| Told::of(status, &body));
        }
    }
}

fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short frame").to_be_bytes();
    [&length[1..], &[kind, flags, 0, 0, 0, stream], payload].concat()
}

/// Takes a whole frame off the front: kind, flags, payload. None of ours is padded.
fn next_frame(seen: &mut Vec<u8>) -> Option<(u8, u8, Vec<u8>)> {
    let length = usize::from(*seen.first()?) << 16 | usize::from(*seen.get(1)?) << 8 | usize::from(*seen.get(2)?);
    if seen.len() < 9 + length {
        return None;
    }
    let frame: Vec<u8> = seen.drain(..9 + length).collect();
    Some((frame[3], frame[4], frame[9..].to_vec()))
}

/// A field as it is: not indexed, not shortened (RFC 7541, section 6.2.2).
fn literal(name: &[u8], value: &[u8]) -> Vec<u8> {
    [vec![0], sized(name), sized(value)].concat()
}

fn sized(text: &[u8]) -> Vec<u8> {
    let mut length = vec![];
    if text.len() < 127 {
        length.push(u8::try_from(text.len()).expect("small"));
    } else {
        length.push(127);
        let mut rest = text.len() - 127;
        while rest >= 128 {
            length.push(u8::try_from(rest % 128).expect("small") | 128);
            rest /= 128;
        }
        length.push(u8::try_from(rest).expect("small"));
    }
    [length, text.to_vec()].concat()
}

/// `:status`, the first field of an answer: in the static table, or a literal under its name.
fn http2_status(block: &[u8]) -> u16 {
    const INDEXED: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];
    // Changes of the table's size come first; ours are of one byte.
    let block = &block[block.iter().take_while(|byte| **byte >> 5 == 1).count()..];
    if let Some(status) = block[0].checked_sub(0x88).and_then(|at| INDEXED.get(usize::from(at))) {
        return *status;
    }
    // The name is that of entries 8 to 14, whichever the encoder found first.
    assert!([0x40, 0x00, 0x10].iter().any(|kind| (kind + 8..=kind + 14).contains(&block[0])), "not a status: {block:x?}");
    let text = &block[2..2 + usize::from(block[1] & 127)];
    let digits = if block[1] & 128 == 0 { text.iter().map(|byte| u16::from(byte - b'0')).collect() } else { shortened(text) };
    digits.iter().take(3).fold(0, |status, digit| status * 10 + digit)
}

/// Digits in the code of RFC 7541, appendix B: 0 to 2 have five bits, 3 to 9 six from 011001 on.
fn shortened(text: &[u8]) -> Vec<u16> {
    let bits: Vec<u16> = text.iter().flat_map(|byte| (0..8).rev().map(move |bit| u16::from(byte >> bit & 1))).collect();
    let (mut digits, mut at) = (Vec::new(), 0);
    let number = |at: usize, count: usize| bits[at..at + count].iter().fold(0, |number, bit| number << 1 | bit);
    while digits.len() < 3 {
        let short = number(at, 5);
        if short <= 2 {
            digits.push(short);
            at += 5;
        } else {
            digits.push(number(at, 6) - 0b01_1001 + 3);
            at += 6;
        }
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read_in_all_its_forms() {
        for (block, status) in [
            (vec![0x88], 200),
            (vec![0x8c, 1, 2], 400),
            (vec![0x3f, 0x8e], 500),
            ([vec![0x48, 3], b"401".to_vec()].concat(), 401),
            (vec![0x08, 0x82, 0b0110_1000, 0b0000_0001], 401),
            (vec![0x48, 0x83, 0b0110_1000, 0b0100_1111, 0xff], 429),
            (vec![0x4e, 0x82, 0b0110_1000, 0b0000_0001], 401),
        ] {
            assert_eq!(http2_status(&block), status, "{block:x?}");
        }
    }

    #[test]
    fn long_texts_have_long_lengths() {
        assert_eq!(sized(&[7; 300])[..3], [127, 0b1010_1101, 1]);
    }
}
