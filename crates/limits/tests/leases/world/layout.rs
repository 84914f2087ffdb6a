//! Draws what will happen in a schedule.

use tollgate_limits::{Cost, EPOCH_US};

use super::{Event, Fault, SWEEP_US, World};

/// How often the store is copied, where a copy may take over.
const COPY_US: u64 = 20_000;

impl World {
    /// Draws requests and faults: phases of silence, of steady demand, and of large costs.
    pub(super) fn lay_out(&mut self) {
        let (mut at_us, mut left) = (self.random.below(200_000), self.plan.requests);
        while left > 0 {
            let of_phase = left.min(10 + self.random.below(50) as usize);
            left -= of_phase;
            self.draw_faults(at_us);
            at_us = if self.random.chance(400) { self.lay_ambush(at_us) } else { self.lay_phase(at_us, of_phase) };
        }
        for node in 0..if self.plan.is_swept { self.plan.nodes } else { 0 } {
            let first_us = self.random.below(SWEEP_US);
            (0..at_us / SWEEP_US).for_each(|turn| self.put(first_us + turn * SWEEP_US, Event::Sweep { node }));
        }
        if self.plan.failovers > 0 {
            (0..at_us / COPY_US).for_each(|turn| self.put(turn * COPY_US, Event::Copy));
        }
    }

    fn lay_phase(&mut self, mut at_us: u64, requests: usize) -> u64 {
        let mean_us = self.random.pick(&[0.0, 300.0, 1000.0, 3000.0, 6000.0, 30_000.0]);
        let node = self.random.chance(600).then(|| self.random.below(self.plan.nodes as u64) as usize);
        let size = self.random.below(6);
        for _ in 0..requests {
            at_us += self.random.pause(mean_us);
            let key = self.random.below(self.plan.keys as u64) as usize;
            let node = node.unwrap_or(self.random.below(self.plan.nodes as u64) as usize);
            let cost = self.cost(key, size);
            self.put(at_us, Event::Request { node, key, cost });
        }
        at_us + self.random.pick(&[0, 1000, 20_000, 150_000, 250_000, 390_000, 410_000, 1_300_000])
    }

    /// What would show a slice that is spent on top of a burst: nodes take slices while the bucket
    /// is full, wait, spend them at once, and then empty the bucket.
    fn lay_ambush(&mut self, mut at_us: u64) -> u64 {
        at_us += self.random.pick(&[0, 0, 300_000, 2_000_000]);
        let key = self.random.below(self.plan.keys as u64) as usize;
        let burst = u64::from(self.burst_of(key));
        let nodes = 1 + self.random.below(self.plan.nodes as u64) as usize;
        for node in 0..nodes {
            for turn in 0..10 {
                let part_us = self.random.below(500);
                self.put_request(at_us + turn * 2000 + part_us, node, key, burst / 500);
            }
        }
        let (steps, others) = (self.plan.steps.min(1) * 1000, 400);
        let faults =
            [(Fault::Step, steps), (Fault::Reset, self.plan.resets.min(1) * others), (Fault::Change, self.plan.changes.min(1) * others)];
        for (fault, often) in faults {
            if !self.random.chance(often) {
                continue;
            }
            let step_us = at_us + 22_000 + self.random.below(20_000);
            self.put(step_us, Event::Fault(fault));
        }
        // At any time, or about when slices are over.
        let waited_us = at_us + 22_000 + self.random.below(450_000);
        let over_us = (at_us + self.start_us).next_multiple_of(EPOCH_US) + EPOCH_US - self.start_us;
        at_us = match self.random.below(4) {
            // Or as soon as something has happened.
            0 if self.plan.steps + self.plan.resets > 0 => at_us + 42_000,
            0 | 1 => waited_us,
            _ => over_us + self.random.skewed(30_000),
        };
        for node in 0..nodes {
            (0..4).for_each(|turn| self.put_request(at_us + turn * 100, node, key, burst / 100));
        }
        at_us += 2500 + self.random.skewed(20_000);
        for turn in 0..10 {
            let node = self.random.below(self.plan.nodes as u64) as usize;
            let part = if turn == 0 { burst - burst / 20 } else { burst / (1 << turn) };
            self.put_request(at_us + turn * 50, node, key, part);
        }
        at_us + self.random.below(600_000)
    }

    pub(super) fn put_request(&mut self, at_us: u64, node: usize, key: usize, tokens: u64) {
        let cost = Cost::new(tokens.max(1)).expect("in range");
        self.put(at_us, Event::Request { node, key, cost });
    }

    /// The least burst that a cost must not be above, as the schedule begins.
    fn burst_of(&self, key: usize) -> u32 {
        let burst_of = |subject: usize| self.truth[subject].limits.burst_min();
        std::iter::once(key).chain(self.owner()).filter_map(burst_of).min().unwrap_or(100)
    }

    fn draw_faults(&mut self, at_us: u64) {
        let plan = &self.plan;
        let faults = [
            (Fault::Crash, plan.crashes),
            (Fault::Change, plan.changes),
            (Fault::Revoke, plan.revokes),
            (Fault::Flush, plan.flushes),
            (Fault::Failover, plan.failovers),
            (Fault::Step, plan.steps),
            (Fault::Reset, plan.resets),
        ];
        for (fault, often) in faults {
            if self.random.chance(often * 2) {
                let at_us = at_us + self.random.below(300_000);
                self.put(at_us, Event::Fault(fault));
            }
        }
    }

    /// `size`: of what kind the costs of a phase are.
    fn cost(&mut self, key: usize, size: u64) -> Cost {
        let burst = u64::from(self.burst_of(key));
        let tokens = match size {
            0 | 1 => burst / 1000,
            2 => self.random.skewed(burst),
            3 => burst / 200,
            4 => burst / (2 + self.random.below(20)),
            _ if self.random.chance(100) => burst - burst / 25,
            _ => 1,
        };
        Cost::new(tokens.clamp(1, burst)).expect("in range")
    }
}
