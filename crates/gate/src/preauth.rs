//! The limit of failed attempts, before anything is looked up or hashed.
//!
//! Only failures are charged, never first uses, so nobody pays for being new. Whoever has failed
//! too often is told to come back later, unless he shows what cannot be guessed: a secret that
//! this node has verified before, or a tag of the ring. So whoever shares an address with an
//! attacker goes on.
//!
//! A third budget, of each key id, guards Argon2 alone. Verified secrets, good tags and receipts
//! never ask it, so guessing at a public key id locks nobody out.

mod failures;

use std::{net::IpAddr, num::NonZeroU32, time::Duration};

use tokio::time::Instant;
use tollgate_keys::{ApiKey, KeyId};

use failures::{Failures, Held, Tag};

/// How many failures are met with an answer, and how much is remembered.
#[derive(Debug, Clone, Copy)]
pub struct PreauthOptions {
    /// Failures of one client address; an IPv6 address is to be given as its /64.
    pub address: FailureBudget,
    /// Failures of one text of an api key.
    pub key_text: FailureBudget,
    /// Wrong secrets without a good tag for one key id.
    pub key_id: FailureBudget,
    /// Addresses, texts and key ids that are remembered, of each at most so many. Those that have
    /// failed least are forgotten first.
    pub entries_max: usize,
}

/// So many failures at once, forgotten evenly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailureBudget {
    /// Failures, at least 1.
    pub burst: NonZeroU32,
    /// The time in which so many are forgotten.
    pub period: Duration,
}

impl Default for PreauthOptions {
    /// The defaults of the settings.
    fn default() -> Self {
        let a_minute = |burst: u32| FailureBudget { burst: NonZeroU32::MIN.saturating_add(burst - 1), period: Duration::from_mins(1) };
        Self { address: a_minute(1000), key_text: a_minute(100), key_id: a_minute(20), entries_max: 65_536 }
    }
}

/// Who has failed lately.
#[derive(Debug)]
pub(crate) struct Preauth {
    addresses: Failures,
    texts: Failures,
    ids: Failures,
}

/// What the failures of a credential are counted under.
#[derive(Debug, Clone, Copy)]
struct Counted {
    address: Tag,
    /// None for what is no api key at all.
    text: Option<Tag>,
}

/// Too many failures: nothing is looked at before this has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooManyFailures {
    pub(crate) retry_after: Duration,
}

impl TooManyFailures {
    /// Whole seconds, rounded up, at least 1.
    pub(crate) fn retry_after_s(self) -> u32 {
        let seconds = self.retry_after.as_secs() + u64::from(self.retry_after.subsec_nanos() > 0);
        u32::try_from(seconds).unwrap_or(u32::MAX).max(1)
    }
}

impl Preauth {
    pub(crate) fn new(options: PreauthOptions, now: Instant) -> Self {
        let table = |budget| Failures::new(budget, options.entries_max, now);
        Self { addresses: table(options.address), texts: table(options.key_text), ids: table(options.key_id) }
    }

    /// Whether something else than a good tag may be looked at now. Without a text for what is no
    /// api key at all.
    pub(crate) fn admit(&self, client: IpAddr, text: Option<&ApiKey>, now: Instant) -> Result<(), TooManyFailures> {
        let counted = self.counted(client, text);
        let of_text = counted.text.and_then(|text| self.texts.wait(text, now));
        spent(self.addresses.wait(counted.address, now).max(of_text))
    }

    /// A credential was wrong.
    pub(crate) fn charge(&self, client: IpAddr, text: Option<&ApiKey>, now: Instant) {
        let counted = self.counted(client, text);
        self.addresses.charge(counted.address, now);
        if let Some(text) = counted.text {
            self.texts.charge(text, now);
        }
    }

    /// Both, for a credential that is seen to be wrong before anything else is looked at. A flood
    /// from one address meets at its place, so that is taken once.
    pub(crate) fn fail(&self, client: IpAddr, text: Option<&ApiKey>, now: Instant) -> Result<(), TooManyFailures> {
        let counted = self.counted(client, text);
        let text = counted.text.map(|text| self.texts.hold(text, now));
        let address = self.addresses.hold(counted.address, now);
        spent(address.wait().max(text.as_ref().and_then(Held::wait)))?;
        address.charge();
        if let Some(text) = text {
            text.charge();
        }
        Ok(())
    }

    fn counted(&self, client: IpAddr, text: Option<&ApiKey>) -> Counted {
        Counted { address: self.addresses.tag(&client), text: text.map(|text| self.texts.tag(&texted(text))) }
    }

    /// Whether a secret for `key_id` may be tried. An address without failures has a budget of
    /// its own, so that one attacker does not spend what the owner needs.
    pub(crate) fn admit_hash(&self, key_id: &KeyId, client: IpAddr, now: Instant) -> Result<(), TooManyFailures> {
        spent(self.ids.wait(self.guessed(key_id, client, now), now))
    }

    /// A secret for `key_id` is wrong, by its hash or by what is known of the key's secrets. To be told before the address is charged.
    pub(crate) fn charge_hash(&self, key_id: &KeyId, client: IpAddr, now: Instant) {
        self.ids.charge(self.guessed(key_id, client, now), now);
    }

    fn guessed(&self, key_id: &KeyId, client: IpAddr, now: Instant) -> Tag {
        let is_clean = self.addresses.is_clean(self.addresses.tag(&client), now);
        self.ids.tag(&(key_id.as_str(), is_clean))
    }
}

fn texted(text: &ApiKey) -> (&str, &str) {
    (text.key_id.as_str(), text.secret.expose())
}

fn spent(wait: Option<Duration>) -> Result<(), TooManyFailures> {
    wait.map_or(Ok(()), |retry_after| Err(TooManyFailures { retry_after }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> PreauthOptions {
        let budget = |burst, secs| FailureBudget { burst: NonZeroU32::new(burst).expect("not zero"), period: Duration::from_secs(secs) };
        PreauthOptions { address: budget(4, 60), key_text: budget(2, 60), key_id: budget(3, 60), entries_max: 64 }
    }

    fn api_key(id: &str) -> ApiKey {
        ApiKey::from_parts(id, "swordfish").expect("well formed")
    }

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[tokio::test(start_paused = true)]
    async fn a_text_and_an_address_have_budgets_of_their_own() {
        let now = Instant::now();
        let preauth = Preauth::new(options(), now);
        let (one, other) = (api_key("one"), api_key("other"));
        for _ in 0..2 {
            assert_eq!(preauth.admit(address(1), Some(&one), now), Ok(()));
            preauth.charge(address(1), Some(&one), now);
        }
        assert!(preauth.admit(address(1), Some(&one), now).is_err(), "the text is spent");
        assert!(preauth.admit(address(2), Some(&one), now).is_err(), "wherever it comes from");
        assert_eq!(preauth.admit(address(1), Some(&other), now), Ok(()), "but not the address");
        preauth.charge(address(1), None, now);
        preauth.charge(address(1), None, now);
        assert!(preauth.admit(address(1), Some(&other), now).is_err());
        assert!(preauth.admit(address(1), None, now).is_err());
        assert_eq!(preauth.admit(address(2), Some(&other), now), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_clean_address_does_not_share_the_budget_of_those_that_failed() {
        let now = Instant::now();
        let preauth = Preauth::new(options(), now);
        let key_id = api_key("victim").key_id;
        preauth.charge(address(1), None, now);
        for _ in 0..3 {
            assert_eq!(preauth.admit_hash(&key_id, address(1), now), Ok(()));
            preauth.charge_hash(&key_id, address(1), now);
        }
        assert!(preauth.admit_hash(&key_id, address(1), now).is_err());
        assert_eq!(preauth.admit_hash(&key_id, address(2), now), Ok(()), "the owner, who has not failed");
        assert_eq!(preauth.admit_hash(&api_key("another").key_id, address(1), now), Ok(()));
        for last in 2..=4 {
            preauth.charge_hash(&key_id, address(last), now);
        }
        assert!(preauth.admit_hash(&key_id, address(5), now).is_err(), "many addresses are no way around it");
    }

    #[tokio::test(start_paused = true)]
    async fn the_longer_wait_is_told() {
        let now = Instant::now();
        let preauth = Preauth::new(options(), now);
        let one = api_key("one");
        (0..4).for_each(|_| preauth.charge(address(1), Some(&one), now));
        let TooManyFailures { retry_after } = preauth.admit(address(1), Some(&one), now).expect_err("spent");
        assert_eq!(retry_after, Duration::from_secs(30), "one of two texts in 60 s, one of four addresses in 15 s");
        assert_eq!(preauth.admit(address(1), Some(&one), now + retry_after), Ok(()));
    }
}
