//! Whether several kinds of work take the same time, on a machine that does other things too.
//!
//! One run measures all kinds in turn, in an order drawn anew each round, so that whatever slows
//! the machine down meets all of them alike. Two kinds are compared by Welch's t over means from
//! which the fifth at either end is trimmed, with the variance that goes with it (Yuen, 1974): a
//! sample in which the thread had to wait for its turn says nothing.
//!
//! A difference counts from a hundredth of the time on: what is smaller is where things happen to
//! lie in memory.

use std::time::Instant;

/// Two kinds whose |t| is at least this differ: chance alone gets there once in 150,000 times.
pub const T_MAX: f64 = 4.5;

/// The least difference that counts, as a part of the time.
const SEEN: f64 = 0.01;

/// One in so many samples is trimmed at either end.
const TRIMMED: usize = 5;

/// How long each kind of work took, in nanoseconds.
#[derive(Debug)]
pub struct Timings {
    samples: Vec<Vec<f64>>,
}

/// The two kinds that differ most.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Difference {
    /// The places of both kinds.
    pub kinds: (usize, usize),
    /// Welch's t; without a sign.
    pub t: f64,
    /// The trimmed means, in nanoseconds.
    pub means_ns: (f64, f64),
}

/// The mean of the middle samples, and its variance.
#[derive(Debug, Clone, Copy)]
struct Middle {
    mean: f64,
    variance: f64,
}

impl Timings {
    /// How many samples of each kind to take: `few`, unless `TOLLGATE_TEST_TIMING_SAMPLES` says
    /// otherwise. A hundred thousand find what is a tenth as large as what a thousand find.
    pub fn samples(few: usize) -> usize {
        std::env::var("TOLLGATE_TEST_TIMING_SAMPLES").ok().and_then(|text| text.parse().ok()).unwrap_or(few)
    }

    /// Measures `rounds` samples of each of `kinds` kinds. Only `work` is timed; `prepare` makes
    /// what it is given, for that kind in that round.
    pub async fn measure<Input, Output>(
        kinds: usize,
        rounds: usize,
        mut prepare: impl FnMut(usize, usize) -> Input,
        mut work: impl AsyncFnMut(usize, Input) -> Output,
    ) -> Self {
        let mut samples = vec![Vec::with_capacity(rounds); kinds];
        let mut order: Vec<usize> = (0..kinds).collect();
        let mut dice = 0x9e37_79b9_7f4a_7c15;
        for round in 0..rounds {
            shuffle(&mut order, &mut dice);
            for kind in &order {
                // Just before its work, so that no kind always lies at the same place.
                let input = prepare(*kind, round);
                let started = Instant::now();
                let output = work(*kind, input).await;
                let took = started.elapsed();
                // Taking the answer apart is none of the work.
                drop(output);
                if let Some(samples) = samples.get_mut(*kind) {
                    samples.push(took.as_secs_f64() * 1e9);
                }
            }
            // Whatever else is to run here has its turn when nothing is timed.
            tokio::task::yield_now().await;
        }
        Self { samples }
    }

    /// The two kinds that differ most; none where there are not two.
    pub fn worst(&self) -> Option<Difference> {
        self.differences().into_iter().max_by(|one, other| one.t.total_cmp(&other.t))
    }

    /// Two kinds that can be told apart: neither chance nor their place in memory explains it.
    pub fn seen(&self) -> Option<Difference> {
        let differs = |difference: &Difference| {
            let (one, other) = difference.means_ns;
            difference.t >= T_MAX && (one - other).abs() >= SEEN * one.min(other)
        };
        self.differences().into_iter().find(differs)
    }

    fn differences(&self) -> Vec<Difference> {
        let middles: Vec<Middle> = self.samples.iter().map(|samples| Middle::of(samples)).collect();
        let numbered = || middles.iter().enumerate();
        numbered().flat_map(|(a, one)| numbered().skip(a + 1).map(move |(b, other)| difference((a, b), *one, *other))).collect()
    }
}

impl Middle {
    fn of(samples: &[f64]) -> Self {
        let mut sorted = samples.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let cut = sorted.len() / TRIMMED;
        let middle = sorted.get(cut..sorted.len() - cut).unwrap_or_default();
        let (least, most) = (middle.first().copied().unwrap_or(0.0), middle.last().copied().unwrap_or(0.0));
        let mean = mean(middle.iter().copied(), middle.len());
        // The variance of all samples, with those that were trimmed moved to where the middle ends.
        let moved = || sorted.iter().map(|sample| sample.clamp(least, most));
        let centre = self::mean(moved(), sorted.len());
        let squares: f64 = moved().map(|sample| (sample - centre).powi(2)).sum();
        let count = as_float(middle.len());
        Self { mean, variance: squares / (count * (count - 1.0)) }
    }
}

fn difference(kinds: (usize, usize), one: Middle, other: Middle) -> Difference {
    let t = (one.mean - other.mean).abs() / (one.variance + other.variance).sqrt();
    Difference { kinds, t, means_ns: (one.mean, other.mean) }
}

fn mean(samples: impl Iterator<Item = f64>, count: usize) -> f64 {
    samples.sum::<f64>() / as_float(count)
}

fn as_float(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

/// Fisher and Yates, with the dice of xorshift.
fn shuffle(order: &mut [usize], dice: &mut u64) {
    for end in (1..order.len()).rev() {
        *dice ^= *dice << 13;
        *dice ^= *dice >> 7;
        *dice ^= *dice << 17;
        let end_u64 = u64::try_from(end).unwrap_or(u64::MAX);
        order.swap(end, usize::try_from(*dice % (end_u64 + 1)).unwrap_or(0));
    }
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;
    use std::time::Duration;

    use super::*;

    const ROUNDS: usize = 5_000;

    fn spin(rounds: u64) -> u64 {
        (0..rounds).fold(1, |sum, next| black_box(sum ^ next))
    }

    #[tokio::test]
    async fn the_same_work_takes_the_same_time() {
        let timings = Timings::measure(4, ROUNDS, |_, _| 200, async |_, rounds| spin(rounds)).await;
        assert_eq!(timings.seen(), None);
    }

    #[tokio::test]
    async fn a_pause_in_one_kind_is_found() {
        let work = async |kind, rounds| {
            let end = Instant::now() + Duration::from_micros(if kind == 2 { 20 } else { 0 });
            while Instant::now() < end {}
            spin(rounds)
        };
        let worst = Timings::measure(4, ROUNDS, |_, _| 200, work).await.worst().unwrap();
        assert!(worst.t > 10.0 * T_MAX && (worst.kinds.0 == 2 || worst.kinds.1 == 2), "{worst:?}");
    }

    #[tokio::test]
    async fn a_little_more_work_is_found() {
        let work = async |kind, rounds| spin(if kind == 1 { rounds + rounds / 5 } else { rounds });
        let timings = Timings::measure(2, ROUNDS, |_, _| 200, work).await;
        assert!(timings.seen().is_some(), "{:?}", timings.worst());
    }

    #[test]
    fn t_is_that_of_yuen() {
        // By hand: of 0 to 9 remain 2 to 7, with the mean 4.5; 0 and 1 move to 2, and 8 and 9 to 7.
        let middle = Middle::of(&[9.0, 0.0, 8.0, 1.0, 7.0, 2.0, 6.0, 3.0, 5.0, 4.0]);
        assert!((middle.mean - 4.5).abs() < 1e-9, "{middle:?}");
        let squares = 2.0 * (3.0 * 2.5_f64.powi(2) + 1.5_f64.powi(2) + 0.5_f64.powi(2));
        assert!((middle.variance - squares / 30.0).abs() < 1e-9, "{middle:?}");
        let shifted = Middle { mean: middle.mean + 1.0, ..middle };
        let told = difference((0, 1), middle, shifted);
        assert!((told.t - 1.0 / (2.0 * middle.variance).sqrt()).abs() < 1e-9, "{told:?}");
    }
}
