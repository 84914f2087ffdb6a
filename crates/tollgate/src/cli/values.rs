//! Values of the command line that have a form of their own.

use std::time::Duration;

use tollgate_keys::{KeyId, OwnerName};
use tollgate_settings::TimeSpan;

use crate::bench::{CostMix, Share, Skew, Target};

/// A key that ends later might as well have no end.
const LIFE_MAX: Duration = Duration::from_hours(100 * 365 * 24);

/// How long a key lives: `30d`, `12h`, at least a second and at most 100 years.
pub(crate) fn life(text: &str) -> Result<Duration, String> {
    let form = || "must be a whole number and a unit (s, m, h or d) from 1s to 36500d, such as 30d".to_owned();
    let span = text.parse::<TimeSpan>().map_err(|_| form())?.get();
    if (Duration::from_secs(1)..=LIFE_MAX).contains(&span) { Ok(span) } else { Err(form()) }
}

/// A time in whole seconds, none at all allowed: `0s`, `30m`, `7d`. How long is too long is the node's
/// to say.
pub(crate) fn whole_seconds(text: &str) -> Result<Duration, String> {
    let form = || "must be a whole number and a unit (s, m, h or d), such as 30m".to_owned();
    let span = text.parse::<TimeSpan>().map_err(|_| form())?.get();
    if span.subsec_nanos() == 0 { Ok(span) } else { Err(form()) }
}

/// A key id, checked here so that a mistyped one never becomes another path.
pub(crate) fn key_id(text: &str) -> Result<String, String> {
    KeyId::parse(text).map(|id| id.as_str().to_owned()).map_err(|error| error.to_string())
}

/// An owner's name, checked for the same reason.
pub(crate) fn owner(text: &str) -> Result<String, String> {
    OwnerName::parse(text).map(|owner| owner.as_str().to_owned()).map_err(|error| error.to_string())
}

/// The id of an event: `L17`.
pub(crate) fn event_id(text: &str) -> Result<String, String> {
    let position = tollgate_api::event_position(text);
    position.map(tollgate_api::event_id).ok_or_else(|| "must be the id of an event, such as L17; L0 for the oldest".to_owned())
}

/// How long a load goes on: `10s`, `500ms`, at most a day.
pub(crate) fn run_time(text: &str) -> Result<Duration, String> {
    let form = || "must be a whole number and a unit (ms, s, m or h) up to 24h, such as 10s".to_owned();
    let span = text.parse::<TimeSpan>().map_err(|_| form())?.get();
    if span <= Duration::from_hours(24) { Ok(span) } else { Err(form()) }
}

/// Whom to load.
pub(crate) fn target(text: &str) -> Result<Target, String> {
    Target::parse(text)
}

/// Costs and their weights.
pub(crate) fn cost_mix(text: &str) -> Result<CostMix, String> {
    CostMix::parse(text).ok_or_else(|| "must be costs with their weights, such as 1:90,5:9,100:1".to_owned())
}

/// How unevenly keys are used.
pub(crate) fn skew(text: &str) -> Result<Skew, String> {
    Skew::parse(text).ok_or_else(|| "must be a number from 0 to 10, such as 1.1".to_owned())
}

/// A part of a hundred.
pub(crate) fn percent(text: &str) -> Result<Share, String> {
    Share::parse(text).ok_or_else(|| "must be a number from 0 to 100, such as 12.5".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lives_are_a_number_and_a_unit() {
        for (text, secs) in [("30d", 2_592_000), ("12h", 43_200), ("5m", 300), ("1s", 1), ("36500d", 3_153_600_000), ("1000ms", 1)] {
            assert_eq!(life(text), Ok(Duration::from_secs(secs)), "{text}");
        }
        for text in ["", "30", "d", "0d", "999ms", "36501d", "-1d", "1.5h", "1 d", "30D", "99999999999999999999d"] {
            assert!(life(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_grace_period_is_whole_seconds() {
        for (text, secs) in [("0s", 0), ("30m", 1800), ("7d", 604_800), ("1000ms", 1)] {
            assert_eq!(whole_seconds(text), Ok(Duration::from_secs(secs)), "{text}");
        }
        for text in ["", "30", "1ms", "1500ms", "-1s", "1.5h"] {
            assert!(whole_seconds(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_no_name_is_no_path() {
        for text in ["", "..", ".", "a/b", "a?b", "tk_1"] {
            assert!(key_id(text).is_err(), "{text}");
        }
        for text in ["", "..", "a/b", "A"] {
            assert!(owner(text).is_err(), "{text}");
        }
        assert_eq!(owner("acme").as_deref(), Ok("acme"));
    }
}
