//! A made-up cluster whose every step is taken twice: by the scripts in Redis, under a clock of
//! the test's own, and by the reference on values.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "part of a test, which fails by panicking")]

mod trouble;

use std::collections::HashMap;

use bytes::Bytes;
use tollgate_gate::ports::{Decision, Outcome, Subject, SubjectKind, SubjectStanding, Subjects};
use tollgate_limits::{
    Arrival, Ask, Bucket, Cost, Decided, EPOCH_US, LeaseAsk, LimitName, NamedLimit, QUIET_EPOCHS, RateLimit, RateLimits, Record, Settle,
    Told, Wish, decide_leased,
};
use tollgate_redis::{
    codec::{Answer, Batch, Reply, Request, Swap, buckets_of, decode_record, encode_record, read_reply},
    convert::swaps,
    names::Names,
    scripts,
};

const CLOCK: &str = "local time = call('TIME')\nlocal now = time[1] * 1000000 + time[2]\n";
const FENCE_CLOCK: &str = "local time = redis.call('TIME')\nlocal now = time[1] * 1000000 + time[2]\n";
const OWN_CLOCK: &str = "local now = tonumber(ARGV[#ARGV])\n";
/// Far ahead of the server's own clock, so that nothing expires; still below 2⁵³.
const START_US: u64 = 2_800_000_000_000_000;
const BURSTS: [u64; 9] = [1, 2, 3, 7, 100, 997, 999_983, 999_999_937, 1_000_000_000];
const PERIODS_S: [u64; 6] = [1, 7, 60, 3600, 86_400, 2_678_400];
const NAMES: [&str; 6] = ["key", "owner", "per_second", "day", "a", "b"];

/// How often what happened.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) decisions: u64,
    pub(crate) allowed: u64,
    pub(crate) limited: u64,
    pub(crate) stale: u64,
    pub(crate) revoked: u64,
    pub(crate) converted: u64,
    pub(crate) cut: u64,
    pub(crate) several: u64,
    pub(crate) fences: u64,
    /// Fences that told how long slices may still be spent.
    pub(crate) fences_beside_slices: u64,
    /// Raised between an answer that a record is to be converted and the call that does it.
    pub(crate) fences_between: u64,
    pub(crate) leased: u64,
    pub(crate) settled: u64,
    pub(crate) blamed: u64,
    /// Decisions on records with slices.
    pub(crate) over_slices: u64,
    /// The clock had stepped back behind the epoch of some slices.
    pub(crate) ahead: u64,
    /// Records that went as Redis was told, and those of them that had slices.
    pub(crate) expired: u64,
    pub(crate) expired_leased: u64,
    /// Slices handed back that are none.
    pub(crate) odd: u64,
    /// Who had waited as he was told, while slices were out.
    pub(crate) waited: u64,
    /// Answers that rested on a write that failed, and those of them that had a lease.
    pub(crate) unwritten: u64,
    pub(crate) unwritten_leased: u64,
}

/// The rules of one subject through time; askers know the last or an earlier one.
struct Rules {
    kind: SubjectKind,
    id: String,
    versions: Vec<(u64, RateLimits)>,
}

pub(crate) struct World {
    pub(crate) seen: Seen,
    random: Random,
    names: Names,
    connection: redis::Connection,
    decide_sha: String,
    fence_sha: String,
    now_us: u64,
    generation: u64,
    keys: Vec<Rules>,
    owners: Vec<Rules>,
    model: HashMap<Bytes, Record>,
    /// The last reset of each record.
    resets: HashMap<Bytes, u64>,
    /// Slices that were given and not handed back, by the key of the first record.
    given: Vec<(Bytes, Settle)>,
}

impl World {
    pub(crate) fn new(mut connection: redis::Connection, seed: u64) -> Self {
        assert!(scripts::DECIDE.contains(CLOCK) && scripts::FENCE.contains(FENCE_CLOCK), "the clock's lines have changed");
        let mut load = |text: String| redis::cmd("SCRIPT").arg("LOAD").arg(text).query(&mut connection).expect("a script without errors");
        let decide_sha = load(scripts::DECIDE.replace(CLOCK, OWN_CLOCK));
        let fence_sha = load(scripts::FENCE.replace(FENCE_CLOCK, OWN_CLOCK));
        let names = Names::new("tg:", 2).expect("good names");
        for tag in 0..2 {
            redis::cmd("SET").arg(&names.state_id(tag)[..]).arg(&mark(tag)[..]).exec(&mut connection).expect("redis answers");
        }
        let mut random = Random(seed);
        let mut rules = |kind, id| Rules { kind, id, versions: vec![(0, random.limits())] };
        let keys = (0..24).map(|i| rules(if i % 6 == 0 { SubjectKind::Named } else { SubjectKind::Key }, format!("k{i}"))).collect();
        let owners = (0..6).map(|i| rules(SubjectKind::Owner, format!("o{i}"))).collect();
        let (model, resets, given) = (HashMap::new(), HashMap::new(), Vec::new());
        Self {
            seen: Seen::default(),
            random,
            names,
            connection,
            decide_sha,
            fence_sha,
            now_us: START_US,
            generation: 1,
            keys,
            owners,
            model,
            resets,
            given,
        }
    }

    /// One step of the history: the clock moves, rules may change, a batch is decided.
    pub(crate) fn turn(&mut self) {
        self.step_clock();
        if self.random.one_in(3) {
            self.change_rules();
        }
        if self.random.one_in(12) {
            self.raise_fence();
        }
        let count = 1 + self.random.below(48);
        let mut requests: Vec<Request> = (0..count).map(|_| self.request()).collect();
        if self.random.one_in(40) {
            return self.fail_to_write(&requests);
        }
        if requests.len() > 1 && self.random.one_in(2) {
            self.wait_as_told(requests.pop().expect("at least one"));
        }
        for round in 0.. {
            assert!(round < 20, "conversions never end");
            requests = self.call(requests);
            if requests.is_empty() {
                return;
            }
            if self.random.one_in(3) {
                self.raise_fence();
                self.seen.fences_between += 1;
            }
        }
    }

    fn step_clock(&mut self) {
        let period = PERIODS_S[self.random.index(PERIODS_S.len())] * 1_000_000;
        match self.random.below(40) {
            0 => self.now_us -= self.random.below(7200) * 1_000_000,
            1 => self.now_us += self.random.below(7200) * 1_000_000,
            2..10 => {}
            10..20 => self.now_us += self.random.below(3000),
            20..30 => self.now_us += self.random.below(300_000),
            30 => self.now_us -= self.random.below(1_000_000),
            _ => self.now_us += self.random.below(period / 50 + 2),
        }
        self.now_us = self.now_us.clamp(START_US / 2, START_US * 2);
    }

    fn change_rules(&mut self) {
        self.generation += 1 + self.random.below(3);
        let limits = self.random.limits();
        let all = self.keys.len() + self.owners.len();
        let place = self.random.index(all);
        let revoked: Vec<Bytes> = self.model.iter().filter(|(_, record)| record.revoked).map(|(key, _)| key.clone()).collect();
        let rules = self.keys.iter_mut().chain(&mut self.owners).nth(place).expect("in range");
        if revoked.iter().any(|key| key.ends_with(format!(":{}", rules.id).as_bytes())) {
            // Another subject takes the place of one that is revoked for ever.
            rules.id.push('+');
        }
        rules.versions.push((self.generation, limits));
    }

    /// Fences at times bring no new generation, revoke, reset, or come late.
    fn raise_fence(&mut self) {
        let all = self.keys.len() + self.owners.len();
        let (place, revoked, reset) = (self.random.index(all), self.random.one_in(30), self.random.one_in(4));
        let ttl_ms = self.random.below(4_000_000);
        let owner = self.owner_of(place);
        let rules = self.keys.iter().chain(&self.owners).nth(place).expect("in range");
        let version = rules.versions.len() - 1 - usize::from(self.random.one_in(5)).min(rules.versions.len() - 1);
        let generation = rules.versions[version].0;
        let placed_by = owner.map_or(rules.id.clone(), |owner| self.owners[owner].id.clone());
        let tag = self.names.tag_of(&placed_by);
        let key = self.names.record(tag, rules.kind, &rules.id);
        let mut call = redis::cmd("EVALSHA");
        let owners_key = self.names.record(tag, SubjectKind::Owner, &placed_by);
        let reset_key = self.names.reset(tag, rules.kind, &rules.id);
        call.arg(&self.fence_sha).arg(4).arg(&self.names.state_id(tag)[..]).arg(&key[..]).arg(&reset_key[..]).arg(&owners_key[..]);
        call.arg(&mark(tag)[..]).arg(generation).arg(u8::from(revoked)).arg(u8::from(reset)).arg(ttl_ms).arg(self.now_us);
        let told: String = call.query(&mut self.connection).expect("a fence raises no error");
        let good_for_us = |key| self.model.get(key).map_or(0, |record: &Record| record.slices.good_for_us(self.now_us));
        let good_for_us = good_for_us(&key).max(good_for_us(&owners_key));
        assert_eq!(told, format!("A{good_for_us}"));
        self.seen.fences_beside_slices += u64::from(good_for_us > 0);
        let record = self.model.entry(key.clone()).or_default();
        if reset && self.resets.get(&key).is_none_or(|done| *done < generation) {
            self.resets.insert(key.clone(), generation);
            record.reset(self.now_us);
        }
        record.raise(generation, revoked, self.now_us / 1000 + ttl_ms);
        self.seen.fences += 1;
        self.compare_records(&[key]);
    }

    /// Two keys in three have an owner, always the same one.
    fn owner_of(&self, key: usize) -> Option<usize> {
        (key < self.keys.len() && !key.is_multiple_of(3)).then_some(key % self.owners.len())
    }

    fn request(&mut self) -> Request {
        // Some keys are asked for far more often than others, so that batches name them twice.
        let place = self.random.index(self.keys.len()).min(self.random.index(self.keys.len()));
        let first = subject(&self.keys[place], &mut self.random);
        let owner = self.owner_of(place).map(|owner| subject(&self.owners[owner], &mut self.random));
        let bursts = first.limits.burst_min().into_iter().chain(owner.iter().filter_map(|owner| owner.limits.burst_min()));
        let burst_min = u64::from(bursts.min().unwrap_or(Cost::MAX));
        let cost = match self.random.below(6) {
            0 => burst_min,
            1 => burst_min / 3,
            2 => burst_min.saturating_sub(1),
            3 => 1 + self.random.below(burst_min),
            _ => self.random.below(3) + 1,
        };
        let cost = Cost::new(cost.clamp(1, burst_min)).expect("in range");
        let peek = self.random.one_in(7);
        let request = Request::new(Decision { subjects: Subjects { first, owner }, cost, peek }, &self.names);
        let lease = self.lease(&request.first_key);
        Request { lease, ..request }
    }

    /// What a request says of slices: often nothing, mostly what a node would say, at times what
    /// is over, or what never was.
    fn lease(&mut self, key: &Bytes) -> LeaseAsk {
        if self.random.one_in(3) {
            return LeaseAsk::default();
        }
        let want = match self.random.below(4) {
            0 => 0,
            1 => 1 << 22,
            _ => 1 + u32::try_from(self.random.below(200)).expect("small"),
        };
        let mut settle = None;
        if let Some(place) = self.given.iter().position(|(of, _)| of == key).filter(|_| self.random.one_in(2)) {
            let (_, given) = self.given.swap_remove(place);
            let unused = u32::try_from(self.random.below(u64::from(given.granted) + 1)).expect("small");
            settle = Some(Settle { unused, ..given });
            if self.random.one_in(4) {
                settle = Some(self.odd(given));
            }
        }
        if self.given.len() > 200 {
            self.given.remove(0);
        }
        LeaseAsk { want, settle }
    }

    /// Sends a batch, holds every answer against the reference, and gives back those that are to
    /// be asked again with their records converted.
    fn call(&mut self, requests: Vec<Request>) -> Vec<Request> {
        self.expire(&requests);
        let Reply { now_us, answers } = self.ask(&requests);
        let before = self.model.clone();
        let swapped: Vec<Bytes> = requests.iter().flat_map(|request| &request.swaps).map(|swap| swap.key.clone()).collect();
        for swap in requests.iter().flat_map(|request| &request.swaps) {
            self.apply(swap);
        }
        let mut touched: Vec<Bytes> = Vec::new();
        let mut again = Vec::new();
        for (mut request, answer) in requests.into_iter().zip(answers) {
            let keys: Vec<Bytes> = request.subjects().map(|(_, key)| key.clone()).collect();
            let own = |key: &Bytes| request.swaps.iter().filter(|swap| swap.key == key).count();
            let foreign = |key: &Bytes| swapped.iter().filter(|other| *other == key).count() > own(key);
            let alone = !keys.iter().any(|key| touched.contains(key) || foreign(key));
            touched.extend(keys);
            match answer {
                Answer::Told(outcome) => self.compare(&request, &outcome, alone.then_some(&before)),
                Answer::Convert(stored) => {
                    assert!(self.needs_conversion(&request), "nothing to convert: {request:?}");
                    request.swaps = swaps(&request, &stored, now_us).expect("good records");
                    self.seen.converted += 1;
                    again.push(request);
                }
            }
        }
        touched.sort_unstable();
        touched.dedup();
        self.compare_records(&touched);
        again
    }

    fn ask(&mut self, requests: &[Request]) -> Reply {
        let batch = Batch::pack(requests.iter(), &self.names, mark).expect("costs fit");
        let mut call = redis::cmd("EVALSHA");
        call.arg(&self.decide_sha).arg(batch.keys.len());
        for part in batch.keys.iter().chain(&batch.args) {
            call.arg(&part[..]);
        }
        let told: Vec<u8> = call.arg(self.now_us).query(&mut self.connection).expect("the script raises no error");
        let reply = read_reply(told.into(), requests.iter()).expect("a good reply");
        assert_eq!(reply.now_us, self.now_us);
        reply
    }

    fn apply(&mut self, swap: &Swap) {
        let record = self.model.entry(swap.key.clone()).or_default();
        if !record.revoked && buckets_of(&encode_record(record)) == swap.expected {
            let replacement = decode_record(&swap.replacement).expect("a good replacement");
            record.generation = record.generation.max(replacement.generation);
            record.buckets = replacement.buckets;
        }
    }

    fn records_of(model: &HashMap<Bytes, Record>, request: &Request) -> Vec<Record> {
        request.subjects().map(|(_, key)| model.get(key).cloned().unwrap_or_default()).collect()
    }

    fn needs_conversion(&self, request: &Request) -> bool {
        let records = Self::records_of(&self.model, request);
        let current =
            records.iter().zip(request.subjects()).all(|(record, (asked, _))| !record.revoked && record.generation <= asked.generation);
        current
            && records.iter().zip(request.subjects()).any(|(record, (asked, _))| {
                let other = |named: &NamedLimit| {
                    let full = Arrival::full_at(self.now_us);
                    let differs = |bucket: &Bucket| {
                        let is_of_it = bucket.name_id == named.name.id() && bucket.limit != named.limit;
                        is_of_it && record.slices.left(bucket, named.limit, self.now_us) > full
                    };
                    record.buckets.iter().any(differs)
                };
                asked.limits.as_slice().iter().any(other)
            })
    }

    /// `unconverted`: the model before the conversions of this call, where no entry before this
    /// one touched its records. The reference converts by itself: it must come to the same.
    fn compare(&mut self, request: &Request, outcome: &Outcome, unconverted: Option<&HashMap<Bytes, Record>>) {
        assert!(!self.needs_conversion(request), "should have been converted: {request:?}");
        let mut records = Self::records_of(&self.model, request);
        let cut = records.iter().flat_map(|record| &record.buckets).any(|bucket| {
            let ahead = bucket.arrival.whole_us.saturating_sub(self.now_us);
            ahead > bucket.limit.period_us()
        });
        let (was_out, was_ahead) = (records.iter().any(|record| record.slices.outstanding() > 0), self.is_ahead(&records));
        let was = records.clone();
        let expected = self.decide(request, &mut records);
        assert_eq!(*outcome, expected, "at {} {request:?} on {was:?}", self.now_us);
        self.seen.over_slices += u64::from(was_out);
        self.seen.ahead += u64::from(was_ahead);
        self.seen.settled += u64::from(request.lease.settle.is_some_and(|settle| {
            let out = |records: &[Record]| records.iter().map(|record| u64::from(record.slices.at(self.now_us).outstanding())).sum::<u64>();
            settle.granted > 0 && out(&records) < out(&was)
        }));
        if let Some(model) = unconverted {
            let mut records = Self::records_of(model, request);
            // Slices that are over may be felt for 600 ms after they were converted as well.
            let are_over = |record: &Record| record.slices.at(self.now_us).outstanding() < record.slices.outstanding();
            if !request.swaps.is_empty() && !records.iter().any(are_over) {
                assert_eq!(*outcome, self.decide(request, &mut records), "converted: {request:?}");
            }
        }
        self.seen.decisions += 1;
        self.seen.cut += u64::from(cut);
        self.seen.several += u64::from(records.iter().any(|record| record.buckets.len() > 1));
        match outcome {
            Outcome::Allowed(_) => self.seen.allowed += 1,
            Outcome::Leased(_, grant) => {
                self.seen.leased += 1;
                let given = Settle { granted: grant.tokens, unused: 0, stamp: grant.stamp };
                self.given.push((request.first_key.clone(), given));
            }
            Outcome::Limited(_) => self.seen.limited += 1,
            Outcome::LimitedForNow(_) => {
                self.seen.limited += 1;
                self.seen.blamed += u64::from(records.iter().any(|record| record.slices.quiet == QUIET_EPOCHS));
            }
            Outcome::Stale => self.seen.stale += 1,
            Outcome::Revoked => self.seen.revoked += 1,
            Outcome::Lost | Outcome::Broken => unreachable!("nothing is lost or broken here"),
        }
        for ((_, key), record) in request.subjects().zip(records) {
            self.model.insert(key.clone(), record);
        }
    }

    fn decide(&self, request: &Request, records: &mut [Record]) -> Outcome {
        let asks: Vec<Ask<'_>> = request.subjects().map(|(asked, _)| Ask { generation: asked.generation, limits: &asked.limits }).collect();
        let named = || request.subjects().flat_map(|(asked, _)| asked.limits.as_slice().iter().map(|named| (asked.kind, named.clone())));
        let standings = |standings: Vec<_>| -> Vec<SubjectStanding> {
            named().zip(standings).map(|((kind, named), standing)| SubjectStanding { kind, named, standing }).collect()
        };
        let wish = Wish { cost: request.decision.cost, peek: request.decision.peek, lease: request.lease };
        let Told { decided, grant } = decide_leased(records, &asks, &wish, self.now_us);
        match decided {
            Decided::Allowed(all) => match grant {
                Some(grant) => Outcome::Leased(standings(all), grant),
                None => Outcome::Allowed(standings(all)),
            },
            Decided::Limited(all) => Outcome::Limited(standings(all)),
            Decided::LimitedForNow(all) => Outcome::LimitedForNow(standings(all)),
            Decided::Stale { .. } => Outcome::Stale,
            Decided::Revoked { .. } => Outcome::Revoked,
            Decided::TooCostly => unreachable!("costs fit"),
        }
    }

    fn is_ahead(&self, records: &[Record]) -> bool {
        records.iter().any(|record| record.slices.outstanding() > 0 && record.slices.epoch > self.now_us / EPOCH_US + 1)
    }

    /// Stored bytes and expiries are what the model says.
    fn compare_records(&mut self, keys: &[Bytes]) {
        if keys.is_empty() {
            return;
        }
        let mut pipe = redis::pipe();
        for key in keys {
            pipe.cmd("GET").arg(&key[..]).cmd("PEXPIRETIME").arg(&key[..]);
        }
        let stored: Vec<(Option<Vec<u8>>, i64)> = pipe.query(&mut self.connection).expect("redis answers");
        for (key, (bytes, expires_ms)) in keys.iter().zip(stored) {
            let model = self.model.get(key).cloned().unwrap_or_default();
            let Some(bytes) = bytes else {
                assert_eq!(model, Record::default(), "not stored: {key:?}");
                continue;
            };
            assert_eq!(decode_record(&bytes).as_ref(), Some(&model), "{key:?}");
            // Nothing is lost when it goes, nor does it stay for long when nothing would be.
            let expires_us = u64::try_from(expires_ms).expect("an expiry") * 1000;
            let grain_us = model.buckets.iter().map(|bucket| u64::from(bucket.limit.per_seconds()) * 125_000).max().unwrap_or(0);
            assert!(model.is_forgettable(expires_us), "{model:?} goes at {expires_us}");
            let is_late = expires_us.checked_sub(grain_us + 2000).is_some_and(|before_us| model.is_forgettable(before_us));
            assert!(!is_late || expires_us <= self.now_us + grain_us + 2000, "{model:?} goes at {expires_us} only");
        }
    }
}

fn subject(rules: &Rules, random: &mut Random) -> Subject {
    let behind = usize::from(random.one_in(12));
    let place = (rules.versions.len() - 1).saturating_sub(behind);
    let (generation, limits) = rules.versions[place].clone();
    Subject { kind: rules.kind, id: rules.id.as_str().into(), generation, limits }
}

fn mark(tag: u8) -> Bytes {
    format!("state of {tag}").into()
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        if end == 0 { 0 } else { self.next() % end }
    }

    fn index(&mut self, end: usize) -> usize {
        usize::try_from(self.below(end as u64)).expect("small")
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// No limit, one (most often), or up to four.
    fn limits(&mut self) -> RateLimits {
        let count = match self.below(10) {
            0 => 0,
            1 => 2,
            2 => 4,
            3 => 3,
            _ => 1,
        };
        let from = self.index(NAMES.len());
        let name = |place: usize| LimitName::new(NAMES[(from + place) % NAMES.len()]).expect("a good name");
        let names: Vec<LimitName> = (0..count).map(name).collect();
        let limit = |name| {
            let burst = BURSTS[self.index(BURSTS.len())];
            let per_seconds = PERIODS_S[self.index(PERIODS_S.len())];
            NamedLimit { name, limit: RateLimit::new(burst, per_seconds).expect("in range") }
        };
        RateLimits::new(names.into_iter().map(limit).collect()).expect("different names")
    }
}
