//! Which trace a request belongs to: the header `traceparent` of the W3C's Trace Context.
//!
//! Server, client and command line read and write it by these types alone. Where random bits are
//! needed they are handed in.

use std::{
    fmt,
    num::{NonZeroU64, NonZeroU128},
};

/// The header that carries a [`TraceContext`].
pub const TRACEPARENT_HEADER: &str = "traceparent";

/// What version 00 has, in bytes; later ones have more.
const LENGTH: usize = 55;
const SAMPLED: u8 = 1;
/// What consecutive numbers are multiplied by before they are mixed: 2⁶⁴ divided by the golden ratio.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The id of a trace: 32 hexadecimal digits in lower case, not all zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId(NonZeroU128);

/// The id of one span of a trace: 16 hexadecimal digits in lower case, not all zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId(NonZeroU64);

/// The place of a call within a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    /// The whole trace.
    pub trace_id: TraceId,
    /// The span that the call is made in.
    pub span_id: SpanId,
    /// Whether whoever began the trace wants it recorded.
    pub is_sampled: bool,
}

impl TraceId {
    /// The id with these bits; zero, which is no id, stands for one.
    pub fn of_bits(bits: u128) -> Self {
        Self(NonZeroU128::new(bits).unwrap_or(NonZeroU128::MIN))
    }

    /// Reads an id; `None` where the text is none.
    pub fn parse(text: &str) -> Option<Self> {
        is_hex(text, 32).then(|| u128::from_str_radix(text, 16).ok()).flatten().and_then(NonZeroU128::new).map(Self)
    }
}

impl SpanId {
    /// The id with these bits; zero, which is no id, stands for one.
    pub fn of_bits(bits: u64) -> Self {
        Self(NonZeroU64::new(bits).unwrap_or(NonZeroU64::MIN))
    }

    /// Reads an id; `None` where the text is none.
    pub fn parse(text: &str) -> Option<Self> {
        is_hex(text, 16).then(|| u64::from_str_radix(text, 16).ok()).flatten().and_then(NonZeroU64::new).map(Self)
    }

    /// The id of one of the spans under this one. Those of one span differ by their numbers.
    #[must_use]
    pub fn below(self, number: u64) -> Self {
        Self::of_bits(mixed(self.0.get().wrapping_add(number.wrapping_mul(GOLDEN))))
    }
}

impl TraceContext {
    /// Reads the value of `traceparent`; `None` where it is not to be believed, and a new trace begins.
    ///
    /// As the recommendation has it: version 00 by the byte; of a later version what is the same in all.
    pub fn parse(text: &str) -> Option<Self> {
        // Before any slice: each byte is a character.
        if !text.is_ascii() || text.len() < LENGTH {
            return None;
        }
        let (known, more) = text.split_at(LENGTH);
        let mut parts = known.split('-');
        let (version, trace_id, span_id, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let is_of_version = match version {
            "00" => more.is_empty(),
            "ff" => false,
            _ => is_hex(version, 2) && (more.is_empty() || more.starts_with('-')),
        };
        let flags = is_hex(flags, 2).then(|| u8::from_str_radix(flags, 16).ok()).flatten()?;
        let context = Self { trace_id: TraceId::parse(trace_id)?, span_id: SpanId::parse(span_id)?, is_sampled: flags & SAMPLED != 0 };
        (is_of_version && parts.next().is_none()).then_some(context)
    }
}

/// The finaliser of SplitMix64, a bijection: bits without a pattern of bits with one. It guards nothing.
pub fn mixed(bits: u64) -> u64 {
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The value of `traceparent`, version 00.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", self.trace_id, self.span_id, if self.is_sampled { SAMPLED } else { 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    #[test]
    fn a_good_value_is_read_and_written_as_it_was() {
        for (flags, is_sampled) in [("00", false), ("01", true)] {
            let text = format!("00-{TRACE}-{SPAN}-{flags}");
            let context = TraceContext::parse(&text).expect("a context");
            assert_eq!((context.trace_id.to_string().as_str(), context.span_id.to_string().as_str()), (TRACE, SPAN));
            assert_eq!((context.is_sampled, context.to_string()), (is_sampled, text));
        }
        // Flags that are not known yet are nobody's business here.
        assert!(TraceContext::parse(&format!("00-{TRACE}-{SPAN}-ff")).is_some_and(|context| context.is_sampled));
        assert!(TraceContext::parse(&format!("00-{TRACE}-{SPAN}-fe")).is_some_and(|context| !context.is_sampled));
    }

    #[test]
    fn of_a_later_version_what_is_known_is_read() {
        for text in [format!("01-{TRACE}-{SPAN}-01"), format!("cc-{TRACE}-{SPAN}-01-what-comes-then")] {
            assert_eq!(TraceContext::parse(&text).expect("a context").to_string(), format!("00-{TRACE}-{SPAN}-01"));
        }
        assert_eq!(TraceContext::parse(&format!("01-{TRACE}-{SPAN}-01.what")), None);
    }

    #[test]
    fn anything_else_is_none() {
        let (no_trace, no_span, upper) = ("0".repeat(32), "0".repeat(16), TRACE.to_uppercase());
        for text in [
            String::new(),
            "00".to_owned(),
            format!("00-{TRACE}-{SPAN}"),
            format!("00-{TRACE}-{SPAN}-1"),
            format!("00-{TRACE}-{SPAN}-01-"),
            format!("00-{TRACE}-{SPAN}-01 "),
            format!(" 00-{TRACE}-{SPAN}-01"),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("0g-{TRACE}-{SPAN}-01"),
            format!("00-{no_trace}-{SPAN}-01"),
            format!("00-{TRACE}-{no_span}-01"),
            format!("00-{upper}-{SPAN}-01"),
            format!("00_{TRACE}_{SPAN}_01"),
            format!("00-{TRACE}{SPAN}--01"),
            format!("00-+{}-{SPAN}-01", &TRACE[1..]),
            format!("00-{TRACE}-{SPAN}-+1"),
            format!("00-{}é-{SPAN}-01", &TRACE[2..]),
        ] {
            assert_eq!(TraceContext::parse(&text), None, "{text:?}");
        }
    }

    #[test]
    fn no_bits_make_an_id_of_zeroes() {
        assert!(TraceId::parse(&TraceId::of_bits(0).to_string()).is_some());
        assert!(SpanId::parse(&SpanId::of_bits(0).to_string()).is_some());
    }
}
