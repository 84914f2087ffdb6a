//! What seldom happens: records that expire, slices that are none, writes that fail, and patience.

use tollgate_limits::{LEASED_MAX, Stamp};

use super::*;

impl World {
    /// Lets go of records as Redis would, by the expiry that it was told.
    pub(super) fn expire(&mut self, requests: &[Request]) {
        let mut keys: Vec<Bytes> = requests.iter().flat_map(|request| request.subjects().map(|(_, key)| key.clone())).collect();
        keys.sort_unstable();
        keys.dedup();
        let mut pipe = redis::pipe();
        for key in &keys {
            pipe.cmd("PEXPIRETIME").arg(&key[..]);
        }
        let ends_ms: Vec<i64> = pipe.query(&mut self.connection).expect("redis answers");
        for (key, _) in keys.iter().zip(ends_ms).filter(|(_, ends_ms)| u64::try_from(*ends_ms).is_ok_and(|end| end <= self.now_us / 1000)) {
            let model = self.model.remove(key).unwrap_or_default();
            assert!(model.is_forgettable(self.now_us), "something is lost: {model:?}");
            redis::cmd("DEL").arg(&key[..]).exec(&mut self.connection).expect("redis answers");
            self.seen.expired += 1;
            self.seen.expired_leased += u64::from(!model.slices.is_none());
        }
    }

    /// What no node would hand back.
    pub(super) fn odd(&mut self, given: Settle) -> Settle {
        self.seen.odd += 1;
        let Settle { granted, stamp, .. } = given;
        let other = Stamp { series: stamp.series.map(|series| series.wrapping_add(1)), ..stamp };
        match self.random.below(5) {
            0 => Settle { unused: granted + 1, ..given },
            1 => Settle { granted: 0, unused: 0, stamp },
            2 => Settle { unused: granted, stamp: other, granted },
            3 => Settle { granted: LEASED_MAX + 1, unused: 1, stamp },
            _ => Settle { stamp: Stamp { epoch: stamp.epoch.wrapping_sub(self.random.below(3)) & ((1 << 40) - 1), ..stamp }, ..given },
        }
    }

    /// Asks once, waits as long as it is told to, and asks again.
    pub(super) fn wait_as_told(&mut self, request: Request) {
        let until_told = |world: &mut Self, mut requests: Vec<Request>| {
            while !requests.is_empty() {
                requests = world.call(requests);
            }
        };
        let peek = Decision { peek: true, ..request.decision.clone() };
        let again = Request { decision: peek, lease: LeaseAsk::default(), swaps: Vec::new(), ..request };
        until_told(self, vec![copy(&again)]);
        let Some(Answer::Told(Outcome::LimitedForNow(standings))) = self.ask(&[copy(&again)]).answers.pop() else { return };
        self.now_us += standings.iter().map(|told| told.standing.retry_after_us).max().unwrap_or(0);
        self.expire(&[copy(&again)]);
        let told = self.ask(&[copy(&again)]).answers.pop();
        assert!(matches!(told, Some(Answer::Told(Outcome::Allowed(_)))), "{again:?}: {standings:?}, and then {told:?}");
        self.seen.waited += 1;
    }

    /// A batch of which nothing can be written: whatever rests on a charge is broken, all else is told.
    pub(super) fn fail_to_write(&mut self, requests: &[Request]) {
        self.expire(requests);
        let limit_memory = |world: &mut Self, bytes: u64| {
            let mut set = redis::cmd("CONFIG");
            set.arg("SET").arg("maxmemory").arg(bytes).exec(&mut world.connection).expect("redis answers");
        };
        limit_memory(self, 1);
        let answers = self.ask(requests).answers;
        limit_memory(self, 0);
        let (kept, mut charged, mut touched) = (self.model.clone(), Vec::new(), Vec::new());
        for (request, answer) in requests.iter().zip(answers) {
            let keys: Vec<Bytes> =
                request.subjects().filter(|(asked, _)| !asked.limits.as_slice().is_empty()).map(|(_, key)| key.clone()).collect();
            if let Answer::Told(outcome) = answer {
                let mut records = Self::records_of(&self.model, request);
                let expected = self.decide(request, &mut records);
                let is_allowed = matches!(expected, Outcome::Allowed(_) | Outcome::Leased(..));
                let is_charged = is_allowed && !request.decision.peek && !keys.is_empty();
                let is_limited = matches!(expected, Outcome::Limited(_) | Outcome::LimitedForNow(_));
                let rests = is_charged || (is_allowed || is_limited) && keys.iter().any(|key| charged.contains(key));
                assert_eq!(outcome, if rests { Outcome::Broken } else { expected }, "{request:?}");
                self.seen.unwritten += u64::from(rests);
                self.seen.unwritten_leased += u64::from(rests && request.lease != LeaseAsk::default());
                if is_charged {
                    charged.extend(keys.clone());
                }
                for ((_, key), record) in request.subjects().zip(records) {
                    self.model.insert(key.clone(), record);
                }
            }
            touched.extend(keys);
        }
        self.model = kept;
        self.compare_records(&touched);
    }
}

fn copy(request: &Request) -> Request {
    Request {
        decision: request.decision.clone(),
        first_key: request.first_key.clone(),
        owner_key: request.owner_key.clone(),
        swaps: request.swaps.clone(),
        ..*request
    }
}
