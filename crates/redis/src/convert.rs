//! Rewrites a record under the figures that an asker brings.
//!
//! Lua only adds and compares below 2⁵³; a change of figures needs products of 128 bits. So the
//! script hands the record back, and its next call carries what replaces its buckets, as
//! compare-and-set.

use bytes::Bytes;
use tollgate_limits::{Ask, Cost, decide};

use crate::codec::{Request, Swap, buckets_of, decode_record, encode_record};

/// What must replace the records of `request`, which the store held as `stored` at `now_us`.
/// `None` where one cannot be read.
///
/// A peek on the reference store writes what a decision would find: every asked bucket with the
/// same debt in tokens under the new figures. Nothing else of the record changes.
pub fn swaps(request: &Request, stored: &[Bytes], now_us: u64) -> Option<Vec<Swap>> {
    let mut swaps = Vec::with_capacity(stored.len());
    for ((subject, key), expected) in request.subjects().zip(stored).filter(|(_, stored)| !stored.is_empty()) {
        let mut records = [decode_record(expected)?];
        let ask = Ask { generation: subject.generation, limits: &subject.limits };
        decide(&mut records, &[ask], Cost::ONE, true, now_us);
        let replacement = encode_record(&records[0]);
        if replacement != *expected {
            swaps.push(Swap { key: key.clone(), expected: buckets_of(expected), replacement });
        }
    }
    Some(swaps)
}
