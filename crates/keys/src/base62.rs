//! Numbers in base 62, `0-9A-Za-z`, at a fixed width, so that one number has one text.

/// The most digits whose value always fits a `u128`.
const DIGITS_MAX: usize = 21;

/// The most digits whose value always fits a `u64`, in which the arithmetic is cheap.
const CHUNK: usize = 10;

/// Whether every character is one of the 62.
pub(crate) fn is_base62(text: &str) -> bool {
    // Looks at all of them, so that they are looked at many at a time.
    text.bytes().fold(true, |all, byte| all & byte.is_ascii_alphanumeric())
}

/// The digit for a value below 62.
pub(crate) const fn digit(value: u8) -> char {
    (match value {
        0..=9 => b'0' + value,
        10..=35 => b'A' + (value - 10),
        36..=61 => b'a' + (value - 36),
        _ => b'z',
    }) as char
}

/// Appends `value` in exactly `WIDTH` digits, zeros first. A value too large loses its high digits.
pub(crate) fn push<const WIDTH: usize>(text: &mut String, mut value: u128) {
    let mut digits = ['0'; WIDTH];
    for place in digits.iter_mut().rev() {
        *place = digit((value % 62) as u8);
        value /= 62;
    }
    text.extend(digits);
}

/// The value of a text of at most 21 digits; `None` for any other.
pub(crate) fn read(text: &str) -> Option<u128> {
    if text.len() > DIGITS_MAX {
        return None;
    }
    text.as_bytes().chunks(CHUNK).try_fold(0u128, |value, chunk| {
        let digits = chunk.iter().try_fold(0u64, |digits, byte| Some(digits * 62 + u64::from(value_of(*byte)?)))?;
        let places = u32::try_from(chunk.len()).ok()?;
        Some(value * u128::from(62u64.pow(places)) + u128::from(digits))
    })
}

fn value_of(byte: u8) -> Option<u8> {
    VALUES.get(usize::from(byte)).copied().filter(|value| *value != NO_DIGIT)
}

const NO_DIGIT: u8 = u8::MAX;

/// The value of each byte as a digit.
const VALUES: [u8; 256] = values();

#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler, which would refuse a place out of bounds")]
const fn values() -> [u8; 256] {
    let mut values = [NO_DIGIT; 256];
    let mut value = 0;
    while value < 62 {
        values[digit(value) as usize] = value;
        value += 1;
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text<const WIDTH: usize>(value: u128) -> String {
        let mut text = String::new();
        push::<WIDTH>(&mut text, value);
        text
    }

    #[test]
    fn digits_are_in_the_order_of_their_bytes() {
        let all: String = (0..62).map(digit).collect();
        assert_eq!(all, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");
        assert!(all.bytes().is_sorted());
        assert!(is_base62(&all));
    }

    #[test]
    fn numbers_keep_their_width_and_come_back() {
        for value in [0, 1, 61, 62, 3843, 3844, u128::from(u32::MAX)] {
            assert_eq!(text::<6>(value).len(), 6);
            assert_eq!(read(&text::<6>(value)), Some(value));
        }
        let tag_max = (1 << 96) - 1;
        assert_eq!(read(&text::<17>(tag_max)), Some(tag_max));
    }

    #[test]
    fn refuses_other_characters_and_texts_too_long() {
        assert_eq!(read("12-4"), None);
        assert_eq!(read("ä"), None);
        assert_eq!(read(&"z".repeat(21)), Some(62u128.pow(21) - 1));
        assert_eq!(read(&"0".repeat(22)), None);
    }
}
