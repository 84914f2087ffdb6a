//! What a number, a time or a size may be.

use super::{ByteSize, TimeSpan};
use figment::value::Value;
use std::{fmt, str::FromStr};

/// A setting's name and the range of its values, both ends included.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bound {
    pub(crate) setting: &'static str,
    range: Range,
}

#[derive(Debug, Clone, Copy)]
enum Range {
    Whole(u64, u64),
    Time(TimeSpan, TimeSpan),
    Size(ByteSize, ByteSize),
}

/// A whole number from `min` to `max`; `u64::MAX` for none.
pub(crate) const fn whole(setting: &'static str, min: u64, max: u64) -> Bound {
    Bound { setting, range: Range::Whole(min, max) }
}

/// A length of time from `min` to `max`.
pub(crate) const fn time(setting: &'static str, min: TimeSpan, max: TimeSpan) -> Bound {
    Bound { setting, range: Range::Time(min, max) }
}

/// A size from `min` to `max`.
pub(crate) const fn size(setting: &'static str, min: ByteSize, max: ByteSize) -> Bound {
    Bound { setting, range: Range::Size(min, max) }
}

impl Bound {
    /// Whether `value` lies in the range; if not, the range in words.
    pub(crate) fn check(&self, value: &Value) -> Result<(), String> {
        let text = || value.as_str().unwrap_or_default();
        let fits = match self.range {
            Range::Whole(min, max) => value.to_i128().is_some_and(|number| (i128::from(min)..=i128::from(max)).contains(&number)),
            Range::Time(min, max) => (min..=max).contains(&parsed::<TimeSpan>(text())?),
            Range::Size(min, max) => (min..=max).contains(&parsed::<ByteSize>(text())?),
        };
        if fits { Ok(()) } else { Err(format!("must be {self}")) }
    }
}

fn parsed<T: FromStr<Err: fmt::Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}

impl fmt::Display for Bound {
    /// The range as the default file writes it, such as `1 to 100` or `1ms to 1m`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.range {
            Range::Whole(min, u64::MAX) => write!(f, "from {min}"),
            Range::Whole(min, max) => write!(f, "{min} to {max}"),
            Range::Time(min, max) => write!(f, "{min} to {max}"),
            Range::Size(min, max) => write!(f, "{min} to {max}"),
        }
    }
}

impl Bound {
    /// A text of this range as it would be written best, such as `1m` for `60s`.
    pub(crate) fn normalised(&self, text: &str) -> String {
        let written = match self.range {
            Range::Whole(..) => None,
            Range::Time(..) => text.parse::<TimeSpan>().ok().map(|span| span.to_string()),
            Range::Size(..) => text.parse::<ByteSize>().ok().map(|size| size.to_string()),
        };
        written.unwrap_or_else(|| text.to_owned())
    }
}
