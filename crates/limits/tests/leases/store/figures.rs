//! Holds what a decision tells to what would happen if nothing else did.

use tollgate_limits::{Ask, Cost, Decided, Record, Slices, Standing, Told, Wish, decide, decide_leased};

use super::Store;
use crate::flaw::Flaw;

impl Store {
    /// Does with an answer what a flaw would do.
    pub(super) fn misdo(&self, told: &mut Told, (records, before): (&mut [Record], &[Record]), asks: &[Ask<'_>], wish: &Wish, now_us: u64) {
        let Decided::LimitedForNow(standings) = &mut told.decided else { return };
        match self.flaw {
            Flaw::StepBackNotNoted => records.clone_from_slice(before),
            Flaw::WaitOfBucketsAlone => {
                let mut alone = before.to_vec();
                for record in &mut alone {
                    record.slices = Slices::default();
                }
                let wish = Wish { peek: true, ..*wish };
                if let Decided::Limited(those) = decide_leased(&mut alone, asks, &wish, now_us).decided {
                    *standings = those;
                }
            }
            _ => {}
        }
    }

    /// Whether who waits as told passes, whether what is left is there,
    /// and whether buckets are full when told.
    pub(super) fn hold_to(&mut self, told: &Told, records: &[Record], asks: &[Ask<'_>], cost: Cost, now_us: u64) {
        let (standings, is_limited) = match &told.decided {
            Decided::Allowed(standings) => (standings, false),
            Decided::Limited(standings) | Decided::LimitedForNow(standings) => (standings, true),
            _ => return,
        };
        let most = |of: fn(&Standing) -> u64| standings.iter().map(of).max().unwrap_or(0);
        let (wait_us, full_us) = (most(|told| told.retry_after_us), most(|told| told.reset_after_us));
        let passes = |tokens: u64, after_us: u64| {
            let Ok(cost) = Cost::new(tokens) else { return false };
            matches!(decide(&mut records.to_vec(), asks, cost, false, now_us + after_us), Decided::Allowed(_))
        };
        let is_exact = matches!(told.decided, Decided::Limited(_));
        if is_limited && (!passes(cost.tokens().into(), wait_us) || is_exact && passes(cost.tokens().into(), wait_us - 1)) {
            self.wrong = Some(format!("{cost:?} was told to wait {wait_us}: {told:?} {records:?}"));
        }
        let Some(left) = standings.iter().map(|told| u64::from(told.remaining)).min() else { return };
        let are_out = records.iter().any(|record| record.slices.at(now_us).outstanding() > 0);
        if left > 0 && !passes(left, 0) || !are_out && passes(left + 1, 0) {
            self.wrong = Some(format!("{left} are not left: {told:?} {records:?}"));
        }
        let bursts = asks.iter().filter_map(|ask| ask.limits.burst_min());
        if !bursts.min().is_none_or(|burst| passes(burst.into(), full_us)) {
            self.wrong = Some(format!("not full after {full_us}: {told:?} {records:?}"));
        }
    }
}
