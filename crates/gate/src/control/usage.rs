//! What keys were used for, as operators and tenants may read it.

use std::time::Duration;

use tokio::time::Instant;
use tollgate_api::{KeyUsage, LimitedKey, TopUsage, TopWindow, UsageFigures, UsagePoint, UsageStep, UsageWindow, UsageWindows};
use tollgate_keys::OwnerName;

use super::{ControlError, Operator, known_id};
use crate::{
    Gate,
    config::ConfigError,
    ports::{TopName, TopSpan, USAGE_HOURS, USAGE_MINUTES, UsageCounts, UsageError, UsageRecord},
    tally::{Summary, whole_minutes},
    view::instant,
};

/// The most keys of one list of the most limited.
pub const TOP_MAX: u32 = 100;
const TOP_DEFAULT: u32 = 10;
/// How long the store may take to answer.
const READ_TIMEOUT: Duration = Duration::from_secs(1);
const MINUTE_MS: u64 = 60_000;
const HOUR_MINUTES: u32 = 60;

/// What a list of the most limited keys is to hold, as it is written.
#[derive(Debug, Clone, Default)]
pub struct ListTop {
    /// Only this owner's keys.
    pub owner: Option<String>,
    /// For how long a time.
    pub window: TopWindow,
    /// 1 to [`TOP_MAX`]; 10 where absent.
    pub count: Option<u32>,
}

impl Gate {
    /// What a key was used for lately.
    pub async fn key_usage(&self, operator: &Operator, key_id: &str, step: UsageStep) -> Result<KeyUsage, ControlError> {
        let key = self.key(operator, key_id).await?;
        let record = self.shared.usage_store.read(known_id(key_id)?, Instant::now() + READ_TIMEOUT).await?;
        let now_ms = self.shared.clock.unix_ms();
        let minute = whole_minutes(now_ms);
        Ok(KeyUsage {
            key_id: key.key_id,
            owner: key.owner,
            last_used_at: key.last_used_at,
            as_of: instant(now_ms),
            windows: windows(&record, minute),
            step,
            series: series(&record, step, minute),
        })
    }

    /// Which keys were limited most. A tenant sees his own.
    pub async fn top_usage(&self, operator: &Operator, asked: ListTop) -> Result<TopUsage, ControlError> {
        let ListTop { owner, window, count } = asked;
        let asked = owner.as_deref().map(OwnerName::parse).transpose();
        let asked = asked.map_err(|error| ConfigError::invalid("/owner", error.to_string()))?;
        let count = count.unwrap_or(TOP_DEFAULT);
        if !(1..=TOP_MAX).contains(&count) {
            return Err(ConfigError::invalid("/count", format!("count is 1 to {TOP_MAX}")).into());
        }
        let own = operator.identity.owner.clone();
        let is_anothers = own.is_some() && asked.is_some() && own != asked;
        let owner = asked.or(own);
        let now_ms = self.shared.clock.unix_ms();
        let (span, minute) = (span_of(window), whole_minutes(now_ms));
        let last = minute / span.minutes();
        let first = last.saturating_sub(span.kept() - 1);
        let names = |owner: Option<&OwnerName>| (first..=last).map(|slot| TopName { owner: owner.cloned(), span, slot }).collect();
        let summary = if is_anothers { self.empty_summary() } else { self.summary(names(owner.as_ref())).await? };
        // Whether anything is missing is told with the summaries of all keys.
        let is_whole = summary.is_whole && (owner.is_none() || self.summary(names(None)).await?.is_whole);
        let (keys, others_limited_at_most) = listed(&summary, count as usize);
        Ok(TopUsage {
            window,
            from: instant(u64::from(first) * u64::from(span.minutes()) * MINUTE_MS),
            as_of: instant(now_ms),
            owner: owner.map(|owner| owner.to_string()),
            limited: summary.sketch.total(),
            keys,
            others_limited_at_most,
            complete: is_whole,
        })
    }

    fn empty_summary(&self) -> Summary {
        Summary::empty(self.shared.tally.options().top_keys)
    }

    /// All nodes' summaries of these names in one.
    async fn summary(&self, names: Vec<TopName>) -> Result<Summary, ControlError> {
        let found = self.shared.usage_store.tops(names, Instant::now() + READ_TIMEOUT).await?;
        let mut read = found.iter().map(|bytes| Summary::decode(bytes));
        let first = read.next().map_or_else(|| self.empty_summary(), |first| first.unwrap_or_else(|| self.unreadable()));
        Ok(read.fold(first, |sum, next| sum.merged(&next.unwrap_or_else(|| self.unreadable()))))
    }

    fn unreadable(&self) -> Summary {
        Summary { is_whole: false, ..self.empty_summary() }
    }
}

fn span_of(window: TopWindow) -> TopSpan {
    match window {
        TopWindow::Hour => TopSpan::TenMinutes,
        TopWindow::Day => TopSpan::Hour,
    }
}

/// The first so many, and the most that any other weighs.
fn listed(summary: &Summary, count: usize) -> (Vec<LimitedKey>, u64) {
    let mut heaviest = summary.sketch.heaviest();
    let keys = heaviest.by_ref().take(count).map(|held| LimitedKey {
        key_id: held.item.key_id.to_string(),
        owner: held.item.owner.as_ref().map(ToString::to_string),
        limited_at_least: held.at_least,
        limited_at_most: held.at_most,
    });
    let keys = keys.collect();
    let next = heaviest.next().map_or(0, |held| held.at_most);
    (keys, next.max(summary.sketch.others_at_most()))
}

fn windows(record: &UsageRecord, minute: u32) -> UsageWindows {
    let hour = minute / HOUR_MINUTES;
    UsageWindows {
        minute: window(&record.minutes, (minute.saturating_sub(1), minute), 1),
        hour: window(&record.minutes, (minute.saturating_sub(USAGE_MINUTES - 1), minute), 1),
        day: window(&record.hours, (hour.saturating_sub(USAGE_HOURS - 1), hour), HOUR_MINUTES),
    }
}

/// The sum from one slot to another, of so many minutes each.
fn window(slots: &[(u32, UsageCounts)], (first, last): (u32, u32), minutes: u32) -> UsageWindow {
    let mut sum = UsageCounts::default();
    slots.iter().filter(|(slot, _)| (first..=last).contains(slot)).for_each(|(_, counts)| sum.add(counts));
    UsageWindow { from: begin_of(first, minutes), figures: figures(&sum) }
}

fn series(record: &UsageRecord, step: UsageStep, minute: u32) -> Vec<UsagePoint> {
    let (slots, last, count, minutes) = match step {
        UsageStep::Minute => (&record.minutes, minute, USAGE_MINUTES, 1),
        UsageStep::Hour => (&record.hours, minute / HOUR_MINUTES, USAGE_HOURS, HOUR_MINUTES),
    };
    let point = |slot| UsagePoint { at: begin_of(slot, minutes), figures: window(slots, (slot, slot), minutes).figures };
    (last.saturating_sub(count - 1)..=last).map(point).collect()
}

fn begin_of(slot: u32, minutes: u32) -> time::OffsetDateTime {
    instant(u64::from(slot) * u64::from(minutes) * MINUTE_MS)
}

fn figures(counts: &UsageCounts) -> UsageFigures {
    let UsageCounts { allowed, limited, denied, cost } = *counts;
    UsageFigures { allowed, limited, denied, cost }
}

impl From<UsageError> for ControlError {
    fn from(error: UsageError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: UsageCounts = UsageCounts { allowed: 1, limited: 2, denied: 3, cost: 4 };

    #[test]
    fn windows_begin_and_end_where_they_say() {
        let now = 100 * HOUR_MINUTES + 30;
        let slots = [now - 60, now - 59, now - 2, now - 1, now, now + 1];
        let hours = [76, 77, 99, 100, 101];
        let record = UsageRecord { minutes: slots.map(|slot| (slot, ONE)).into(), hours: hours.map(|slot| (slot, ONE)).into() };
        let UsageWindows { minute, hour, day } = windows(&record, now);
        let figures_of = |times: u64| UsageFigures { allowed: times, limited: 2 * times, denied: 3 * times, cost: 4 * times };
        assert_eq!((minute.figures, minute.from), (figures_of(2), begin_of(now - 1, 1)));
        assert_eq!((hour.figures, hour.from), (figures_of(4), begin_of(now - 59, 1)));
        assert_eq!((day.figures, day.from), (figures_of(3), begin_of(77, 60)));
        let points = series(&record, UsageStep::Minute, now);
        assert_eq!((points.len(), points[0].at, points[59].at), (60, begin_of(now - 59, 1), begin_of(now, 1)));
        assert_eq!(points.iter().map(|point| point.figures.allowed).sum::<u64>(), 4);
        let points = series(&record, UsageStep::Hour, now);
        assert_eq!((points.len(), points[0].at, points[23].figures), (24, begin_of(77, 60), figures_of(1)));
    }
}
