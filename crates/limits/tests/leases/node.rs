//! A node: what it knows of the rules, its purses, its clock.

use std::sync::{Arc, atomic::AtomicU64};

use tollgate_limits::{Purse, RateLimits, Sight};

#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) generation: u64,
    pub(crate) limits: RateLimits,
    pub(crate) is_revoked: bool,
}

/// The purse of one key, and when its last slice was put in.
#[derive(Debug, Clone, Default)]
pub(crate) struct Holder {
    pub(crate) purse: Arc<Purse>,
    pub(crate) taken_in_us: Arc<AtomicU64>,
    /// Tokens that a flaw spends though they were handed back, and until when.
    pub(crate) ghost: (u32, u64),
}

#[derive(Debug)]
pub(crate) struct Node {
    /// How often it was started.
    pub(crate) life: u64,
    /// The state of the store that it has joined.
    pub(crate) state: u64,
    /// The server that it is connected to.
    pub(crate) server: u64,
    /// How often it has joined.
    pub(crate) realm: u64,
    /// Parts of a million by which its clock is fast.
    pub(crate) fast: i64,
    pub(crate) known: Vec<Known>,
    pub(crate) holders: Vec<Holder>,
}

impl Node {
    pub(crate) fn new(fast: i64, known: Vec<Known>, keys: usize, state: u64) -> Self {
        Self { life: 0, state, server: 1, realm: 1, fast, known, holders: (0..keys).map(|_| Holder::default()).collect() }
    }

    /// Its monotonic clock.
    pub(crate) fn clock_us(&self, real_us: u64) -> u64 {
        let fast = i128::from(real_us) * i128::from(self.fast) / 1_000_000;
        (1_000_000 + i128::from(real_us) + fast) as u64
    }

    pub(crate) fn sight(&self, real_us: u64) -> Sight {
        Sight { now_us: self.clock_us(real_us), realm: self.realm }
    }

    /// Dies and comes back with nothing in memory.
    pub(crate) fn crash(&mut self, known: Vec<Known>, (state, server): (u64, u64)) {
        (self.life, self.state, self.server, self.known) = (self.life + 1, state, server, known);
        self.holders.iter_mut().for_each(|holder| *holder = Holder::default());
    }

    /// Takes up the store anew.
    pub(crate) fn join(&mut self, known: Vec<Known>, (state, server): (u64, u64)) {
        (self.realm, self.state, self.server) = (self.realm + 1, state, server);
        for (subject, rules) in known.into_iter().enumerate() {
            self.learn(subject, rules);
        }
    }

    /// Reads the rules of a subject. Purses of other rules are thrown away.
    pub(crate) fn learn(&mut self, subject: usize, rules: Known) {
        if self.known[subject].generation >= rules.generation {
            return;
        }
        self.known[subject] = rules;
        // An owner stands behind its keys, and is behind all of their purses.
        match self.holders.get_mut(subject) {
            Some(holder) => *holder = Holder::default(),
            None => self.holders.iter_mut().for_each(|holder| *holder = Holder::default()),
        }
    }
}
