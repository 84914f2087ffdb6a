//! One subject's record as it is stored.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tollgate_limits::{Arrival, BUCKETS_PER_RECORD_MAX, Bucket, LEASED_MAX, RateLimit, Record, Slices};

use super::EXACT_MAX;

const VERSION: u8 = 1;
const REVOKED: u8 = 1;
const LEASED: u8 = 16;
const HEAD_BYTES: usize = 16;
const BUCKET_BYTES: usize = 22;
const SLICES_BYTES: usize = 14;
/// The last millisecond that six bytes hold.
const FENCE_END_MAX: u64 = (1 << 48) - 1;

/// Packs a record: 16 bytes, 22 for each bucket (one bucket: 38 bytes), and 14 where slices are out.
pub fn encode_record(record: &Record) -> Bytes {
    let buckets = record.buckets.get(..BUCKETS_PER_RECORD_MAX).unwrap_or(&record.buckets);
    let is_leased = !record.slices.is_none();
    let mut out = BytesMut::with_capacity(HEAD_BYTES + BUCKET_BYTES * buckets.len() + SLICES_BYTES);
    out.put_u8(VERSION);
    out.put_u8((if record.revoked { REVOKED } else { 0 }) | if is_leased { LEASED } else { 0 });
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
    if is_leased {
        put_slices(&mut out, &record.slices);
    }
    out.freeze()
}

fn put_slices(out: &mut BytesMut, slices: &Slices) {
    out.put_uint(slices.epoch, 5);
    out.put_uint(slices.current.into(), 3);
    out.put_uint(slices.previous.into(), 3);
    out.put_u8(slices.quiet);
    out.put_u16(slices.series);
}

/// Reads a record; `None` where the bytes are none that this version can know.
pub fn decode_record(mut bytes: &[u8]) -> Option<Record> {
    if bytes.len() < HEAD_BYTES || bytes.get_u8() != VERSION {
        return None;
    }
    let flags = bytes.get_u8();
    let count = usize::from(bytes.get_u8());
    let (generation, fence_end_ms) = (bytes.get_uint(7), bytes.get_uint(6));
    if flags & !(REVOKED | LEASED) != 0 || count > BUCKETS_PER_RECORD_MAX {
        return None;
    }
    let (buckets, slices) = bytes.split_at_checked(BUCKET_BYTES * count)?;
    let slices = decode_slices(slices, flags & LEASED != 0)?;
    let buckets: Option<Vec<Bucket>> = buckets.chunks_exact(BUCKET_BYTES).map(decode_bucket).collect();
    Some(Record { generation, revoked: flags & REVOKED != 0, fence_end_ms, buckets: buckets?, slices })
}

/// The buckets of a record that [`decode_record`] can read, as they are stored.
pub fn buckets_of(record: &Bytes) -> Bytes {
    let end = HEAD_BYTES + BUCKET_BYTES * usize::from(record.get(2).copied().unwrap_or(0));
    record.slice(HEAD_BYTES.min(record.len())..end.min(record.len()))
}

fn decode_slices(mut bytes: &[u8], are_there: bool) -> Option<Slices> {
    if !are_there {
        return bytes.is_empty().then(Slices::default);
    }
    if bytes.len() != SLICES_BYTES {
        return None;
    }
    let number = |bytes: &mut &[u8]| u32::try_from(bytes.get_uint(3)).ok();
    let epoch = bytes.get_uint(5);
    let (current, previous) = (number(&mut bytes)?, number(&mut bytes)?);
    let slices = Slices { epoch, current, previous, quiet: bytes.get_u8(), series: bytes.get_u16() };
    (!slices.is_none() && slices.outstanding() <= LEASED_MAX).then_some(slices)
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
        let slices = Slices { epoch: (1 << 40) - 1, current: LEASED_MAX - 1, previous: 1, quiet: 8, series: u16::MAX };
        let slices = if buckets.is_multiple_of(3) { slices } else { Slices::default() };
        let buckets = (0..buckets).map(bucket).collect();
        Record { generation: EXACT_MAX, revoked: true, fence_end_ms: FENCE_END_MAX, buckets, slices }
    }

    #[test]
    fn comes_back_as_it_was_with_every_number_of_buckets() {
        for buckets in 0..=BUCKETS_PER_RECORD_MAX {
            let bytes = encode_record(&sample(buckets));
            assert_eq!(bytes.len(), 16 + 22 * buckets + if buckets % 3 == 0 { 14 } else { 0 });
            assert_eq!(buckets_of(&bytes).len(), 22 * buckets);
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
        let leased = encode_record(&sample(3)).to_vec();
        let end = leased.len();
        let none_out = [&leased[..end - 9], &[0; 9]].concat();
        let too_many = [&leased[..end - 9], &[0xff; 9]].concat();
        let bad = bad.into_iter().chain([leased[..end - 1].to_vec(), leased[..end - 14].to_vec(), none_out, too_many]);
        for bytes in bad {
            assert_eq!(decode_record(&bytes), None, "{bytes:?}");
        }
        assert!(decode_record(&with(1, 0)).is_some_and(|record| !record.revoked));
    }
}
