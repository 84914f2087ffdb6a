//! Decisions that ask nobody: paid from tokens taken ahead, or refused by a denial that is remembered.
//!
//! Both rest on what the store said a moment ago, so they are used only while nothing can have changed
//! unheard: the record is the one that is held, the link is the one that was trusted, and the node
//! hears the others. Nothing here waits, and no lock is held while anything does.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use tokio::time::{Instant, sleep};
use tollgate_limits::{Asking, Cost, Grant, LeaseAsk, Settle, Sight};
use tollgate_telemetry::Source;

use crate::{
    authenticate::Verified,
    cache::CachedKey,
    decide::refusal,
    gate::{DecisionSource, GateShared},
    hot::{Answered, Held, Hot, PurseOf, Sent},
    ports::{BucketError, Decision, Leasing, Outcome},
    standings::Standings,
    verdict::Verdict,
};

/// How often slices are looked at.
const LOOK_PAUSE: Duration = Duration::from_millis(25);
/// A slice is handed back so long before it is over: until the next look, and the way to the store.
const OVER_SOON_US: u64 = 75_000;
/// Slices that are handed back at a time; more wait for their answers.
const HANDED_BACK_MAX: usize = 512;

/// What the node can see of its store when it looks.
#[derive(Debug, Clone, Copy)]
struct View {
    sight: Sight,
    /// The store's part of what the realm is made of.
    store: u64,
    /// How many changes somebody had told of.
    told: u64,
}

/// What a request that asks the store has to do with what is held of its key.
#[derive(Debug)]
pub(crate) struct Stake<'a> {
    entry: &'a Arc<CachedKey>,
    cost: Cost,
    view: View,
    hot: Option<Arc<Hot>>,
    asking: Option<Asking<PurseOf>>,
    settling: Settling<'a>,
    sent: Option<Sent>,
}

impl Stake<'_> {
    /// What to ask the store for along with the decision.
    pub(crate) fn leasing(&self) -> Leasing {
        Leasing { ask: self.asking.as_ref().map(|asking| asking.ask).unwrap_or_default(), realm: self.view.store }
    }
}

/// A slice that is on its way back, if there is one. Lost, unless an answer is told.
#[derive(Debug)]
struct Settling<'a> {
    gate: &'a GateShared,
    settle: Option<Settle>,
    /// The store's realm when it was taken out of its purse.
    realm: u64,
}

impl Settling<'_> {
    /// Counts it by what the store said to the call.
    fn told(mut self, answer: &Result<Outcome, BucketError>) {
        // Not even sent to another state, or over another connection.
        let was_sent = self.gate.buckets.realm() == self.realm;
        match answer {
            Ok(Outcome::Allowed(_) | Outcome::Leased(..) | Outcome::Limited(_) | Outcome::LimitedForNow(_)) if was_sent => {
                self.gate.metrics.lease_returned(self.settle.take().map_or(0, |settle| settle.unused));
            }
            Ok(_) | Err(_) => {}
        }
    }
}

impl Drop for Settling<'_> {
    fn drop(&mut self) {
        self.gate.metrics.lease_expired(self.settle.map_or(0, |settle| settle.unused));
    }
}

impl GateShared {
    /// What may be gone by now; nothing where anything may have changed unheard since the caller's
    /// rules were looked up.
    fn view(&self, entry: &CachedKey, epoch: u64, now: Instant) -> Option<View> {
        // Read before trust is: whatever becomes of the store in between gives another realm.
        let (store, told) = (self.buckets.realm(), self.line.told());
        let sight = Sight { now_us: self.held.us(now), realm: epoch.wrapping_add(store) };
        let is_same = self.link.epoch() == epoch && self.is_link_trusted() && self.line.is_in_touch(now);
        (is_same && !entry.is_outdated()).then_some(View { sight, store, told })
    }

    /// The verdict on a caller, if it can be told without asking the store.
    pub(crate) fn decide_from_memory(&self, verified: &Verified, now: Instant) -> Option<Verdict> {
        let (request, entry) = (&verified.request, &verified.entry);
        let (allowed, standings, source) = entry.hot.with(|hot| {
            let Sight { now_us, realm } = self.view(entry, verified.epoch, now).filter(|_| refusal(verified).is_none())?.sight;
            // A peek is to tell how things are.
            let refused = if request.peek { None } else { hot.refuse(request.cost, now_us, realm, self.held.denials_us()) };
            if let Some(figures) = refused {
                return Some((false, figures.into(), Source::DenyMemory));
            }
            let is_paid = !request.peek && hot.purse.spend(request.cost, Sight { now_us, realm });
            is_paid.then(|| (true, hot.figures(), Source::Lease))
        })?;
        let passed = self.passed(verified, standings);
        Some(self.decided(allowed, passed, source, request.peek))
    }

    /// To be called before the store is asked for a caller. `None` where nothing that it says may be
    /// held on to.
    pub(crate) fn stake<'a>(&'a self, verified: &'a Verified) -> Option<Stake<'a>> {
        if self.options.source == DecisionSource::Local {
            return None;
        }
        let (entry, request) = (&verified.entry, &verified.request);
        let view = self.view(entry, verified.epoch, Instant::now())?;
        let hot = self.held.of_steady(entry, view.sight.now_us);
        let asking = hot.as_ref().filter(|_| !request.peek).and_then(|hot| self.ask_ahead(hot, request.cost, view.sight));
        let settle = asking.as_ref().and_then(|asking| asking.ask.settle);
        let settling = Settling { gate: self, settle, realm: view.store };
        let sent = hot.as_ref().and_then(|hot| hot.send(if request.peek { 0 } else { request.cost.tokens() }));
        Some(Stake { entry, cost: request.cost, view, hot, asking, settling, sent })
    }

    /// Asks for the next slice along with a decision, and hands the last one back.
    fn ask_ahead(&self, hot: &Arc<Hot>, cost: Cost, sight: Sight) -> Option<Asking<PurseOf>> {
        // None is taken while changes may go unheard, even if the last may still be spent.
        if !self.held.options().leases || hot.want_max == 0 || !self.line.may_take(Instant::now()) {
            return None;
        }
        let mut asking = tollgate_limits::Purse::begin(PurseOf(hot.clone()), cost, sight)?;
        asking.ask.want = asking.ask.want.min(hot.want_max);
        self.metrics.lease_expired(asking.expired);
        if asking.ask.settle.is_some() {
            hot.forget_denial();
        }
        Some(asking)
    }

    /// Takes what the store has said into what is held. `holds`: whether the rules and the link are
    /// still those that the request was sent by. Figures that others share now are given back.
    pub(crate) fn learn(&self, stake: Option<Stake<'_>>, answer: &mut Result<Outcome, BucketError>, holds: bool) -> Option<Standings> {
        let Stake { entry, cost, view, hot, asking, settling, sent } = stake?;
        // What was decided before a change that was told of since is not held on to.
        let holds = holds && view.told == self.line.told();
        let at_us = self.held.us(Instant::now());
        settling.told(answer);
        let answered = Answered { asked_us: view.sight.now_us, at_us, realm: view.sight.realm };
        match answer {
            Ok(Outcome::Leased(_, grant)) if !holds => {
                let tokens = grant.tokens;
                self.metrics.lease_taken(tokens);
                self.metrics.lease_expired(tokens);
            }
            Ok(Outcome::Leased(standings, grant)) => {
                let (hot, standings) = (hot?, std::mem::take(standings));
                hot.forget_denial();
                return Some(self.take_slice(&hot, asking, (standings, *grant), at_us));
            }
            Ok(Outcome::Allowed(standings)) => {
                if let Some(sent) = sent {
                    sent.charged(cost, standings, answered);
                }
            }
            Ok(Outcome::Limited(standings)) if holds && self.held.denials_us() > 0 && self.line.is_in_touch(Instant::now()) => {
                // It is no longer under way, or it would be in its own way.
                drop(sent);
                if let Some(hot) = hot.or_else(|| self.held.of_refused(entry, at_us)) {
                    hot.remember(standings, answered);
                }
            }
            // A slice that is handed back lets it pass at any moment.
            Ok(Outcome::LimitedForNow(_)) => {
                if let Some(hot) = &hot {
                    hot.forget_denial();
                }
            }
            Ok(Outcome::Limited(_) | Outcome::Stale | Outcome::Revoked | Outcome::Lost | Outcome::Broken) | Err(_) => {}
        }
        None
    }

    fn take_slice(
        &self,
        hot: &Arc<Hot>,
        asking: Option<Asking<PurseOf>>,
        (standings, grant): (Vec<crate::ports::SubjectStanding>, Grant),
        at_us: u64,
    ) -> Standings {
        let figures = hot.set_figures(standings);
        self.metrics.lease_taken(grant.tokens);
        if !asking.is_some_and(|asking| asking.take_in(grant, at_us)) {
            self.metrics.lease_expired(grant.tokens);
        }
        figures
    }

    /// Hands back slices that are about to be over, and gives up what is of no use. Never returns.
    pub(crate) async fn keep_leases(&self) {
        loop {
            if self.held.is_empty() {
                self.held.more.notified().await;
            }
            sleep(LOOK_PAUSE).await;
            self.hand_back(self.held.us(Instant::now()).saturating_add(OVER_SOON_US)).await;
        }
    }

    /// Hands back what is over by then.
    pub(crate) async fn hand_back(&self, over_by_us: u64) {
        while self.hand_back_some(over_by_us).await == HANDED_BACK_MAX {}
    }

    /// The same for as many as may be under way, in calls that charge nothing: all at once, so that
    /// they share their way. Says how many.
    async fn hand_back_some(&self, over_by_us: u64) -> usize {
        let mut due = Vec::new();
        self.held.sweep(self.held.us(Instant::now()), |held| {
            if due.len() < HANDED_BACK_MAX {
                due.extend(self.take_back(held, over_by_us));
            }
        });
        let count = due.len();
        let deadline = Instant::now() + self.options.decision_timeout;
        let calls = due.into_iter().map(|(decision, settling)| async move {
            let leasing = Leasing { ask: LeaseAsk { want: 0, settle: settling.settle }, realm: settling.realm };
            settling.told(&self.buckets.decide_leased(decision, leasing, deadline).await);
        });
        join_all(calls).await;
        count
    }

    /// Takes a slice out of its purse: to be handed back, if it still may be.
    fn take_back(&self, held: &Held, over_by_us: u64) -> Option<(Decision, Settling<'_>)> {
        let Held { entry, hot } = held;
        let (epoch, store, now_us) = (self.link.epoch(), self.buckets.realm(), self.held.us(Instant::now()));
        // A record that has changed is told so and hands nothing back, so it is taken out at once.
        let (over_by_us, may) = if entry.is_outdated() { (u64::MAX, false) } else { (over_by_us, self.is_link_trusted()) };
        let taken = hot.purse.take_back(over_by_us, Sight { now_us, realm: epoch.wrapping_add(store) });
        self.metrics.lease_expired(taken.expired);
        let settling = Settling { gate: self, settle: Some(taken.settle?), realm: store };
        if !may {
            return None;
        }
        hot.forget_denial();
        let decision = Decision { subjects: entry.subjects(&entry.key_id()), cost: Cost::ONE, peek: true };
        Some((decision, settling))
    }
}

impl crate::Gate {
    /// Hands back all tokens that this node has taken ahead, before it ends, some hundreds at a time.
    /// Waits for the store no longer each time than a decision does.
    pub async fn hand_back_leases(&self) {
        self.shared.hand_back(u64::MAX).await;
    }
}
