//! What a load came to, for people and for programs.

use std::{collections::BTreeMap, time::Duration};

use hdrhistogram::Histogram;
use serde::Serialize;

use super::{
    mix::{CostMix, Share, Skew},
    tally::Tally,
};
use crate::table;

/// Quantiles that are told.
const QUANTILES: [f64; 6] = [0.5, 0.75, 0.9, 0.99, 0.999, 0.9999];

/// How far a load is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Told {
    pub(crate) elapsed: Duration,
    pub(crate) answered: u64,
}

/// All that is told of a load. Times are in microseconds.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Report {
    /// What was asked for.
    pub(crate) load: Asked,
    /// How long was measured.
    pub(crate) seconds: f64,
    /// Whether it was told to stop before its time.
    pub(crate) interrupted: bool,
    /// Requests that were due or sent in that time.
    pub(crate) requests: u64,
    /// Of these, those that were answered.
    pub(crate) answered: u64,
    pub(crate) answered_per_second: f64,
    /// Answers by their status.
    pub(crate) statuses: BTreeMap<u16, u64>,
    /// Requests without an answer, by why.
    pub(crate) failures: BTreeMap<&'static str, u64>,
    /// From when a request was due to its answer; what has none counts with the time until it was given up.
    pub(crate) latency_us: Times,
    /// From when a request was sent to its answer: what a stalling server looks like to who waits for it.
    pub(crate) service_us: Times,
    /// Processor time of this tool for each answer, its warm-up too; none where the system does not tell.
    pub(crate) tool_cpu_us: Option<f64>,
}

/// What was asked for.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Asked {
    pub(crate) target: String,
    /// `open` or `closed`.
    #[serde(rename = "loop")]
    pub(crate) kind: &'static str,
    /// Requests a second of an open loop.
    pub(crate) rate: Option<u32>,
    pub(crate) connections: u32,
    pub(crate) threads: u32,
    pub(crate) keys: usize,
    pub(crate) skew: f64,
    pub(crate) cost: String,
    pub(crate) wrong_keys_percent: f64,
}

/// A histogram in a few figures.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Times {
    pub(crate) count: u64,
    pub(crate) mean: f64,
    pub(crate) min: f64,
    pub(crate) p50: f64,
    pub(crate) p75: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    #[serde(rename = "p99.9")]
    pub(crate) p99_9: f64,
    #[serde(rename = "p99.99")]
    pub(crate) p99_99: f64,
    pub(crate) max: f64,
}

impl Asked {
    /// With the shares of its requests.
    pub(crate) fn with_mix(self, cost: &CostMix, skew: Skew, wrong: Share) -> Self {
        Self { cost: cost.told(), skew: skew.exponent(), wrong_keys_percent: wrong.percent(), ..self }
    }
}

impl Report {
    /// Of what was counted in `measured`; the tool has taken this much time for so many answers.
    #[allow(clippy::cast_precision_loss, reason = "counts of requests")]
    pub(super) fn of(tally: &Tally, measured: Duration, cpu: Option<(Duration, u64)>) -> Self {
        let (seconds, answered) = (measured.as_secs_f64(), tally.answered_count());
        let cpu_us = |(cpu, count): (Duration, u64)| (count > 0).then(|| tenth(cpu.as_secs_f64() * 1e6 / count as f64));
        Self {
            load: Asked::default(),
            seconds,
            interrupted: false,
            requests: tally.latency.len(),
            answered,
            answered_per_second: if seconds > 0.0 { tenth(answered as f64 / seconds) } else { 0.0 },
            statuses: tally.answers.clone(),
            failures: tally.failures.iter().map(|(why, count)| (why.as_str(), *count)).collect(),
            latency_us: Times::of(&tally.latency),
            service_us: Times::of(&tally.service),
            tool_cpu_us: cpu.and_then(cpu_us),
        }
    }

    /// For people.
    pub(crate) fn table(&self) -> String {
        let Asked { target, rate, connections, threads, keys, skew, cost, wrong_keys_percent, .. } = &self.load;
        let early = if self.interrupted { ", stopped early" } else { "" };
        let how = rate.map_or_else(|| "closed loop".to_owned(), |rate| format!("open loop, {rate} a second"));
        let mut rows = vec![
            ("target", target.clone()),
            ("load", format!("{how}, {connections} connections, {threads} threads, {:.1} s{early}", self.seconds)),
            ("keys", format!("{keys}, skew {skew}, {wrong_keys_percent} % forged, cost {cost}")),
            ("answers", format!("{} of {}, {:.0} a second", self.answered, self.requests, self.answered_per_second)),
        ];
        let statuses: Vec<_> = self.statuses.iter().map(|(status, count)| format!("{status}: {count}")).collect();
        rows.push(("statuses", if statuses.is_empty() { "none".to_owned() } else { statuses.join(", ") }));
        if !self.failures.is_empty() {
            let failures: Vec<_> = self.failures.iter().map(|(why, count)| format!("{why}: {count}")).collect();
            rows.push(("without answer", failures.join(", ")));
        }
        rows.extend(self.tool_cpu_us.map(|cpu| ("this tool", format!("{cpu:.1} us of processor time an answer"))));
        let times = table::columns(["", "SINCE DUE", "SINCE SENT"], &self.latency_us.beside(&self.service_us));
        format!("{}\n\n{times}", table::fields(&rows))
    }
}

impl Times {
    #[allow(clippy::cast_precision_loss, reason = "nanoseconds of an hour")]
    fn of(histogram: &Histogram<u64>) -> Self {
        let us = |nanos: u64| tenth(nanos as f64 / 1000.0);
        let [p50, p75, p90, p99, p99_9, p99_99] = QUANTILES.map(|quantile| us(histogram.value_at_quantile(quantile)));
        let (count, mean) = (histogram.len(), tenth(histogram.mean() / 1000.0));
        Self { count, mean, min: us(histogram.min()), p50, p75, p90, p99, p99_9, p99_99, max: us(histogram.max()) }
    }

    fn named(&self) -> [(&'static str, f64); 9] {
        let Self { count: _, mean, min, p50, p75, p90, p99, p99_9, p99_99, max } = *self;
        [
            ("min", min),
            ("p50", p50),
            ("p75", p75),
            ("p90", p90),
            ("p99", p99),
            ("p99.9", p99_9),
            ("p99.99", p99_99),
            ("max", max),
            ("mean", mean),
        ]
    }

    fn beside(&self, other: &Self) -> Vec<[String; 3]> {
        let rows = self.named().into_iter().zip(other.named());
        rows.map(|((name, own), (_, others))| [name.to_owned(), readable(own), readable(others)]).collect()
    }
}

fn tenth(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// Microseconds in a unit that leaves few digits.
fn readable(us: f64) -> String {
    if us < 999.5 {
        format!("{us:.0} us")
    } else if us < 1_000_000.0 {
        format!("{:.2} ms", us / 1_000.0)
    } else {
        format!("{:.2} s", us / 1_000_000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::tally::NoAnswer;

    fn report() -> Report {
        let mut tally = Tally::new().expect("bounds");
        for millis in 1..=8 {
            tally.answered(if millis == 8 { 429 } else { 200 }, Duration::from_millis(millis), Duration::from_micros(500));
        }
        tally.failed(NoAnswer::TimedOut, Duration::from_secs(2));
        let load =
            Asked { target: "http://h/x".into(), kind: "open", rate: Some(5), connections: 2, threads: 1, keys: 3, ..Asked::default() };
        let load = load.with_mix(
            &CostMix::parse("1:9,5").expect("a mix"),
            Skew::parse("1.5").expect("a skew"),
            Share::parse("10").expect("a share"),
        );
        Report { load, ..Report::of(&tally, Duration::from_secs(2), Some((Duration::from_micros(100), 10))) }
    }

    #[test]
    fn people_get_a_table() {
        assert_eq!(
            report().table(),
            "target          http://h/x
load            open loop, 5 a second, 2 connections, 1 threads, 2.0 s
keys            3, skew 1.5, 10 % forged, cost 1:9,5:1
answers         8 of 9, 4 a second
statuses        200: 7, 429: 1
without answer  no answer in time: 1
this tool       10.0 us of processor time an answer

        SINCE DUE  SINCE SENT
min     1.00 ms    500 us
p50     5.00 ms    500 us
p75     7.00 ms    500 us
p90     2.00 s     500 us
p99     2.00 s     500 us
p99.9   2.00 s     500 us
p99.99  2.00 s     500 us
max     2.00 s     500 us
mean    226.24 ms  500 us"
        );
    }

    #[test]
    fn programs_get_the_same_as_json() {
        let stopped = Report { interrupted: true, ..report() };
        assert!(stopped.table().contains("1 threads, 2.0 s, stopped early\n"), "{}", stopped.table());
        let json = serde_json::to_value(report()).expect("JSON");
        assert_eq!(json["interrupted"], false);
        assert_eq!((&json["load"]["loop"], &json["load"]["rate"]), (&"open".into(), &5.into()));
        assert_eq!((&json["statuses"]["200"], &json["failures"]["no answer in time"]), (&7.into(), &1.into()));
        assert_eq!((&json["requests"], &json["answered"], &json["latency_us"]["count"]), (&9.into(), &8.into(), &9.into()));
        assert!(json["latency_us"]["p99.9"].as_f64().is_some_and(|p| p > 1_900_000.0), "{json}");
        assert_eq!(json["tool_cpu_us"], 10.0);
    }
}
