//! One schedule: events in order of time, until there are none.

mod faults;
mod layout;
mod seen;

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    sync::{Arc, atomic::Ordering},
};

use tollgate_limits::{
    Asking, Cost, Decided, EPOCH_US, LEASED_SHARE, LeaseAsk, LimitName, Purse, RateLimit, RateLimits, Settle, Told, Wish,
};

pub(crate) use self::seen::Seen;
use crate::{
    flaw::Flaw,
    history::{History, LIFE_US},
    node::{Holder, Known, Node},
    plan::{self, NAMES, Plan},
    random::Random,
    store::{Asked, Call, Store},
};

/// The longest that a caller waits for an answer.
const TIMEOUT_US: u64 = 50_000;
/// How often a node looks for slices that are about to end, and how long before they do.
pub(crate) const SWEEP_US: u64 = 50_000;
pub(crate) const OVER_SOON_US: u64 = 100_000;

#[derive(Debug)]
enum Event {
    Request {
        node: usize,
        key: usize,
        cost: Cost,
    },
    /// The second step of spending.
    Take {
        node: usize,
        life: u64,
        key: usize,
        cost: Cost,
        checked_us: u64,
        holder: Holder,
    },
    Arrive {
        id: u64,
        call: Box<Call>,
    },
    Answer {
        id: u64,
        told: Option<Box<Told>>,
    },
    Timeout {
        id: u64,
    },
    Sweep {
        node: usize,
    },
    Hear {
        node: usize,
        subject: usize,
    },
    Join {
        node: usize,
    },
    Copy,
    Fault(Fault),
}

#[derive(Debug, Clone, Copy)]
enum Fault {
    Crash,
    Change,
    Revoke,
    Flush,
    Failover,
    Step,
    Reset,
}

/// A call under way.
#[derive(Debug)]
struct Pending {
    node: usize,
    life: u64,
    key: usize,
    asking: Option<Asking<Arc<Purse>>>,
    asked_us: u64,
    settle: Option<Settle>,
    holder: Holder,
}

pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) seen: Seen,
    pub(crate) store: Store,
    /// By subject and limit.
    pub(crate) histories: Vec<Vec<History>>,
    flaw: Flaw,
    random: Random,
    /// What the store's clock is ahead by as it begins.
    start_us: u64,
    now_us: u64,
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    events: HashMap<u64, Event>,
    next_id: u64,
    nodes: Vec<Node>,
    truth: Vec<Known>,
    generation: u64,
    /// When a key was revoked.
    revoked_us: Vec<Option<u64>>,
    pending: HashMap<u64, Pending>,
    /// Tells every step.
    is_told: bool,
    /// What went wrong that is no excess.
    pub(crate) wrong: Option<String>,
}

/// What a list holds under a name.
fn limit_of(limits: &RateLimits, name: &str) -> Option<RateLimit> {
    limits.as_slice().iter().find(|named| named.name.as_str() == name).map(|named| named.limit)
}

impl World {
    pub(crate) fn new(seed: u64, flaw: Flaw, is_told: bool) -> Self {
        let (plan, mut random) = Plan::draw(seed);
        let subjects = plan.keys + usize::from(plan.has_owner);
        let truth: Vec<Known> = (0..subjects)
            .map(|_| {
                let limits = plan::limits(&mut random, plan.has_owner);
                Known { generation: 1, limits, is_revoked: false }
            })
            .collect();
        let mut world = Self::of(plan, random, truth, flaw);
        world.is_told = is_told;
        world.lay_out();
        world
    }

    /// Without faults: one key under one limit, and requests as (when, node, tokens).
    pub(crate) fn calm(nodes: usize, limit: RateLimit, requests: &[(u64, usize, u64)]) -> Self {
        let limits = RateLimits::one(LimitName::new("key").expect("a good name"), limit);
        let truth = vec![Known { generation: 1, limits, is_revoked: false }];
        let mut world = Self::of(Plan::calm(nodes), Random(7), truth, Flaw::None);
        for (at_us, node, tokens) in requests {
            world.put_request(*at_us, *node, 0, *tokens);
        }
        let end_us = requests.last().map_or(0, |(at_us, ..)| *at_us);
        for node in 0..nodes {
            (0..=end_us / SWEEP_US).for_each(|turn| world.put(turn * SWEEP_US + 10_000 * node as u64, Event::Sweep { node }));
        }
        world
    }

    fn of(plan: Plan, mut random: Random, truth: Vec<Known>, flaw: Flaw) -> Self {
        let clocks: Vec<i64> = (0..plan.nodes).map(|_| random.below(1999) as i64 - 999).collect();
        let nodes = clocks.into_iter().map(|fast| Node::new(fast, truth.clone(), plan.keys, 1)).collect();
        let start_us = random.below(2 * EPOCH_US);
        let of_limits = |known: &Known| NAMES.iter().map(|name| History::new(limit_of(&known.limits, name))).collect();
        let expires = plan.expires;
        Self {
            seen: Seen::default(),
            store: Store::new(flaw, start_us, expires),
            start_us,
            histories: truth.iter().map(of_limits).collect(),
            flaw,
            now_us: 0,
            queue: BinaryHeap::new(),
            events: HashMap::new(),
            next_id: 0,
            nodes,
            generation: 1,
            revoked_us: vec![None; plan.keys],
            pending: HashMap::new(),
            is_told: false,
            wrong: None,
            truth,
            plan,
            random,
        }
    }

    pub(crate) fn owner(&self) -> Option<usize> {
        self.plan.has_owner.then_some(self.plan.keys)
    }

    fn put(&mut self, at_us: u64, event: Event) {
        self.next_id += 1;
        self.queue.push(Reverse((at_us, self.next_id)));
        self.events.insert(self.next_id, event);
    }

    /// Plays all events.
    pub(crate) fn play(&mut self) {
        while self.wrong.is_none()
            && self.store.wrong.is_none()
            && let Some(Reverse((at_us, id))) = self.queue.pop()
        {
            self.now_us = at_us;
            let event = self.events.remove(&id).expect("put with its place");
            if self.is_told {
                println!("{at_us:>9} {event:?}");
            }
            self.happen(event);
        }
        self.seen.blamed = self.store.blamed;
        self.wrong = self.wrong.take().or(self.store.wrong.take());
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Request { node, key, cost } => self.request(node, key, cost),
            Event::Take { node, life, key, cost, checked_us, holder } => self.take((node, life), key, cost, checked_us, &holder),
            Event::Arrive { id, call } => self.arrive(id, *call),
            Event::Answer { id, told } => self.answer(id, told.as_deref()),
            Event::Timeout { id } => self.time_out(id),
            Event::Sweep { node } => self.sweep(node),
            Event::Hear { node, subject } => self.learn(node, subject),
            Event::Join { node } => self.nodes[node].join(self.truth.clone(), (self.store.state, self.store.server)),
            Event::Copy => self.store.copy(),
            Event::Fault(fault) => self.fail(fault),
        }
    }

    /// Whom a request of a key asks, as a node knows them.
    fn asked(&self, node: usize, key: usize) -> Vec<Asked> {
        let known = &self.nodes[node].known;
        let asked = |subject: usize| Asked { subject, generation: known[subject].generation, limits: known[subject].limits.clone() };
        std::iter::once(key).chain(self.owner()).map(asked).collect()
    }

    /// Whether the rules that a node knows can ever let this cost pass.
    fn can_pass(&self, node: usize, key: usize, cost: Cost) -> bool {
        let known = &self.nodes[node].known;
        let fits = |subject: usize| known[subject].limits.burst_min().is_none_or(|burst| cost.tokens() <= burst);
        !known[key].is_revoked && fits(key) && self.owner().is_none_or(fits)
    }

    fn request(&mut self, node: usize, key: usize, cost: Cost) {
        self.seen.requests += 1;
        let (sight, life) = (self.nodes[node].sight(self.now_us), self.nodes[node].life);
        let holder = &mut self.nodes[node].holders[key];
        if holder.ghost.0 >= cost.tokens() && sight.now_us < holder.ghost.1 {
            holder.ghost.0 -= cost.tokens();
            self.admit(key, cost, self.now_us);
            return;
        }
        if holder.purse.is_good(sight) {
            let holder = holder.clone();
            let is_paused = self.random.chance(self.plan.paused);
            let pause_us = if is_paused { self.random.below(self.plan.paused_us) } else { 0 };
            let checked_us = self.now_us;
            self.put(self.now_us + pause_us, Event::Take { node, life, key, cost, checked_us, holder });
        } else {
            self.ask(node, key, cost);
        }
    }

    fn take(&mut self, (node, life): (usize, u64), key: usize, cost: Cost, checked_us: u64, holder: &Holder) {
        if self.nodes[node].life != life {
            return;
        }
        if !holder.purse.take(cost) {
            return self.ask(node, key, cost);
        }
        self.seen.from_slices += 1;
        self.seen.after_pause += u64::from(self.now_us > checked_us);
        if self.revoked_us[key].is_some_and(|at_us| checked_us > at_us + LIFE_US) {
            self.wrong = Some(format!("key {key} was revoked, and spends from a slice at {checked_us}"));
        }
        // Of a slice that came later, it was spent when that came.
        self.admit(key, cost, checked_us.max(holder.taken_in_us.load(Ordering::Relaxed)));
    }

    fn admit(&mut self, key: usize, cost: Cost, at_us: u64) {
        let charge = |history: &mut History| history.charge(at_us, cost.tokens());
        self.histories[key].iter_mut().for_each(charge);
        if let Some(owner) = self.owner() {
            self.histories[owner].iter_mut().for_each(charge);
        }
    }

    fn ask(&mut self, node: usize, key: usize, cost: Cost) {
        if !self.can_pass(node, key, cost) {
            return;
        }
        let sight = self.nodes[node].sight(self.now_us);
        let asking = Purse::begin(Arc::clone(&self.nodes[node].holders[key].purse), cost, sight);
        let lease = asking.as_ref().map_or(LeaseAsk::default(), |asking| asking.ask);
        self.call(node, key, Wish { cost, peek: false, lease }, asking);
    }

    fn call(&mut self, node: usize, key: usize, wish: Wish, asking: Option<Asking<Arc<Purse>>>) {
        self.seen.calls += 1;
        self.seen.asks += u64::from(wish.lease.want > 0);
        let call = Call { state: self.nodes[node].state, server: self.nodes[node].server, asked: self.asked(node, key), wish };
        let (life, settle) = (self.nodes[node].life, wish.lease.settle);
        self.seen.handed_back += u64::from(settle.is_some());
        if let Some(settle) = settle.filter(|_| self.flaw == Flaw::SpentAndSettled) {
            self.nodes[node].holders[key].ghost = (settle.unused, self.nodes[node].clock_us(self.now_us) + LIFE_US / 2);
        }
        self.next_id += 1;
        let id = self.next_id;
        let holder = self.nodes[node].holders[key].clone();
        self.pending.insert(id, Pending { node, life, key, asking, asked_us: self.now_us, settle, holder });
        self.put(self.now_us + TIMEOUT_US, Event::Timeout { id });
        self.send(id, call);
    }

    fn send(&mut self, id: u64, call: Call) {
        if !self.random.chance(self.plan.lost) {
            let at_us = self.later();
            self.put(at_us, Event::Arrive { id, call: Box::new(call) });
        }
    }

    fn delay(&mut self) -> u64 {
        let is_slow = self.random.chance(self.plan.slow);
        100 + self.random.below(if is_slow { self.plan.slow_us } else { 400 })
    }

    /// When what is sent now is there.
    fn later(&mut self) -> u64 {
        let at_us = self.now_us + self.delay();
        if self.plan.is_batched { at_us.next_multiple_of(1000) } else { at_us }
    }

    fn arrive(&mut self, id: u64, mut call: Call) {
        let is_other_server = call.server != self.store.server;
        if is_other_server {
            // It was under way to the server before; or it waited for the connection, and then what
            // it was to hand back is of another one.
            if self.random.chance(500) {
                return;
            }
            call.wish.lease.settle = None;
        }
        let call = &call;
        let told = self.store.decide(call, self.now_us);
        if let Some(Told { decided: Decided::Allowed(_) | Decided::Limited(_) | Decided::LimitedForNow(_), .. }) = &told {
            for asked in &call.asked {
                for history in &mut self.histories[asked.subject] {
                    history.asked(self.now_us, asked.generation);
                }
            }
        }
        if let Some(Told { decided: Decided::Allowed(_), .. }) = &told
            && !call.wish.peek
        {
            self.seen.from_store += 1;
            let (key, is_revoked) = (call.asked[0].subject, self.revoked_us[call.asked[0].subject].is_some());
            // What another server told is doubted by who asked, until he has read the log.
            if is_revoked && !is_other_server {
                self.wrong = Some(format!("key {key} is revoked, and the store lets it pass"));
            }
            self.admit(key, call.wish.cost, self.now_us);
        }
        if let (Flaw::SettledTwice, Some(settle)) = (self.flaw, call.wish.lease.settle) {
            let lease = LeaseAsk { want: 0, settle: Some(settle) };
            let twice = Call { wish: Wish { cost: Cost::ONE, peek: true, lease }, ..call.clone() };
            self.store.decide(&twice, self.now_us);
        }
        self.look_at_outstanding(call);
        if !self.random.chance(self.plan.lost) {
            let at_us = self.later();
            self.put(at_us, Event::Answer { id, told: told.map(Box::new) });
        }
    }

    /// No more than the share of any limit that was in force is ever outstanding.
    fn look_at_outstanding(&mut self, call: &Call) {
        for asked in &call.asked {
            let out = u64::from(self.store.outstanding(asked.subject, self.now_us));
            let bursts = self.histories[asked.subject].iter().filter_map(History::limit).map(RateLimit::burst);
            let Some(burst) = bursts.min() else { continue };
            let has_changed = self.truth[asked.subject].generation > 1;
            if !has_changed {
                self.seen.outstanding = self.seen.outstanding.max(out * 1000 / u64::from(burst));
                if out > u64::from(burst / LEASED_SHARE) {
                    self.wrong = Some(format!("{out} tokens of {burst} are outstanding"));
                }
            }
        }
    }

    fn answer(&mut self, id: u64, told: Option<&Told>) {
        // Nobody waits any more.
        let Some(Pending { node, life, key, asking, asked_us, holder, .. }) = self.pending.remove(&id) else { return };
        if self.nodes[node].life != life {
            return;
        }
        let Some(Told { decided, grant }) = told else {
            self.seen.lost_state += 1;
            self.nodes[node].realm += 1;
            let delay_us = self.random.below(5000);
            return self.put(self.now_us + delay_us, Event::Join { node });
        };
        match decided {
            Decided::Allowed(_) | Decided::TooCostly => {}
            Decided::Limited(_) | Decided::LimitedForNow(_) => self.seen.limited += 1,
            Decided::Stale { .. } => {
                self.seen.stale += 1;
                let all: Vec<usize> = std::iter::once(key).chain(self.owner()).collect();
                for subject in all {
                    self.learn(node, subject);
                }
            }
            Decided::Revoked { .. } => {
                self.seen.revoked += 1;
                self.learn(node, key);
            }
        }
        if let (Some(mut grant), Some(asking)) = (*grant, asking) {
            let now_us = self.nodes[node].clock_us(self.now_us);
            if self.flaw == Flaw::GoodFromAnswer {
                grant.valid_us += self.now_us - asked_us;
            }
            if asking.take_in(grant, now_us) {
                self.seen.slices += 1;
                holder.taken_in_us.store(self.now_us, Ordering::Relaxed);
            }
        }
    }

    fn time_out(&mut self, id: u64) {
        let Some(Pending { node, key, settle, .. }) = self.pending.remove(&id) else { return };
        self.seen.timeouts += 1;
        if let (Flaw::SettledAgain, Some(settle)) = (self.flaw, settle) {
            let lease = LeaseAsk { want: 0, settle: Some(settle) };
            let wish = Wish { cost: Cost::ONE, peek: true, lease };
            let (state, server) = (self.nodes[node].state, self.nodes[node].server);
            let call = Call { state, server, asked: self.asked(node, key), wish };
            self.put(self.now_us + 100, Event::Arrive { id: 0, call: Box::new(call) });
        }
    }

    /// Hands back what is about to end.
    fn sweep(&mut self, node: usize) {
        let sight = self.nodes[node].sight(self.now_us);
        for key in 0..self.plan.keys {
            let taken = self.nodes[node].holders[key].purse.take_back(sight.now_us + OVER_SOON_US, sight);
            if taken.settle.is_some() {
                let lease = LeaseAsk { want: 0, settle: taken.settle };
                self.call(node, key, Wish { cost: Cost::ONE, peek: true, lease }, None);
            }
        }
    }

    fn learn(&mut self, node: usize, subject: usize) {
        let rules = self.truth[subject].clone();
        self.nodes[node].learn(subject, rules);
    }
}
