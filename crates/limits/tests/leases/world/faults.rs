//! What goes wrong in a schedule.

use super::{Event, Fault, World, limit_of};
use crate::{
    node::Known,
    plan::{self, NAMES},
};

impl World {
    pub(super) fn fail(&mut self, fault: Fault) {
        match fault {
            Fault::Crash => {
                self.seen.crashes += 1;
                let node = self.random.below(self.plan.nodes as u64) as usize;
                self.nodes[node].crash(self.truth.clone(), (self.store.state, self.store.server));
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
                let keeps_state = self.random.chance(500);
                self.seen.failovers_unnamed += u64::from(keeps_state);
                self.store.fail_over(self.random.below(5) as usize, keeps_state);
                self.lose();
                self.join_all();
            }
            Fault::Step => self.step(),
            Fault::Reset => self.reset(),
        }
    }

    /// New rules, behind a fence; the nodes hear of it some time, or never.
    fn change(&mut self, subject: usize, is_revoked: bool) {
        self.generation += 1;
        let is_revoked = is_revoked || self.truth[subject].is_revoked;
        let limits = plan::limits(&mut self.random, self.plan.has_owner);
        for (history, name) in self.histories[subject].iter_mut().zip(NAMES) {
            let limit = limit_of(&limits, name);
            self.seen.added += u64::from(limit.is_some() && history.limit().is_none());
            history.change(self.now_us, self.generation, limit);
        }
        self.truth[subject] = Known { generation: self.generation, limits, is_revoked };
        self.store.fence(subject, self.generation, is_revoked, self.now_us);
        self.tell_of(subject);
    }

    /// Buckets are filled, under a generation of its own.
    fn reset(&mut self) {
        let subject = self.random.below(self.truth.len() as u64) as usize;
        self.generation += 1;
        self.truth[subject].generation = self.generation;
        self.seen.resets += u64::from(self.store.outstanding(subject, self.now_us) > 0);
        self.histories[subject].iter_mut().for_each(|history| history.reset(self.now_us));
        self.store.fence(subject, self.generation, false, self.now_us);
        self.store.reset(subject, self.now_us);
        self.tell_of(subject);
    }

    fn tell_of(&mut self, subject: usize) {
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
        let by_us = self.random.pick(&[1000, 50_000, 400_000, 400_000, 400_000, 3_600_000_000]);
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
