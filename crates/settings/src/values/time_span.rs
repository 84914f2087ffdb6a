//! Lengths of time as people write them.

use std::{fmt, str::FromStr, time::Duration};

/// A length of time: a whole number and a unit (`us`, `ms`, `s`, `m`, `h`, `d`), such as `50ms`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeSpan(Duration);

/// A text that is no length of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a whole number and a unit (us, ms, s, m, h or d), such as \"50ms\"")]
pub struct TimeSpanError;

/// Units from the largest to the smallest, in microseconds.
const UNITS: [(&str, u64); 6] =
    [("d", 86_400_000_000), ("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000), ("ms", 1_000), ("us", 1)];

impl TimeSpan {
    /// So many milliseconds.
    pub const fn millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    /// So many seconds.
    pub const fn secs(secs: u64) -> Self {
        Self(Duration::from_secs(secs))
    }

    /// The same as the standard library's type.
    pub const fn get(self) -> Duration {
        self.0
    }
}

impl From<TimeSpan> for Duration {
    fn from(span: TimeSpan) -> Self {
        span.0
    }
}

impl FromStr for TimeSpan {
    type Err = TimeSpanError;

    fn from_str(text: &str) -> Result<Self, TimeSpanError> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at_checked(digits).ok_or(TimeSpanError)?;
        let (_, unit_us) = UNITS.iter().find(|(name, _)| *name == unit).ok_or(TimeSpanError)?;
        let number: u64 = number.parse().map_err(|_| TimeSpanError)?;
        number.checked_mul(*unit_us).map(Duration::from_micros).map(Self).ok_or(TimeSpanError)
    }
}

impl fmt::Display for TimeSpan {
    /// The largest unit that leaves a whole number, so that reading it gives the same again.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let us = self.0.as_micros();
        let fitting = UNITS.iter().find(|(_, unit_us)| us > 0 && us.is_multiple_of(u128::from(*unit_us)));
        match fitting {
            Some((unit, unit_us)) => write!(f, "{}{unit}", us / u128::from(*unit_us)),
            None => f.write_str("0s"),
        }
    }
}

impl fmt::Debug for TimeSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<'de> serde::Deserialize<'de> for TimeSpan {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl serde::Serialize for TimeSpan {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_unit() {
        for (text, us) in
            [("7us", 7), ("50ms", 50_000), ("5s", 5_000_000), ("2m", 120_000_000), ("1h", 3_600_000_000), ("1d", 86_400_000_000), ("0s", 0)]
        {
            assert_eq!(text.parse(), Ok(TimeSpan(Duration::from_micros(us))), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_length_of_time() {
        for text in [
            "",
            "5",
            "s",
            "-5s",
            "+5s",
            "5 s",
            " 5s",
            "5s ",
            "1.5s",
            "5S",
            "5sec",
            "1h30m",
            "0x5s",
            "٥s",
            "99999999999999999999s",
            "300000000d",
        ] {
            assert_eq!(text.parse::<TimeSpan>(), Err(TimeSpanError), "{text}");
        }
    }

    #[test]
    fn what_is_shown_reads_back_the_same() {
        for (text, shown) in [("60s", "1m"), ("90s", "90s"), ("3600000ms", "1h"), ("0ms", "0s"), ("36h", "36h"), ("1500us", "1500us")] {
            let span: TimeSpan = text.parse().unwrap();
            assert_eq!(span.to_string(), shown);
            assert_eq!(shown.parse(), Ok(span));
        }
    }
}
