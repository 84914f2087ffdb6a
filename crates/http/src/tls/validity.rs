//! From when until when a certificate is good: all that is looked for in X.509 here.
//!
//! Everything else of a certificate is the business of those who are shown it.

use time::{Date, Month, PrimitiveDateTime, Time};

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// `notBefore` and `notAfter` (RFC 5280, 4.1.2.5), in seconds since 1970; 0 for what lies before.
pub(super) fn validity_s(der: &[u8]) -> Option<(u64, u64)> {
    let (certificate, _) = expect(der, SEQUENCE)?;
    let (signed, _) = expect(certificate, SEQUENCE)?;
    let rest = expect(signed, VERSION).map_or(signed, |(_, rest)| rest);
    let (_serial, rest) = expect(rest, INTEGER)?;
    let (_algorithm, rest) = expect(rest, SEQUENCE)?;
    let (_issuer, rest) = expect(rest, SEQUENCE)?;
    let (validity, _) = expect(rest, SEQUENCE)?;
    let (not_before, rest) = next_instant(validity)?;
    let (not_after, _) = next_instant(rest)?;
    Some((not_before, not_after))
}

/// The instant that comes first, in seconds since 1970, and what comes after it.
fn next_instant(der: &[u8]) -> Option<(u64, &[u8])> {
    let (tag, text, rest) = element(der)?;
    let seconds = instant(tag, std::str::from_utf8(text).ok()?)?.assume_utc().unix_timestamp();
    Some((u64::try_from(seconds).unwrap_or(0), rest))
}

/// The content of the first element, which must have this tag, and what comes after it.
fn expect(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    element(der).filter(|(found, ..)| *found == tag).map(|(_, content, rest)| (content, rest))
}

/// Tag and content of the first element, and what comes after it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&length, rest) = rest.split_first()?;
    let (length, rest) = if length < 0x80 {
        (usize::from(length), rest)
    } else {
        let (bytes, rest) = rest.split_at_checked(usize::from(length & 0x7f)).filter(|(bytes, _)| (1..=4).contains(&bytes.len()))?;
        (bytes.iter().fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte)), rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// `YYMMDDHHMMSSZ`, where 50 and later is of the last century, or `YYYYMMDDHHMMSSZ`.
fn instant(tag: u8, text: &str) -> Option<PrimitiveDateTime> {
    let text = text.strip_suffix('Z').filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    let (year, rest) = match tag {
        UTC_TIME => text.split_at_checked(2).and_then(|(year, rest)| Some((two_digit_year(year.parse().ok()?), rest)))?,
        GENERALIZED_TIME => text.split_at_checked(4).and_then(|(year, rest)| Some((year.parse().ok()?, rest)))?,
        _ => return None,
    };
    let mut pairs = rest.as_bytes().as_chunks::<2>().0.iter().filter(|_| rest.len() == 10).map(|[a, b]| (a - b'0') * 10 + (b - b'0'));
    let mut next = || pairs.next();
    let (month, day, hour, minute, second) = (next()?, next()?, next()?, next()?, next()?);
    let date = Date::from_calendar_date(year, Month::try_from(month).ok()?, day).ok()?;
    Some(PrimitiveDateTime::new(date, Time::from_hms(hour, minute, second).ok()?))
}

fn two_digit_year(year: i32) -> i32 {
    if year < 50 { 2000 + year } else { 1900 + year }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(tag: u8, text: &str) -> Option<i64> {
        instant(tag, text).map(|instant| instant.assume_utc().unix_timestamp())
    }

    #[test]
    fn both_forms_of_a_date_are_read() {
        assert_eq!(seconds(UTC_TIME, "270101000000Z"), Some(1_798_761_600));
        assert_eq!(seconds(GENERALIZED_TIME, "20270101000000Z"), Some(1_798_761_600));
        assert_eq!(seconds(UTC_TIME, "700101000000Z"), Some(0));
        assert_eq!(seconds(GENERALIZED_TIME, "99991231235959Z"), Some(253_402_300_799));
        for (tag, text) in [
            (UTC_TIME, ""),
            (UTC_TIME, "270101000000"),
            (UTC_TIME, "2701010000Z"),
            (UTC_TIME, "27010100000000Z"),
            (UTC_TIME, "271301000000Z"),
            (GENERALIZED_TIME, "270101000000Z"),
            (GENERALIZED_TIME, "20270230000000Z"),
            (GENERALIZED_TIME, "2027é10100000Z"),
            (INTEGER, "270101000000Z"),
        ] {
            assert_eq!(seconds(tag, text), None, "{text}");
        }
    }

    #[test]
    fn what_is_cut_short_has_no_date() {
        let issued = rcgen::generate_simple_self_signed(["a.example".to_owned()]).expect("a certificate");
        let der = issued.cert.der();
        // rcgen's own defaults: the years 1975 and 4096.
        assert_eq!(validity_s(der), Some((157_766_400, 67_090_118_400)));
        for length in 0..der.len() {
            assert_eq!(validity_s(&der[..length]), None, "{length} bytes");
        }
        assert_eq!(validity_s(&[SEQUENCE, 0x85, 1, 1, 1, 1, 1]), None);
    }
}
