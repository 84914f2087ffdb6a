//! What `lua/decide.lua` answered.

use bytes::{Buf, Bytes};
use tollgate_gate::ports::{Outcome, SubjectStanding};
use tollgate_limits::{Arrival, Grant, Stamp, Standing, Step};

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
        b'A' => Outcome::Allowed(read_standings(bytes, request, now_us, !request.decision.peek)?),
        b'L' => Outcome::Limited(read_standings(bytes, request, now_us, false)?),
        b'G' => {
            let standings = read_standings(bytes, request, now_us, true)?;
            Outcome::Leased(standings, read_grant(bytes)?)
        }
        b'O' => {
            let mut standings = read_standings(bytes, request, now_us, false)?;
            let wait_us = read_number(bytes, 3)?;
            for SubjectStanding { standing, .. } in standings.iter_mut().filter(|told| !told.standing.fits) {
                standing.retry_after_us = standing.retry_after_us.max(wait_us);
            }
            Outcome::Limited(standings)
        }
        b'C' => return request.decision.subjects.iter().map(|_| read_record(bytes)).collect::<Result<_, _>>().map(Answer::Convert),
        b'S' => Outcome::Stale,
        b'R' => Outcome::Revoked,
        b'X' => Outcome::Lost,
        b'B' => Outcome::Broken,
        _ => return Err(ReplyError),
    };
    Ok(Answer::Told(outcome))
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

fn read_standings(bytes: &mut Bytes, request: &Request, now_us: u64, charged: bool) -> Result<Vec<SubjectStanding>, ReplyError> {
    let count = request.decision.subjects.iter().map(|subject| subject.limits.as_slice().len()).sum();
    let mut standings = Vec::with_capacity(count);
    for subject in request.decision.subjects.iter() {
        for named in subject.limits.as_slice() {
            let ahead_us = bytes.try_get_uint(6).map_err(|_| ReplyError)?;
            let frac = bytes.try_get_u32().map_err(|_| ReplyError)?;
            let arrival = Arrival { whole_us: now_us.saturating_add(ahead_us), frac };
            let step = Step::of(request.decision.cost, named.limit).ok_or(ReplyError)?;
            let fits = charged || arrival.after(step, named.limit).within(named.limit, now_us);
            let standing = Standing::read(arrival, named.limit, (!fits).then_some(step), now_us);
            standings.push(SubjectStanding { kind: subject.kind, named: named.clone(), standing });
        }
    }
    Ok(standings)
}
