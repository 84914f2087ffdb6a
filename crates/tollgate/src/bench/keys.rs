//! Whose keys the load is of: those of a file, or keys that are made for it and revoked afterwards.

use std::{fs, path::Path, pin::pin, time::Duration};

use time::OffsetDateTime;

use tollgate_api::{CreateKeyBody, Patch, RateLimitFields, RateLimitSpec, RevokeKeyBody};
use tollgate_client::{Client, ClientError, RequestId};
use tollgate_keys::{ApiKey, RandomPart, RingChar, Secret, SigningKey};
use zeroize::Zeroizing;

use crate::{exit::Failure, progress::Progress, signals::Signals};

/// Keys of a file; more are another file.
const FILE_KEYS_MAX: usize = 1_000_000;
/// A limit that no load reaches.
const LIMIT: RateLimitFields = RateLimitFields { burst: 1_000_000_000, per_seconds: 1 };
/// How often a node that limits its operator, or cannot answer just now, is asked again.
const ATTEMPTS_MAX: u32 = 10;
/// How much longer than the load a key lives at most, should nobody be left to revoke it.
const OUTLIVED: Duration = Duration::from_hours(1);
/// How long one key may take to be made, by a node that limits its operator to 1000 a minute.
const MADE_WITHIN: Duration = Duration::from_millis(100);

/// How long one that is being made when the load is told to stop is waited for.
const ENDED_WITHIN: Duration = Duration::from_secs(10);

/// Keys that were made for a load, all of one owner.
#[derive(Debug)]
pub(crate) struct MadeKeys {
    owner: String,
    pub(crate) keys: Vec<Zeroizing<String>>,
}

/// The keys of a file, one on each line.
pub(crate) fn read(path: &Path) -> Result<Vec<Zeroizing<String>>, Failure> {
    let remedy = "name a file that has one key on each line";
    let text = fs::read_to_string(path).map(Zeroizing::new);
    let text = text.map_err(|error| Failure::usage(format!("cannot read {}: {error}", path.display()), remedy))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let keys: Vec<_> = lines.map(|line| Zeroizing::new(line.to_owned())).take(FILE_KEYS_MAX + 1).collect();
    if (1..=FILE_KEYS_MAX).contains(&keys.len()) {
        return Ok(keys);
    }
    Err(Failure::usage(format!("{} has no key, or more than {FILE_KEYS_MAX}", path.display()), remedy))
}

impl MadeKeys {
    /// Makes so many for a load that takes so long. Those that are made when one cannot be, or when it is
    /// told to stop, are revoked again.
    pub(crate) async fn make(client: &Client, count: u32, load: Duration, signals: &mut Signals) -> Result<Self, Failure> {
        let ends_at = OffsetDateTime::now_utc() + MADE_WITHIN * count + load + OUTLIVED;
        let mut made = Self { owner: format!("bench-{}", RequestId::generate()), keys: Vec::new() };
        let progress = Progress::towards(Some(count.into()));
        for number in 1..=count {
            let mut making = pin!(one(client, &made.owner, number, ends_at));
            let next = tokio::select! {
                next = &mut making => next.map_err(Failure::from),
                () = signals.next() => {
                    // One that is on its way would outlive the revocation.
                    if let Ok(Ok(api_key)) = tokio::time::timeout(ENDED_WITHIN, making).await {
                        made.keys.push(api_key);
                    }
                    Err(Failure::other("told to stop while keys were made", "those that were made are revoked"))
                }
            };
            match next {
                Ok(api_key) => made.keys.push(api_key),
                Err(failure) => {
                    // Where there are none there is no owner either, and nothing more to say.
                    if !made.keys.is_empty() {
                        made.revoke(client).await?;
                    }
                    return Err(failure);
                }
            }
            progress.reached(number.into(), "making keys");
        }
        Ok(made)
    }

    /// Takes all of them out of use, for ever.
    pub(crate) async fn revoke(&self, client: &Client) -> Result<(), Failure> {
        let body = RevokeKeyBody { reason: Some("the load that they were made for is over".to_owned()) };
        let revoked =
            again(async || client.revoke_keys_of(&self.owner, &body).await, |status| matches!(status, None | Some(429 | 503))).await;
        let remedy = format!("the keys of the load are still good: tollgate owners revoke-keys {}", self.owner);
        revoked.map(drop).map_err(|error| Failure { remedy, ..Failure::from(error) })
    }
}

async fn one(client: &Client, owner: &str, number: u32, ends_at: OffsetDateTime) -> Result<Zeroizing<String>, ClientError> {
    let (name, owner, rate_limit) = (format!("bench {number}"), Some(owner.to_owned()), Patch::Set(RateLimitSpec::One(LIMIT)));
    let body = CreateKeyBody { name, owner, rate_limit, expires_at: Some(ends_at), ..CreateKeyBody::default() };
    // Making keys counts for the limit of whoever makes them.
    let created = again(async || client.create_key(&body).await, |status| status == Some(429)).await?;
    Ok(Zeroizing::new(created.api_key.unwrap_or_default()))
}

/// Asks again, some times, where the status of a failure is one to ask again after; it has none where
/// nobody answered.
async fn again<T>(ask: impl AsyncFn() -> Result<T, ClientError>, is_worth_it: fn(Option<u16>) -> bool) -> Result<T, ClientError> {
    let mut attempts = 1;
    loop {
        match ask().await {
            Err(error) if is_worth_it(error.status()) && attempts < ATTEMPTS_MAX => {
                tokio::time::sleep(Duration::from_secs(error.retry_after_s().unwrap_or(1))).await;
                attempts += 1;
            }
            told => return told,
        }
    }
}

/// A key that looks like this one and is none: of the same id, and signed by nobody.
pub(super) fn forgery(key: &str) -> Result<Zeroizing<String>, String> {
    let random = |_| "the system gives no random bytes".to_owned();
    if let Ok(real) = ApiKey::parse(key) {
        let part = RandomPart::generate().map_err(random)?;
        let secret = match real.secret.ring() {
            Some(ring) => Secret::signed(&signing_key(ring)?, &real.key_id, &part),
            None => Secret::unsigned(&part),
        };
        return Ok(Zeroizing::new(ApiKey { key_id: real.key_id, secret }.expose().to_string()));
    }
    // Of a form that is not ours: one character is another.
    let mut other = Zeroizing::new(key.to_owned());
    let last = other.pop();
    other.push(if last == Some('0') { '1' } else { '0' });
    Ok(other)
}

fn signing_key(ring: RingChar) -> Result<SigningKey, String> {
    SigningKey::generate(ring).map_err(|_| "the system gives no random bytes".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn where_no_key_can_be_made_that_is_told_and_nothing_of_keys_that_are_still_good() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        drop(listener);
        let client = Client::new(&format!("http://{address}"), None).expect("a client").with_deadline(Duration::from_millis(200));
        let mut signals = Signals::listen().expect("signals");
        let made = MadeKeys::make(&client, 2, Duration::ZERO, &mut signals).await;
        let failure = made.expect_err("nobody is there");
        assert!(!failure.remedy.contains("still good"), "{failure:?}");
    }

    #[test]
    fn a_forgery_is_of_the_same_form_and_another() {
        let key_id = tollgate_keys::KeyId::from_parts(1, [7; 10]);
        let part = RandomPart::generate().expect("random");
        let signing = SigningKey::generate(RingChar::new('0').expect("a character")).expect("random");
        for secret in [Secret::signed(&signing, &key_id, &part), Secret::unsigned(&part)] {
            let real = ApiKey { key_id: key_id.clone(), secret }.expose().to_string();
            let forged = forgery(&real).expect("a forgery");
            let (id, _) = forged.split_once(':').expect("an id");
            assert!(*forged != real && id == key_id.as_str() && forged.len() == real.len(), "{}", forged.len());
            assert!(ApiKey::parse(&forged).is_ok(), "its checksum is good");
        }
        assert_eq!((forgery("ab").expect("one").as_str(), forgery("a0").expect("one").as_str()), ("a0", "a1"));
    }

    #[test]
    fn keys_are_the_lines_of_their_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keys");
        std::fs::write(&path, "a:1\n\n b:2 \r\n").expect("written");
        let keys = read(&path).expect("keys");
        assert_eq!(keys.iter().map(|key| key.as_str()).collect::<Vec<_>>(), ["a:1", "b:2"]);
        std::fs::write(&path, "\n").expect("written");
        assert!(read(&path).is_err() && read(&folder.path().join("none")).is_err());
    }
}
