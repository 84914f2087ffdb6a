//! One subject's record as it is stored.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tollgate_limits::{Arrival, BUCKETS_PER_RECORD_MAX, Bucket, RateLimit, Record};

use super::EXACT_MAX;

const VERSION: u8 = 1;
const REVOKED: u8 = 1;
const HEAD_BYTES: usize = 16;
const BUCKET_BYTES: usize = 22;
/// The last millisecond that six bytes hold.
const FENCE_END_MAX: u64 = (1 << 48) - 1;

/// Packs a record: 16 bytes, and 22 for each bucket (one bucket: 38 bytes).
pub fn encode_record(record: &Record) -> Bytes {
    let buckets = record.buckets.get(..BUCKETS_PER_RECORD_MAX).unwrap_or(&record.buckets);
    let mut out = BytesMut::with_capacity(HEAD_BYTES + BUCKET_BYTES * buckets.len());
    out.put_u8(VERSION);
    out.put_u8(if record.revoked { REVOKED } else { 0 });
    out.put_uint(buckets.len() as u64, 1);
    out.put_uint(record.generation.min(EXACT_MAX), 7);
    out.put_uint(record.fence_end_ms.min(FENCE_END_MAX), 6);
    for bucket in buckets {
        out.put_u32(bucket.name_id);
        out.put_u32(bucket.limit.burst());
        out.put_uint(u64::from(bucket.limit.per_seconds()), 3);
        out.put_uint(bucket.arrival.whole_us.min(EXACT_MAX), 7);
        out.put_u32(bucket.arrival.frac);
    }
    out.freeze()
}

/// Reads a record; `None` where the bytes are none that this version can know.
pub fn decode_record(mut bytes: &[u8]) -> Option<Record> {
    if bytes.len() < HEAD_BYTES || bytes.get_u8() != VERSION {
        return None;
    }
    let flags = bytes.get_u8();
    let count = usize::from(bytes.get_u8());
    let (generation, fence_end_ms) = (bytes.get_uint(7), bytes.get_uint(6));
    if flags > REVOKED || count > BUCKETS_PER_RECORD_MAX || bytes.len() != BUCKET_BYTES * count {
        return None;
    }
    let buckets: Option<Vec<Bucket>> = bytes.chunks_exact(BUCKET_BYTES).map(decode_bucket).collect();
    Some(Record { generation, revoked: flags == REVOKED, fence_end_ms, buckets: buckets? })
}

/// The buckets of a record that [`decode_record`] can read, as they are stored.
pub fn buckets_of(record: &Bytes) -> Bytes {
    record.slice(HEAD_BYTES.min(record.len())..)
}

fn decode_bucket(mut bytes: &[u8]) -> Option<Bucket> {
    let (name_id, burst, per_seconds) = (bytes.get_u32(), bytes.get_u32(), bytes.get_uint(3));
    let limit = RateLimit::new(u64::from(burst), per_seconds).ok()?;
    let arrival = Arrival { whole_us: bytes.get_uint(7), frac: bytes.get_u32() };
    (arrival.frac < burst).then_some(Bucket { name_id, limit, arrival })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(buckets: usize) -> Record {
        let bucket = |place: usize| Bucket {
            name_id: u32::MAX - u32::try_from(place).expect("small"),
            limit: RateLimit::new(1_000_000_000, 2_678_400).expect("in range"),
            arrival: Arrival { whole_us: EXACT_MAX, frac: 999_999_999 },
        };
        Record { generation: EXACT_MAX, revoked: true, fence_end_ms: FENCE_END_MAX, buckets: (0..buckets).map(bucket).collect() }
    }

    #[test]
    fn comes_back_as_it_was_with_every_number_of_buckets() {
        for buckets in 0..=BUCKETS_PER_RECORD_MAX {
            let bytes = encode_record(&sample(buckets));
            assert_eq!(bytes.len(), 16 + 22 * buckets);
            assert_eq!(decode_record(&bytes), Some(sample(buckets)));
        }
    }

    #[test]
    fn bytes_of_another_form_are_no_record() {
        let good = encode_record(&sample(2)).to_vec();
        let with = |place: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[place] = byte;
            bytes
        };
        let zero_burst = [&good[..20], &[0; 4], &good[24..]].concat();
        let bad =
            [vec![], good[..15].to_vec(), good[..59].to_vec(), with(0, 2), with(1, 2), with(1, 0x10), with(2, 1), with(2, 3), zero_burst];
        for bytes in bad {
            assert_eq!(decode_record(&bytes), None, "{bytes:?}");
        }
        assert!(decode_record(&with(1, 0)).is_some_and(|record| !record.revoked));
    }
}
