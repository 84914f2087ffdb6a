//! How many failed attempts are met with an answer.

use std::num::NonZeroU32;

use crate::{
    TimeSpan,
    values::{Bound, time, whole},
};

/// Settings `preauth.*`.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PreauthSettings {
    /// Failures of one client address.
    pub address: FailureBudget,
    /// Failures of one text of an api key.
    pub key_text: FailureBudget,
    /// Wrong secrets without a good tag for one key id.
    pub key_id: FailureBudget,
    /// Addresses, texts and key ids remembered, of each so many.
    pub entries_max: usize,
}

/// So many failures at once, forgotten evenly in a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FailureBudget {
    /// Failures.
    pub burst: NonZeroU32,
    /// The time in which so many are forgotten.
    pub period: TimeSpan,
}

const BURST_MAX: u64 = 1_000_000_000;
const PERIOD_MIN: TimeSpan = TimeSpan::secs(1);
const PERIOD_MAX: TimeSpan = TimeSpan::secs(86_400);

pub(super) const BOUNDS: &[Bound] = &[
    whole("preauth.address.burst", 1, BURST_MAX),
    time("preauth.address.period", PERIOD_MIN, PERIOD_MAX),
    whole("preauth.key_text.burst", 1, BURST_MAX),
    time("preauth.key_text.period", PERIOD_MIN, PERIOD_MAX),
    whole("preauth.key_id.burst", 1, BURST_MAX),
    time("preauth.key_id.period", PERIOD_MIN, PERIOD_MAX),
    whole("preauth.entries_max", 64, 16_777_216),
];
