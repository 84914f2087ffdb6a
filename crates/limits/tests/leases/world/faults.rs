//! What goes wrong in a schedule.

use super::{Event, Fault, World};
use crate::{node::Known, plan};

impl World {
    pub(super) fn fail(&mut self, fault: Fault) {
        match fault {
            Fault::Crash => {
                self.seen.crashes += 1;
                let node = self.random.below(self.plan.nodes as u64) as usize;
                self.nodes[node].crash(self.truth.clone(), self.store.state);
            }
            Fault::Change => {
                let subject = self.random.below(self.truth.len() as u64) as usize;
                self.change(subject, false);
            }
            Fault::Revoke => {
                let key = self.random.below(self.plan.keys as u64) as usize;
                self.change(key, true);
                self.revoked_us[key].get_or_insert(self.now_us);
            }
            Fault::Flush => {
                self.store.flush();
                self.lose();
            }
            Fault::Failover => {
                self.seen.failovers += 1;
                self.store.fail_over(self.random.below(5) as usize);
                self.lose();
                self.join_all();
            }
            Fault::Step => self.step(),
        }
    }

    /// New rules, behind a fence; the nodes hear of it some time, or never.
    fn change(&mut self, subject: usize, is_revoked: bool) {
        self.generation += 1;
        let count = self.histories[subject].len();
        let is_revoked = is_revoked || self.truth[subject].is_revoked;
        let limits = plan::limits(&mut self.random, count);
        for (history, named) in self.histories[subject].iter_mut().zip(limits.as_slice()) {
            history.change(self.now_us, self.generation, named.limit);
        }
        self.truth[subject] = Known { generation: self.generation, limits, is_revoked };
        self.store.fence(subject, self.generation, is_revoked, self.now_us);
        for node in 0..self.plan.nodes {
            if self.random.chance(800) {
                let delay_us = self.random.skewed(300_000);
                self.put(self.now_us + delay_us, Event::Hear { node, subject });
            }
        }
    }

    fn lose(&mut self) {
        self.histories.iter_mut().flatten().for_each(|history| history.lose(self.now_us));
    }

    /// All nodes notice that another server answers, and read the log before they go on.
    fn join_all(&mut self) {
        for node in 0..self.plan.nodes {
            let delay_us = self.random.skewed(100_000);
            self.put(self.now_us + delay_us, Event::Join { node });
        }
    }

    fn step(&mut self) {
        let by_us = self.random.pick(&[1000, 50_000, 200_000, 400_000, 3_600_000_000]);
        let by_us = self.random.below(by_us) + 1;
        if self.random.chance(500) {
            self.seen.steps_forward += 1;
            self.store.step_clock(by_us as i64);
            self.histories.iter_mut().flatten().for_each(|history| history.step(self.now_us, by_us));
        } else {
            self.seen.steps_back += 1;
            self.store.step_clock(-(by_us as i64));
        }
    }
}
