//! How long a kind of key is still good.

use std::str::FromStr;

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// How long a kind of key is still good, as the settings write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KindEnd {
    /// Nothing, `""`: as long as its keys.
    Never,
    /// `"deprecated"`: for now, with a warning.
    Open,
    /// An instant: with a warning until then, in milliseconds since 1970.
    At(u64),
}

/// A text that is none of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be \"\", \"deprecated\" or an instant such as \"2027-01-01T00:00:00Z\"")]
pub struct KindEndError;

impl FromStr for KindEnd {
    type Err = KindEndError;

    fn from_str(text: &str) -> Result<Self, KindEndError> {
        match text {
            "" => Ok(Self::Never),
            "deprecated" => Ok(Self::Open),
            text => {
                let at = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| KindEndError)?;
                u64::try_from(at.unix_timestamp_nanos() / 1_000_000).map(Self::At).map_err(|_| KindEndError)
            }
        }
    }
}

impl<'de> serde::Deserialize<'de> for KindEnd {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_none_open_or_an_instant() {
        assert_eq!("".parse(), Ok(KindEnd::Never));
        assert_eq!("deprecated".parse(), Ok(KindEnd::Open));
        assert_eq!("2027-01-01T00:00:00Z".parse(), Ok(KindEnd::At(1_798_761_600_000)));
        assert_eq!("2027-01-01T01:00:00.5+01:00".parse(), Ok(KindEnd::At(1_798_761_600_500)));
        for text in ["never", "2027-01-01", "2027", "yes", "1969-01-01T00:00:00Z"] {
            assert_eq!(text.parse::<KindEnd>(), Err(KindEndError), "{text}");
        }
    }
}
