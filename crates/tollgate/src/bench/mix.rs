//! Which request comes next: by chance, in the shares that were asked for.

use std::fmt::Write as _;

/// Numbers without a pattern (SplitMix64), the same again for the same seed. They guard nothing.
#[derive(Debug, Clone)]
pub(super) struct Dice(u64);

/// Costs and their weights.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct CostMix(Vec<(u64, u32)>);

/// How unevenly keys are used: the exponent of Zipf's law.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Skew(f64);

/// A part of all requests.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Share(f64);

/// Draws numbers from 0, each as often as its weight has it.
#[derive(Debug, Clone)]
pub(super) struct Draw {
    /// Sums of the weights up to each, 1 the last; none where all weigh the same.
    sums: Vec<f64>,
    count: usize,
}

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Evenly from 0 up to, not including, 1.
    #[allow(clippy::cast_precision_loss, reason = "53 bits fit a float")]
    pub(super) fn roll(&mut self) -> f64 {
        const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
        self.0 = self.0.wrapping_add(GOLDEN);
        (tollgate_telemetry::mixed(self.0) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

impl CostMix {
    /// Reads `1:90,5:9`; a cost without a weight has the weight 1.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let one = |part: &str| {
            let (cost, weight) = part.split_once(':').unwrap_or((part, "1"));
            let (cost, weight) = (cost.parse::<u64>().ok()?, weight.parse::<u32>().ok()?);
            (cost > 0 && weight > 0).then_some((cost, weight))
        };
        text.split(',').map(one).collect::<Option<Vec<_>>>().map(Self)
    }

    pub(super) fn costs(&self) -> impl Iterator<Item = u64> {
        self.0.iter().map(|(cost, _)| *cost)
    }

    pub(super) fn draw(&self) -> Draw {
        Draw::weighted(self.0.iter().map(|(_, weight)| f64::from(*weight)))
    }

    /// As it was given.
    pub(super) fn told(&self) -> String {
        let mut text = String::new();
        for (cost, weight) in &self.0 {
            let comma = if text.is_empty() { "" } else { "," };
            // Writing to a text cannot fail.
            write!(text, "{comma}{cost}:{weight}").unwrap_or_default();
        }
        text
    }
}

impl Skew {
    /// 0 to 10.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        text.parse::<f64>().ok().filter(|exponent| (0.0..=10.0).contains(exponent)).map(Self)
    }

    /// Draws one of `count` keys.
    #[allow(clippy::cast_precision_loss, reason = "nobody has 2⁵³ keys")]
    pub(super) fn draw(self, count: usize) -> Draw {
        if self.0 == 0.0 { Draw::even(count) } else { Draw::weighted((1..=count).map(|number| (number as f64).powf(-self.0))) }
    }

    pub(super) fn exponent(self) -> f64 {
        self.0
    }
}

impl Share {
    /// A percentage from 0 to 100.
    pub(crate) fn parse(percent: &str) -> Option<Self> {
        percent.parse::<f64>().ok().filter(|percent| (0.0..=100.0).contains(percent)).map(|percent| Self(percent / 100.0))
    }

    pub(super) fn takes(self, dice: &mut Dice) -> bool {
        // Whoever wants none pays for no number.
        self.0 > 0.0 && dice.roll() < self.0
    }

    pub(super) fn percent(self) -> f64 {
        self.0 * 100.0
    }
}

impl Draw {
    fn even(count: usize) -> Self {
        Self { sums: Vec::new(), count }
    }

    fn weighted(weights: impl Iterator<Item = f64>) -> Self {
        let mut sums: Vec<f64> = weights
            .scan(0.0, |sum, weight| {
                *sum += weight;
                Some(*sum)
            })
            .collect();
        let all = sums.last().copied().unwrap_or(1.0);
        for sum in &mut sums {
            *sum /= all;
        }
        Self { count: sums.len(), sums }
    }

    /// A number below the count; 0 where there is nothing to draw from.
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of things in memory")]
    pub(super) fn one(&self, dice: &mut Dice) -> usize {
        if self.count < 2 {
            return 0;
        }
        let rolled = dice.roll();
        let drawn =
            if self.sums.is_empty() { (rolled * self.count as f64) as usize } else { self.sums.partition_point(|sum| *sum <= rolled) };
        drawn.min(self.count - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROLLS: u32 = 200_000;

    /// How often each was drawn, in parts of all.
    fn shares(draw: &Draw) -> Vec<f64> {
        let (mut dice, mut counts) = (Dice::new(7), vec![0_u32; draw.count]);
        (0..ROLLS).for_each(|_| counts[draw.one(&mut dice)] += 1);
        counts.into_iter().map(|count| f64::from(count) / f64::from(ROLLS)).collect()
    }

    fn are_near(found: &[f64], wanted: &[f64]) {
        assert_eq!(found.len(), wanted.len());
        // Ten standard deviations of a share of a half are 0.011.
        assert!(found.iter().zip(wanted).all(|(found, wanted)| (found - wanted).abs() < 0.012), "{found:?} is not {wanted:?}");
    }

    #[test]
    fn keys_are_drawn_evenly_or_by_zipfs_law() {
        are_near(&shares(&Skew(0.0).draw(4)), &[0.25; 4]);
        are_near(&shares(&Skew(1.0).draw(4)), &[12.0 / 25.0, 6.0 / 25.0, 4.0 / 25.0, 3.0 / 25.0]);
        assert_eq!(Skew(1.0).draw(1).one(&mut Dice::new(1)), 0);
        assert_eq!(Draw::even(0).one(&mut Dice::new(1)), 0);
    }

    #[test]
    fn costs_come_as_often_as_their_weights_say() {
        let mix = CostMix::parse("1:90,5:9,100").expect("a mix");
        assert_eq!((mix.costs().collect::<Vec<_>>(), mix.told().as_str()), (vec![1, 5, 100], "1:90,5:9,100:1"));
        are_near(&shares(&mix.draw()), &[0.9, 0.09, 0.01]);
        for bad in ["", "0", "1:0", "1:x", "a", "1,,2", "-1", "1:2:3"] {
            assert_eq!(CostMix::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_share_takes_its_part() {
        let taken = |percent: &str| {
            let (share, mut dice) = (Share::parse(percent).expect("a share"), Dice::new(3));
            f64::from((0..ROLLS).map(|_| u32::from(share.takes(&mut dice))).sum::<u32>()) / f64::from(ROLLS)
        };
        are_near(&[taken("0"), taken("12.5"), taken("100")], &[0.0, 0.125, 1.0]);
        assert!(["-1", "101", "x", "NaN"].iter().all(|bad| Share::parse(bad).is_none()));
        assert!(["-1", "11", "x", "NaN"].iter().all(|bad| Skew::parse(bad).is_none()));
    }
}
