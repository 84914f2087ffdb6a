//! What `lua/decide.lua` answered.

use bytes::{Buf, Bytes};
use tollgate_gate::ports::{Outcome, SubjectStanding};
use tollgate_limits::{Arrival, EPOCH_US, Grant, Slices, Stamp, Step};

use super::Request;

/// The answers of one call, in the order of its entries.
#[derive(Debug)]
pub struct Reply {
    /// The store's clock, microseconds since 1970.
    pub now_us: u64,
    /// One per entry.
    pub answers: Vec<Answer>,
}

/// The answer to one entry.
#[derive(Debug)]
pub enum Answer {
    /// Decided, or not to be decided: it can be told as it is.
    Told(Outcome),
    /// A record was written under other figures. Nothing was charged; one string a subject, empty
    /// where no record is stored.
    Convert(Vec<Bytes>),
}

/// A reply that is none: the script and this node are not of one make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the reply of the decide script cannot be read")]
pub struct ReplyError;

/// Reads the reply to `requests`.
pub fn read_reply<'a>(mut bytes: Bytes, requests: impl Iterator<Item = &'a Request>) -> Result<Reply, ReplyError> {
    let now_us = bytes.try_get_uint(7).map_err(|_| ReplyError)?;
    let answers = requests.map(|request| read_answer(&mut bytes, request, now_us)).collect::<Result<_, _>>()?;
    if bytes.has_remaining() { Err(ReplyError) } else { Ok(Reply { now_us, answers }) }
}

fn read_answer(bytes: &mut Bytes, request: &Request, now_us: u64) -> Result<Answer, ReplyError> {
    let outcome = match bytes.try_get_u8().map_err(|_| ReplyError)? {
        code @ (b'A' | b'P' | b'G' | b'L' | b'O') => read_decided(bytes, request, now_us, code)?,
        b'C' => return request.decision.subjects.iter().map(|_| read_record(bytes)).collect::<Result<_, _>>().map(Answer::Convert),
        b'S' => Outcome::Stale,
        b'R' => Outcome::Revoked,
        b'X' => Outcome::Lost,
        b'B' => Outcome::Broken,
        _ => return Err(ReplyError),
    };
    Ok(Answer::Told(outcome))
}

fn read_decided(bytes: &mut Bytes, request: &Request, now_us: u64, code: u8) -> Result<Outcome, ReplyError> {
    let (is_allowed, are_out) = (matches!(code, b'A' | b'P' | b'G'), matches!(code, b'P' | b'G' | b'O'));
    let out = if are_out { read_slices(bytes, request, now_us)? } else { [Slices::default(); 2] };
    let standings = read_standings(bytes, request, now_us, out, is_allowed && !request.decision.peek)?;
    Ok(match code {
        b'G' => Outcome::Leased(standings, read_grant(bytes)?),
        b'O' => Outcome::LimitedForNow(standings),
        _ if is_allowed => Outcome::Allowed(standings),
        _ => Outcome::Limited(standings),
    })
}

/// What is out of the buckets of each subject.
fn read_slices(bytes: &mut Bytes, request: &Request, now_us: u64) -> Result<[Slices; 2], ReplyError> {
    let mut out = [Slices::default(); 2];
    for (slices, _) in out.iter_mut().zip(request.decision.subjects.iter()) {
        let ahead = bytes.try_get_u8().map_err(|_| ReplyError)?;
        let tokens = |number| u32::try_from(number).map_err(|_| ReplyError);
        let (current, previous) = (tokens(read_number(bytes, 3)?)?, tokens(read_number(bytes, 3)?)?);
        *slices = Slices { epoch: now_us / EPOCH_US + u64::from(ahead), current, previous, ..Slices::default() };
    }
    Ok(out)
}

fn read_number(bytes: &mut Bytes, length: usize) -> Result<u64, ReplyError> {
    bytes.try_get_uint(length).map_err(|_| ReplyError)
}

fn read_grant(bytes: &mut Bytes) -> Result<Grant, ReplyError> {
    let (valid_us, tokens, epoch) = (read_number(bytes, 3)?, read_number(bytes, 3)?, read_number(bytes, 5)?);
    let series = [bytes.try_get_u16().map_err(|_| ReplyError)?, bytes.try_get_u16().map_err(|_| ReplyError)?];
    let tokens = u32::try_from(tokens).map_err(|_| ReplyError)?;
    Ok(Grant { tokens, valid_us, stamp: Stamp { epoch, series } })
}

fn read_record(bytes: &mut Bytes) -> Result<Bytes, ReplyError> {
    let length = usize::from(bytes.try_get_u16().map_err(|_| ReplyError)?);
    if bytes.len() < length { Err(ReplyError) } else { Ok(bytes.split_to(length)) }
}

fn read_standings(
    bytes: &mut Bytes,
    request: &Request,
    now_us: u64,
    out: [Slices; 2],
    charged: bool,
) -> Result<Vec<SubjectStanding>, ReplyError> {
    let count = request.decision.subjects.iter().map(|subject| subject.limits.as_slice().len()).sum();
    let mut standings = Vec::with_capacity(count);
    for (subject, slices) in request.decision.subjects.iter().zip(out) {
        for named in subject.limits.as_slice() {
            let ahead_us = bytes.try_get_uint(6).map_err(|_| ReplyError)?;
            let frac = bytes.try_get_u32().map_err(|_| ReplyError)?;
            let arrival = Arrival { whole_us: now_us.saturating_add(ahead_us), frac };
            let step = Step::of(request.decision.cost, named.limit).ok_or(ReplyError)?;
            let fits = charged || arrival.after(step, named.limit).within(named.limit, now_us);
            let standing = slices.standing(arrival, named.limit, (!fits).then_some(step), now_us);
            standings.push(SubjectStanding { kind: subject.kind, named: named.clone(), standing });
        }
    }
    Ok(standings)
}
